"""Concepts: the directions that a model thinks in, learned, named, weighed and measured."""

from interpreto.concepts.base import ConceptExplainer, LearnedConcepts
from interpreto.concepts.bridges import ConceptsToOutput, InputToConcepts
from interpreto.concepts.concept_model import ConceptModel
from interpreto.concepts.fitting import FitLog, FitReport
from interpreto.concepts.importance import ConceptImportance, ImportanceMethod, LocalImportance
from interpreto.concepts.interpretations import Interpretations, LLMLabels, TopKInputs
from interpreto.concepts.models import (
    ConvexNMFConcepts,
    DictionaryLearningConcepts,
    ICAConcepts,
    KMeansConcepts,
    NeuronsAsConcepts,
    NMFConcepts,
    PCAConcepts,
    SemiNMFConcepts,
    SparsePCAConcepts,
    SVDConcepts,
)
from interpreto.concepts.sparse_autoencoders import (
    ArchetypalSAEConcepts,
    BatchTopKSAEConcepts,
    GatedSAEConcepts,
    JumpReLUSAEConcepts,
    MatryoshkaSAEConcepts,
    MpSAEConcepts,
    TopKSAEConcepts,
    VanillaSAEConcepts,
)

__all__ = [
    "ArchetypalSAEConcepts",
    "BatchTopKSAEConcepts",
    "ConceptExplainer",
    "ConceptImportance",
    "ConceptModel",
    "ConceptsToOutput",
    "ConvexNMFConcepts",
    "DictionaryLearningConcepts",
    "FitLog",
    "FitReport",
    "GatedSAEConcepts",
    "ICAConcepts",
    "ImportanceMethod",
    "InputToConcepts",
    "Interpretations",
    "JumpReLUSAEConcepts",
    "KMeansConcepts",
    "LLMLabels",
    "LearnedConcepts",
    "LocalImportance",
    "MatryoshkaSAEConcepts",
    "MpSAEConcepts",
    "NMFConcepts",
    "NeuronsAsConcepts",
    "PCAConcepts",
    "SVDConcepts",
    "SemiNMFConcepts",
    "SparsePCAConcepts",
    "TopKInputs",
    "TopKSAEConcepts",
    "VanillaSAEConcepts",
]
