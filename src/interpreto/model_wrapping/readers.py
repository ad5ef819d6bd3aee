"""Who runs the model and catches its hidden states: plain hooks, or nnsight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from interpreto.errors import ModelError
from interpreto.model_wrapping.forward import Forward
from interpreto.model_wrapping.hooks import Place, visited
from interpreto.model_wrapping.rows import Rows
from interpreto.model_wrapping.split_points import SplitPoint
from interpreto.model_wrapping.traits import Traits


@runtime_checkable
class Reader(Protocol):
    """Reads hidden states of one forward pass."""

    def read(
        self, forward: Forward, rows: Rows, points: Sequence[SplitPoint], *, to_the_end: bool
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """Hidden states `(b, l, d)` by split point, and the logits `(b, m, t)` of a pass that went to the end."""
        ...


@dataclass(frozen=True, eq=False)
class HookReader:
    """Reads through forward hooks; the pass ends after the last split point."""

    traits: Traits

    def read(
        self, forward: Forward, rows: Rows, points: Sequence[SplitPoint], *, to_the_end: bool
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """Hidden states by split point, and the logits of a pass that went to the end."""
        hidden: dict[str, Tensor] = {}
        logits = None
        with visited(places_of(self.traits, points), hidden.__setitem__, stop=not to_the_end):
            logits = forward.logits(rows)
        return {name: shaped(states, rows, name) for name, states in checked(hidden, points).items()}, logits


def places_of(traits: Traits, points: Sequence[SplitPoint]) -> dict[str, Place]:
    """The modules of split points."""
    modules = dict(traits.base.named_modules())
    return {point.name: Place(modules[point.path], point.call, point.entering) for point in points}


def checked(hidden: dict[str, Tensor], points: Sequence[SplitPoint]) -> dict[str, Tensor]:
    """The hidden states of all points.

    Raises:
        ModelError: The model did not come by one of them.
    """
    for point in points:
        if point.name not in hidden:
            raise ModelError(f"split point {point.name!r}: expected a module that the model runs, it did not run it")
    return hidden


def shaped(states: Tensor, rows: Rows, name: str) -> Tensor:
    """Hidden states as `(b, l, d)`, also where a module sees all tokens of a batch in one row.

    Raises:
        ModelError: Hidden states of another shape, with one row for something that is no token.
    """
    for stream in rows.streams:
        batch, length = stream.ids.shape
        if states.dim() == 3 and states.shape[:2] == (batch, length):
            return states
        if states.dim() == 2 and states.shape[0] == batch * length:
            return states.reshape(batch, length, -1)
    raise ModelError(
        f"split point {name!r}: expected hidden states of the tokens {tuple(rows.streams[0].ids.shape)}, "
        f"got {tuple(states.shape)}; take the block's own output, or a module inside it"
    )
