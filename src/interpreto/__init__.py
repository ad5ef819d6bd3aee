"""Explain HuggingFace text models: which words made this class, which part of the prompt made this sentence.

>>> from interpreto import KernelShap
>>> from interpreto.demo import load
>>> model, tokenizer = load("emotion")
>>> result = KernelShap(model, tokenizer)("I was scared of the dark.")[0]
>>> result.target_names, result.elements[int(result.scores[0].argmax())].text
(('fear',), ' scared')
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from interpreto.model_wrapping import Contrast, CustomModel, ModelWithSplitPoints
    from interpreto.text import Segments
    from interpreto.types import Granularity, InferenceMode, Removal
    from interpreto.visualizations import plot_attributions, plot_concepts, plot_flows

__version__ = "0.1.0"

logging.getLogger(__name__).addHandler(logging.NullHandler())  # silent until a program says otherwise

__all__ = [
    "AttentionRollout",
    "AttnLRP",
    "Attribution",
    "ContextCite",
    "Contrast",
    "CustomModel",
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


# Where the names are. Nothing is loaded before it is asked for: torch and transformers take seconds, which `--help` and
# completion have not got. Pictures come first, so that results know how they are drawn.
_ROOMS = ("visualizations", "attributions", "model_wrapping", "text", "types")


def __getattr__(name: str) -> Any:
    if name in __all__:
        rooms = (import_module(f"interpreto.{room}") for room in _ROOMS)
        return next(getattr(room, name) for room in rooms if hasattr(room, name))
    if name in (*_ROOMS, "errors"):
        return import_module(f"interpreto.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
