"""What an intervention adds to rows of hidden states: the mathematics, without a model that runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interpreto.concepts.concept_model import ConceptModel


class Operation(str, Enum):
    """What is done to a concept."""

    BOOST = "boost"
    """Its code is multiplied: `z' = f z`."""
    CLAMP = "clamp"
    """Its code is set: `z' = v`."""
    STEER = "steer"
    """Its unit direction is added: `h' = h + s u`."""


@dataclass(frozen=True, slots=True)
class CodeChange:
    """What happens to one code.

    Args:
        concept: Its number.
        operation: `BOOST` or `CLAMP`.
        amount: The factor, or the value.
    """

    concept: int
    operation: Operation
    amount: float

    def of(self, codes: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """The new codes."""
        return codes * self.amount if self.operation is Operation.BOOST else torch.full_like(codes, self.amount)


@final
@dataclass(frozen=True, eq=False)
class CodeEdit:
    """`decode(z') - decode(z)` with `z = encode(h)`: what a row is beyond its reconstruction stays as it is.

    Args:
        model: The concepts.
        changes: From `z` to `z'`, one after the other.
    """

    model: ConceptModel
    changes: tuple[CodeChange, ...]

    def shift(self, rows: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """What is added to each row, in the concepts' number type; exactly 0 where the codes stay as they are."""
        codes = self.model.encode(rows.to(self.model.dictionary))
        changed = codes.clone()
        for change in self.changes:
            changed[:, change.concept] = change.of(changed[:, change.concept])
        same = (changed == codes).all(dim=1, keepdim=True)
        return (self.model.decode(changed) - self.model.decode(codes)).masked_fill(same, 0.0)


@final
@dataclass(frozen=True, eq=False)
class Addition:
    """`s u`, the same for every row.

    Args:
        direction: `u`, of length 1.
        strength: `s`, in units of the hidden states.
    """

    direction: Float[Tensor, " d"]
    strength: float

    def shift(self, rows: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """What is added to each row."""
        return (self.strength * self.direction).expand(len(rows), -1)


Edit = CodeEdit | Addition
"""From rows to what is added to them, which may be on another device."""


def together(edits: Sequence[Edit]) -> tuple[Edit, ...]:
    """The same edits, with those of one concept model in one: they change the same codes."""
    changes: dict[int, list[CodeEdit]] = {}
    for edit in edits:
        if isinstance(edit, CodeEdit):
            changes.setdefault(id(edit.model), []).append(edit)
    merged = [CodeEdit(own[0].model, tuple(c for edit in own for c in edit.changes)) for own in changes.values()]
    return (*merged, *(edit for edit in edits if not isinstance(edit, CodeEdit)))


def moved(
    states: Float[Tensor, "b l d"], chosen: Bool[Tensor, "b l"], edits: Sequence[Edit]
) -> Float[Tensor, "b l d"] | None:
    """Hidden states with the chosen rows moved by the sum of what the edits add; `None` where nothing moves.

    Every edit sees the rows as they come. Rows to which 0 is added are the same to the bit.
    """
    rows = states[chosen]
    if not len(rows):
        return None
    shift = torch.stack([edit.shift(rows).to(rows.device) for edit in edits]).sum(dim=0)
    moves = (shift != 0).any(dim=1, keepdim=True)
    if not bool(moves.any()):
        return None
    wide = torch.promote_types(rows.dtype, shift.dtype)
    result = states.clone()
    result[chosen] = torch.where(moves, (rows.to(wide) + shift.to(wide)).to(rows.dtype), rows)
    return result
