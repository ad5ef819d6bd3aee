"""Files of texts, row by row: what is read is known by the number of its line, and so is what is damaged."""

from __future__ import annotations

import csv
import io
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from typing import Any, cast

from interpreto.errors import InputError

Row = dict[str, Any]
Report = Callable[[int, str], None]

_MOST_LINES, _MOST_LETTERS = 10_000, 1 << 24
_NOT_UTF8 = "expected UTF-8, got other bytes"


class Format(str, Enum):
    """How a file holds texts."""

    TXT = "txt"
    """A text a line."""
    JSONL = "jsonl"
    """A JSON object a line, or a JSON string."""
    CSV = "csv"
    """A table with a header."""
    TSV = "tsv"
    """The same, between tabs."""


def rows(
    stream: io.BufferedIOBase, format: Format, damaged: Report, columns: Sequence[str] = ()
) -> Iterator[tuple[int, Row]]:
    """Rows of a file, each with the number of the line that it begins on, from 1.

    Lines without anything are left out, and keep their numbers. One row is in memory at a time; where a table has a
    quote that is never closed, as much as a row may span: 10,000 lines, or 16 million letters.

    Args:
        stream: The file, open for bytes, which stays open.
        format: How it holds texts; a text that stands by itself is in the column `text`.
        damaged: Is told the number of a damaged line, and what is wrong; if it raises nothing, reading goes on with the
            next line. Of a row over several lines this is the one where it begins, so that after a quote that is never
            closed every later line counts.
        columns: What the header of a table must name, once each.

    Raises:
        InputError: A table whose header is damaged, or does not name the columns once.

    >>> list(rows(io.BytesIO(b'text,label\\none,joy\\n"two\\nthree,fear\\n'), Format.CSV, print))
    3 expected a row of a table, got a quote that is never closed
    [(2, {'text': 'one', 'label': 'joy'}), (4, {'text': 'three', 'label': 'fear'})]
    """
    separated = format in (Format.CSV, Format.TSV)
    # Bytes that are no UTF-8 become surrogates, so that the lines without them can be read.
    decoded = io.TextIOWrapper(
        cast(Any, stream), encoding="utf-8-sig", errors="surrogateescape", newline="" if separated else "\n"
    )
    try:
        if separated:
            yield from _table(decoded, "\t" if format is Format.TSV else ",", damaged, columns)
        else:
            yield from _lines(decoded, format, damaged)
    finally:
        decoded.detach()


def cell(row: Row, column: str) -> Any:
    """What a row has in a column.

    Raises:
        ValueError: There is no such column.
    """
    if column not in row:
        raise ValueError(f"expected the column {column!r}, got {', '.join(map(str, row))!s:.80}")
    return row[column]


def as_text(value: Any, column: str) -> str:
    """A value that is a text, with something in it.

    Args:
        value: The value.
        column: Where it stands.

    Raises:
        ValueError: Something else, or nothing.
    """
    if not isinstance(value, str):
        raise ValueError(f"expected a text in {column!r}, got {value!r:.60}")
    if not value.strip():
        raise ValueError("expected a text, got an empty one")
    if not _is_utf8(value):
        raise ValueError(f"expected a text in {column!r}, got half of a letter")
    return value


def _lines(decoded: Iterable[str], format: Format, damaged: Report) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(decoded, start=1):
        if not line.strip():
            continue
        if not _is_utf8(line):
            damaged(number, _NOT_UTF8)
        elif format is Format.TXT:
            yield number, {"text": line.removesuffix("\n").removesuffix("\r")}
        else:
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                damaged(number, f"expected JSON, got {line.strip()!r:.40} ({error!s:.80})")
                continue
            if isinstance(row, str):
                yield number, {"text": row}
            elif isinstance(row, dict):
                yield number, row
            else:
                damaged(number, f"expected a JSON object or a text, got {row!r:.40}")


def _table(
    decoded: Iterator[str], delimiter: str, damaged: Report, columns: Sequence[str]
) -> Iterator[tuple[int, Row]]:
    header: list[str] | None = None
    for number, n_lines, cells in _records(decoded, delimiter):
        if header is None:
            if isinstance(cells, str):
                raise InputError(f"line {number}: expected the names of the columns, but {cells}")
            header = cells
            missing = [name for name in columns if name not in header]
            if missing:
                raise InputError(f"column: expected {missing[0]!r} in the header of the table, got {header!r:.200}")
            twice = [name for name in columns if header.count(name) > 1]
            if twice:
                raise InputError(f"column: expected {twice[0]!r} once in the header of the table, got {header!r:.200}")
        elif isinstance(cells, str):
            damaged(number, cells)
        elif len(cells) == len(header):
            yield number, dict(zip(header, cells, strict=True))
        else:
            over = f" in a row over {n_lines} lines" if n_lines > 1 else ""
            damaged(number, f"expected {len(header)} cells, as in the header, got {len(cells)}{over}")


def _records(decoded: Iterator[str], delimiter: str) -> Iterator[tuple[int, int, list[str] | str]]:
    """Where rows begin, over how many lines they go, and their cells; or what is wrong with the line there."""
    again = deque[str]()  # lines that were taken for parts of a row
    number = 1
    while True:
        taken = list[str]()
        try:
            cells = _parsed(_taking(taken, again, decoded), delimiter)
        except csv.Error as error:
            again.extendleft(reversed(taken[1:]))
            unclosed = "unexpected end" in str(error)
            got = "a quote that is never closed" if unclosed else f"something else ({error})"
            yield number, 1, f"expected a row of a table, got {got}"
            number += 1
            continue
        if not taken:
            return
        if cells:
            well = _is_utf8("".join(taken))
            yield number, len(taken), cells if well else _NOT_UTF8
        number += len(taken)


def _taking(taken: list[str], again: deque[str], decoded: Iterator[str]) -> Iterator[str]:
    """The next lines, as many as a row may span, which are noted."""
    letters = 0
    while len(taken) < _MOST_LINES and letters < _MOST_LETTERS:
        line = again.popleft() if again else next(decoded, None)
        if line is None:
            return
        taken.append(line)
        letters += len(line)
        yield line


def _parsed(lines: Iterator[str], delimiter: str) -> list[str]:
    """The cells of the row that begins with the first line; none where there is no line, or nothing in it."""
    limit = csv.field_size_limit(2**31 - 1)  # texts may be long; others keep their own limit
    try:
        return next(csv.reader(lines, delimiter=delimiter, strict=True), [])
    finally:
        csv.field_size_limit(limit)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
