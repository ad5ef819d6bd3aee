"""Texts of a gallery: written in the spec, or in a file beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from interpreto.errors import InputError
from interpreto.gallery.nodes import Node
from interpreto.text_files import Format, Row, as_text, cell, rows


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
    found: Iterable[_Placed]
    if "file" in keys:
        column = keys["column"].text() if "column" in keys else "text"
        truth, names = _truth(keys.get("truth"))
        output = keys["output"].text() if "output" in keys else None
        found = _rows_of_file(keys["file"], folder, [name for name in (column, truth, output) if name])
    else:
        for key in ("column", "truth", "output"):
            if key in keys:
                raise InputError(
                    f"{keys[key].where}: for files alone; write it beside each text: {{text: ..., {key}: ...}}"
                )
        column, truth, output, names = "text", "truth", "output", None
        found = [_row(item) for item in keys["texts"]]
        output = output if any("output" in row for _, row in found) else None
    placed = list(islice(found, keys["limit"].count(1) if "limit" in keys else None))
    if not placed:
        raise InputError(f"{node.where}: expected at least one text, got none")
    texts = tuple(_text(where, row, column) for where, row in placed)
    truths = tuple(None if truth is None else _label(where, row, truth, names) for where, row in placed)
    outputs = None if output is None else tuple(_text(where, row, output) for where, row in placed)
    return Data(name, texts, truths, outputs)


_Placed = tuple[str, Row]


def _row(node: Node) -> _Placed:
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


def _rows_of_file(node: Node, folder: Path, columns: Sequence[str]) -> Iterator[_Placed]:
    """Rows and where they stand, read as they are needed; the first damaged line is an error."""
    path = folder / node.text()
    ending = path.suffix.lower().removeprefix(".")
    if ending not in list(Format):
        raise node.wrong(f"a file whose name ends in {', '.join(f'.{known.value}' for known in Format)}")

    def damaged(number: int, problem: str) -> None:
        raise InputError(f"line {number}: {problem}")

    try:
        with path.open("rb") as stream:
            for number, row in rows(stream, Format(ending), damaged, columns):
                yield f"{node.where}: {path.name}, line {number}", row
    except InputError as error:
        raise InputError(f"{node.where}: {path.name}, {error}") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{node.where}: expected a file that can be read, got {path} ({error})") from error


def _text(where: str, row: Row, column: str) -> str:
    try:
        return as_text(cell(row, column), column)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error


def _label(where: str, row: Row, column: str, names: Sequence[str] | None) -> str | None:
    """What the data say of a text: a word, or a number that stands for one."""
    try:
        value = cell(row, column)
        if value is None or value == "":
            return None
        if names is None:
            return as_text(str(value), column)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error
    number = int(value) if str(value).isdecimal() else -1
    if not 0 <= number < len(names):
        raise InputError(f"{where}: expected a number from 0 to {len(names) - 1} in {column!r}, got {value!r:.60}")
    return names[number]
