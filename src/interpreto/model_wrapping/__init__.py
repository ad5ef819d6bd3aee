"""Transformers as functions of elements: everything between a HuggingFace model and an attribution method."""

from interpreto.model_wrapping.explained import Explained
from interpreto.model_wrapping.explained_text import ExplainedText
from interpreto.model_wrapping.gradients import Moments, Path
from interpreto.model_wrapping.readout import Readout, Target
from interpreto.model_wrapping.scorer import Scorer
from interpreto.model_wrapping.targets import Contrast
from interpreto.model_wrapping.traits import Traits

__all__ = ["Contrast", "Explained", "ExplainedText", "Moments", "Path", "Readout", "Scorer", "Target", "Traits"]
