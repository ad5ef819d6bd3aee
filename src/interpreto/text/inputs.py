"""What users pass as inputs, sorted out: one text, a pair, a chat, own segments, ids, or many of these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from interpreto.errors import InputError

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Segments:
    """A text with the user's own elements: retrieved documents, fields, clauses.

    Args:
        text: The whole text.
        spans: `(start, end)` character pairs, in order, without overlap. Text outside of them is fixed context.

    >>> Segments.join(["First document. ", "Second document. "], before="Answer from these. ", after="Why?")
    Segments(text='Answer from these. First document. Second document. Why?', spans=((19, 35), (35, 52)))
    """

    text: str
    spans: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        spans = tuple((int(start), int(end)) for start, end in self.spans)
        object.__setattr__(self, "spans", spans)
        reached = 0
        for start, end in spans:
            if not reached <= start < end <= len(self.text):
                raise InputError(
                    f"segments: expected (start, end) pairs in order, without overlap, within the {len(self.text)} "
                    f"characters of the text, got ({start}, {end}) after character {reached}"
                )
            reached = end
        if not spans:
            raise InputError("segments: expected at least one (start, end) pair, got none")

    @classmethod
    def join(cls, segments: Sequence[str], *, before: str = "", after: str = "") -> Segments:
        """The segments one after the other, exactly as they are, between two fixed contexts."""
        spans, position = [], len(before)
        for segment in segments:
            spans.append((position, position + len(segment)))
            position += len(segment)
        return cls(before + "".join(segments) + after, tuple(spans))


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One text that came as ids: they are explained as they are, the text is only for display."""

    ids: tuple[int, ...]
    type_ids: tuple[int, ...] | None = None


Input = str | tuple[str, str] | Segments | Sequence[Message] | TokenRow
"""One text: a string, a pair of strings, own segments, a chat, or token ids."""


def split_inputs(inputs: Any) -> list[Input]:
    """The separate texts of whatever the user passed, in order.

    Args:
        inputs: One `Input`, an iterable of them, or a `BatchEncoding` (or mapping) with `input_ids` of any number of
            rows, padded or not; padding is taken off again.

    Raises:
        InputError: Nothing in it, or something that is no text.
    """
    if isinstance(inputs, (str, Segments)) or _is_chat(inputs) or _is_pair(inputs):
        return [inputs]
    if isinstance(inputs, Mapping):
        return _rows(inputs)
    if not isinstance(inputs, Iterable):
        raise InputError(
            f"inputs: expected a text, a pair of texts, a chat, Segments, a BatchEncoding or a list of these, "
            f"got {type(inputs).__name__}"
        )
    items = list(inputs)
    if not items:
        raise InputError(
            "inputs: expected at least one text, got none; an iterator can be read only once, so pass a list "
            "if it was used before"
        )
    for position, item in enumerate(items):
        if not (isinstance(item, (str, Segments)) or _is_chat(item) or _is_pair(item)):
            raise InputError(f"inputs[{position}]: expected a text, got {type(item).__name__}: {item!r:.80}")
    return items


def _is_chat(value: Any) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and len(value) > 0
        and all(isinstance(message, Mapping) and "role" in message and "content" in message for message in value)
    )


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(isinstance(text, str) for text in value)


def _rows(encoding: Mapping[str, Any]) -> list[Input]:
    if "input_ids" not in encoding:
        raise InputError(f"inputs: expected a mapping with 'input_ids', got the keys {sorted(encoding)}")
    ids = _nested(encoding["input_ids"])
    columns = {}
    for name in ("attention_mask", "token_type_ids"):
        columns[name] = _nested(encoding[name]) if name in encoding else [[1] * len(row) for row in ids]
        if [len(row) for row in columns[name]] != [len(row) for row in ids]:
            raise InputError(f"inputs: expected {name!r} of the same shape as 'input_ids'")
    rows: list[Input] = []
    for row, mask, kinds in zip(ids, columns["attention_mask"], columns["token_type_ids"], strict=True):
        kept = [i for i, flag in enumerate(mask) if flag]
        if not kept:
            raise InputError(f"inputs[{len(rows)}]: expected at least one token, got none")
        type_ids = tuple(kinds[i] for i in kept) if "token_type_ids" in encoding else None
        rows.append(TokenRow(tuple(row[i] for i in kept), type_ids))
    if not rows:
        raise InputError("inputs: expected at least one row of 'input_ids', got none")
    return rows


def _nested(values: Any) -> list[list[int]]:
    """Ids as a list of rows, from tensors, arrays or lists of one or two dimensions."""
    rows = values.tolist() if isinstance(values, torch.Tensor) or hasattr(values, "tolist") else list(values)
    rows = [row.tolist() if hasattr(row, "tolist") else row for row in rows]
    return [list(row) for row in rows] if rows and isinstance(rows[0], (list, tuple)) else [rows]
