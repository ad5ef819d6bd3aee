"""Sobol indices."""

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from interpreto.attributions.certainty import check_tolerance, mean_errors
from interpreto.attributions.methods.designs import coins, even
from interpreto.attributions.sampled import SampledPerturbationExplainer
from interpreto.errors import InputError


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Sobol(SampledPerturbationExplainer):
    """Share of the variance of the target score that an element causes when elements are kept with probability 1/2.

    With designs `A` and `B`, and `AB_i` equal to `A` but for column i, which is that of `B` (Jansen's
    estimators): `S_i = 1 - mean((f(B) - f(AB_i))^2) / 2 Var f` (first order: alone) and
    `ST_i = mean((f(A) - f(AB_i))^2) / 2 Var f` (total: with all interactions).

    Standard errors are those of the ratio (delta method), with pairs of complementary rows as units. Designs are
    balanced, so that what an additive model of the score explains has a known error, mostly none; the rest is noise.

    Cost: n_designs (g + 2) forward passes, less about half of them, which are equal to others. The scores have no
    sign: they say that an element matters, not in which direction.

    Args:
        order: `"total"` or `"first"`.
        n_designs: Rows of `A` and of `B`, a power of 2; with a tolerance, to begin with. From 4 an element on, a game
            without interactions gets its indices exactly.
        max_designs: The most rows, where there is a tolerance. Any `2^k` rows of the sequence that follow a multiple of
            `2^k` are a design of their own, so that it can be grown by less than twice.

    Reference: Fel et al. (2021), Look at the variance!, section 3, arXiv:2111.04138; Jansen (1999), Analysis of
    variance designs for model output, doi:10.1016/S0010-4655(98)00154-4.
    """

    order: Literal["total", "first"] = "total"
    n_designs: int = 32
    max_designs: int = 1024

    counted: ClassVar[str] = "designs"
    is_ordered: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.order not in ("total", "first"):
            raise InputError(f"order: expected 'total' or 'first', got {self.order!r}")
        if self.n_designs < 4 or self.n_designs & (self.n_designs - 1):
            raise InputError(f"n_designs: expected a power of 2 from 4 on, got {self.n_designs}")
        check_tolerance(self.tolerance, "designs", self.n_designs, self.max_designs)

    def masks(self, n_elements: int, rng: Generator) -> Bool[Tensor, "p g"]:
        """Row by row `A`, `B`, then `AB_1` to `AB_g`."""
        return _with_exchanged(coins(torch.zeros(0, 2 * n_elements).bool(), self.n_designs, rng, partners=True))

    def more_masks(self, keep: Bool[Tensor, "p g"], count: int, rng: Generator) -> Bool[Tensor, "q g"]:
        """Further pairs of rows of the same sequence, as many as balance best."""
        g, n = keep.shape[1], self.drawn(keep)
        run = keep.view(n, g + 2, g)[:, :2].reshape(n, 2 * g)
        return _with_exchanged(coins(run, 2 * even(n // 2, max(1, count // 2)), rng, partners=True))

    def drawn(self, keep: Bool[Tensor, "p g"]) -> int:
        """Rows of `A`."""
        return len(keep) // (keep.shape[1] + 2)

    def aggregate(self, keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"]) -> Float[Tensor, "t _"]:
        """Jansen's estimators; 0 where the score never changes."""
        half, square = self._halves(scores, keep.shape[1])
        variance = square.mean(dim=0)
        share = (half.mean(dim=0) / variance.clamp(min=torch.finfo(torch.float64).tiny)).T
        indices = share if self.order == "total" else 1 - share
        return torch.where(_varies(variance, scores)[:, None], indices, 0.0)

    def std_errors(self, keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"]) -> Float[Tensor, "t _"]:
        """Those of the ratios: what an additive model leaves over, and the error that this model is known to have."""
        g = keep.shape[1]
        half, square = self._halves(scores, g)
        variance = square.mean(dim=0)
        share = half.mean(dim=0) / variance.clamp(min=torch.finfo(torch.float64).tiny)  # (g, t)

        signs = torch.cat([keep.double() * 2 - 1, torch.ones(len(keep), 1, dtype=torch.float64)], dim=1)
        beta: Tensor = torch.linalg.lstsq(signs, scores.double(), driver="gelsd").solution
        easy_half, easy_square = self._halves(signs @ beta, g)
        parts = beta[:g].square()
        true_half = parts if self.order == "total" else parts.sum(dim=0) - parts
        known = easy_half.mean(dim=0) - true_half - share * (easy_square.mean(dim=0) - parts.sum(dim=0))

        rest = (half - easy_half) - share * (square - easy_square)[:, None, :]  # (n, g, t)
        noise = mean_errors((rest[::2] + rest[1::2]) / 2)
        errors = (noise.square() + known.square()).sqrt() / variance.clamp(min=torch.finfo(torch.float64).tiny)
        return torch.where(_varies(variance, scores)[:, None], errors.T, 0.0)

    def _halves(self, scores: Tensor, g: int) -> tuple[Float[Tensor, "n g t"], Float[Tensor, "n t"]]:
        """Row by row half the squared differences, and the mean squared distance of `f(A)` and `f(B)` from the mean."""
        rows = scores.double().view(-1, g + 2, scores.shape[1])
        ends = rows[:, :2]
        reference = ends[:, 0] if self.order == "total" else ends[:, 1]
        half = (reference[:, None] - rows[:, 2:]).square() / 2
        return half, (ends - ends.mean(dim=(0, 1))).square().mean(dim=1)


def _with_exchanged(both: Bool[Tensor, "n c"]) -> Bool[Tensor, "p g"]:
    """Of each row of `A` beside `B` that of `A`, that of `B`, and that of `A` with each column in turn from `B`."""
    g = both.shape[1] // 2
    a, b = both[:, None, :g], both[:, None, g:]
    return torch.cat([a, b, torch.where(torch.eye(g, dtype=torch.bool), b, a)], dim=1).flatten(0, 1)


def _varies(variance: Float[Tensor, " t"], scores: Float[Tensor, "p t"]) -> Bool[Tensor, " t"]:
    """Whether there is more than what float32 makes of a constant."""
    return variance > (1e-6 * scores.double().abs().amax(dim=0)).square()
