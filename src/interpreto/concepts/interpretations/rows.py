"""Rows of activations and where they come from, some at a time: given ones, or read from the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int32
from numpy import ndarray
from torch import Tensor

from interpreto.concepts.base import ConceptExplainer
from interpreto.errors import InputError
from interpreto.model_wrapping import (
    ActivationGranularity,
    ActivationRows,
    Activations,
    ActivationStore,
    Aggregation,
    ModelWithSplitPoints,
    TensorRows,
)
from interpreto.model_wrapping.extraction import Extraction
from interpreto.text import Sample

_TOKENS_AT_ONCE, _TEXTS_AT_ONCE, _TOKENISED_AT_ONCE = 1 << 14, 4096, 64
_COMPARED = 16


@dataclass(frozen=True, eq=False)
class Block:
    """Some rows: all of one or more inputs.

    Args:
        activations: The rows.
        sources: Where they come from: input, part, start, end, token.
    """

    activations: Float[Tensor, "b d"]
    sources: Int32[ndarray, "b 5"]


@dataclass(frozen=True, eq=False)
class RowsOfInputs:
    """The rows of a data set.

    Args:
        explainer: The concepts.
        split: The split model.
        granularity: What a row is.
        aggregation: How rows of several tokens become one.
        batch_size: Texts a forward pass.
        items: The inputs, one by one.
        targets: What the model wrote, where rows of that are wanted.
    """

    explainer: ConceptExplainer
    split: ModelWithSplitPoints
    granularity: ActivationGranularity
    aggregation: Aggregation
    batch_size: int | None
    items: Sequence[Any]
    targets: Sequence[Any] | None = None

    @property
    def point(self) -> str:
        """The split point."""
        return self.explainer.split_point_name()

    @property
    def extraction(self) -> Extraction:
        """How activations are read at the split point."""
        return extraction_at(self.explainer, self.split, self.granularity, self.aggregation, self.batch_size)

    def read(self, size: int) -> Iterator[Block]:
        """Run the model, and give the rows in blocks of about `size`."""
        extraction = self.extraction
        for samples, first in self._samples():
            found = extraction.read(samples, first)
            yield from blocks(TensorRows(found[self.point]), found.sources[self.point].table.numpy(), size)

    def given(self, activations: Any, size: int) -> Iterator[Block]:
        """Rows that were read before, in blocks of about `size`.

        Raises:
            InputError: They cannot be of these inputs.
        """
        rows = self.explainer.rows(activations)
        if isinstance(activations, (Activations, ActivationStore)):
            if activations.granularity is not self.granularity:
                raise InputError(
                    f"activations: expected the granularity {self.granularity.value!r}, got "
                    f"{activations.granularity.value!r}; pass activation_granularity={activations.granularity.value!r}"
                )
            table = activations.sources[self.explainer.split_point_name(activations)].table.numpy()
            self._compare(table)
        else:
            point = self.point
            extraction = self.extraction
            tables = [extraction.sources(some, first)[point].table.numpy() for some, first in self._samples()]
            table = np.concatenate(tables)
            if rows.n_rows != len(table):
                kind = self.granularity.value
                raise InputError(
                    f"activations: expected {len(table)} rows, as many as the {len(self.items)} inputs have at "
                    f"granularity {kind!r}, got {rows.n_rows}; pass the inputs that they come from, all of them"
                )
        yield from blocks(rows, table, size)

    def _samples(self) -> Iterator[tuple[list[Sample], int]]:
        """Tokenised inputs, as many at once as make a good number of tokens."""
        chunk: list[Sample] = []
        first = size = 0
        for at in range(0, len(self.items), _TOKENISED_AT_ONCE):
            stop = at + _TOKENISED_AT_ONCE
            wanted = None if self.targets is None else self.targets[at:stop]
            some = self.split.samples(self.items[at:stop], wanted, at)
            chunk += some
            size += sum(len(sample.tokens) for sample in some)
            if size >= _TOKENS_AT_ONCE or len(chunk) >= _TEXTS_AT_ONCE:
                yield chunk, first
                chunk, first, size = [], first + len(chunk), 0
        if chunk:
            yield chunk, first

    def _compare(self, table: Int32[ndarray, "n 5"]) -> None:
        """Whether rows can be of these inputs; some of them are looked at closely."""
        n = len(self.items)
        known = int(table[:, 0].max()) + 1 if len(table) else 0
        if known != n:
            raise InputError(f"activations: expected those of the {n} inputs, got those of {known}; pass these")
        for number in sorted(set(np.linspace(0, n - 1, _COMPARED).astype(int).tolist())):
            wanted = None if self.targets is None else self.targets[number : number + 1]
            samples = self.split.samples(self.items[number : number + 1], wanted, number)
            own = self.extraction.sources(samples, number)[self.point].table.numpy()
            first, last = np.searchsorted(table[:, 0], [number, number + 1])
            if not np.array_equal(table[first:last], own):
                raise InputError(
                    f"activations: expected those of these inputs, in their order, got rows that inputs[{number}] does "
                    "not have; pass the inputs, and targets, that they come from"
                )


def extraction_at(
    explainer: ConceptExplainer,
    split: ModelWithSplitPoints,
    granularity: ActivationGranularity,
    aggregation: Aggregation,
    batch_size: int | None,
) -> Extraction:
    """How activations are read at the split point of concepts."""
    extraction = split.extraction(granularity, aggregation)
    points = tuple(point for point in split.split_points if point.name == explainer.split_point_name())
    return replace(extraction, points=points, batch_size=batch_size or extraction.batch_size)


def blocks(rows: ActivationRows, table: Int32[ndarray, "n 5"], size: int) -> Iterator[Block]:
    """Rows in blocks of about `size`; no input is cut."""
    ends = np.append(np.flatnonzero(np.diff(table[:, 0])) + 1, len(table))
    start = 0
    while start < len(table):
        fitting = int(np.searchsorted(ends, start + size, side="right")) - 1
        end = int(ends[fitting]) if fitting >= 0 and ends[fitting] > start else int(ends[fitting + 1])
        yield Block(rows.take(torch.arange(start, end)), table[start:end])
        start = end
