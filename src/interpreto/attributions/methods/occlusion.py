"""Occlusion."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from interpreto.attributions.perturbation import PerturbationExplainer


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Occlusion(PerturbationExplainer):
    """Score lost when one element is hidden: `phi_i = f(x) - f(x without i)`.

    Cost: g + 1 forward passes. Blind to redundancy: two elements that say the same thing both score near 0.

    Reference: Zeiler and Fergus (2014), Visualizing and understanding convolutional networks, section 4.2,
    arXiv:1311.2901.
    """

    def masks(self, n_elements: int, rng: Generator) -> Bool[Tensor, "p g"]:
        """Everything kept, then everything but one."""
        drop = torch.eye(n_elements, dtype=torch.bool)
        return torch.cat([torch.ones_like(drop[:1]), ~drop])

    def aggregate(self, keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"]) -> Float[Tensor, "t _"]:
        """The first score less each other."""
        return (scores[:1] - scores[1:]).T
