"""Gradients of target scores with respect to hidden states at a split point; only what is above is differentiated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.errors import ModelError
from interpreto.model_wrapping.explained_text import ExplainedText
from interpreto.model_wrapping.forward import Forward, refuse_nan, untouched_rows
from interpreto.model_wrapping.hooks import untouched, visited
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
    places = places_of(forward.traits, [point])
    for batch in forward.batches(texts, rows):
        batch_rows = forward.rows(texts, rows, batch)
        cut: dict[str, Tensor] = {}

        def visit(name: str, hidden: Tensor, cut: dict[str, Tensor] = cut) -> Tensor:
            cut[name] = hidden.detach().requires_grad_()
            return cut[name]

        with untouched(forward.traits.model, constant_parameters=True), torch.enable_grad():
            with visited(places, visit):
                logits = forward.logits(batch_rows)
            hidden = checked(cut, [point])[point.name]
            own = [texts[k] for k, _ in batch]
            read = forward.gather(logits, own)
            scores = [
                text.readout.scores(values[None, : len(text.readout.reads)], forward.mode)[0]
                for text, values in zip(own, read, strict=True)
            ]
            found = []
            most = max(len(score) for score in scores)
            for k in range(most):
                total = torch.stack([score[k] for score in scores if k < len(score)]).sum()
                gradient = None
                if total.requires_grad:
                    (gradient,) = torch.autograd.grad(total, [hidden], retain_graph=k + 1 < most, allow_unused=True)
                if gradient is None:
                    raise ModelError(
                        f"split point {point.name!r}: expected hidden states that the scores are made from, these are "
                        "not; take the block's own output, or another module"
                    )
                found.append(shaped(gradient, batch_rows, point).float())
        states = shaped(hidden.detach(), batch_rows, point)
        for row, ((k, _), text) in enumerate(zip(batch, own, strict=True)):
            refuse_nan(scores[row].detach(), text)
            length = int(batch_rows.streams[-1 if point.in_decoder else 0].lengths[row])
            gradients = torch.stack([found[t][row, :length] for t in range(len(scores[row]))])
            yield HiddenGradients(k, states[row, :length], scores[row].detach(), gradients)
