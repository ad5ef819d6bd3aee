"""Explain HuggingFace text models: which words made this class, which part of the prompt made this sentence.

>>> from interpreto import KernelShap
>>> from interpreto.demo import load
>>> model, tokenizer = load("emotion")
>>> result = KernelShap(model, tokenizer)("I was scared of the dark.")[0]
>>> result.target_names, result.elements[int(result.scores[0].argmax())].text
(('fear',), ' scared')
"""

from typing import TYPE_CHECKING, Any

from interpreto.attributions import (
    AttentionRollout,
    AttnLRP,
    Attribution,
    ContextCite,
    DeepLift,
    GradientShap,
    InputxGradient,
    IntegratedGradients,
    KernelShap,
    Lime,
    Occlusion,
    Owen,
    Rise,
    Saliency,
    SmoothGrad,
    Sobol,
    SquareGrad,
    VarGrad,
)
from interpreto.model_wrapping import Contrast, ModelWithSplitPoints
from interpreto.text import Segments
from interpreto.types import Granularity, InferenceMode, Removal
from interpreto.visualizations import plot_attributions

if TYPE_CHECKING:
    from interpreto.visualizations import plot_concepts, plot_flows

__version__ = "0.1.0"

__all__ = [
    "AttentionRollout",
    "AttnLRP",
    "Attribution",
    "ContextCite",
    "Contrast",
    "DeepLift",
    "GradientShap",
    "Granularity",
    "InferenceMode",
    "InputxGradient",
    "IntegratedGradients",
    "KernelShap",
    "Lime",
    "ModelWithSplitPoints",
    "Occlusion",
    "Owen",
    "Removal",
    "Rise",
    "Saliency",
    "Segments",
    "SmoothGrad",
    "Sobol",
    "SquareGrad",
    "VarGrad",
    "plot_attributions",
    "plot_concepts",
    "plot_flows",
]


def __getattr__(name: str) -> Any:
    if name in ("plot_concepts", "plot_flows"):  # they load all of the concepts, which attributions do not need
        from interpreto import visualizations

        return getattr(visualizations, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
