"""Stretches of texts and how much of each concept is in them: what labels are tried on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Int32, Int64
from numpy import ndarray
from torch import Tensor

from interpreto.concepts.base import ConceptExplainer
from interpreto.concepts.interpretations.rows import Block, RowsOfInputs
from interpreto.concepts.interpretations.texts import Texts, texts_of
from interpreto.errors import InputError
from interpreto.model_wrapping import ActivationGranularity, Aggregation
from interpreto.text import split_inputs

_WHOLE = (ActivationGranularity.CLS_TOKEN, ActivationGranularity.SAMPLE)
_CODES_AT_ONCE, _MOST_ROWS = 1 << 20, 8192


class Sign(str, Enum):
    """Which codes say that a concept is there. For codes that are never negative, all but `NEGATIVE` are the same."""

    POSITIVE = "positive"
    """Those above 0."""
    NEGATIVE = "negative"
    """Those below 0: the label is about the other end of the direction."""
    ABSOLUTE = "absolute"
    """Those far from 0 to either side: the label is about both ends."""

    def of(self, codes: Tensor) -> Tensor:
        """Codes that are large where the concept is there."""
        return -codes if self is Sign.NEGATIVE else codes.abs() if self is Sign.ABSOLUTE else codes


@dataclass(frozen=True, eq=False)
class Windows:
    """Stretches of texts, each distinct one once, in an order that does not depend on the order of the inputs.

    Args:
        sources: Where each is: input, part, first character, one past the last, and the token where it is one.
        rows: Its first row of activations and one past the last, in the table of all rows.
        codes: The largest code of each concept in it.
        texts: The texts of the inputs.
    """

    sources: Int32[ndarray, "w 5"]
    rows: Int64[ndarray, "w 2"]
    codes: Float32[ndarray, "w c"]
    texts: Texts

    def __len__(self) -> int:
        return len(self.rows)

    def text(self, window: int) -> str:
        """What stands there, without white space around it."""
        return self._placed(window)[0]

    def begins(self, window: int) -> int:
        """The character of its part with which that begins."""
        return self._placed(window)[1]

    def _placed(self, window: int) -> tuple[str, int]:
        nothing = np.zeros((1, 2), np.int32), np.zeros(1, np.float32)
        example = self.texts.example(self.sources[window], 0.0, *nothing)
        return example.text, example.start


@dataclass(frozen=True, eq=False)
class Elements:
    """The tokens, words or sentences of a window.

    Args:
        spans: First character of each in the window's text and one past the last, white space left out.
        codes: How much of one concept is in each.
    """

    spans: tuple[tuple[int, int], ...]
    codes: Float32[ndarray, " e"]


@dataclass(frozen=True, eq=False)
class Reading:
    """How texts are read: by which concepts, and in which stretches.

    Args:
        explainer: The concepts.
        concepts: Which of them.
        granularity: What a row of activations belongs to.
        aggregation: How rows of several tokens become one.
        batch_size: Texts a forward pass.
        sign: Which codes count.
        size: How many elements make a window; texts are cut into parts of about equal size, none larger.
    """

    explainer: ConceptExplainer
    concepts: tuple[int, ...]
    granularity: ActivationGranularity
    aggregation: Aggregation
    batch_size: int | None
    sign: Sign
    size: int

    def windows(self, inputs: Any, activations: Any) -> tuple[Windows, Table]:
        """The windows of texts, and the rows that they are made of.

        Raises:
            InputError: No texts, or activations that cannot be theirs.
        """
        if inputs is None:
            raise InputError("inputs: expected the texts that labels are tried on, got None")
        rows = self._rows(split_inputs(inputs))
        texts = texts_of(self.explainer.split, rows.items, None, whole=self.granularity in _WHOLE)
        tables, sources, ranges, codes = [], [], [], []
        first = 0
        for block in rows.read(self._block) if activations is None else rows.given(activations, self._block):
            number = window_numbers(block.sources, self.size, whole=texts.whole)
            inside = np.flatnonzero(number >= 0)
            owner = number[inside]
            starts = np.flatnonzero(np.diff(owner, prepend=-1))
            ends = np.append(starts[1:], len(owner)) - 1
            own = block.sources[inside]
            spans = own[starts].copy()
            spans[:, 3], spans[:, 4] = own[ends, 3], np.where(starts == ends, own[starts, 4], -1)
            tables.append(block.sources)
            sources.append(spans)
            ranges.append(np.stack([inside[starts], inside[ends] + 1], axis=1) + first)
            codes.append(_largest(self._codes(block), inside, owner))
            first += len(block.sources)
        table = np.concatenate(tables)
        found = Windows(np.concatenate(sources), np.concatenate(ranges), np.concatenate(codes), texts)
        # Of equal windows the one in the same text whatever the order of the texts.
        keys, whole = texts.keys(found.sources, 0), texts.whole_keys(found.sources)
        order = np.lexsort((whole, keys))
        distinct = order[np.diff(keys[order], prepend=keys[order][:1] + np.uint64(1)) != 0]
        chosen = (found.sources[distinct], found.rows[distinct], found.codes[distinct])
        return Windows(*chosen, texts), Table(self, rows, activations, table)

    def largest(self, texts: Sequence[str], concept: int) -> Float32[ndarray, " n"]:
        """The largest code of one of the concepts in each of some new texts."""
        own = replace(self, concepts=(concept,))
        found = np.full(len(texts), -np.inf, np.float32)
        if texts:
            for block in own._rows(list(texts)).read(self._block):
                visible = own._visible(block.sources)
                np.maximum.at(found, block.sources[visible, 0], own._codes(block)[visible, 0])
        return found

    def readable(self, text: str) -> bool:
        """Whether the model can read a text: no broken Unicode, a token at least, and not too many."""
        try:
            self.explainer.split.samples([text])
        except InputError:
            return False
        return True

    def _rows(self, items: Sequence[Any]) -> RowsOfInputs:
        split = self.explainer.split
        return RowsOfInputs(self.explainer, split, self.granularity, self.aggregation, self.batch_size, items)

    def _codes(self, block: Block) -> Float32[ndarray, "b c"]:
        with torch.no_grad():
            codes = self.explainer.encode(block.activations)[:, list(self.concepts)]
            return np.asarray(self.sign.of(codes).float().cpu().numpy(), np.float32)

    def _visible(self, sources: Int32[ndarray, "b 5"]) -> Int64[ndarray, " _"]:
        whole = self.granularity in _WHOLE
        return np.flatnonzero(whole | (sources[:, 3] > sources[:, 2]))

    @property
    def _block(self) -> int:
        return max(1, min(_MOST_ROWS, _CODES_AT_ONCE // max(1, self.explainer.concept_model.nb_concepts)))


@dataclass(frozen=True, eq=False)
class Table:
    """All rows of some inputs, to look at single elements later.

    Args:
        reading: How they were read.
        reader: Reads them again, where they were not given.
        activations: The given ones.
        sources: Where each row is.
    """

    reading: Reading
    reader: RowsOfInputs
    activations: Any = field(repr=False)
    sources: Int32[ndarray, "n 5"]

    def elements(self, windows: Windows, wanted: Sequence[tuple[int, int]]) -> dict[tuple[int, int], Elements]:
        """The elements of windows and their codes; what was not given is read from the model again.

        Args:
            windows: All windows.
            wanted: Which concept (its place among those that are read) of which window.
        """
        by_input: dict[int, list[tuple[int, int]]] = {}
        for column, window in dict.fromkeys(wanted):
            by_input.setdefault(int(windows.sources[window, 0]), []).append((column, window))
        found: dict[tuple[int, int], Elements] = {}
        for number, first, codes in self._of_inputs(sorted(by_input)):
            for column, window in by_input[number]:
                start, end = windows.rows[window].tolist()
                own = codes[start - first : end - first, column]
                found[column, window] = self._placed(windows, window, self.sources[start:end], own)
        return found

    def _of_inputs(self, numbers: Sequence[int]) -> Iterator[tuple[int, int, Float32[ndarray, "r c"]]]:
        """For each input its number, its first row, and the codes of its rows."""
        borders = np.searchsorted(self.sources[:, 0], [[number, number + 1] for number in numbers]).reshape(-1, 2)
        if self.activations is not None:
            rows = self.reading.explainer.rows(self.activations)
            for number, (first, end) in zip(numbers, borders.tolist(), strict=True):
                block = Block(rows.take(torch.arange(first, end)), self.sources[first:end])
                yield number, first, self.reading._codes(block)
            return
        reader = replace(self.reader, items=[self.reader.items[number] for number in numbers])
        for block in reader.read(self.reading._block) if numbers else ():
            codes = self.reading._codes(block)
            for k in np.unique(block.sources[:, 0]).tolist():
                yield numbers[k], int(borders[k, 0]), codes[block.sources[:, 0] == k]

    def _placed(
        self, windows: Windows, window: int, sources: Int32[ndarray, "e 5"], codes: Float32[ndarray, " e"]
    ) -> Elements:
        part = windows.texts.parts(int(windows.sources[window, 0]))[int(windows.sources[window, 1])]
        origin, length = windows.begins(window), len(windows.text(window))
        spans, kept = [], []
        for k, (start, end) in enumerate(sources[:, 2:4].tolist()):
            raw = part[start:end]
            if raw.strip():
                begins = start + len(raw) - len(raw.lstrip()) - origin
                spans.append((max(begins, 0), min(begins + len(raw.strip()), length)))
                kept.append(k)
        return Elements(tuple(spans), codes[kept])


def window_numbers(sources: Int[ndarray, "b 5"], size: int, *, whole: bool) -> Int64[ndarray, " b"]:
    """Which window each row belongs to, counted from 0; -1 for rows that stand for no characters.

    The rows of a text are cut into as few windows as hold at most `size` of them, as equal as can be.

    Args:
        sources: Where the rows come from, whole inputs.
        size: The most rows a window.
        whole: Whether each row is a window by itself.
    """
    if whole:
        return np.arange(len(sources), dtype=np.int64)
    own = np.flatnonzero(sources[:, 3] > sources[:, 2])
    found = np.full(len(sources), -1, np.int64)
    if len(own):
        starts = np.flatnonzero(np.append(True, (np.diff(sources[own, :2], axis=0) != 0).any(axis=1)))
        counts = np.diff(np.append(starts, len(own)))
        pieces = -(-counts // size)
        place = np.arange(len(own)) - np.repeat(starts, counts)
        before = np.repeat(np.cumsum(pieces) - pieces, counts)
        found[own] = before + place * np.repeat(pieces, counts) // np.repeat(counts, counts)
    return found


def _largest(
    codes: Float32[ndarray, "b c"], rows: Int64[ndarray, " r"], owner: Int64[ndarray, " r"]
) -> Float32[ndarray, "w c"]:
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    return np.maximum.reduceat(codes[rows], starts, axis=0) if len(starts) else codes[:0]


def largest_code(codes: Float[ndarray, " w"]) -> float:
    """The largest code of a concept over all windows; 0 where it is never active."""
    return max(float(codes.max()), 0.0) if len(codes) else 0.0
