"""Where explanations go: to standard output, into a file that grows line by line, or into one that is written last."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from interpreto.cli.commands import note
from interpreto.cli.journal import Journal, json_line
from interpreto.cli.written import write_explanations
from interpreto.errors import InterpretoError

if TYPE_CHECKING:
    from interpreto.attributions import Attribution
    from interpreto.cli.explaining import Explained
    from interpreto.cli.texts import Line


@dataclass
class Results:
    """Takes explanations as they come; a block of it that an error ends writes those that came.

    Nothing that stands in the file's place is replaced by a part: that is written beside it, as `<name>.partial.csv`.

    Args:
        out: A file; `None` for standard output.
        journal: The same as a file that a killed run goes on with.
        as_json: Whether JSON goes to standard output, one a line.
        numbered: Whether texts have numbers worth showing.
        count: How many came.
    """

    out: Path | None
    journal: Journal | None
    as_json: bool
    numbered: bool
    count: int = 0
    _kept: list[Explained] = field(default_factory=list)

    @property
    def shown(self) -> bool:
        """Whether anything goes to standard output."""
        return self.out is None or self.as_json

    @property
    def before(self) -> int:
        """How many an earlier run left."""
        return 0 if self.journal is None else len(self.journal.done)

    def skipped_before(self, lines: Sequence[Line]) -> set[int] | None:
        """Of lines that an earlier run went through, those it skipped; `None` if it was not through with them."""
        if self.journal is None or lines[-1].number > self.journal.last:
            return None
        return {line.number for line in lines} - self.journal.done

    def add(self, line: Line, result: Attribution) -> None:
        """Take in an explanation; one that an earlier run left is not written twice."""
        if self.journal is not None and line.number <= self.journal.last:
            return
        self.count += 1
        if self.journal is not None:
            self.journal.append(line.number, result.to_dict())
        elif self.out is not None:
            self._kept.append((line, result))
        if self.as_json:
            typer.echo(json_line(line.number, result.to_dict()), nl=False)
        elif self.out is None:
            head = f"line {line.number}: " if self.numbered else ""
            typer.echo(f"{head}{result.text(color=sys.stdout.isatty())}\n")

    def finish(self) -> None:
        """Write what is written last; without an explanation a table is its header, and there is no page or picture.

        Raises:
            StoreError: The file cannot be written.
        """
        if self.journal is not None:
            self.journal.finish()
        elif self.out is not None and (self._kept or self.out.suffix.lower() == ".csv"):
            kept, self._kept = self._kept, []
            write_explanations(self.out, kept)
        elif self.out is not None:
            stale = "; what is there is of an earlier run" if self.out.exists() else ""
            note(f"{self.out}: not written, for nothing was explained{stale}")

    def __enter__(self) -> Results:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.journal is not None:
            self.journal.close()
            if kind is not None and self.count:
                so_far = self.before + self.count
                note(f"{self.out}: {so_far} explained; the same command, on the same texts, goes on there")
        elif kind is not None and self.out is not None and self._kept:
            self._stop(self.out)

    def _stop(self, out: Path) -> None:
        """Write what came before the error, which is raised whether that can be done or not."""
        try:
            place = _free(out)
            write_explanations(place, self._kept)
        except (InterpretoError, OSError) as error:
            note(str(error))
        else:
            note(f"{place}: {len(self._kept)} explained, only up to line {self._kept[-1][0].number}")


def _free(out: Path) -> Path:
    """A place for a part where nothing is: the file's own, or one beside it."""
    place, count = out, 1
    while place.exists():
        place = out.with_name(f"{out.stem}.partial{f'-{count}' if count > 1 else ''}{out.suffix}")
        count += 1
    return place
