"""What was learned: frozen tensors that turn activations into codes and back, saved without pickle."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.concepts.tensor_folder import TensorFolder
from interpreto.errors import InputError

Self = TypeVar("Self", bound="ConceptModel")


@dataclass(frozen=True, eq=False)
class ConceptModel(ABC):
    """A fitted map between activations `(n, d)` and codes `(n, c)`.

    Fields that are tensors are what was learned; other fields are plain settings. Encoding a row depends on that row
    alone, and on nothing random.
    """

    encodes_differentiably: ClassVar[bool] = True
    """Whether gradients flow through `encode`; through `decode` they always do."""

    @abstractmethod
    def encode(self, activations: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """The concepts in each row."""

    @abstractmethod
    def decode(self, codes: Float[Tensor, "n c"]) -> Float[Tensor, "n d"]:
        """The activations that codes stand for."""

    @property
    @abstractmethod
    def dictionary(self) -> Float[Tensor, "c d"]:
        """One direction in activation space per concept: what one unit of its code adds."""

    @property
    def nb_concepts(self) -> int:
        """How many concepts there are."""
        return self.dictionary.shape[0]

    @property
    def width(self) -> int:
        """How many numbers an activation has."""
        return self.dictionary.shape[1]

    def tensors(self) -> dict[str, Tensor]:
        """What was learned, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}

    def settings(self) -> dict[str, Any]:
        """The plain fields, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if not isinstance(value, Tensor)}

    def fingerprint(self) -> str:
        """The same for equal models, and for no others."""
        digest = hashlib.sha256(repr((type(self).__name__, sorted(self.settings().items()))).encode())
        for name, tensor in sorted(self.tensors().items()):
            digest.update(name.encode() + tensor.detach().cpu().float().numpy().tobytes())
        return digest.hexdigest()[:16]

    def to(self: Self, device: torch.device | str) -> Self:
        """The same on another device."""
        return replace(self, **{name: tensor.to(device) for name, tensor in self.tensors().items()})


def save_concept_model(model: ConceptModel, folder: Path, about: dict[str, Any]) -> None:
    """Write tensors as safetensors, everything else as JSON.

    Args:
        model: What was learned.
        folder: Made if it is not there.
        about: What else to write down, ready for JSON.

    Raises:
        StoreError: The folder cannot be written; concepts that were saved there before are still whole.
    """
    settings = {"concept_model": type(model).__name__, "settings": model.settings(), **about}
    _FILES.write(folder, model.tensors(), settings)


def load_concept_model(kinds: tuple[type[ConceptModel], ...], folder: Path) -> tuple[ConceptModel, dict[str, Any]]:
    """The inverse of `save_concept_model`.

    Args:
        kinds: What it may be.
        folder: Where it was saved.

    Returns:
        The model, and everything that was written down about it.

    Raises:
        InputError: Nothing there, a damaged file, or a model of another kind.
    """
    tensors, about = _FILES.read(folder)
    try:
        name, settings = about["concept_model"], dict(about["settings"])
    except (KeyError, TypeError, ValueError) as error:
        raise _FILES.damaged(folder, repr(error)) from error
    known = {kind.__name__: kind for kind in kinds}
    if name not in known:
        raise InputError(f"{folder}: expected one of {sorted(known)}, got a saved {name}; load it with its own class")
    try:
        return known[name](**tensors, **settings), about
    except TypeError as error:
        raise InputError(f"{folder}: expected the tensors and settings of {name}, got others ({error})") from error


_FILES = TensorFolder("concept_model.safetensors", "concepts.json", "saved concepts")
