"""VarGrad."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from interpreto.attributions.methods.gradients import check_noise, noisy_points, reduce_width, relative_errors
from interpreto.attributions.sampled import SampledGradientExplainer
from interpreto.model_wrapping import Moments

_MARGIN = 3.5  # draws


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class VarGrad(SampledGradientExplainer):
    """Variance of the gradient under noise: `phi_i = |Var[df/de_i (e + noise)]|`, L2 norm over the width.

    The variance is that of each component, before the width is reduced. With noise 0 it is 0. A few draws make most of
    a variance, and where these are missing its standard error comes out too small, too: no element's relative error is
    taken to be below that of all elements on average.
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

    def steadied(
        self, scores: Float[Tensor, "t g"], std_errors: Float[Tensor, "t g"], count: int
    ) -> Float[Tensor, "t g"]:
        """Relative errors of at least what they are for all elements on average; for sizes, not for signed scores.

        A spread of squares has long tails, so a margin is added, as measured on trained models; it goes with the draws.
        """
        std_errors = std_errors * (1 + _MARGIN / count)
        if self.input_x_gradient or not std_errors.isfinite().all():
            return std_errors
        own, shared = relative_errors(scores, std_errors)
        return scores.clamp(min=0) * torch.maximum(own, shared).sqrt()
