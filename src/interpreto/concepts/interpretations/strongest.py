"""Which texts a concept is shown by: chosen as rows come by, so that memory holds the chosen ones only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import Enum

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Int32, Int64, UInt64
from numpy import ndarray
from torch import Tensor


class Order(str, Enum):
    """Which of a concept's active texts are kept."""

    STRONGEST = "strongest"
    """Those with the largest codes."""
    RANDOM = "random"
    """Those with the smallest keys: a random sample, each text as likely as any other, however often it comes."""


@dataclass(frozen=True, eq=False)
class Chosen:
    """Rows that were chosen for concepts.

    Args:
        concepts: The concept, as its column in the codes.
        activations: Its code.
        keys: A random number that is the same for equal texts.
        rows: Number of the row, over all that came by.
        sources: The row of `RowSources`: input, part, start, end, token.
        neighbours: The rows before, the row itself, and the rows after, as `(start, end)` in the text; -1 where there
            is none.
        around: The concept's codes there; 0 where there is none.
    """

    concepts: Int64[ndarray, " m"]
    activations: Float32[ndarray, " m"]
    keys: UInt64[ndarray, " m"]
    rows: Int64[ndarray, " m"]
    sources: Int32[ndarray, "m 5"]
    neighbours: Int32[ndarray, "m w 2"]
    around: Float32[ndarray, "m w"]

    @classmethod
    def nothing(cls, width: int) -> Chosen:
        """No rows."""
        return cls(
            np.zeros(0, np.int64),
            np.zeros(0, np.float32),
            np.zeros(0, np.uint64),
            np.zeros(0, np.int64),
            np.zeros((0, 5), np.int32),
            np.zeros((0, width, 2), np.int32),
            np.zeros((0, width), np.float32),
        )

    def __len__(self) -> int:
        return len(self.concepts)

    def take(self, places: Int[ndarray, " k"]) -> Chosen:
        """Some of them, in this order."""
        return Chosen(*(getattr(self, field.name)[places] for field in fields(self)))

    def followed_by(self, other: Chosen) -> Chosen:
        """These, then others."""
        pairs = [(getattr(self, field.name), getattr(other, field.name)) for field in fields(self)]
        return Chosen(*(np.concatenate(pair) for pair in pairs))


class Choice:
    """For each concept the best `k` distinct texts of all rows that came by, where its code is above 0.

    A text that comes several times counts once, with its largest code; of equal codes the first row counts. How rows
    are cut into batches changes nothing.

    Args:
        nb_concepts: Columns of the codes.
        k: The most texts a concept.
        order: Which texts are best.
        k_context: How many neighbours to keep on either side.
    """

    def __init__(self, nb_concepts: int, k: int, order: Order, k_context: int) -> None:
        self._k, self._order, self._reach = k, order, k_context
        self._least = torch.zeros(nb_concepts)  # a code must be above it to count
        self._last_key = np.full(nb_concepts, np.iinfo(np.uint64).max, np.uint64)  # a key must not be above it
        self.found: Chosen = Chosen.nothing(2 * k_context + 1)

    def add(
        self,
        codes: Float[Tensor, "b c"],
        sources: Int32[ndarray, "b 5"],
        first: int,
        keys_of: Callable[[Int64[ndarray, " r"]], UInt64[ndarray, " r"]],
    ) -> None:
        """See some more rows: whole inputs, so that neighbours are together.

        Args:
            codes: How much of each concept is in each row.
            sources: Where the rows come from.
            first: Number of the first of them, over all that came by.
            keys_of: The keys of the texts of some of these rows.
        """
        rows, concepts = (codes > self._least.to(codes)).nonzero(as_tuple=True)
        activations = codes[rows, concepts].float().cpu().numpy()
        own, concepts_ = rows.cpu().numpy(), concepts.cpu().numpy()
        active, places = np.unique(own, return_inverse=True)
        keys = keys_of(active)[places]
        wanted = keys <= self._last_key[concepts_]
        own, concepts_, activations, keys = own[wanted], concepts_[wanted], activations[wanted], keys[wanted]
        before = len(self.found)
        best = _best(
            np.concatenate([self.found.concepts, concepts_]),
            np.concatenate([self.found.activations, activations]),
            np.concatenate([self.found.keys, keys]),
            np.concatenate([self.found.rows, own + first]),
            self._k,
            self._order,
        )
        new = best[best >= before] - before
        arrived = self._with_neighbours(codes, sources, own[new], concepts_[new], activations[new], keys[new], first)
        self.found = self.found.take(best[best < before]).followed_by(arrived)
        self._raise_bars()

    def _with_neighbours(
        self,
        codes: Float[Tensor, "b c"],
        sources: Int32[ndarray, "b 5"],
        own: Int64[ndarray, " m"],
        concepts: Int64[ndarray, " m"],
        activations: Float32[ndarray, " m"],
        keys: UInt64[ndarray, " m"],
        first: int,
    ) -> Chosen:
        places = own[:, None] + np.arange(-self._reach, self._reach + 1)
        inside = (places >= 0) & (places < len(sources))
        places = places.clip(0, len(sources) - 1)
        inside &= (sources[places][:, :, :2] == sources[own][:, None, :2]).all(axis=2)
        at, of = torch.from_numpy(places).to(codes.device), torch.from_numpy(concepts).to(codes.device)
        around = codes[at, of[:, None]].float().cpu().numpy()
        return Chosen(
            concepts,
            activations,
            keys,
            own + first,
            sources[own],
            np.where(inside[:, :, None], sources[places][:, :, 2:4], np.int32(-1)),
            np.where(inside, around, np.float32(0)),
        )

    def _raise_bars(self) -> None:
        """What a row must have from now on, where a concept has all the texts that it may have."""
        found = self.found
        counts = np.bincount(found.concepts, minlength=len(self._least))
        full = counts[found.concepts] == self._k
        if self._order is Order.STRONGEST:
            least = np.full(len(self._least), np.inf, np.float32)
            np.minimum.at(least, found.concepts[full], found.activations[full])
            self._least = torch.from_numpy(np.where(np.isinf(least), np.float32(0), least))
        else:
            self._last_key[found.concepts[full]] = 0
            np.maximum.at(self._last_key, found.concepts[full], found.keys[full])

    def ranked(self) -> Chosen:
        """What was chosen, sorted by concept, and the strongest of each first."""
        found = self.found
        return found.take(np.lexsort((found.rows, -found.activations, found.concepts)))


def _best(
    concepts: Int64[ndarray, " m"],
    activations: Float32[ndarray, " m"],
    keys: UInt64[ndarray, " m"],
    rows: Int64[ndarray, " m"],
    k: int,
    order: Order,
) -> Int64[ndarray, " _"]:
    """Places of the best `k` of each concept, every text once."""
    by_text = np.lexsort((rows, -activations, keys, concepts))
    same = (np.diff(concepts[by_text]) == 0) & (keys[by_text][1:] == keys[by_text][:-1])
    distinct = by_text[np.concatenate([[True], ~same])] if len(by_text) else by_text
    if order is Order.STRONGEST:
        distinct = distinct[np.lexsort((rows[distinct], -activations[distinct], concepts[distinct]))]
    owners = concepts[distinct]
    rank = np.arange(len(owners)) - np.searchsorted(owners, owners)
    return distinct[rank < k]
