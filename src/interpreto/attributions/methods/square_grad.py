"""SquareGrad."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from jaxtyping import Float
from torch import Generator, Tensor

from interpreto.attributions.methods.gradients import check_noise, noisy_points, reduce_width, relative_errors
from interpreto.attributions.sampled import SampledGradientExplainer
from interpreto.model_wrapping import Moments


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class SquareGrad(SampledGradientExplainer):
    """Squared gradient averaged over noise: `phi_i = |E[(df/de_i (e + noise))^2]|`, L2 norm over the width.

    Each component is squared and averaged before the width is reduced. Always positive.
    Cost: n_samples forward and, a target, backward passes.

    Args:
        noise: Standard deviation of the noise, relative to the range of the embedding's values, in generation of the
            prompt's (10 to 20 % in the paper).
        input_x_gradient: Sum the products with the embedding over the width, in place of the norm.

    Reference: Hooker et al. (2019), A benchmark for interpretability methods in deep neural networks, arXiv:1806.10758.
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
        """The mean squared gradient, reduced over the width."""
        return reduce_width(moments.mean_square, embedding, self.input_x_gradient)

    def steadied(
        self, scores: Float[Tensor, "t g"], std_errors: Float[Tensor, "t g"], count: int
    ) -> Float[Tensor, "t g"]:
        """Relative errors between an element's own and those of all elements; for sizes, not for signed scores."""
        if self.input_x_gradient or not std_errors.isfinite().all():
            return std_errors
        own, shared = relative_errors(scores, std_errors)
        return scores.clamp(min=0) * ((own + shared) / 2).sqrt()
