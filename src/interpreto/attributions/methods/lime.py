"""LIME."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from interpreto.attributions.base import PerturbationExplainer
from interpreto.attributions.methods.regression import ridge
from interpreto.errors import InputError, check_count


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Lime(PerturbationExplainer):
    """Weights of a linear model of the target score, fitted around the text.

    Minimises `sum_p w_p (f(z_p) - b - z_p . phi)^2 / sum_p w_p + ridge v |phi|^2` over random keep-vectors `z_p`, with
    `w_p = exp(-d(z_p)^2 / kernel_width^2)` and `d` the cosine distance to the untouched text, `1 - sqrt(share kept)`.
    The untouched text is a sample too, the one with the largest weight.

    Cost: n_perturbations forward passes. The scores depend on the kernel; `KernelShap` has no such choice.

    Args:
        n_perturbations: Random perturbations; by default 4 an element, at least 100 and at most 1000. About one
            an element and fewer do not tell them apart: there is a warning, and the penalty keeps the scores small.
        kernel_width: Width of the kernel, in units of the distance (0 to 1); smaller is more local.
        ridge: Strength of the penalty, relative to the mean weighted variance `v` of the keep-vectors; keeps the scores
            finite where elements outnumber perturbations.

    Reference: Ribeiro, Singh and Guestrin (2016), "Why should I trust you?", section 3, arXiv:1602.04938.
    """

    n_perturbations: int | None = None
    kernel_width: float = 0.25
    ridge: float = 1e-3

    is_solved: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_perturbations is not None:
            check_count("n_perturbations", self.n_perturbations, 1)
        if self.kernel_width <= 0 or self.ridge <= 0:
            raise InputError(f"kernel_width, ridge: expected above 0, got {self.kernel_width} and {self.ridge}")

    def masks(self, n_elements: int, rng: Generator) -> Bool[Tensor, "p g"]:
        """The untouched text, then texts of which 1 to g elements, each number as likely, are removed at random."""
        count = self.n_perturbations or min(max(100, 4 * n_elements), 1000)
        removed = torch.randint(1, n_elements + 1, (count, 1), generator=rng)
        ranks = torch.rand(count, n_elements, generator=rng).argsort(dim=1).argsort(dim=1)
        return torch.cat([torch.ones(1, n_elements, dtype=torch.bool), ranks >= removed])

    def aggregate(self, keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"]) -> Float[Tensor, "t _"]:
        """The weights of the linear model."""
        distance = 1 - keep.double().mean(dim=1).sqrt()
        return ridge(keep, scores, (-((distance / self.kernel_width) ** 2)).exp(), self.ridge)
