"""Attributions: how much each element of a text contributes to each target."""

from interpreto.attributions.base import AttributionExplainer
from interpreto.attributions.gradient import GradientExplainer, PathExplainer
from interpreto.attributions.methods import (
    AttentionRollout,
    AttnLRP,
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
from interpreto.attributions.perturbation import PerturbationExplainer
from interpreto.attributions.result import Attribution

__all__ = [
    "AttentionRollout",
    "AttnLRP",
    "Attribution",
    "AttributionExplainer",
    "ContextCite",
    "DeepLift",
    "GradientExplainer",
    "GradientShap",
    "InputxGradient",
    "IntegratedGradients",
    "KernelShap",
    "Lime",
    "Occlusion",
    "Owen",
    "PathExplainer",
    "PerturbationExplainer",
    "Rise",
    "Saliency",
    "SmoothGrad",
    "Sobol",
    "SquareGrad",
    "VarGrad",
]
