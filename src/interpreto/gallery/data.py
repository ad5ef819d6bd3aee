"""Texts of a gallery: written in the spec, or in a file beside it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interpreto.errors import InputError
from interpreto.gallery.nodes import Node

_ENDINGS = (".txt", ".csv", ".jsonl")


@dataclass(frozen=True, slots=True)
class Data:
    """Texts, and what is known of them.

    Args:
        name: What the gallery calls them.
        texts: The texts.
        truths: What the data say of each, where they say anything.
        outputs: What was written after each, where that is given and not to be generated.
    """

    name: str
    texts: tuple[str, ...]
    truths: tuple[str | None, ...]
    outputs: tuple[str, ...] | None = None


def read_data(name: str, node: Node, folder: Path) -> Data:
    """Texts by their entry in the spec.

    Args:
        name: What to call them.
        node: The entry.
        folder: Where file names begin.

    Raises:
        InputError: No such file or column, or something else than texts.
    """
    keys = node.keys("texts", "file", "column", "truth", "output", "limit")
    if ("texts" in keys) == ("file" in keys):
        raise node.wrong("either texts or a file", "give one of the two")
    if "file" in keys:
        rows = _rows_of_file(keys["file"], folder)
        column = keys["column"].text() if "column" in keys else "text"
        truth, names = _truth(keys.get("truth"))
        output = keys["output"].text() if "output" in keys else None
    else:
        for key in ("column", "truth", "output"):
            if key in keys:
                raise InputError(
                    f"{keys[key].where}: for files alone; write it beside each text: {{text: ..., {key}: ...}}"
                )
        column, truth, output, names = "text", "truth", "output", None
        rows = [_row(item) for item in keys["texts"]]
        output = output if any("output" in row for _, row in rows) else None
    if "limit" in keys:
        rows = rows[: keys["limit"].count(1)]
    if not rows:
        raise InputError(f"{node.where}: expected at least one text, got none")
    texts = tuple(_cell(where, row, column) for where, row in rows)
    truths = tuple(None if truth is None else _label(where, row, truth, names) for where, row in rows)
    outputs = None if output is None else tuple(_cell(where, row, output) for where, row in rows)
    return Data(name, texts, truths, outputs)


_Row = tuple[str, dict[str, Any]]


def _row(node: Node) -> _Row:
    """A text of the spec, alone or with what is known of it."""
    if not isinstance(node.value, dict):
        return node.where, {"text": node.text(), "truth": None}
    keys = node.keys("text", "truth", "output", needed=["text"])
    return node.where, {"truth": None, **{key: value.value for key, value in keys.items()}}


def _truth(node: Node | None) -> tuple[str | None, Sequence[str] | None]:
    """The column that holds it, and what its numbers mean."""
    if node is None:
        return None, None
    if not isinstance(node.value, dict):
        return node.text(), None
    keys = node.keys("column", "names", needed=["column"])
    return keys["column"].text(), keys["names"].texts() if "names" in keys else None


def _rows_of_file(node: Node, folder: Path) -> list[_Row]:
    path = folder / node.text()
    if path.suffix.lower() not in _ENDINGS:
        raise node.wrong(f"a file whose name ends in {', '.join(_ENDINGS)}")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{node.where}: expected a file in UTF-8, got {path} ({error})") from error
    read: dict[str, Callable[[str], list[tuple[int, Any]]]] = {".txt": _lines, ".csv": _table, ".jsonl": _objects}
    try:
        numbered = read[path.suffix.lower()](text)
    except (ValueError, csv.Error) as error:
        raise InputError(f"{node.where}: {path.name} could not be read: {error}") from error
    return [(f"{node.where}: {path.name}, line {number}", row) for number, row in numbered]


def _lines(text: str) -> list[tuple[int, Any]]:
    return [(number, {"text": line}) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]


def _table(text: str) -> list[tuple[int, Any]]:
    reader = csv.DictReader(io.StringIO(text), strict=True)
    return [(reader.line_num, row) for row in reader]


def _objects(text: str) -> list[tuple[int, Any]]:
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"line {number}: expected an object, got {line:.60}")
            rows.append((number, row))
    return rows


def _cell(where: str, row: dict[str, Any], column: str) -> str:
    if column not in row:
        raise InputError(f"{where}: expected the column {column!r}, got {', '.join(map(str, row))}")
    value = row[column]
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{where}: expected a text in {column!r}, got {value!r:.60}")
    return value


def _label(where: str, row: dict[str, Any], column: str, names: Sequence[str] | None) -> str | None:
    """What the data say of a text: a word, or a number that stands for one."""
    if column not in row:
        raise InputError(f"{where}: expected the column {column!r}, got {', '.join(map(str, row))}")
    value = row[column]
    if value is None or value == "":
        return None
    if names is None:
        return str(value)
    number = int(value) if str(value).isdecimal() else -1
    if not 0 <= number < len(names):
        raise InputError(f"{where}: expected a number from 0 to {len(names) - 1} in {column!r}, got {value!r:.60}")
    return names[number]
