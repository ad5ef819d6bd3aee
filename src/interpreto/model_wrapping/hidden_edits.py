"""Hidden states at a split point, and target scores of a model in which others take their place."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.model_wrapping.explained_text import ExplainedText
from interpreto.model_wrapping.forward import Forward, blamed_on_model, refuse_nan, untouched_rows
from interpreto.model_wrapping.hooks import untouched, visited
from interpreto.model_wrapping.readers import checked, places_of, shaped
from interpreto.model_wrapping.split_points import SplitPoint

Edit = Callable[[int, Tensor], Tensor]
"""From the number of a text and its hidden states `(l, d)` to what takes their place."""


def hidden_states(forward: Forward, texts: Sequence[ExplainedText], point: SplitPoint) -> list[Float[Tensor, "_ d"]]:
    """Hidden states `(l, d)` of each text at the point, in the model's number type. Cost: a pass up to there a text."""
    everything = untouched_rows(texts)
    places = places_of(forward.traits, [point])
    found: list[Tensor] = [torch.empty(0)] * len(texts)

    def run(batch: Sequence[tuple[int, int]]) -> None:
        rows = forward.rows(texts, everything, batch)
        caught: dict[str, Tensor] = {}
        with blamed_on_model(rows), visited(places, caught.__setitem__, stop=True):
            forward.traits.runner(**forward.model_inputs(rows))
        states = shaped(checked(caught, [point])[point.name], rows, point)
        lengths = rows.streams[-1 if point.in_decoder else 0].lengths.tolist()
        for (k, _), own, length in zip(batch, states, lengths, strict=True):
            found[k] = own[:length].clone()  # a view would keep the whole batch alive
            refuse_nan(found[k], texts[k])

    with untouched(forward.traits.model), torch.no_grad():
        for batch in forward.batches(texts, everything):
            forward.budget.in_halves(batch, run)
    return found


def edited_scores(
    forward: Forward, texts: Sequence[ExplainedText], point: SplitPoint, edit: Edit
) -> list[Float[Tensor, " _"]]:
    """Target scores `(t,)` of each text, with its hidden states at the point replaced on the way.

    Cost: one forward pass a text.
    """
    rows = untouched_rows(texts)
    places = places_of(forward.traits, [point])
    forward.find_out()
    found: list[Tensor] = [torch.empty(0)] * len(texts)

    def run(batch: Sequence[tuple[int, int]]) -> None:
        own = [texts[k] for k, _ in batch]
        batch_rows = forward.rows(texts, rows, batch)
        lengths = batch_rows.streams[-1 if point.in_decoder else 0].lengths.tolist()

        def visit(_name: str, hidden: Tensor) -> Tensor:
            changed = shaped(hidden, batch_rows, point).clone()
            for row, (k, _) in enumerate(batch):
                changed[row, : lengths[row]] = edit(k, changed[row, : lengths[row]]).to(changed)
            return changed.reshape(hidden.shape)

        with visited(places, visit):
            read = forward.read(batch_rows, own).cpu()
        for (k, _), text, values in zip(batch, own, read, strict=True):
            found[k] = text.readout.scores(values[None, : len(text.readout.reads)], forward.mode)[0]
            refuse_nan(found[k], text)

    with untouched(forward.traits.model), torch.no_grad():
        for batch in forward.batches(texts, rows):
            forward.budget.in_halves(batch, run)
    return found
