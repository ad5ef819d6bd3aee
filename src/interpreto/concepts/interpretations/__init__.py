"""What concepts mean, in words: the texts in which they are strongest, and labels by a language model."""

from interpreto.concepts.interpretations.base import ConceptInterpreter
from interpreto.concepts.interpretations.llm_labels import LabelPrompts, LLMLabels
from interpreto.concepts.interpretations.result import ConceptReading, Example, Interpretations, Mark
from interpreto.concepts.interpretations.top_k_inputs import TopKInputs

__all__ = [
    "ConceptInterpreter",
    "ConceptReading",
    "Example",
    "Interpretations",
    "LLMLabels",
    "LabelPrompts",
    "Mark",
    "TopKInputs",
]
