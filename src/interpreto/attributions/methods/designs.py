"""Random keep-vectors that are spread more evenly than chance would."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor


def balanced_coins(rows: int, columns: int, rng: Generator) -> Bool[Tensor, "n c"]:
    """Coins that balance: rows 2k and 2k + 1 are complements, and any three columns show all outcomes equally often.

    The table of `parity(i & j)` over all `i` and odd `j` is an orthogonal array of strength 3. Columns are taken from
    it in random order and with random signs, a basis first, so that `2^c` rows hold every outcome of c columns; when
    its `rows / 2` columns run out, from another copy whose pairs of rows are shuffled. A Sobol' sequence does not
    serve here: the first binary digits of its columns are these same ones, but equal ones come back at once.

    Args:
        rows: A power of 2, from 2 on.
        columns: Number of columns.
        rng: Random numbers.
    """
    digits = 2 ** torch.arange(rows.bit_length() - 1)
    basis = torch.tensor(sorted({1 | digit for digit in digits.tolist()}))
    others = torch.arange(1, rows, 2)
    others = others[~torch.isin(others, basis)]
    found: list[Tensor] = []
    for start in range(0, columns, rows // 2):
        codes = torch.cat([basis, others[torch.randperm(len(others), generator=rng)]])[: columns - start]
        codes = codes[torch.randperm(len(codes), generator=rng)]
        pairs = 2 * torch.randperm(rows // 2, generator=rng) + torch.randint(2, (rows // 2,), generator=rng)
        order = torch.stack([pairs, pairs ^ 1], dim=1).flatten()
        bits = [((number[:, None] & digits) > 0).float() for number in (order, codes)]
        found.append(bits[0] @ bits[1].T % 2 > 0)
    table = torch.cat([*found, torch.zeros(rows, 0, dtype=torch.bool)], dim=1)
    return table ^ torch.randint(2, (1, columns), generator=rng).bool()


def coins(rows: int, columns: int, rng: Generator) -> Bool[Tensor, "n c"]:
    """As many coins as are asked for, in balanced blocks, the largest first; an odd last row stands alone."""
    blocks = []
    while rows > 1:
        size = 2 ** (rows.bit_length() - 1)
        blocks.append(balanced_coins(size, columns, rng))
        rows -= size
    blocks += [torch.randint(2, (rows, columns), generator=rng).bool()]
    return torch.cat(blocks)


def subset(times: Float[Tensor, " g"], size: int, rng: Generator) -> Bool[Tensor, " g"]:
    """A random set of so many elements, of those that were chosen least often so far; counts them as chosen."""
    chosen = torch.zeros(len(times), dtype=torch.bool)
    chosen[(times + torch.rand(len(times), generator=rng)).argsort()[:size]] = True
    times += chosen
    return chosen


def holds_all(keep: Bool[Tensor, "p g"]) -> bool:
    """Whether every one of the `2^g` keep-vectors is there, and all of them equally often."""
    p, g = keep.shape
    if g >= p.bit_length():
        return False
    _, counts = np.unique(np.packbits(keep.numpy(), axis=1), axis=0, return_counts=True)
    return len(counts) == 2**g and bool((counts == counts[0]).all())
