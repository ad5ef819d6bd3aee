"""Who runs the model and catches its hidden states: plain hooks, or nnsight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from interpreto.errors import ModelError
from interpreto.model_wrapping.forward import Forward
from interpreto.model_wrapping.hooks import Place, untouched, visited
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
        named = {point.name: point for point in points}
        with visited(places_of(self.traits, points), hidden.__setitem__, stop=not to_the_end):
            try:
                logits = forward.logits(rows)
            except AttributeError:  # a model without head that has come to its end
                checked(hidden, points)
                raise
        return {name: shaped(states, rows, named[name]) for name, states in checked(hidden, points).items()}, logits


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


def shaped(states: Tensor, rows: Rows, point: SplitPoint) -> Tensor:
    """Hidden states as `(b, l, d)`, also where a module sees all tokens of a batch in one row.

    Raises:
        ModelError: Hidden states of another shape, with one row for something that is no token.
    """
    batch, length = rows.streams[-1 if point.in_decoder else 0].ids.shape
    if states.dim() == 3 and states.shape[:2] == (batch, length):
        return states
    if states.dim() == 2 and states.shape[0] == batch * length:
        return states.reshape(batch, length, -1)
    raise ModelError(
        f"split point {point.name!r}: expected hidden states of the tokens {(batch, length)}, "
        f"got {tuple(states.shape)}; take the block's own output, or a module inside it"
    )


def sided(traits: Traits, points: Sequence[SplitPoint]) -> tuple[SplitPoint, ...]:
    """Split points of an encoder-decoder that know whose rows they have, from a look at a source of five tokens.

    A name does not say it: the keys of a decoder's cross-attention are made from the encoder's rows.
    """
    if not (traits.is_encoder_decoder and traits.base.can_generate()):
        return tuple(points)
    lengths: dict[str, int] = {}

    def note(name: str, hidden: Tensor) -> None:
        lengths[name] = hidden.shape[1] if hidden.dim() == 3 else 0

    source, output = (torch.full((1, n), traits.decoder_prefix[0], device=traits.device) for n in (5, 3))
    with untouched(traits.model), torch.no_grad(), visited(places_of(traits, points), note, stop=True):
        traits.runner(input_ids=source, decoder_input_ids=output)
    return tuple(
        replace(point, in_decoder=lengths[point.name] == 3) if lengths.get(point.name) in (3, 5) else point
        for point in points
    )
