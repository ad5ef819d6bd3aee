"""A training kept on disk: tensors as safetensors with JSON in their header, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from interpreto.errors import InputError, StoreError
from interpreto.saving import replace_whole

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A file that holds one training.

    Args:
        path: The file; its folder is made if it is not there.
        about: What the training is known by, ready for JSON: a file with another `about` is refused.
    """

    path: Path
    about: Mapping[str, Any]

    def read(self) -> dict[str, Tensor] | None:
        """What was written last, or `None` where nothing was.

        Raises:
            InputError: A damaged file, or another training.
        """
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                known = json.loads(file.metadata()["about"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no dictionary
        except (SafetensorError, OSError, TypeError, KeyError, ValueError) as error:
            raise InputError(
                f"checkpoint: expected a training at {self.path}, got a damaged file ({error}); delete it to begin anew"
            ) from error
        for name, value in self._about().items():
            if known.get(name) != value:
                raise InputError(
                    f"checkpoint: expected a training with {name} {value!r} at {self.path}, got one with "
                    f"{known.get(name)!r}; take another path, or delete the file"
                )
        return tensors

    def write(self, tensors: Mapping[str, Tensor]) -> None:
        """Put these in the place of what was written before.

        Raises:
            StoreError: The disk is full, or cannot be written; what was written before is kept.
        """
        whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        about = {"about": json.dumps(self._about())}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            replace_whole(self.path, lambda draft: save_file(whole, draft, about))
        except (OSError, SafetensorError) as error:
            raise StoreError(
                f"checkpoint: {self.path} could not be written ({error}); the one before is kept. Make room and call "
                "fit again to go on"
            ) from error

    def _about(self) -> dict[str, Any]:
        return {"format": _FORMAT, **json.loads(json.dumps(dict(self.about)))}
