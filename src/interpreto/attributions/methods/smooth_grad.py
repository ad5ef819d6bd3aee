"""SmoothGrad."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from jaxtyping import Float
from torch import Generator, Tensor

from interpreto.attributions.methods.gradients import check_noise, noisy_points, reduce_width
from interpreto.attributions.sampled import SampledGradientExplainer
from interpreto.model_wrapping import Moments


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class SmoothGrad(SampledGradientExplainer):
    """Gradient averaged over noise on the embeddings: `phi_i = |E[df/de_i (e + noise)]|`, L2 norm over the width.

    Each component is averaged before the width is reduced. With noise 0 it is `Saliency`.
    Cost: n_samples forward and, a target, backward passes.

    Args:
        noise: Standard deviation of the noise, relative to the range of the embedding's values, in generation of the
            prompt's (10 to 20 % in the paper).
        input_x_gradient: Sum the products with the embedding over the width, in place of the norm.

    Reference: Smilkov et al. (2017), SmoothGrad, section 3, arXiv:1706.03825.
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
        """The mean gradient, reduced over the width."""
        return reduce_width(moments.mean, embedding, self.input_x_gradient)
