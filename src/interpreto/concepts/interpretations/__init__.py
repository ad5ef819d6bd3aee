"""What concepts mean, in words: the texts in which they are strongest, and labels by a language model."""

from interpreto.concepts.interpretations.base import ConceptInterpreter
from interpreto.concepts.interpretations.llm_labels import LabelPrompts, LLMLabels
from interpreto.concepts.interpretations.output_labels import Ensemble, OutputLabels
from interpreto.concepts.interpretations.output_result import OutputReading, OutputReadings, TokenList, TokenWeight
from interpreto.concepts.interpretations.result import ConceptReading, Example, Interpretations, Mark
from interpreto.concepts.interpretations.token_change import TokenChange
from interpreto.concepts.interpretations.top_k_inputs import TopKInputs
from interpreto.concepts.interpretations.vocab_proj import VocabProj

__all__ = [
    "ConceptInterpreter",
    "ConceptReading",
    "Ensemble",
    "Example",
    "Interpretations",
    "LLMLabels",
    "LabelPrompts",
    "Mark",
    "OutputLabels",
    "OutputReading",
    "OutputReadings",
    "TokenChange",
    "TokenList",
    "TokenWeight",
    "TopKInputs",
    "VocabProj",
]
