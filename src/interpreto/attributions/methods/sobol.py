"""Sobol indices."""

from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from interpreto.attributions.base import PerturbationExplainer
from interpreto.errors import InputError


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Sobol(PerturbationExplainer):
    """Share of the variance of the target score that an element causes when elements are kept with probability 1/2.

    With designs `A` and `B`, and `AB_i` equal to `A` but for column i, which is that of `B` (Jansen's
    estimators): `S_i = 1 - mean((f(B) - f(AB_i))^2) / 2 Var f` (first order: alone) and
    `ST_i = mean((f(A) - f(AB_i))^2) / 2 Var f` (total: with all interactions).

    Cost: n_designs (g + 2) forward passes, less about half of them, which are equal to others. The scores have no
    sign: they say that an element matters, not in which direction.

    Args:
        order: `"total"` or `"first"`.
        n_designs: Rows of `A` and of `B`, a power of 2. From 4 an element on, a game without interactions gets its
            indices exactly.

    Reference: Fel et al. (2021), Look at the variance!, section 3, arXiv:2111.04138; Jansen (1999), Analysis of
    variance designs for model output, doi:10.1016/S0010-4655(98)00154-4.
    """

    order: Literal["total", "first"] = "total"
    n_designs: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.order not in ("total", "first"):
            raise InputError(f"order: expected 'total' or 'first', got {self.order!r}")
        if self.n_designs < 4 or self.n_designs & (self.n_designs - 1):
            raise InputError(f"n_designs: expected a power of 2 from 4 on, got {self.n_designs}")

    def masks(self, n_elements: int, rng: Generator) -> Bool[Tensor, "p g"]:
        """`A`, `B`, then `AB_1` to `AB_g`."""
        a, b = orthogonal_array(self.n_designs, n_elements, rng)
        exchanged = a.expand(n_elements, -1, -1).clone()
        for i in range(n_elements):
            exchanged[i, :, i] = b[:, i]
        return torch.cat([a, b, exchanged.flatten(0, 1)])

    def aggregate(self, keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"]) -> Float[Tensor, "t _"]:
        """Jansen's estimators; 0 where the score never changes."""
        a, b, *exchanged = scores.double().reshape(-1, self.n_designs, scores.shape[1])
        variance = torch.cat([a, b]).var(dim=0, correction=0)
        reference = a if self.order == "total" else b
        half = torch.stack([(reference - changed).square().mean(dim=0) / 2 for changed in exchanged], dim=1)
        noise = (1e-6 * scores.double().abs().amax(dim=0)).square()  # what float32 makes of a constant
        share = half / variance.clamp(min=torch.finfo(torch.float64).tiny)[:, None]
        indices = share if self.order == "total" else 1 - share
        return torch.where((variance > noise)[:, None], indices, 0.0)


def orthogonal_array(rows: int, n_elements: int, rng: Generator) -> tuple[Bool[Tensor, "n g"], Bool[Tensor, "n g"]]:
    """Designs `A` and `B` of coins, spread more evenly than chance would.

    The table of `parity(i & j)` over all `i` and odd `j` is an orthogonal array of strength 3: in any three of its
    `rows / 2` columns all eight outcomes are equally frequent. Elements take their two columns from it in random order
    and with random signs; when columns run out, from another copy whose rows are shuffled. A Sobol' sequence does not
    serve here: the first binary digits of its columns are these same ones, but equal ones come back at once.
    """
    bits = (torch.arange(rows)[:, None] >> torch.arange(rows.bit_length() - 1)) & 1
    table = ((bits @ bits.T) % 2)[:, 1::2]
    copies = -(-2 * n_elements // table.shape[1])
    columns = [
        table[torch.randperm(rows, generator=rng)][:, torch.randperm(rows // 2, generator=rng)] for _ in range(copies)
    ]
    coins = torch.cat(columns, dim=1)[:, : 2 * n_elements] ^ torch.randint(2, (1, 2 * n_elements), generator=rng)
    return coins[:, ::2].bool(), coins[:, 1::2].bool()
