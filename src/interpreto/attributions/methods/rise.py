"""RISE."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from interpreto.attributions.certainty import check_tolerance, mean_errors, student
from interpreto.attributions.methods.designs import coins, even, holds_all
from interpreto.attributions.sampled import SampledPerturbationExplainer
from interpreto.errors import InputError, check_count


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Rise(SampledPerturbationExplainer):
    """Mean score of the random perturbations that keep an element, less the mean of all.

    `phi_i = E[f(m) | m_i = 1] - E[f(m)]` over random keep-vectors `m`. The paper leaves out the second term, which
    is the same for all elements; with it, 0 means that an element does not matter.

    With `keep_probability=0.5` the vectors are balanced (an orthogonal array, each vector with its complement), which
    leaves a third of the error of independent ones or less. Their standard errors are what an additive model of the
    scores leaves over, and what is left of its own imbalance; with other probabilities those of the difference of the
    two means.

    Cost: n_perturbations forward passes, whatever the number of elements; noisier than `KernelShap` for as many.

    Args:
        n_perturbations: Random perturbations; with a tolerance, to begin with. Powers of 2 balance best.
        keep_probability: Probability that a perturbation keeps an element.
        max_perturbations: The most perturbations, where there is a tolerance.

    Reference: Petsiuk, Das and Saenko (2018), RISE, section 3, arXiv:1806.07421; ratio estimators: Cochran (1977),
    Sampling techniques, section 2.11; balance: Rao (1947), Factorial experiments derivable from combinatorial
    arrangements of arrays, doi:10.2307/2983576.
    """

    n_perturbations: int = 256
    keep_probability: float = 0.5
    max_perturbations: int = 10_000

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("n_perturbations", self.n_perturbations, 1)
        check_tolerance(self.tolerance, "perturbations", self.n_perturbations, self.max_perturbations)
        if not 0 < self.keep_probability < 1:
            raise InputError(f"keep_probability: expected between 0 and 1, got {self.keep_probability}")

    def masks(self, n_elements: int, rng: Generator) -> Bool[Tensor, "p g"]:
        """Each element kept or removed by a coin of its own."""
        return self._drawn(torch.zeros(0, n_elements, dtype=torch.bool), self.n_perturbations, rng)

    def more_masks(self, keep: Bool[Tensor, "p g"], count: int, rng: Generator) -> Bool[Tensor, "q g"]:
        """Further coins of the same sequence, as many as balance best."""
        return self._drawn(keep, even(len(keep), count), rng)

    def _drawn(self, keep: Bool[Tensor, "p g"], count: int, rng: Generator) -> Bool[Tensor, "q g"]:
        if self.keep_probability == 0.5:
            return coins(keep, count, rng)
        return torch.rand(count, keep.shape[1], generator=rng) < self.keep_probability

    def aggregate(self, keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"]) -> Float[Tensor, "t _"]:
        """The two means; 0 for an element that no perturbation kept."""
        kept = keep.double()
        values = scores.double()
        counts = kept.sum(dim=0)
        conditional = (values.T @ kept) / counts.clamp(min=1)
        return torch.where(counts > 0, conditional - values.mean(dim=0)[:, None], 0.0)

    def std_errors(self, keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"]) -> Float[Tensor, "t _"]:
        """Those of balanced pairs where there are some, else those of the difference of the two means."""
        pairs = len(keep) // 2
        if self.keep_probability == 0.5 and holds_all(keep):
            return torch.zeros(scores.shape[1], keep.shape[1], dtype=torch.float64)
        if pairs and torch.equal(keep[0 : 2 * pairs : 2], ~keep[1 : 2 * pairs : 2]):
            halves = scores.double()
            return _of_pairs(keep[0 : 2 * pairs : 2], (halves[0 : 2 * pairs : 2] - halves[1 : 2 * pairs : 2]) / 2)
        return _of_rows(keep, scores)


def _of_pairs(keep: Bool[Tensor, "m g"], half: Float[Tensor, "m t"]) -> Float[Tensor, "t g"]:
    """Standard errors of `mean_m(s_mi h_m)`, with signs `s` of coins and half differences `h` between complements.

    Least squares, `h = s . beta + rest`, tells how much of `h` is additive. That part's own error is known, it is
    `mean_m(s_mi h_m) - beta_i` (0 where the coins are orthogonal), so that only the rest is noise, and less of it the
    more of all `2^(g - 1)` pairs there are, if none is there twice. With too few pairs to tell, all of it is noise.
    """
    signs = keep.double() * 2 - 1
    m, g = signs.shape
    means = signs.T @ half / m
    if m < 2 * g:
        return mean_errors(signs[:, :, None] * half[:, None, :]).T
    beta: Tensor = torch.linalg.lstsq(signs, half, driver="gelsd").solution
    left = 1 - m / 2 ** (g - 1) if len(keep.unique(dim=0)) == m else 1.0  # type: ignore[no-untyped-call]
    noise: Tensor = left * (half - signs @ beta).square().sum(dim=0) / ((m - g) * m)
    return (noise + (means - beta).square()).sqrt().T * student(m - g)


def _of_rows(keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"]) -> Float[Tensor, "t g"]:
    """Standard errors of the difference of the two means, by the delta method; infinite where nothing was kept."""
    kept, values = keep.double(), scores.double()
    p, counts = len(kept), kept.sum(dim=0)
    mean = values.mean(dim=0)
    conditional = (values.T @ kept) / counts.clamp(min=1)
    of_kept = (values.T[:, :, None] - conditional[:, None, :]) * (kept / (counts / p).clamp(min=1 / p))
    errors = mean_errors((of_kept - (values - mean).T[:, :, None]).transpose(0, 1))
    return torch.where(counts > 0, errors, torch.inf)
