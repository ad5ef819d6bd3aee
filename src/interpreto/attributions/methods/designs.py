"""Random keep-vectors that are spread more evenly than chance would."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from jaxtyping import Bool
from torch import Generator, Tensor


def coins(run: Bool[Tensor, "n c"], count: int, rng: Generator, partners: bool = False) -> Bool[Tensor, "q c"]:
    """The next coins of a sequence that balances: a digital sequence of base 2 with random directions.

    The sequence is doubled again and again: rows `2^k` to `2^(k+1)` are the first `2^k` with all coins of a direction
    turned. The first direction turns all, so that rows 2k and 2k + 1 are complements; the next ones each turn half of
    the columns that are alike so far. Once none are alike, any `2^k` rows from a multiple of `2^k` on show all outcomes
    of three columns equally often (an orthogonal array of strength 3); directions are independent while they can be, so
    that `2^c` rows hold every outcome. Sobol' numbers do not serve here: half of their first digits are equal.

    Args:
        run: The rows so far.
        count: How many further ones.
        rng: Random numbers.
        partners: Whether columns `i` and `i + c / 2` are told apart before all others.
    """
    columns = run.shape[1]
    rows = run if len(run) else torch.randint(2, (1, columns), generator=rng).bool()
    wanted = len(run) + count
    while len(rows) < wanted:
        size = 2 ** (len(rows).bit_length() - 1)
        turned = rows[0] ^ rows[size] if len(rows) > size else _direction(rows, rng, partners)
        rows = torch.cat([rows, rows[len(rows) - size : size] ^ turned])
    return rows[len(run) : wanted]


def _direction(rows: Bool[Tensor, "n c"], rng: Generator, partners: bool) -> Bool[Tensor, " c"]:
    """Which coins the next doubling turns, after those of `2^k` rows."""
    columns = rows.shape[1]
    before = torch.stack([rows[0] ^ rows[2**k] for k in range(len(rows).bit_length() - 1)] or [rows[0] ^ rows[0]])
    if len(rows) == 1:
        return torch.ones(columns, dtype=torch.bool)
    if len(rows) == 2 and partners:
        half = torch.randint(2, (columns // 2,), generator=rng).bool()
        return torch.cat([half, ~half])
    _, alike = before.unique(dim=1, return_inverse=True)  # type: ignore[no-untyped-call]
    order = torch.randperm(columns, generator=rng)
    order = order[alike[order].argsort(stable=True)]
    places = torch.empty(columns, dtype=torch.long).scatter(0, order, torch.arange(columns))
    turned = (places + torch.randint(2, (), generator=rng)) % 2 == 1
    if len(set(alike.tolist())) < columns:
        return turned
    for _ in range(64):  # nearly every one will do while there are any
        turned = torch.randint(2, (columns,), generator=rng).bool()
        if len(before) >= columns or _rank([*before.tolist(), turned.tolist()]) > len(before):
            break
    return turned


def _rank(vectors: list[list[bool]]) -> int:
    """The rank over the field of two elements."""
    basis: dict[int, int] = {}  # by the highest digit
    for vector in vectors:
        number = int("".join("01"[bit] for bit in vector), 2)
        while number and number.bit_length() in basis:
            number ^= basis[number.bit_length()]
        if number:
            basis[number.bit_length()] = number
    return len(basis)


def even(run: int, count: int) -> int:
    """How many rows to take next, at most count, so that the number of all is a multiple of the largest power of 2.

    >>> even(55, 11), even(64, 13), even(64, 64)
    (9, 8, 64)
    """
    size = 1
    while (run + count) // (2 * size) * 2 * size > run:
        size *= 2
    return (run + count) // size * size - run


def subsets(times: dict[int, Tensor], sizes: Iterable[int], rng: Generator) -> Iterator[Tensor]:
    """Random sets of elements, one a size, of those that were chosen least often so far.

    Args:
        times: By size, how often each element was chosen already `(g,)`; counts on.
        sizes: How many elements each set has.
        rng: Random numbers.

    Yields:
        Which elements are chosen, `(g,)`.
    """
    for size in sizes:
        own = times[size]
        chosen = torch.zeros(len(own), dtype=torch.bool)
        chosen[(own + torch.rand(len(own), generator=rng)).argsort()[:size]] = True
        own += chosen
        yield chosen


def holds_all(keep: Bool[Tensor, "p g"]) -> bool:
    """Whether every one of the `2^g` keep-vectors is there, and all of them equally often."""
    p, g = keep.shape
    if g >= p.bit_length():
        return False
    _, counts = np.unique(np.packbits(keep.numpy(), axis=1), axis=0, return_counts=True)
    return len(counts) == 2**g and bool((counts == counts[0]).all())
