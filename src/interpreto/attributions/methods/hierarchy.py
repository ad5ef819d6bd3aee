"""The tree that the elements of a text hang on: texts, sentences and words; and the coalitions that respect it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import factorial

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from interpreto.text import Element, Sample, find_elements
from interpreto.types import Granularity

_LEVELS = (Granularity.TEXT, Granularity.SENTENCE, Granularity.WORD)  # from the outside in


@dataclass(frozen=True, slots=True)
class Group:
    """Elements that come and go together, as seen from outside.

    Args:
        members: Numbers of single elements, and groups of several, in the order of the text.
    """

    members: tuple[int | Group, ...]

    @property
    def elements(self) -> list[int]:
        """All elements in it, at whatever depth.

        >>> Group((0, Group((1, 2)))).elements
        [0, 1, 2]
        """
        return [i for member in self.members for i in ([member] if isinstance(member, int) else member.elements)]


def hierarchy(sample: Sample, elements: Sequence[Element], granularity: Granularity) -> Group:
    """The tree of a text's elements: texts or messages, their sentences, and their words, as far as these are coarser.

    The user's own segments hang on nothing, for they may be any stretches of text; neither do special tokens.

    Args:
        sample: The text.
        elements: Its elements, the leaves.
        granularity: What an element is.
    """
    levels = _LEVELS[: _LEVELS.index(granularity)] if granularity in _LEVELS else _LEVELS
    owners = [{i: k for k, e in enumerate(find_elements(sample, level)) for i in e.tokens} for level in levels]
    addresses = [tuple(owner.get(element.tokens[0], -1 - k) for owner in owners) for k, element in enumerate(elements)]
    return _grouped(range(len(elements)), addresses, depth=0)


def _grouped(elements: Sequence[int], addresses: Sequence[tuple[int, ...]], depth: int) -> Group:
    """Elements by their addresses from a depth on. A group of one group is that group, one of one element is none."""
    if depth == len(addresses[elements[0]]):
        return Group(tuple(elements))
    parts: dict[int, list[int]] = {}
    for i in elements:
        parts.setdefault(addresses[i][depth], []).append(i)
    groups = [_grouped(part, addresses, depth + 1) for part in parts.values()]
    if len(groups) == 1:
        return groups[0]
    return Group(tuple(group.members[0] if len(group.members) == 1 else group for group in groups))


def n_coalitions(group: Group) -> int:
    """How many coalitions its Owen values are made of: groups beside the one that is looked into are there or not.

    >>> n_coalitions(Group((0, 1, 2))), n_coalitions(Group((Group((0, 1)), Group((2, 3)))))
    (8, 12)
    """
    n = len(group.members)
    inner = sum(n_coalitions(member) - 2 for member in group.members if isinstance(member, Group))
    return int(2**n + 2 ** (n - 1) * inner)


def owen_shares(group: Group) -> tuple[Bool[Tensor, "p g"], Float[Tensor, "g p"]]:
    """The coalitions that Owen values are made of, and the share of each coalition's worth in each value.

    Returns:
        Keep-vectors, and the matrix that multiplies their worths.
    """
    found = _shares(group)
    g = len(group.elements)
    keep = torch.tensor([[bool(coalition >> i & 1) for i in range(g)] for coalition in found])
    shares = torch.zeros(g, len(found), dtype=torch.float64)
    for column, of_coalition in enumerate(found.values()):
        for i, share in of_coalition.items():
            shares[i, column] = share
    return keep, shares


def _shares(group: Group) -> dict[int, dict[int, float]]:
    """By coalition of its elements, one bit each, its share in the value of each element.

    A member comes after a subset S of the n others with probability `|S|! (n - |S|)! / (n + 1)!`, and what it then
    brings is split among its own elements in the same way.
    """
    n = len(group.members)
    weights = [factorial(size) * factorial(n - 1 - size) / factorial(n) for size in range(n)]
    bits = [sum(1 << i for i in ([m] if isinstance(m, int) else m.elements)) for m in group.members]
    found: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for j, member in enumerate(group.members):
        own = {0: {member: -1.0}, bits[j]: {member: 1.0}} if isinstance(member, int) else _shares(member)
        others = bits[:j] + bits[j + 1 :]
        for chosen in range(2 ** (n - 1)):
            before = sum(bit for k, bit in enumerate(others) if chosen >> k & 1)
            for coalition, shares in own.items():
                for i, share in shares.items():
                    found[before | coalition][i] += weights[chosen.bit_count()] * share
    return found


def chains(group: Group, n_pairs: int, rng: Generator) -> Bool[Tensor, "p g"]:
    """Random orders that keep groups together, each followed by its reverse, as chains of keep-vectors.

    Args:
        group: The tree.
        n_pairs: How many pairs.
        rng: Random numbers.

    Returns:
        Of each order g + 1 rows, from none of the elements to all of them, one more each time.
    """
    orders = []
    for _ in range(n_pairs):
        order = _random_order(group, rng)
        orders += [order, order[::-1]]
    places = torch.tensor(orders).argsort(dim=1)  # of each element when it comes
    steps = torch.arange(places.shape[1] + 1)
    return (places[:, None, :] < steps[:, None]).flatten(0, 1)


def _random_order(group: Group, rng: Generator) -> list[int]:
    order: list[int] = []
    for k in torch.randperm(len(group.members), generator=rng).tolist():
        member = group.members[k]
        order += [member] if isinstance(member, int) else _random_order(member, rng)
    return order
