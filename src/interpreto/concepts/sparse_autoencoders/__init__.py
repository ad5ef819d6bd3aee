"""Sparse autoencoders, one type a file."""

from interpreto.concepts.sparse_autoencoders.archetypal import ArchetypalSAEConcepts
from interpreto.concepts.sparse_autoencoders.batch_top_k import BatchTopKSAEConcepts
from interpreto.concepts.sparse_autoencoders.gated import GatedSAEConcepts
from interpreto.concepts.sparse_autoencoders.jump_relu import JumpReLUSAEConcepts
from interpreto.concepts.sparse_autoencoders.matching_pursuit import MpSAEConcepts
from interpreto.concepts.sparse_autoencoders.matryoshka import MatryoshkaSAEConcepts
from interpreto.concepts.sparse_autoencoders.top_k import TopKSAEConcepts
from interpreto.concepts.sparse_autoencoders.vanilla import VanillaSAEConcepts

__all__ = [
    "ArchetypalSAEConcepts",
    "BatchTopKSAEConcepts",
    "GatedSAEConcepts",
    "JumpReLUSAEConcepts",
    "MatryoshkaSAEConcepts",
    "MpSAEConcepts",
    "TopKSAEConcepts",
    "VanillaSAEConcepts",
]
