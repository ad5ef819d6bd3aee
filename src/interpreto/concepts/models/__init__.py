"""Concept models, one a file."""

from interpreto.concepts.models.convex_nmf import ConvexNMFConcepts
from interpreto.concepts.models.dictionary_learning import DictionaryLearningConcepts
from interpreto.concepts.models.ica import ICAConcepts
from interpreto.concepts.models.k_means import KMeansConcepts
from interpreto.concepts.models.neurons import NeuronsAsConcepts
from interpreto.concepts.models.nmf import NMFConcepts
from interpreto.concepts.models.pca import PCAConcepts
from interpreto.concepts.models.semi_nmf import SemiNMFConcepts
from interpreto.concepts.models.sparse_pca import SparsePCAConcepts
from interpreto.concepts.models.svd import SVDConcepts

__all__ = [
    "ConvexNMFConcepts",
    "DictionaryLearningConcepts",
    "ICAConcepts",
    "KMeansConcepts",
    "NMFConcepts",
    "NeuronsAsConcepts",
    "PCAConcepts",
    "SVDConcepts",
    "SemiNMFConcepts",
    "SparsePCAConcepts",
]
