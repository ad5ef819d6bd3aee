"""A folder with tensors beside plain values: written as a whole, read without pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from interpreto.errors import InputError, StoreError

_PAIR = "pair"


@dataclass(frozen=True, slots=True)
class TensorFolder:
    """Two files: tensors as safetensors, everything else as JSON.

    Args:
        tensors: Name of the one.
        about: Name of the other.
        holds: What a folder of this kind holds, for errors.
        paired: Whether both files bear a mark, so that files of two writings are not taken for one.
    """

    tensors: str
    about: str
    holds: str
    paired: bool = True

    def write(self, folder: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
        """Write both.

        Args:
            folder: Made if it is not there.
            tensors: By name.
            about: Ready for JSON.

        Raises:
            StoreError: The folder cannot be written; where it is full, what was saved there before is still whole.
        """
        apart = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        pair = sha256(json.dumps(about, allow_nan=False).encode()).hexdigest()[:16]
        marked = {**about, _PAIR: pair} if self.paired else about
        drafts = [folder / f"{name}.{token_hex(4)}.part" for name in (self.tensors, self.about)]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                save_file(apart, drafts[0], {_PAIR: pair} if self.paired else None)
                drafts[1].write_text(json.dumps(marked, indent=1) + "\n", encoding="utf-8")
                for draft, name in zip(drafts, (self.tensors, self.about), strict=True):
                    draft.replace(folder / name)
            finally:
                for draft in drafts:
                    draft.unlink(missing_ok=True)
        except (OSError, SafetensorError) as error:
            raise StoreError(f"{folder}: could not be written ({error}); make room, or take another folder") from error

    def read(self, folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The tensors, and everything else.

        Raises:
            InputError: Nothing there, or a damaged file.
        """
        try:
            about = json.loads((folder / self.about).read_text(encoding="utf-8"))
            with safe_open(folder / self.tensors, framework="pt") as file:
                pair = (file.metadata() or {}).get(_PAIR)
            tensors = load_file(folder / self.tensors)
        except FileNotFoundError as error:
            missing = next(name for name in (self.about, self.tensors) if not (folder / name).is_file())
            raise InputError(f"{folder}: expected a folder with {self.holds}, no file {missing}") from error
        except (SafetensorError, ValueError, RecursionError, OSError) as error:
            raise self.damaged(folder, error) from error
        if not isinstance(about, dict):
            raise self.damaged(folder, f"{self.about} is no object")
        if len({about.pop(_PAIR, None), pair} - {None}) > 1:
            raise self.damaged(folder, f"{self.tensors} was not written together with {self.about}")
        return tensors, about

    def damaged(self, folder: Path, problem: object) -> InputError:
        """The error of files that do not hold what they should."""
        return InputError(f"{folder}: expected {self.holds}, got a damaged file ({problem}); save them again")
