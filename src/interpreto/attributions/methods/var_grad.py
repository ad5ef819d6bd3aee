"""VarGrad."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from interpreto.attributions.methods.gradients import check_noise, noisy_points, reduce_width
from interpreto.attributions.sampled import SampledGradientExplainer
from interpreto.model_wrapping import Moments


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class VarGrad(SampledGradientExplainer):
    """Variance of the gradient under noise: `phi_i = |Var[df/de_i (e + noise)]|`, L2 norm over the width.

    The variance is that of each component, before the width is reduced. With noise 0 it is 0. A few noisy draws make
    most of a variance, so its standard error is uncertain, too: half of its square is what the elements' relative
    errors are on average, since all of them see the same noise.
    Cost: n_samples forward and, a target, backward passes.

    Args:
        noise: Standard deviation of the noise, relative to the range of the embedding's values, in generation of the
            prompt's (10 to 20 % in the paper).
        input_x_gradient: Sum the products with the embedding over the width, in place of the norm.

    Reference: Adebayo et al. (2018), Sanity checks for saliency maps, arXiv:1810.03292; Hooker et al. (2019),
    arXiv:1806.10758.
    """

    noise: float = 0.1
    input_x_gradient: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_noise(self.noise)

    def draw(
        self,
        embedding: Float[Tensor, "l d"],
        baseline: Float[Tensor, "l d"],
        spread: float,
        count: int,
        rng: Generator,
    ) -> Iterator[tuple[Float[Tensor, "l d"], Tensor | float]]:
        """The text with noise, and with its opposite."""
        return noisy_points(embedding, self.noise * spread, count, rng)

    def token_scores(self, moments: Moments, embedding: Float[Tensor, "l d"]) -> Float[Tensor, "t l"]:
        """The variance of the gradient, reduced over the width."""
        variance = (moments.mean_square - moments.mean.square()).clamp(min=0)
        return reduce_width(variance, embedding, self.input_x_gradient)

    def steadied(self, scores: Float[Tensor, "t g"], std_errors: Float[Tensor, "t g"]) -> Float[Tensor, "t g"]:
        """The mean square of an element's own relative error and that of all elements; for sizes, not signed scores."""
        if self.input_x_gradient:
            return std_errors
        tiny = torch.finfo(scores.dtype).tiny
        relative = (std_errors / scores.abs().clamp(min=tiny)).square()
        known = (scores > 0) & relative.isfinite()
        shared = torch.where(known, relative, 0.0).sum(dim=1, keepdim=True) / known.sum(dim=1, keepdim=True).clamp(
            min=1
        )
        return torch.where(known, scores * ((relative + shared) / 2).sqrt(), std_errors)
