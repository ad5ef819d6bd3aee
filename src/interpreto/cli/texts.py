"""Texts from the command line, a file or standard input: one at a time, each with the number of its line."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, cast

import typer

from interpreto.cli.commands import SKIPPED, note
from interpreto.errors import InputError
from interpreto.text_files import Format, Row, as_text, cell, rows


class OnError(str, Enum):
    """What a line that cannot be used leads to."""

    STOP = "stop"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Line:
    """A text of the input.

    Args:
        number: Which line it begins on, from 1; of texts on the command line, which of them.
        text: A text, a pair of texts, or a chat.
        target: What its line says that it is explained for; `None` where it says nothing.
    """

    number: int
    text: Any
    target: Any = None


@dataclass
class Damaged:
    """What happens to lines that cannot be used: the first one ends the run, or they are reported and counted.

    Args:
        on_error: Which of the two.
        numbers: The lines so far.
    """

    on_error: OnError
    numbers: set[int] = field(default_factory=set)

    def __call__(self, number: int, problem: str) -> None:
        """Take in a damaged line.

        Raises:
            InputError: The run ends here.
        """
        if self.on_error is OnError.STOP:
            raise InputError(f"line {number}: {problem}; --on-error skip goes on without such lines")
        self.numbers.add(number)
        note(f"line {number}: skipped: {problem}")

    def leave(self) -> None:
        """End the command, with the exit code that says whether lines were skipped.

        Raises:
            Exit: Some were.
        """
        if self.numbers:
            raise typer.Exit(SKIPPED)


@dataclass(frozen=True, eq=False)
class Texts:
    """Where texts come from.

    Args:
        given: Texts of the command line, or `None` for those of a file.
        file: The file; one that was opened is standard input.
        format: How it holds texts.
        columns: The column with the text; two for pairs of texts.
        target_column: The column with the target, if there is one; an empty cell of a table says nothing.
    """

    given: tuple[str, ...] | None
    file: Path | io.BufferedIOBase | None
    format: Format
    columns: tuple[str, ...] = ("text",)
    target_column: str | None = None

    def digest(self) -> str:
        """SHA-256 of all that is read."""
        if self.given is not None:
            return hashlib.sha256(json.dumps(self.given).encode()).hexdigest()
        found = hashlib.sha256()
        for block in self._blocks():
            found.update(block)
        return found.hexdigest()

    def n_lines(self) -> int:
        """How many lines there are."""
        if self.given is not None:
            return len(self.given)
        return sum(block.count(b"\n") for block in self._blocks())

    def lines(self, damaged: Damaged) -> Iterator[Line]:
        """The texts that can be used.

        Raises:
            InputError: A damaged line, where those end the run; a table without the column.
        """
        for number, row in self._rows(damaged):
            try:
                texts = [_text(row, column) for column in self.columns]
                target = None if self.target_column is None else cell(row, self.target_column)
                if target == "" and self.format in (Format.CSV, Format.TSV):  # a table has no other way to say nothing
                    target = None
            except ValueError as error:
                damaged(number, str(error))
                continue
            yield Line(number, texts[0] if len(texts) == 1 else tuple(texts), target)

    def _rows(self, damaged: Damaged) -> Iterator[tuple[int, Row]]:
        """Line numbers and what is in the columns, read as it is needed."""
        if self.given is not None:
            yield from ((k, {"text": text}) for k, text in enumerate(self.given, start=1))
            return
        wanted = self.columns if self.target_column is None else (*self.columns, self.target_column)
        with self._opened() as stream:
            yield from rows(stream, self.format, damaged, wanted)

    def _blocks(self) -> Iterator[bytes]:
        """All bytes, some at a time."""
        with self._opened() as stream:
            while block := stream.read(1 << 20):
                yield block

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """The file at its beginning."""
        if isinstance(self.file, Path):
            with self.file.open("rb") as stream:
                yield stream
        elif self.file is not None:
            self.file.seek(0)
            yield self.file


def open_texts(
    texts: Sequence[str] | None,
    file: Path | None,
    format: Format | None,
    columns: Sequence[str] | None,
    target_column: str | None = None,
) -> Texts:
    """The texts of a command: `--text`, `--file`, or what is piped into it.

    Args:
        texts: Those of `--text`.
        file: A file; `-` for standard input.
        format: How it holds texts; by default what the file's name says, and a text a line for standard input.
        columns: The column with the text, or the two with the pair.
        target_column: The column with the target.

    Raises:
        InputError: Texts and a file, neither, no such file, or a format that is not known.
    """
    columns = tuple(columns or ("text",))
    if len(columns) > 2:
        raise InputError(f"column: expected one, or two for pairs of texts, got {len(columns)}")
    if texts:
        if file is not None:
            raise InputError("text: expected either texts or a file, got both")
        return Texts(tuple(texts), None, Format.TXT)
    if file is None and sys.stdin.isatty():
        raise InputError('text: expected texts, got none; pass --text "..." or --file, or pipe a file into the command')
    if file is None or str(file) == "-":
        return Texts(
            None, _kept(cast(io.BufferedIOBase, sys.stdin.buffer)), format or Format.TXT, columns, target_column
        )
    ending = file.suffix.lower().removeprefix(".")
    if format is None and ending not in list(Format):
        raise InputError(f"file: expected a name that ends in .txt, .jsonl, .csv or .tsv, got {file}; or pass --format")
    try:
        if not stat.S_ISREG(file.stat().st_mode):  # what a shell makes of <(command) can be read only once
            with file.open("rb") as stream:
                return Texts(None, _kept(stream), format or Format(ending), columns, target_column)
        file.open("rb").close()
    except OSError as error:
        raise InputError(f"file: expected one that can be read, got {file} ({error.strerror})") from error
    return Texts(None, file, format or Format(ending), columns, target_column)


def all_texts(texts: Texts, damaged: Damaged) -> list[Any]:
    """All texts that can be used, without their numbers.

    Raises:
        InputError: There is none.
    """
    found = [line.text for line in texts.lines(damaged)]
    if not found:
        raise InputError("text: expected at least one that can be used, got none")
    return found


def _kept(stream: io.BufferedIOBase) -> io.BufferedIOBase:
    """A stream that can be read twice: what is piped is kept in a file that goes with the process."""
    if stream.seekable():
        return stream
    kept = cast(io.BufferedIOBase, tempfile.TemporaryFile())  # noqa: SIM115  # read later, and closed with the process
    shutil.copyfileobj(stream, kept)
    kept.seek(0)
    return kept


def _text(row: Row, column: str) -> Any:
    """A text, or a chat.

    Raises:
        ValueError: Something else, or nothing.
    """
    from interpreto.text.inputs import is_chat

    value = cell(row, column)
    return value if is_chat(value) else as_text(value, column)
