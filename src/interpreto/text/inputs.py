"""What users pass as inputs, sorted out: one text, a pair, a chat, own segments, ids, or many of these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from operator import index
from typing import Any

from interpreto.errors import InputError

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Segments:
    """A text with the user's own elements: retrieved documents, fields, clauses.

    Args:
        text: The whole text.
        spans: `(start, end)` character pairs, in order, without overlap; each is one element, whatever the granularity.
            Text outside of them is fixed context. A blank segment, which may have no token, is no element.

    >>> Segments.join(["First document. ", "Second document. "], before="Answer from these. ", after="Why?")
    Segments(text='Answer from these. First document. Second document. Why?', spans=((19, 35), (35, 52)))
    """

    text: str
    spans: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise InputError(f"segments: expected a text, got {_shown(self.text)}")
        try:
            spans = tuple((int(start), int(end)) for start, end in self.spans)
        except (TypeError, ValueError):
            raise InputError(f"segments: expected (start, end) pairs of characters, got {self.spans!r:.80}") from None
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
        """The segments one after the other, exactly as they are, between two fixed contexts.

        Raises:
            InputError: One text in place of several, no segments, or an empty one.
        """
        if isinstance(segments, (str, bytes)):
            raise InputError(f"segments: expected a list of texts, got {_shown(segments)}; pass [text], or split it")
        segments = list(segments)
        if not segments:
            raise InputError("segments: expected at least one text, got none")
        spans, position = [], len(before)
        for k, segment in enumerate(segments):
            if not isinstance(segment, str):
                raise InputError(f"segments[{k}]: expected a text, got {_shown(segment)}")
            if not segment:
                raise InputError(
                    f"segments[{k}]: expected a text of at least one character, got an empty one; leave it out"
                )
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
        inputs: One `Input`, an iterable of them (list, array, generator, `dataset["text"]`, `frame["text"]`), or a
            `BatchEncoding` (or mapping) with `input_ids` of any number of rows, padded or not; padding is taken off
            again. A tuple of two texts is a pair, a list of two texts are two inputs.

    Raises:
        InputError: Nothing in it, a whole table, a missing value, or something that is no text. Rows are counted from
            0, whatever the index of a table says.
    """
    if isinstance(inputs, (str, Segments, TokenRow)) or is_chat(inputs) or is_pair(inputs):
        return [_plain(inputs)]
    _refuse_table(inputs)
    if isinstance(inputs, Mapping):
        return _rows(inputs, "inputs")
    if not isinstance(inputs, Iterable) or isinstance(inputs, (bytes, bytearray)):
        raise InputError(f"inputs: expected {_EXPECTED} or a list of these, got {_shown(inputs)}")
    if getattr(inputs, "ndim", 1) != 1:
        raise InputError(
            f"inputs: expected one column of texts, got a {type(inputs).__name__} of shape {tuple(inputs.shape)}; "  # type: ignore[attr-defined]
            "pass one of its columns, or the ids as {'input_ids': ...}"
        )
    items: list[Input] = []
    for position, item in enumerate(inputs):
        where = f"inputs[{position}]"
        if isinstance(item, (str, Segments, TokenRow)) or is_chat(item) or is_pair(item):
            items.append(_plain(item))
        elif isinstance(item, Mapping):
            items += _rows(item, where)
        else:
            raise InputError(f"{where}: expected {_EXPECTED}, got {_shown(item)}{_if_missing(inputs, position, item)}")
    if not items:
        raise InputError(
            "inputs: expected at least one text, got none; an iterator can be read only once, so pass a list "
            "if it was used before"
        )
    return items


_EXPECTED = "a text, a pair (tuple) of texts, a chat (list of messages), Segments, a BatchEncoding"


def is_chat(value: Any) -> bool:
    """Whether it is a list of messages, each with a role and a content."""
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and len(value) > 0
        and all(isinstance(message, Mapping) and "role" in message and "content" in message for message in value)
    )


def is_pair(value: Any) -> bool:
    """Whether it is a tuple of two texts."""
    return isinstance(value, tuple) and len(value) == 2 and all(isinstance(text, str) for text in value)


def _plain(item: Any) -> Any:
    """Texts of arrays, which are a class of their own, as plain texts."""
    if isinstance(item, str):
        return str.__str__(item)
    return tuple(map(str.__str__, item)) if is_pair(item) else item


def _refuse_table(inputs: Any) -> None:
    """Say which columns there are to choose from.

    Raises:
        InputError: A data frame, a data set, or several of these.
    """
    columns = getattr(inputs, "column_names", None)
    columns = getattr(inputs, "columns", None) if columns is None else columns
    if isinstance(columns, Mapping):
        kind, names, hint = "splits", list(columns), "[split]['text']"
    elif isinstance(columns, Iterable) and not isinstance(columns, str):
        kind, names, hint = "columns", list(columns), "['text']"
    else:
        return
    raise InputError(
        f"inputs: expected one column of texts, got a {type(inputs).__name__} with the {kind} {names!r:.200}; pass one "
        f"column of it, as table{hint}"
    )


def _if_missing(inputs: Any, position: int, item: Any) -> str:
    """What to do about a missing value, and how a table with an index calls its row."""
    nothing = item is None or type(item).__name__ in ("NAType", "NaTType") or (isinstance(item, Real) and item != item)
    if not nothing:
        return ""
    named = f" (at {inputs.index.tolist()[position]!r} of its index)" if hasattr(inputs, "iloc") else ""
    return f", a missing value{named}; leave such rows out, or fill them in"


def _shown(value: Any) -> str:
    shown = f"{type(value).__name__}: {value!r:.80}"
    return f"{shown}; decode it to a str" if isinstance(value, (bytes, bytearray)) else shown


def _rows(encoding: Mapping[str, Any], where: str) -> list[Input]:
    if "input_ids" not in encoding:
        raise InputError(
            f"{where}: expected a mapping with 'input_ids', got the keys {[str(key) for key in encoding]}; "
            "of rows of a table pass one column"
        )
    ids = _nested(encoding["input_ids"], f"{where}: input_ids")
    columns = {}
    for name in ("attention_mask", "token_type_ids"):
        columns[name] = _nested(encoding[name], f"{where}: {name}") if name in encoding else [[1] * len(r) for r in ids]
        wanted, got = [len(row) for row in ids], [len(row) for row in columns[name]]
        if got != wanted:
            raise InputError(
                f"{where}: expected {name!r} with rows as long as those of 'input_ids', {wanted}, got {got}"
            )
    rows: list[Input] = []
    for row, mask, kinds in zip(ids, columns["attention_mask"], columns["token_type_ids"], strict=True):
        kept = [i for i, flag in enumerate(mask) if flag]
        if not kept:
            raise InputError(f"{where}: expected at least one token in row {len(rows)}, got none")
        type_ids = tuple(kinds[i] for i in kept) if "token_type_ids" in encoding else None
        rows.append(TokenRow(tuple(row[i] for i in kept), type_ids))
    if not rows:
        raise InputError(f"{where}: expected at least one row of 'input_ids', got none")
    return rows


def _nested(values: Any, where: str) -> list[list[int]]:
    """Ids as a list of rows, from tensors, arrays or lists of one or two dimensions."""
    try:
        rows = [row.tolist() if hasattr(row, "tolist") else row for row in values]
        rows = rows if rows and isinstance(rows[0], (list, tuple)) else [rows]
        return [[index(i) for i in row] for row in rows]
    except TypeError:
        raise InputError(f"{where}: expected rows of whole numbers, got {values!r:.80}") from None
