"""RISE."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from interpreto.attributions.base import PerturbationExplainer
from interpreto.errors import InputError, check_count


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Rise(PerturbationExplainer):
    """Mean score of the random perturbations that keep an element, less the mean of all.

    `phi_i = E[f(m) | m_i = 1] - E[f(m)]` over random keep-vectors `m`. The paper leaves out the second term, which
    is the same for all elements; with it, 0 means that an element does not matter.

    Cost: n_perturbations forward passes, whatever the number of elements; noisier than `KernelShap` for as many.

    Args:
        n_perturbations: Random perturbations.
        keep_probability: Probability that a perturbation keeps an element.

    Reference: Petsiuk, Das and Saenko (2018), RISE, section 3, arXiv:1806.07421.
    """

    n_perturbations: int = 256
    keep_probability: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("n_perturbations", self.n_perturbations, 1)
        if not 0 < self.keep_probability < 1:
            raise InputError(f"keep_probability: expected between 0 and 1, got {self.keep_probability}")

    def masks(self, n_elements: int, rng: Generator) -> Bool[Tensor, "p g"]:
        """Each element kept or removed by a coin of its own."""
        return torch.rand(self.n_perturbations, n_elements, generator=rng) < self.keep_probability

    def aggregate(self, keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"]) -> Float[Tensor, "t _"]:
        """The two means; 0 for an element that no perturbation kept."""
        kept = keep.double()
        values = scores.double()
        counts = kept.sum(dim=0)
        conditional = (values.T @ kept) / counts.clamp(min=1)
        return torch.where(counts > 0, conditional - values.mean(dim=0)[:, None], 0.0)
