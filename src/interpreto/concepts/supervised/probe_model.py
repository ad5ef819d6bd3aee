"""A fitted probe: affine layers from activations to classes, as tensors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, final

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from interpreto.concepts.supervised.labels import Label
from interpreto.errors import InputError, StoreError
from interpreto.saving import replace_whole


class Link(str, Enum):
    """How the scores of classes become probabilities."""

    SOFTMAX = "softmax"
    """`exp(s_k) / sum exp(s)`."""
    LEAST_SQUARES = "least squares"
    """`max(0, s_k) / sum max(0, s)`: the scores are estimates of the probabilities, but for what is out of range."""
    NONE = "none"
    """They do not: scores only rank the classes."""


@final
@dataclass(frozen=True, eq=False)
class ProbeModel:
    """Scores of classes `W_m relu(... relu(W_1 x + b_1)) + b_m`; all probes but the MLP have one layer.

    Args:
        classes: The labels, in the order of the scores.
        weights: `W`, one `(out, in)` a layer.
        constants: `b`, one `(out,)` a layer.
        link: How scores become probabilities.
    """

    classes: tuple[Label, ...]
    weights: tuple[Float[Tensor, "_ _"], ...]
    constants: tuple[Float[Tensor, " _"], ...]
    link: Link

    @property
    def width(self) -> int:
        """How many numbers an activation has."""
        return self.weights[0].shape[1]

    def scores(self, activations: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Scores of the classes; the largest is the prediction. Differentiable.

        Raises:
            InputError: Another width.
        """
        if activations.dim() != 2 or activations.shape[1] != self.width:
            raise InputError(f"activations: expected (n, {self.width}), got {tuple(activations.shape)}")
        x = activations.to(self.weights[0])
        for number, (weight, constant) in enumerate(zip(self.weights, self.constants, strict=True)):
            x = torch.relu(x) if number else x
            x = x @ weight.T + constant
        return x

    def numbers(self, activations: Float[Tensor, "n d"]) -> Int[Tensor, " n"]:
        """The number of each row's predicted class."""
        return self.scores(activations).argmax(dim=1)

    def predict(self, activations: Float[Tensor, "n d"]) -> list[Label]:
        """Each row's predicted class."""
        return [self.classes[number] for number in self.numbers(activations).tolist()]

    def probabilities(self, activations: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Probabilities of the classes.

        Raises:
            InputError: A probe that has none.
        """
        scores = self.scores(activations)
        if self.link is Link.SOFTMAX:
            return scores.softmax(dim=1)
        if self.link is Link.NONE:
            raise InputError("probabilities: a support vector machine has none; take kind='logistic'")
        positive = scores.clamp(min=1e-12)
        return positive / positive.sum(dim=1, keepdim=True)

    def save(self, path: str | Path) -> Path:
        """Write it as one safetensors file.

        Raises:
            StoreError: The file cannot be written.
        """
        tensors = {f"weights.{k}": weight.contiguous() for k, weight in enumerate(self.weights)}
        tensors |= {f"constants.{k}": constant.contiguous() for k, constant in enumerate(self.constants)}
        apart = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
        about = {"kind": "probe", "format": 1, "classes": list(self.classes), "link": self.link.value}
        try:
            replace_whole(Path(path), lambda draft: save_file(apart, draft, {"about": json.dumps(about)}))
        except (OSError, SafetensorError) as error:
            raise StoreError(f"{path}: could not be written ({error}); take another place") from error
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> ProbeModel:
        """The inverse of `save`.

        Raises:
            InputError: No file, or not one of these.
        """
        try:
            with safe_open(path, framework="pt") as file:
                about = json.loads((file.metadata() or {})["about"])
                found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no dictionary
            if (about["kind"], about["format"]) != ("probe", 1):
                raise ValueError(f"{about['kind']!r:.40} of format {about['format']!r:.40}")
            layers = range(len(found) // 2)
            probe = cls(
                _classes(about["classes"]),
                tuple(found[f"weights.{k}"] for k in layers),
                tuple(found[f"constants.{k}"] for k in layers),
                Link(about["link"]),
            )
            if probe.scores(torch.zeros(1, probe.width)).shape != (1, len(probe.classes)):
                raise ValueError("layers and classes of different numbers")
        except (SafetensorError, OSError, KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
            raise InputError(f"{path}: expected a saved probe, got {error!r:.120}") from error
        return probe


def _classes(values: Sequence[Any]) -> tuple[Label, ...]:
    if not isinstance(values, list) or not all(isinstance(value, (str, int)) for value in values):
        raise ValueError("classes that are no labels")
    return tuple(values)
