"""Input x gradient."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, final

from jaxtyping import Float
from torch import Generator, Tensor

from interpreto.attributions.gradient import GradientExplainer
from interpreto.model_wrapping import Moments


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class InputxGradient(GradientExplainer):
    """Embedding times gradient, summed over the width: `phi_i = sum_d e_id df / de_id`, with its sign.

    The first-order effect of setting a token's embedding to 0; exact for a model that is linear in its embeddings.
    Cost: 1 forward pass, 1 backward pass a target.

    Reference: Shrikumar, Greenside and Kundaje (2017), Learning important features through propagating activation
    differences, section 2, arXiv:1704.02685.
    """

    is_local: ClassVar[bool] = True

    def points(
        self, embedding: Float[Tensor, "l d"], baseline: Float[Tensor, "l d"], spread: float, rng: Generator
    ) -> Iterator[tuple[Float[Tensor, "l d"], Tensor | float]]:
        """The text itself; the gradient is multiplied by it."""
        yield embedding, embedding

    def token_scores(self, moments: Moments, embedding: Float[Tensor, "l d"]) -> Float[Tensor, "t l"]:
        """The products, summed over the width."""
        return moments.mean.sum(dim=-1)
