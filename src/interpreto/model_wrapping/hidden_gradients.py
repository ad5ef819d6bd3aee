"""Gradients of target scores with respect to hidden states at a split point; only what is above is differentiated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.errors import ModelError
from interpreto.model_wrapping.explained_text import ExplainedText
from interpreto.model_wrapping.forward import Forward, refuse_nan, untouched_rows
from interpreto.model_wrapping.hooks import untouched, visited
from interpreto.model_wrapping.jacobian import gradients_of
from interpreto.model_wrapping.lost_gradients import refuse_lost_gradients
from interpreto.model_wrapping.readers import checked, places_of, shaped
from interpreto.model_wrapping.split_points import SplitPoint


@dataclass(frozen=True, slots=True)
class HiddenGradients:
    """Hidden states of one text at one split point, and what the target scores owe to them.

    Args:
        number: Which of the texts.
        hidden: The hidden states `(l, d)`, in the model's number type.
        scores: The target scores `(t,)`.
        gradients: Of each target score `(t, l, d)`, in float32.
    """

    number: int
    hidden: Float[Tensor, "l d"]
    scores: Float[Tensor, " t"]
    gradients: Float[Tensor, "t l d"]


def hidden_gradients(forward: Forward, texts: Sequence[ExplainedText], point: SplitPoint) -> Iterator[HiddenGradients]:
    """Gradients of each text's target scores with respect to its hidden states, text by text, short texts first.

    The hidden states at the point are cut from the graph below them, and parameters are constants: nothing is kept for
    the lower half of the model, and no `.grad` is left anywhere. Cost: a forward pass, and a backward pass through the
    upper half for each target of the text with the most.
    """
    rows = untouched_rows(texts)
    forward.find_out()
    if texts:
        refuse_lost_gradients(forward, texts[0], point)
    for batch in forward.batches(texts, rows):
        found: list[HiddenGradients] = []
        forward.budget.in_halves(batch, partial(_of_batch, forward, texts, point, found))
        yield from found


def _of_batch(
    forward: Forward,
    texts: Sequence[ExplainedText],
    point: SplitPoint,
    found: list[HiddenGradients],
    batch: Sequence[tuple[int, int]],
) -> None:
    """Run a batch, and add what was found of its texts."""
    rows = forward.rows(texts, untouched_rows(texts), batch)
    own = [texts[k] for k, _ in batch]
    cut: dict[str, Tensor] = {}

    def visit(name: str, hidden: Tensor) -> Tensor:
        cut[name] = hidden.detach().requires_grad_()
        return cut[name]

    with untouched(forward.traits.model, constant_parameters=True), torch.enable_grad():
        with visited(places_of(forward.traits, [point]), visit):
            read = forward.read(rows, own)
        hidden = checked(cut, [point])[point.name]
        scores = [
            text.readout.scores(values[None, : len(text.readout.reads)], forward.mode)[0]
            for text, values in zip(own, read, strict=True)
        ]
        gradients = []
        for (chunk,) in gradients_of(scores, [hidden], forward.budget):
            if chunk is None:
                raise ModelError(
                    f"split point {point.name!r}: expected hidden states that the scores are made from, these are "
                    "not; take the block's own output, or another module"
                )
            gradients += [shaped(gradient, rows, point).float() for gradient in chunk]
    states = shaped(hidden.detach(), rows, point)
    lengths = rows.streams[-1 if point.in_decoder else 0].lengths.tolist()
    for row, ((k, _), text) in enumerate(zip(batch, own, strict=True)):
        refuse_nan(scores[row].detach(), text)
        of_text = torch.stack([gradients[t][row, : lengths[row]] for t in range(len(scores[row]))])
        found.append(HiddenGradients(k, states[row, : lengths[row]], scores[row].detach(), of_text))
