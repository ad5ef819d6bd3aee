"""Results of a long run, appended line by line, so that a killed run goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from interpreto.errors import InputError, StoreError
from interpreto.saving import write_whole

FORMAT = 1


class Journal:
    """A file with a JSON object a line, each with the number of its line of the input, in rising order.

    Beside it stands `<name>.run`, which says what command it is of: one with other options or another input may not go
    on with it. A last line that was only half written is taken away.

    Args:
        path: The file.
        command: What makes the results what they are, as plain values.
        overwrite: Whether what is there goes.

    `done` are the lines of the input that have results, and `last` the last one of them, 0 where there is none.

    Raises:
        InputError: A file of another command, or of none.
        StoreError: A file that cannot be written.
    """

    def __init__(self, path: Path, command: Mapping[str, Any], *, overwrite: bool = False) -> None:
        self.path = path
        self._about = path.with_name(path.name + ".run")
        about = json.loads(json.dumps({"journal": FORMAT, **command}))
        try:
            if overwrite:
                path.unlink(missing_ok=True)
            self.done: frozenset[int] = frozenset()
            if path.exists() and path.stat().st_size:
                self._check(about)
                self.done = self._found()
            if not self.done:  # nothing of another command can be lost
                write_whole(self._about, (json.dumps(about, indent=1) + "\n").encode(), "out")
            self.last = max(self.done, default=0)
            self._stream: IO[str] = path.open("a", encoding="utf-8", newline="\n")
        except OSError as error:
            raise StoreError(f"out: {path} could not be written ({error}); take another place") from error

    def append(self, number: int, result: Mapping[str, Any]) -> None:
        """Write the result of a line, at once.

        Raises:
            StoreError: It cannot be written.
        """
        try:
            self._stream.write(json_line(number, result))
            self._stream.flush()
        except OSError as error:
            raise StoreError(f"out: {self.path} could not be written ({error}); make room, and run it again") from error

    def close(self) -> None:
        """Nothing more comes."""
        self._stream.close()

    def _check(self, about: Mapping[str, Any]) -> None:
        """Refuse to go on with what another command began."""
        if not self._about.exists():
            raise InputError(f"out: {self.path} holds something else; pass --overwrite, or another name")
        try:
            known = json.loads(self._about.read_text(encoding="utf-8"))
            changed = sorted(name for name in {*known, *about} if known.get(name) != about.get(name))
        except (ValueError, TypeError, AttributeError):
            changed = ["file"]
        if changed:
            raise InputError(
                f"out: {self.path} was begun by another command (other: {', '.join(changed)}); pass --overwrite, or "
                "another name"
            )

    def _found(self) -> frozenset[int]:
        """The lines that have results; what a killed run wrote of one more goes."""
        done, end = list[int](), 0
        with self.path.open("rb+") as stream:
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                try:
                    number = json.loads(line)["line"]
                except (ValueError, TypeError, KeyError):
                    break
                done.append(number)
                end += len(line)
            else:
                return frozenset(done)
            if stream.read(1):
                raise InputError(
                    f"out: {self.path}: line {len(done) + 1} is damaged, and not the last one; pass --overwrite, or "
                    "another name"
                )
            stream.truncate(end)
        return frozenset(done)


def json_line(number: int, result: Mapping[str, Any]) -> str:
    """A result as one line of JSON, with the number of its line of the input."""
    return json.dumps({"line": number, **result}, ensure_ascii=True, allow_nan=False) + "\n"
