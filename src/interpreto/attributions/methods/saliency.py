"""Saliency."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, final

from jaxtyping import Float
from torch import Generator, Tensor

from interpreto.attributions.gradient import GradientExplainer
from interpreto.attributions.methods.gradients import reduce_width
from interpreto.model_wrapping import Moments


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Saliency(GradientExplainer):
    """Size of the gradient at the text: `phi_i = |df / de_i|`, the L2 norm over the width of the embedding.

    How much the score would change if a token's embedding were moved a little; always positive, so it does not say in
    which direction. Cost: 1 forward pass, 1 backward pass a target.

    Args:
        input_x_gradient: Return `sum_d e_id df / de_id` in its place, which has a sign (see `InputxGradient`).

    Reference: Simonyan, Vedaldi and Zisserman (2014), Deep inside convolutional networks, section 3, arXiv:1312.6034.
    """

    input_x_gradient: bool = False

    is_local: ClassVar[bool] = True

    def points(
        self, embedding: Float[Tensor, "l d"], baseline: Float[Tensor, "l d"], spread: float, rng: Generator
    ) -> Iterator[tuple[Float[Tensor, "l d"], Tensor | float]]:
        """The text itself."""
        yield embedding, 1.0

    def token_scores(self, moments: Moments, embedding: Float[Tensor, "l d"]) -> Float[Tensor, "t l"]:
        """The gradient, reduced over the width."""
        return reduce_width(moments.mean, embedding, self.input_x_gradient)
