"""Attributions: how much each element of a text contributes to each target."""

from interpreto.attributions.base import AttributionExplainer, GradientExplainer, PathExplainer, PerturbationExplainer
from interpreto.attributions.methods import (
    GradientShap,
    InputxGradient,
    IntegratedGradients,
    KernelShap,
    Lime,
    Occlusion,
    Rise,
    Saliency,
    SmoothGrad,
    Sobol,
    SquareGrad,
    VarGrad,
)
from interpreto.attributions.result import Attribution

__all__ = [
    "Attribution",
    "AttributionExplainer",
    "GradientExplainer",
    "GradientShap",
    "InputxGradient",
    "IntegratedGradients",
    "KernelShap",
    "Lime",
    "Occlusion",
    "PathExplainer",
    "PerturbationExplainer",
    "Rise",
    "Saliency",
    "SmoothGrad",
    "Sobol",
    "SquareGrad",
    "VarGrad",
]
