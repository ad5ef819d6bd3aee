"""Which numbers of the model's output an explanation is about, and how they become target scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.text import Element
from interpreto.types import InferenceMode

POOLED = -1
"""Slot of an output that belongs to the text as a whole."""


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to explain: a class, a class rather than another, an output token, a word of the output.

    Args:
        name: What to call it: the class's name, or the output's text.
        plus: Which reads make its score.
        minus: Which reads are taken away from it (the "rather than" of a contrast).
        part: Which of the sample's texts it is written in; `None` for classes.
        start: First character in that part.
        end: One past the last character.
        first: Its first place in the row of tokens; elements before it can matter to it. `None`: all elements can.
    """

    name: str
    plus: tuple[int, ...]
    minus: tuple[int, ...] = ()
    part: int | None = None
    start: int = 0
    end: int = 0
    first: int | None = None

    def sees(self, element: Element) -> bool:
        """Whether any of the element's tokens is written before the target."""
        return self.first is None or element.tokens[0] < self.first


@dataclass(frozen=True, slots=True)
class Readout:
    """Where a model's output is read, and the targets made from what is read.

    Args:
        slots: Places in the row of tokens whose output is read, or `POOLED`.
        reads: `(slot index, column)` of each number that is read.
        targets: What is explained.
        rows: Where concepts are read: the slots, by index, that make one row of hidden states. Reads then begin with
            the number of a row, in place of that of a slot.
    """

    slots: tuple[int, ...]
    reads: tuple[tuple[int, int], ...]
    targets: tuple[Target, ...]
    rows: tuple[tuple[int, ...], ...] = ()

    def scores(self, read: Float[Tensor, "p r"], mode: InferenceMode) -> Float[Tensor, "p t"]:
        """Target scores from what was read: joint score of `plus`, less the joint score of `minus`.

        Args:
            read: Logits, or log-probabilities for both other modes.
            mode: For softmax, the joint score is the product of the reads' probabilities; otherwise the sum of reads.
        """
        columns = [_joint(read[:, list(target.plus)], mode) for target in self.targets]
        for k, target in enumerate(self.targets):
            if target.minus:
                columns[k] = columns[k] - _joint(read[:, list(target.minus)], mode)
        return torch.stack(columns, dim=1)

    def to_dict(self) -> dict[str, Any]:
        """As plain lists and numbers, ready for JSON."""
        return {
            "slots": list(self.slots),
            "reads": [list(read) for read in self.reads],
            "targets": [
                {
                    **{name: getattr(target, name) for name in Target.__slots__},
                    "plus": list(target.plus),
                    "minus": list(target.minus),
                }
                for target in self.targets
            ],
            **({"rows": [list(row) for row in self.rows]} if self.rows else {}),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Readout:
        """The inverse of `to_dict`."""
        targets = tuple(
            Target(**{**target, "plus": tuple(target["plus"]), "minus": tuple(target["minus"])})
            for target in data["targets"]
        )
        rows = tuple(tuple(row) for row in data.get("rows", ()))
        return cls(tuple(data["slots"]), tuple((slot, column) for slot, column in data["reads"]), targets, rows)


def _joint(read: Float[Tensor, "p k"], mode: InferenceMode) -> Float[Tensor, " p"]:
    total = read.sum(dim=1)
    return total.exp() if mode is InferenceMode.SOFTMAX else total
