"""Results as files: written and read in one way, whatever they are, and there as a whole or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from errno import ELOOP
from pathlib import Path
from secrets import token_hex
from typing import Any, ClassVar, TypeVar

from interpreto.errors import InputError, StoreError

Self = TypeVar("Self", bound="SavedAsJson")


class SavedAsJson(ABC):
    """A result that is JSON both ways, as text and as a file."""

    __slots__ = ()

    saved_as: ClassVar[str]
    """What it is called in errors."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """As plain values, ready for JSON."""

    @classmethod
    @abstractmethod
    def from_dict(cls: type[Self], data: dict[str, Any]) -> Self:
        """The inverse of `to_dict`.

        Raises:
            InputError: Something else, or a newer format; what is damaged may raise other errors.
        """

    def to_json(self) -> str:
        """As one line of JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=True, allow_nan=False)

    @classmethod
    def from_json(cls: type[Self], text: str) -> Self:
        """The inverse of `to_json`.

        Raises:
            InputError: Something else.
        """
        try:
            return cls.from_dict(json.loads(text))
        except InputError:
            raise
        except (ValueError, TypeError, LookupError, AttributeError, RuntimeError, OverflowError) as error:
            problem = f"{type(error).__name__}: {error}"
            raise InputError(
                f"file: expected the JSON of {cls.saved_as}, as save() writes it, got {text!r:.60} ({problem:.120})"
            ) from error

    def save(self, path: str | Path) -> Path:
        """Write the JSON to a file.

        Raises:
            StoreError: The file cannot be written.
        """
        write_whole(path, (self.to_json() + "\n").encode())
        return Path(path)

    @classmethod
    def load(cls: type[Self], path: str | Path) -> Self:
        """Read a file that `save` wrote.

        Raises:
            InputError: No file, or one of something else.
        """
        try:
            text = Path(path).read_bytes().decode()
        except OSError as error:
            raise InputError(f"path: expected a file of {cls.saved_as}, got {path} ({error})") from error
        except UnicodeDecodeError as error:
            raise InputError(f"file: expected the JSON of {cls.saved_as} in UTF-8, got {path} ({error})") from error
        return cls.from_json(text)


def write_whole(path: str | Path, data: bytes, option: str = "path") -> None:
    """Write a file so that it is there as a whole; where that fails, what was there before stays.

    Args:
        path: The file. What is no file of its own (a pipe, `/dev/stdout`) is written to as it is.
        data: What is in it.
        option: What the caller calls the path.

    Raises:
        StoreError: The file cannot be written.
    """
    try:
        number = re.fullmatch(r"/dev/(stdout|stderr|fd/(\d+))", str(path))
        place = Path(path).resolve()
        if place.is_symlink():  # as Python 3.13 leaves a circle of them, where earlier ones raise RuntimeError
            raise OSError(ELOOP, os.strerror(ELOOP))
        if number:
            with os.fdopen(os.dup(int(number[2] or {"stdout": 1, "stderr": 2}[number[1]])), "wb") as stream:
                stream.write(data)
        elif place.exists() and not place.is_file():
            place.write_bytes(data)
        elif not place.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {place.parent}")
        else:
            replace_whole(place, lambda draft: draft.write_bytes(data))
    except (OSError, RuntimeError, ValueError) as error:  # a circle of links, a name that cannot be one
        raise StoreError(f"{option}: {path} could not be written ({error}); take another place") from error


def replace_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Let a file be written beside its place and move it there in one step.

    Args:
        path: The file.
        write: Writes it, given where.

    Raises:
        OSError: It cannot be written; what was there before stays.
    """
    draft = path.with_name(f"{path.name}.{token_hex(4)}.part")
    try:
        write(draft)
        if path.exists():
            shutil.copymode(path, draft)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)
        with suppress(OSError):  # not every system lets a folder be opened
            _sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """See to it that the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
