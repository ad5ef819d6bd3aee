"""LIME."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from interpreto.attributions.certainty import check_tolerance
from interpreto.attributions.methods.designs import subsets
from interpreto.attributions.methods.regression import ridge, ridge_errors
from interpreto.attributions.sampled import SampledPerturbationExplainer
from interpreto.errors import InputError, check_count


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Lime(SampledPerturbationExplainer):
    """Weights of a linear model of the target score, fitted around the text.

    Minimises `sum_p w_p (f(z_p) - b - z_p . phi)^2 / sum_p w_p + ridge v |phi|^2` over random keep-vectors `z_p`, with
    `w_p = exp(-d(z_p)^2 / kernel_width^2)` and `d` the cosine distance to the untouched text, `1 - sqrt(share kept)`.
    The untouched text is a sample too, the one with the largest weight. Standard errors are those of the sandwich
    estimator, with each residual made larger by its leverage, as in a small sample.

    Cost: n_perturbations forward passes. The scores depend on the kernel; `KernelShap` has no such choice.

    Args:
        n_perturbations: Random perturbations; by default 4 an element, at least 100 and at most 1000. About one
            an element and fewer do not tell them apart: there is a warning, and the penalty keeps the scores small.
            With a tolerance, those to begin with.
        kernel_width: Width of the kernel, in units of the distance (0 to 1); smaller is more local.
        ridge: Strength of the penalty, relative to the mean weighted variance `v` of the keep-vectors; keeps the scores
            finite where elements outnumber perturbations.
        max_perturbations: The most perturbations, where there is a tolerance.

    Reference: Ribeiro, Singh and Guestrin (2016), "Why should I trust you?", section 3, arXiv:1602.04938; errors:
    MacKinnon and White (1985), Some heteroskedasticity-consistent covariance matrix estimators,
    doi:10.1016/0304-4076(85)90158-7.
    """

    n_perturbations: int | None = None
    kernel_width: float = 0.25
    ridge: float = 1e-3
    max_perturbations: int = 10_000

    is_solved: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_perturbations is not None:
            check_count("n_perturbations", self.n_perturbations, 1)
        check_tolerance(self.tolerance, "perturbations", self.n_perturbations, self.max_perturbations)
        if self.kernel_width <= 0 or self.ridge <= 0:
            raise InputError(f"kernel_width, ridge: expected above 0, got {self.kernel_width} and {self.ridge}")

    def masks(self, n_elements: int, rng: Generator) -> Bool[Tensor, "p g"]:
        """The untouched text, then texts of which 1 to g elements, each number as likely, are removed at random."""
        untouched = torch.ones(1, n_elements, dtype=torch.bool)
        count = self.n_perturbations or self.within(min(max(100, 4 * n_elements), 1000))
        return torch.cat([untouched, self.more_masks(untouched, count, rng)])

    def more_masks(self, keep: Bool[Tensor, "p g"], count: int, rng: Generator) -> Bool[Tensor, "q g"]:
        """Each number of removed elements about as often, and among those each element about as often."""
        g = keep.shape[1]
        shares = (torch.arange(count) + torch.rand(count, generator=rng)) / count
        sizes = 1 + (shares * g).long().clamp(max=g - 1)
        removed = (~keep).sum(dim=1)
        times = {size: (~keep[removed == size]).sum(dim=0).float() for size in set(sizes.tolist())}
        return ~torch.stack([*subsets(times, sizes.tolist(), rng)])

    def drawn(self, keep: Bool[Tensor, "p g"]) -> int:
        """All but the untouched text."""
        return len(keep) - 1

    def aggregate(self, keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"]) -> Float[Tensor, "t _"]:
        """The weights of the linear model."""
        return ridge(keep, scores, self._weights(keep), self.ridge)

    def std_errors(self, keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"]) -> Float[Tensor, "t _"]:
        """Those of the sandwich estimator; the untouched text is no draw."""
        return ridge_errors(keep, scores, self._weights(keep), self.ridge, drawn=torch.arange(len(keep)) > 0)

    def _weights(self, keep: Bool[Tensor, "p g"]) -> Float[Tensor, " p"]:
        distance = 1 - keep.double().mean(dim=1).sqrt()
        return (-((distance / self.kernel_width) ** 2)).exp()
