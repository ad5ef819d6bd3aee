"""Transformers as functions of elements: everything between a HuggingFace model and an attribution method."""

from interpreto.model_wrapping.activation_rows import ActivationRows, TensorRows
from interpreto.model_wrapping.activation_store import ActivationStore
from interpreto.model_wrapping.activations import ActivationGranularity, Activations, Aggregation, RowSources
from interpreto.model_wrapping.custom_model import CustomModel
from interpreto.model_wrapping.explained import Explained
from interpreto.model_wrapping.explained_function import (
    Coder,
    Engine,
    Explainable,
    ExplainedFunction,
    as_explained,
    traits_of,
)
from interpreto.model_wrapping.explained_text import ExplainedText
from interpreto.model_wrapping.gradients import Moments, Path
from interpreto.model_wrapping.model_with_split_points import ModelWithSplitPoints
from interpreto.model_wrapping.readout import Readout, Target
from interpreto.model_wrapping.scorer import Scorer
from interpreto.model_wrapping.targets import Contrast
from interpreto.model_wrapping.traits import Traits

__all__ = [
    "ActivationGranularity",
    "ActivationRows",
    "ActivationStore",
    "Activations",
    "Aggregation",
    "Coder",
    "Contrast",
    "CustomModel",
    "Engine",
    "Explainable",
    "Explained",
    "ExplainedFunction",
    "ExplainedText",
    "ModelWithSplitPoints",
    "Moments",
    "Path",
    "Readout",
    "RowSources",
    "Scorer",
    "Target",
    "TensorRows",
    "Traits",
    "as_explained",
    "traits_of",
]
