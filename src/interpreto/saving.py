"""Results as files: written and read in one way, whatever they are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, TypeVar

from interpreto.errors import InputError, StoreError

Self = TypeVar("Self", bound="SavedAsJson")


class SavedAsJson(ABC):
    """A result that is JSON both ways, as text and as a file."""

    __slots__ = ()

    saved_as: ClassVar[str]
    """What a file of it is called in errors."""

    @abstractmethod
    def to_json(self) -> str:
        """As one line of JSON."""

    @classmethod
    @abstractmethod
    def from_json(cls: type[Self], text: str) -> Self:
        """The inverse of `to_json`.

        Raises:
            InputError: Something else.
        """

    def save(self, path: str | Path) -> Path:
        """Write the JSON to a file.

        Raises:
            StoreError: The file cannot be written.
        """
        try:
            Path(path).write_text(self.to_json() + "\n", encoding="utf-8")
        except OSError as error:
            raise StoreError(f"{path}: could not be written ({error}); take another place") from error
        return Path(path)

    @classmethod
    def load(cls: type[Self], path: str | Path) -> Self:
        """Read a file that `save` wrote.

        Raises:
            InputError: No file, or one of something else.
        """
        try:
            text = Path(path).read_bytes().decode("utf-8", "replace")
        except OSError as error:
            raise InputError(f"path: expected a file of {cls.saved_as}, got {path} ({error})") from error
        return cls.from_json(text)
