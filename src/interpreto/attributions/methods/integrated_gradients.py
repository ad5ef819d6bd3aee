"""Integrated gradients."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float
from torch import Generator, Tensor

from interpreto.attributions.base import PathExplainer
from interpreto.errors import check_count
from interpreto.model_wrapping import Moments


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class IntegratedGradients(PathExplainer):
    """Gradient integrated along the straight path from the baseline: `phi_i = sum_d (e - e')_id int_0^1 df/de_id da`.

    Complete up to the error of the integral: the scores of all tokens add up to `f(x) - f(baseline)`, and what is
    missing of it is in the result's `gaps`. A ReLU (in DistilBERT's head) makes kinks on the path: take more steps.
    The integral is taken by Gauss-Legendre quadrature, exact for polynomials of degree 2 n_steps - 1.

    Cost: n_steps forward and, a target, backward passes.

    Args:
        n_steps: Points on the path.

    Reference: Sundararajan, Taly and Yan (2017), Axiomatic attribution for deep networks, section 3, arXiv:1703.01365.
    """

    n_steps: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("n_steps", self.n_steps, 1)

    def points(
        self, embedding: Float[Tensor, "l d"], baseline: Float[Tensor, "l d"], rng: Generator
    ) -> Iterator[tuple[Float[Tensor, "l d"], Tensor | float]]:
        """Gauss-Legendre nodes on the path, with their weights times the difference from the baseline."""
        difference = embedding - baseline
        nodes, weights = np.polynomial.legendre.leggauss(self.n_steps)
        for node, weight in zip(nodes.tolist(), weights.tolist(), strict=True):  # on [-1, 1], weights add up to 2
            yield baseline + (1 + node) / 2 * difference, self.n_steps * weight / 2 * difference

    def token_scores(self, moments: Moments, embedding: Float[Tensor, "l d"]) -> Float[Tensor, "t l"]:
        """The integral times the difference, summed over the width."""
        return moments.mean.sum(dim=-1)
