"""From rows of tokens to rows of activations: the passes through the model, and what is kept of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.errors import InputError, ModelError
from interpreto.model_wrapping.activations import (
    ActivationGranularity,
    Activations,
    Aggregation,
    RowSources,
    aggregate,
    row_elements,
    source_table,
)
from interpreto.model_wrapping.explained_text import ExplainedText
from interpreto.model_wrapping.forward import Forward, untouched_rows
from interpreto.model_wrapping.hooks import untouched
from interpreto.model_wrapping.readers import Reader
from interpreto.model_wrapping.readout import POOLED, Readout
from interpreto.model_wrapping.split_points import SplitPoint
from interpreto.model_wrapping.traits import Traits
from interpreto.text import Element, Sample
from interpreto.types import InferenceMode, Task


@dataclass(frozen=True, eq=False)
class Extraction:
    """How activations are read and kept.

    Args:
        traits: The model and its tokenizer.
        reader: Runs the model and catches its hidden states.
        points: Where to read.
        granularity: What a row belongs to.
        aggregation: How rows of several tokens become one.
        predictions: Whether to keep the class that the model predicts, too.
        batch_size: Texts a forward pass; by default as many as make a good number of tokens.
    """

    traits: Traits
    reader: Reader
    points: tuple[SplitPoint, ...]
    granularity: ActivationGranularity
    aggregation: Aggregation
    predictions: bool = False
    batch_size: int | None = None

    def read(self, samples: Sequence[Sample], first: int = 0) -> Activations:
        """Activations of texts, in their order, on the processor, in the model's number type.

        Args:
            samples: The texts.
            first: The number of the first of them, for `sources`.

        Raises:
            ModelError: The model answers with NaN or infinity.
        """
        elements = [{side: self.elements(sample, side) for side in self._sides} for sample in samples]
        found: dict[str, list[Tensor]] = {point.name: [torch.empty(0)] * len(samples) for point in self.points}
        predicted = torch.zeros(len(samples), dtype=torch.long)
        for batch, hidden, logits in self._passes(samples):
            for point in self.points:
                rows = [
                    self.rows(hidden[point.name][row], samples[k], elements[k][point.in_decoder], point)
                    for row, k in enumerate(batch)
                ]
                together = torch.cat(rows).cpu()
                if not bool(torch.isfinite(together).all()):
                    numbers = [first + k for k in batch]
                    raise ModelError(
                        f"inputs {numbers}: expected numbers at split point {point.name!r}, got NaN or infinity; "
                        "try float32 or another attention implementation"
                    )
                for k, own in zip(batch, torch.split(together, [len(r) for r in rows]), strict=True):
                    found[point.name][k] = own.clone()  # a view would keep the whole batch alive
            if logits is not None:
                predicted[batch] = logits[:, 0].argmax(dim=-1).cpu()
        tensors = {name: torch.cat(rows) for name, rows in found.items()}
        sources = {side: self._sources(samples, [own[side] for own in elements], first) for side in self._sides}
        if self.predictions:
            side = self.points[0].in_decoder
            tensors["predictions"] = predicted[sources[side].inputs.long() - first]
        return Activations(tensors, {p.name: sources[p.in_decoder] for p in self.points}, self.granularity)

    def sources(self, samples: Sequence[Sample], first: int = 0) -> dict[str, RowSources]:
        """By split point, where the rows that `read` gives come from; runs no model."""
        by_side = {
            side: self._sources(samples, [self.elements(sample, side) for sample in samples], first)
            for side in self._sides
        }
        return {point.name: by_side[point.in_decoder] for point in self.points}

    @property
    def _sides(self) -> list[bool]:
        return sorted({point.in_decoder for point in self.points})

    @property
    def task(self) -> Task:
        """The task for which the model is run; without predictions any that gives it its inputs will do."""
        if self.traits.is_encoder_decoder and self.traits.base.can_generate():
            return Task.SEQ2SEQ_LM
        return Task.CLASSIFICATION if self.predictions else Task.TOKEN_CLASSIFICATION

    def elements(self, sample: Sample, in_decoder: bool = False) -> tuple[Element, ...]:
        """The stretches of a text that its rows belong to, in order.

        Raises:
            InputError: The token that a head reads, of what an encoder-decoder writes.
        """
        border = sample.source_length if self.task is Task.SEQ2SEQ_LM else len(sample.tokens)
        places = range(border, len(sample.tokens)) if in_decoder and border < len(sample.tokens) else range(border)
        if self.granularity is ActivationGranularity.CLS_TOKEN and in_decoder and self.task is Task.SEQ2SEQ_LM:
            raise InputError("granularity: a model that writes has no token that a head reads; use 'token'")
        return row_elements(sample, self.granularity, self.traits.cls_place(sample), places=places)

    def _sources(self, samples: Sequence[Sample], elements: Sequence[tuple[Element, ...]], first: int) -> RowSources:
        pairs = zip(samples, elements, strict=True)
        return RowSources(torch.cat([source_table(first + k, sample, own) for k, (sample, own) in enumerate(pairs)]))

    def rows(
        self, states: Float[Tensor, "l d"], sample: Sample, elements: Sequence[Element], point: SplitPoint
    ) -> Float[Tensor, "g d"]:
        """One row an element, from the hidden states of a text; padding after them does not matter."""
        wide = states.float() if self.aggregation is Aggregation.MEAN else states
        return aggregate(wide, self._at_point(sample, elements, point), self.aggregation).to(states.dtype)

    def carriers(self, sample: Sample, elements: Sequence[Element], point: SplitPoint) -> list[list[int]]:
        """For each element the places among the point's hidden states that move with its row."""
        one = {Aggregation.FIRST: slice(0, 1), Aggregation.LAST: slice(-1, None)}.get(self.aggregation, slice(None))
        return [list(element.tokens[one]) for element in self._at_point(sample, elements, point)]

    def _at_point(self, sample: Sample, elements: Sequence[Element], point: SplitPoint) -> Sequence[Element]:
        """The elements, their places counted as the point's hidden states are: a decoder's begin with its own."""
        if self.task is not Task.SEQ2SEQ_LM or not point.in_decoder:
            return elements
        before = sample.source_length
        return [replace(element, tokens=tuple(i - before for i in element.tokens)) for element in elements]

    def _passes(self, samples: Sequence[Sample]) -> Iterator[tuple[list[int], dict[str, Tensor], Tensor | None]]:
        """Forward passes: which samples, hidden states `(b, l, d)` at each split point, and the logits."""
        forward = Forward(self.traits, self.task, InferenceMode.LOGITS, self.traits.filling(None), self.batch_size)
        slots = [self.traits.cls_place(s) if self.traits.token_head is not None else POOLED for s in samples]
        texts = [
            ExplainedText("", sample, (), Readout((slot if self.predictions else POOLED,), (), ()))
            for sample, slot in zip(samples, slots, strict=True)
        ]
        rows = untouched_rows(texts)
        with untouched(self.traits.model), torch.no_grad():
            for batch in forward.batches(texts, rows):
                hidden, logits = self.reader.read(
                    forward, forward.rows(texts, rows, batch), self.points, to_the_end=self.predictions
                )
                yield [k for k, _ in batch], hidden, logits
