"""Attention rollout."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.attributions.base import AttributionExplainer
from interpreto.attributions.result import Attribution
from interpreto.errors import ModelError
from interpreto.model_wrapping import CustomModel, ExplainedFunction, ExplainedText, Scorer
from interpreto.model_wrapping.attention_maps import AttentionMap, AttentionMaps, attention_maps
from interpreto.model_wrapping.forward import Forward
from interpreto.model_wrapping.readout import POOLED
from interpreto.types import Task


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class AttentionRollout(AttributionExplainer):
    """Where attention comes from, layer below layer: a row of `A_L ... A_2 A_1` with `A_k = (mean of heads + I) / 2`.

    The row is that of the place where the model reads its answer: the class token, the last token of a decoder, the
    mask, the word, the token before the one that is written. Half of each layer's mix is the residual connection. The
    scores are shares: those of all tokens add up to 1, an element has the sum of its tokens', and special tokens have
    the rest, often most of it. A target of several tokens has the mean of their shares.

    It says what could flow, not what it did: values, feed-forward layers and the head are not looked at, and every
    class read at the same place gets the same scores, as does each side of a contrast. Often less faithful than
    gradients; measure with `Insertion` and `Deletion`.

    Encoder-decoders, of which the paper does not speak: the decoder's layers mix by half what its own places bring and,
    by half again, the rollout of the encoder.

    Cost: 1 forward pass, with attention that is written out (`"eager"`), whatever the model is configured for.

    Reference: Abnar and Zuidema (2020), Quantifying attention flow in transformers, section 3, arXiv:2005.00928.
    """

    def _attribute(self, scorer: Scorer, texts: Sequence[ExplainedText]) -> Iterator[tuple[int, Attribution]]:
        mute = self.traits.is_encoder_decoder and scorer.task is not Task.SEQ2SEQ_LM
        if isinstance(self.model, CustomModel):
            raise ModelError(
                "model: expected a transformer, whose attention can be read, got CustomModel; explain it with "
                "gradients or perturbations"
            )
        if mute or isinstance(self.model, ExplainedFunction):
            raise ModelError(
                "model: expected one whose own answers are explained, and of encoder-decoders one that writes, got "
                f"{type(self.model).__name__}; explain it with gradients or perturbations"
            )
        forward = Forward(scorer.traits, scorer.task, scorer.mode, scorer.filling, scorer.batch_size)
        for maps in attention_maps(forward, texts):
            text = texts[maps.number]
            shares = self._shares(scorer.task, text, maps).masked_fill(~text.free_tokens, 0.0)
            scores = torch.stack([shares[:, list(element.tokens)].sum(dim=1) for element in text.elements], dim=1)
            yield maps.number, self._result(scorer, text, scores, maps.scores, None)

    def _shares(self, task: Task, text: ExplainedText, maps: AttentionMaps) -> Float[Tensor, "t l"]:
        """The shares of all tokens, for each target."""
        source = text.sample.source_length
        flow = rollout(maps.layers)
        if task is Task.SEQ2SEQ_LM:  # a row: the source's tokens, then the output's
            flow = torch.cat([torch.zeros(source, flow.shape[1]), flow])
        flow = torch.nn.functional.pad(flow, (0, len(text.sample.tokens) - flow.shape[1]))
        rows = [[self._place(task, text, read) for read in target.plus] for target in text.readout.targets]
        return torch.stack([flow[places].mean(dim=0) for places in rows])

    def _place(self, task: Task, text: ExplainedText, read: int) -> int:
        """Where in the row a number is read."""
        slot, column = text.readout.reads[read]
        if task is Task.QUESTION_ANSWERING:  # a column is a place
            return column
        place = text.readout.slots[slot]
        return self.traits.cls_place(text.sample) if place == POOLED else place


def rollout(layers: Sequence[AttentionMap]) -> Float[Tensor, "l m"]:
    """From the places that the last layer looks from to those of the text: of an encoder-decoder source and output.

    >>> half = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    >>> rollout([AttentionMap(half, 0, 0), AttentionMap(half, 0, 0)]).tolist()
    [[1.0, 0.0], [0.4375, 0.5625]]
    """
    sizes = [layers[0].weights.shape[1]]
    sizes += [layer.weights.shape[0] for layer in layers if layer.looks == 1][:1]
    total = torch.eye(sum(sizes), dtype=torch.float64)
    flows = list(torch.split(total, sizes))
    for layer in layers:
        mixed = layer.weights.double() @ flows[layer.looked_at]
        flows[layer.looks] = (mixed / layer.weights.double().sum(dim=1, keepdim=True) + flows[layer.looks]) / 2
    return flows[-1].float()
