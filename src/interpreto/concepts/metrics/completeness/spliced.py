"""Texts that are run with other rows in the place of theirs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interpreto.model_wrapping import ModelWithSplitPoints
from interpreto.model_wrapping.explained_text import ExplainedText
from interpreto.model_wrapping.extraction import Extraction
from interpreto.model_wrapping.forward import Forward
from interpreto.model_wrapping.scorer import Scorer
from interpreto.model_wrapping.split_points import SplitPoint
from interpreto.text import Element, Sample
from interpreto.types import InferenceMode

Change = Callable[[Tensor], Tensor]
"""From rows `(g, d)` to those that take their place."""


@dataclass(frozen=True, eq=False)
class Spliced:
    """Texts whose rows at the split point others take the place of.

    Args:
        scorer: Asked for logits.
        forward: Run for gradients.
        point: Where the rows are.
        extraction: How rows are made from hidden states.
        texts: One target a class.
        elements: What the rows of each text belong to.
        carried: Of each text `(row, place)` of the hidden states that move with a row.
    """

    scorer: Scorer
    forward: Forward
    point: SplitPoint
    extraction: Extraction
    texts: Sequence[ExplainedText]
    elements: Sequence[tuple[Element, ...]]
    carried: Sequence[Int[Tensor, "2 _"]]

    @classmethod
    def of(
        cls,
        split: ModelWithSplitPoints,
        point: SplitPoint,
        extraction: Extraction,
        samples: Sequence[Sample],
        n_classes: int,
    ) -> Spliced:
        """Of some texts."""
        scorer = split.scorer(InferenceMode.LOGITS)
        forward = Forward(split.traits, scorer.task, scorer.mode, scorer.filling, scorer.batch_size)
        targets = torch.arange(n_classes).repeat(len(samples), 1)
        texts = split.explained().texts(scorer, samples, targets)
        elements = [extraction.elements(sample, point.in_decoder) for sample in samples]
        carried = []
        for sample, own in zip(samples, elements, strict=True):
            places = extraction.carriers(sample, own, point)
            pairs = [(row, place) for row, some in enumerate(places) for place in some]
            carried.append(torch.tensor(pairs, dtype=torch.long).view(-1, 2).T)
        return cls(scorer, forward, point, extraction, texts, elements, carried)

    def rows(self, number: int, states: Float[Tensor, "l d"]) -> Float[Tensor, "g d"]:
        """The rows of a text."""
        return self.extraction.rows(states, self.texts[number].sample, self.elements[number], self.point).float()

    def moved(self, number: int, states: Float[Tensor, "l d"], change: Float[Tensor, "g d"]) -> Float[Tensor, "l d"]:
        """Hidden states after what is added to the rows of a text was added to their tokens."""
        row, place = self.carried[number].to(states.device)
        return states.float().index_add(0, place, change[row])

    def logits(self, numbers: Int[Tensor, " m"], change: Change) -> Float[Tensor, "m t"]:
        """Logits of the classes of some texts, with other rows in the place of theirs."""
        names = numbers.tolist()

        def edit(k: int, states: Float[Tensor, "l d"]) -> Float[Tensor, "l d"]:
            rows = self.rows(names[k], states)
            return self.moved(names[k], states, change(rows).to(rows) - rows)

        return torch.stack(self.scorer.edited_scores([self.texts[k] for k in names], self.point, edit))
