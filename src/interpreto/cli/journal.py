"""Results of a long run, appended line by line, so that a killed run goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from interpreto.errors import InputError, StoreError
from interpreto.saving import replace_whole

FORMAT = 2


class Journal:
    """A file with a JSON object a line, each with the number of its line of the input, in rising order.

    Beside it stands `<name>.run`, which says what command it is of: one with other options, another input or another
    model may not go on with it. A last line that was only half written is taken away. `<name>.lock` keeps other runs
    out while this one writes; the system takes the lock off a run that is killed, and the empty file stays.

    What another command left there stays until the first result is appended.

    Args:
        path: The file.
        command: What makes the results what they are, as plain values.
        overwrite: Whether what is there goes.

    `done` are the lines of the input that have results, and `last` the last one of them, 0 where there is none.

    Raises:
        InputError: A file of another command, or of none; one that another run is writing, or two runs wrote.
        StoreError: A file that cannot be written.
    """

    def __init__(self, path: Path, command: Mapping[str, Any], *, overwrite: bool = False) -> None:
        self.path = path
        self._about: dict[str, Any] = json.loads(json.dumps({"journal": FORMAT, **command}))
        self._known: dict[str, Any] = {}
        self.done: frozenset[int] = frozenset()
        place = path.resolve()  # of a link, so that all its names share what stands beside it
        self._about_path = place.with_name(place.name + ".run")
        lock = FileLock(place.with_name(place.name + ".lock"), timeout=0)
        with self._writing("take another place"), ExitStack() as held:
            self._stream: IO[str] = held.enter_context(path.open("a", encoding="utf-8", newline="\n"))
            try:
                held.enter_context(lock)
            except Timeout:
                raise InputError(
                    f"out: {path} is being written by another run; wait until it ends, or take another name"
                ) from None
            if not overwrite and path.stat().st_size:
                self._check()
                self.done = self._found()
            self._held = held.pop_all()
        self.last: int = max(self.done, default=0)
        self._begun = bool(self.done)

    def confirm(self, weights: str) -> None:
        """Compare the model, once it is loaded: a name may be that of another one by now.

        Args:
            weights: Its fingerprint.

        Raises:
            InputError: Another one began the file.
        """
        self._about["weights"] = weights
        if self._begun and self._known.get("weights") != weights:
            raise InputError(
                f"out: {self.path} was begun with another model of this name (other: weights); pass --overwrite, or "
                "another name"
            )

    def append(self, number: int, result: Mapping[str, Any]) -> None:
        """Write the result of a line, at once.

        Raises:
            StoreError: It cannot be written.
        """
        with self._writing("make room, and run it again"):
            self._begin()
            self._stream.write(json_line(number, result))
            self._stream.flush()

    def finish(self) -> None:
        """The run is through; without a result the file is empty now.

        Raises:
            StoreError: It cannot be written.
        """
        with self._writing("make room, and run it again"):
            self._begin()
        self.close()

    def close(self) -> None:
        """Let go of the file, as it is."""
        with suppress(OSError):  # of a line that could not be appended, which was said
            self._held.close()

    def _begin(self) -> None:
        """Make the file one of this command. An empty one is nobody's, so that a kill between the steps does no harm.

        Raises:
            OSError: It cannot be written.
        """
        if self._begun:
            return
        self._stream.truncate(0)
        about = (json.dumps(self._about, indent=1) + "\n").encode()
        replace_whole(self._about_path, lambda draft: draft.write_bytes(about))
        self._begun = True

    @contextmanager
    def _writing(self, what_to_do: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(f"out: {self.path} could not be written ({error}); {what_to_do}") from error

    def _check(self) -> None:
        """Refuse to go on with what another command began."""
        if not self._about_path.exists():
            raise InputError(f"out: {self.path} holds something else; pass --overwrite, or another name")
        try:
            self._known = json.loads(self._about_path.read_text(encoding="utf-8"))
            names = {*self._known, *self._about} - {"weights"}
            changed = sorted(name for name in names if self._known.get(name) != self._about.get(name))
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
                number = _number(line)
                if number is None:
                    break
                if done and number <= done[-1]:
                    raise InputError(
                        f"out: {self.path}: line {len(done) + 1} is the result of line {number} of the texts, after "
                        f"that of line {done[-1]}, as if two runs wrote it; pass --overwrite, or another name"
                    )
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


def _number(line: bytes) -> int | None:
    """The number in a line of the file; `None` for one that was not written whole."""
    try:
        number = json.loads(line)["line"] if line.endswith(b"\n") else None
    except (ValueError, TypeError, KeyError):
        return None
    return number if isinstance(number, int) else None
