"""Concepts: the directions that a model thinks in, learned, named, weighed and measured."""

from interpreto.concepts.base import ConceptExplainer
from interpreto.concepts.bridges import ConceptsToOutput, InputToConcepts
from interpreto.concepts.cards import ConceptCards, concept_cards
from interpreto.concepts.concept_model import ConceptModel
from interpreto.concepts.fitting import FitLog, FitReport
from interpreto.concepts.importance import ConceptImportance, ImportanceMethod, LocalImportance
from interpreto.concepts.interpretations import (
    Interpretations,
    LLMLabels,
    OutputLabels,
    TokenChange,
    TopKInputs,
    VocabProj,
)
from interpreto.concepts.learned import LearnedConcepts
from interpreto.concepts.lenses import LogitLens, TunedLens
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
from interpreto.concepts.steering import DoseResponse, Intervention, Steering
from interpreto.concepts.supervised import TCAV, CAVConcepts, LeaceEraser, Probe, sweep

__all__ = [
    "TCAV",
    "ArchetypalSAEConcepts",
    "BatchTopKSAEConcepts",
    "CAVConcepts",
    "ConceptCards",
    "ConceptExplainer",
    "ConceptImportance",
    "ConceptModel",
    "ConceptsToOutput",
    "ConvexNMFConcepts",
    "DictionaryLearningConcepts",
    "DoseResponse",
    "FitLog",
    "FitReport",
    "GatedSAEConcepts",
    "ICAConcepts",
    "ImportanceMethod",
    "InputToConcepts",
    "Interpretations",
    "Intervention",
    "JumpReLUSAEConcepts",
    "KMeansConcepts",
    "LLMLabels",
    "LeaceEraser",
    "LearnedConcepts",
    "LocalImportance",
    "LogitLens",
    "MatryoshkaSAEConcepts",
    "MpSAEConcepts",
    "NMFConcepts",
    "NeuronsAsConcepts",
    "OutputLabels",
    "PCAConcepts",
    "Probe",
    "SVDConcepts",
    "SemiNMFConcepts",
    "SparsePCAConcepts",
    "Steering",
    "TokenChange",
    "TopKInputs",
    "TopKSAEConcepts",
    "TunedLens",
    "VanillaSAEConcepts",
    "VocabProj",
    "concept_cards",
    "sweep",
]
