"""Attribution methods, one a file."""

from interpreto.attributions.methods.attention_rollout import AttentionRollout
from interpreto.attributions.methods.attn_lrp import AttnLRP
from interpreto.attributions.methods.context_cite import ContextCite
from interpreto.attributions.methods.deep_lift import DeepLift
from interpreto.attributions.methods.gradient_shap import GradientShap
from interpreto.attributions.methods.input_x_gradient import InputxGradient
from interpreto.attributions.methods.integrated_gradients import IntegratedGradients
from interpreto.attributions.methods.kernel_shap import KernelShap
from interpreto.attributions.methods.lime import Lime
from interpreto.attributions.methods.occlusion import Occlusion
from interpreto.attributions.methods.owen import Owen
from interpreto.attributions.methods.rise import Rise
from interpreto.attributions.methods.saliency import Saliency
from interpreto.attributions.methods.smooth_grad import SmoothGrad
from interpreto.attributions.methods.sobol import Sobol
from interpreto.attributions.methods.square_grad import SquareGrad
from interpreto.attributions.methods.var_grad import VarGrad

__all__ = [
    "AttentionRollout",
    "AttnLRP",
    "ContextCite",
    "DeepLift",
    "GradientShap",
    "InputxGradient",
    "IntegratedGradients",
    "KernelShap",
    "Lime",
    "Occlusion",
    "Owen",
    "Rise",
    "Saliency",
    "SmoothGrad",
    "Sobol",
    "SquareGrad",
    "VarGrad",
]
