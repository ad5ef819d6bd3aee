"""Sobol indices."""

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from interpreto.attributions.certainty import check_tolerance, mean_errors
from interpreto.attributions.methods.designs import balanced_coins
from interpreto.attributions.sampled import SampledPerturbationExplainer
from interpreto.errors import InputError

_LEAST = 4  # rows of a balanced design


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
        max_designs: The most rows, where there is a tolerance. Further ones come as independent designs of powers of 2,
            4 rows and up.

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
        if self.n_designs < _LEAST or self.n_designs & (self.n_designs - 1):
            raise InputError(f"n_designs: expected a power of 2 from 4 on, got {self.n_designs}")
        check_tolerance(self.tolerance, "designs", self.n_designs, self.max_designs)

    def masks(self, n_elements: int, rng: Generator) -> Bool[Tensor, "p g"]:
        """Row by row `A`, `B`, then `AB_1` to `AB_g`."""
        return _with_exchanged(*orthogonal_array(self.n_designs, n_elements, rng))

    def more_masks(self, keep: Bool[Tensor, "p g"], count: int, rng: Generator) -> Bool[Tensor, "q g"]:
        """Independent designs, the largest powers of 2 that fit."""
        g, found = keep.shape[1], [keep[:0]]
        while count >= _LEAST or len(found) == 1:
            size = max(_LEAST, 2 ** (count.bit_length() - 1))
            found.append(_with_exchanged(*orthogonal_array(size, g, rng)))
            count -= size
        return torch.cat(found)

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


def orthogonal_array(rows: int, n_elements: int, rng: Generator) -> tuple[Bool[Tensor, "n g"], Bool[Tensor, "n g"]]:
    """Balanced designs `A` and `B`, whose rows 2k and 2k + 1 are complements."""
    found = balanced_coins(rows, 2 * n_elements, rng)
    order = torch.randperm(n_elements, generator=rng)
    return found[:, ::2][:, order], found[:, 1::2][:, order]


def _with_exchanged(a: Bool[Tensor, "n g"], b: Bool[Tensor, "n g"]) -> Bool[Tensor, "p g"]:
    """Of each row that of `A`, that of `B`, and that of `A` with each column in turn from `B`."""
    one = torch.eye(a.shape[1], dtype=torch.bool)
    exchanged = torch.where(one, b[:, None], a[:, None])
    return torch.cat([a[:, None], b[:, None], exchanged], dim=1).flatten(0, 1)


def _varies(variance: Float[Tensor, " t"], scores: Float[Tensor, "p t"]) -> Bool[Tensor, " t"]:
    """Whether there is more than what float32 makes of a constant."""
    return variance > (1e-6 * scores.double().abs().amax(dim=0)).square()
