"""Files of others, read without trust: never a pickle, every tensor checked, one clear error."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from interpreto.errors import InputError


@dataclass(frozen=True, eq=False)
class SavedTensors:
    """The tensors of a file, given out in float32 once they are what was expected.

    Args:
        path: The file, for errors.
        tensors: By name, as they were written.
        as_written: Whether matrices are taken in the orientation that their format writes, where their shape does not
            tell it: the user named the format.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    as_written: bool = False

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def vector(self, name: str, length: int | None = None) -> Float[Tensor, " _"]:
        """A row of numbers.

        Raises:
            InputError: It is not there, has another shape or length, or holds NaN.
        """
        tensor = self._numbers(name)
        if tensor.dim() != 1 or len(tensor) == 0 or len(tensor) != (length or len(tensor)):
            raise InputError(
                f"{self.path}: expected {name!r} of shape ({length or 'n'},), got {tuple(tensor.shape)}; the files are "
                "of different autoencoders, or damaged"
            )
        return tensor

    def matrix(self, name: str, rows: int, columns: int, *, transposed: bool) -> Float[Tensor, "_ _"]:
        """A matrix in the orientation that is wanted, whichever it was written in.

        Args:
            name: Its name.
            rows: Rows that are wanted.
            columns: Columns that are wanted.
            transposed: Whether the format writes its transpose; asked only where there are as many rows as columns.

        Raises:
            InputError: It is not there, has another shape, or holds NaN; as many rows as columns, so that it cannot be
                told from its transpose, where the format was not named.
        """
        tensor = self._numbers(name)
        shape = tuple(tensor.shape)
        if rows == columns and shape == (rows, columns) and not self.as_written:
            raise InputError(
                f"{self.path}: expected other numbers of concepts than of dimensions, got {rows} of both, so that "
                f"{name!r} cannot be told from its transpose; pass format=... to take it as that format writes it"
            )
        if shape not in ((rows, columns), (columns, rows)):
            raise InputError(
                f"{self.path}: expected {name!r} of shape ({rows}, {columns}) or ({columns}, {rows}), got {shape}; the "
                "files are of different autoencoders, or damaged"
            )
        flip = transposed if rows == columns else shape == (columns, rows)
        return (tensor.T if flip else tensor).contiguous()

    def number(self, name: str) -> float:
        """A single number.

        Raises:
            InputError: It is not there, or several.
        """
        tensor = self._get(name)
        if tensor.numel() != 1:
            raise InputError(f"{self.path}: expected {name!r} to be one number, got shape {tuple(tensor.shape)}")
        return float(tensor)

    def _get(self, name: str) -> Tensor:
        if name not in self.tensors:
            raise InputError(f"{self.path}: expected a tensor {name!r}, got {sorted(self.tensors)}")
        return self.tensors[name]

    def _numbers(self, name: str) -> Tensor:
        tensor = self._get(name)
        if not tensor.is_floating_point():
            raise InputError(f"{self.path}: expected floats in {name!r}, got {tensor.dtype}")
        tensor = tensor.float()
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{self.path}: expected numbers in {name!r}, got NaN or infinity; the file is damaged")
        return tensor


def read_tensors(path: Path, *, as_written: bool = False) -> SavedTensors:
    """The tensors of a `.safetensors`, `.npz` or `.pt` file; a `.pt` that holds anything but tensors is refused.

    Raises:
        InputError: No such file, a damaged one, or one with code in it.
    """
    try:
        if path.suffix == ".safetensors":
            return SavedTensors(path, load_file(path), as_written)
        if path.suffix == ".npz":
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
                return SavedTensors(path, {name: torch.from_numpy(arrays[name]) for name in arrays.files}, as_written)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path}: expected tensors alone, got a file with something else in it, which is never run ({error!s:.200})"
        ) from None
    except FileNotFoundError:
        raise InputError(f"{path}: expected a file with tensors, there is none") from None
    except Exception as error:  # readers of damaged files stumble in many ways
        raise InputError(f"{path}: expected a file with tensors, got a damaged one ({error!r:.200})") from error
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise InputError(f"{path}: expected tensors by name, got {type(found).__name__}")
    return SavedTensors(path, {str(name): value for name, value in found.items()}, as_written)


@dataclass(frozen=True, eq=False)
class SavedSettings:
    """A JSON object, whose entries are checked where they are read.

    Args:
        path: The file, for errors.
        values: What it says.
    """

    path: Path
    values: Mapping[str, Any]

    def get(self, name: str, default: Any = None) -> Any:
        """An entry, or the default where it is missing or null."""
        value = self.values.get(name)
        return default if value is None else value

    def part(self, name: str) -> SavedSettings:
        """The object inside, or nothing.

        Raises:
            InputError: Something else is there.
        """
        value = self.get(name, {})
        if not isinstance(value, Mapping):
            raise InputError(f"{self.path}: expected {name!r} to be an object, got {value!r:.60}")
        return SavedSettings(self.path, value)

    def text(self, name: str) -> str | None:
        """A text, or nothing.

        Raises:
            InputError: Something else is there.
        """
        value = self.get(name)
        if value is not None and not isinstance(value, str):
            raise InputError(f"{self.path}: expected {name!r} to be a text, got {value!r:.60}")
        return value

    def count(self, name: str, default: int | None = None) -> int:
        """A whole number above 0.

        Raises:
            InputError: Something else is there, or nothing and no default.
        """
        value = self.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"{self.path}: expected {name!r} to be a whole number above 0, got {value!r:.60}")
        return value

    def number(self, name: str) -> float:
        """A finite number.

        Raises:
            InputError: Something else is there, or nothing.
        """
        value = self.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
            raise InputError(f"{self.path}: expected {name!r} to be a number, got {value!r:.60}")
        return float(value)

    def flag(self, name: str, default: bool = False) -> bool:
        """Yes or no.

        Raises:
            InputError: Something else is there.
        """
        value = self.get(name, default)
        if not isinstance(value, bool):
            raise InputError(f"{self.path}: expected {name!r} to be true or false, got {value!r:.60}")
        return value

    def check_width(self, name: str, found: int) -> None:
        """Compare a size with that of the tensors, where the settings name it.

        Raises:
            InputError: They differ.
        """
        if self.get(name) is not None and self.count(name) != found:
            raise InputError(
                f"{self.path}: expected tensors of {name} {self.count(name)}, got {found}; the files are of different "
                "autoencoders"
            )

    def refuse(self, what: str, why: str) -> InputError:
        """The error for what this library has no autoencoder for."""
        return InputError(f"{self.path}: expected an autoencoder that can be represented, got {what}: {why}")


def read_settings(path: Path, *, needed: bool = True) -> SavedSettings:
    """A file with a JSON object.

    Args:
        path: The file.
        needed: Whether it must be there; otherwise no file is an empty object.

    Raises:
        InputError: No such file, or a damaged one.
    """
    if not needed and not path.is_file():
        return SavedSettings(path, {})
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: expected a file with settings, there is none") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected a JSON object, got a damaged file ({error!s:.200})") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(values).__name__}")
    return SavedSettings(path, values)
