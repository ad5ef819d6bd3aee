"""From words to concepts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.concepts.bridges.concept_function import ConceptFunction
from interpreto.errors import InputError
from interpreto.model_wrapping import (
    Aggregation,
    Contrast,
    Engine,
    Explained,
    ExplainedText,
    Readout,
    Scorer,
    Target,
)
from interpreto.model_wrapping.code_reading import CodeReadingScorer
from interpreto.model_wrapping.targets import split_targets, whole
from interpreto.text import Sample
from interpreto.types import Task


@dataclass(frozen=True, eq=False)
class InputToConcepts(ConceptFunction):
    """From words to concepts: which elements of a text activate a concept at its split point.

    The target score of concept `i` is its code `z_i = encode(h)_i` in a row `h` of the text, and only the part of the
    model below the split point is run. Targets are numbers of concepts or their names, a `Contrast` of two, or several
    of these; by default the concept with the largest code in the text.

    Args:
        concept_explainer: Fitted concepts of a split model; every attribution method also takes them as its model as
            they are.
        granularity: What one row of hidden states belongs to; the same as in the fit.
        aggregation: How rows of several tokens become one; the same as in the fit.
        names: What to call concepts.
        at: Which rows of the text are read: `"strongest"`, the one in which the concept is strongest in the untouched
            text; `"sum"`, all of them, added up; or the number of one.

    References: Jourdan et al. (2023), COCKATIEL, arXiv:2305.06754, section 3.3, for occlusion of words.
    """

    _: KW_ONLY
    at: str | int = "strongest"

    has_probabilities = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.at not in ("strongest", "sum"):
            number = whole(self.at)
            if number is None:
                raise InputError(f"at: expected 'strongest', 'sum' or the number of a row, got {self.at!r}")
            object.__setattr__(self, "at", number)

    def settings(self) -> dict[str, Any]:
        """What is noted of it in results."""
        return {**super().settings(), "at": self.at}

    def scorer(self, engine: Engine) -> CodeReadingScorer:
        """The engine for codes.

        Raises:
            InputError: A mode other than `"logits"`, or a split point in the decoder of an encoder-decoder.
        """
        split, point = self.split, self.concept_explainer.point
        if point.in_decoder and split.traits.base.can_generate():
            raise InputError(
                f"split point {point.name!r}: expected one that sees the text alone; a decoder's hidden states depend "
                "on what it writes, take a point of the encoder"
            )
        return CodeReadingScorer(
            split.traits,
            Task.CONCEPTS,
            engine.mode,
            split.traits.filling(engine.removal),
            engine.batch_size or split.batch_size,
            engine.progress,
            point=point,
            coder=self.concept_explainer.concept_model,
            aggregation=Aggregation(self.aggregation),
            of=split.task,
        )

    def texts(self, explained: Explained, scorer: Scorer, inputs: Any, targets: Any) -> list[ExplainedText]:
        """Texts and the concepts that are explained of each."""
        assert isinstance(scorer, CodeReadingScorer)
        sources = explained.sources(inputs)
        entries = split_targets(targets, len(sources))
        found = []
        for k, sample in enumerate(sources):
            rows = self._rows(sample)
            slots = tuple(dict.fromkeys(place for row in rows for place in row))
            own = tuple(tuple(slots.index(place) for place in row) for row in rows)
            found.append(ExplainedText(f"inputs[{k}]", sample, explained.elements(sample), Readout(slots, (), (), own)))
        (width,) = {hidden.shape[1] for hidden in scorer.hidden_states(found[:1], scorer.point)}
        self._check_width(width)
        codes = scorer.codes(found)
        return [self._with_targets(scorer, *each) for each in zip(found, codes, entries, strict=True)]

    def again(self, scorer: Scorer, texts: Sequence[ExplainedText]) -> list[ExplainedText]:
        """Explained texts from those of saved results."""
        known = self.concept_explainer.concept_model.nb_concepts
        for text in texts:
            readout, length = text.readout, len(text.sample.tokens)
            sound = (
                all(0 <= row < len(readout.rows) and 0 <= column < known for row, column in readout.reads)
                and all(0 <= slot < len(readout.slots) for row in readout.rows for slot in row)
                and all(0 <= place < length for place in readout.slots)
            )
            if not readout.reads or not sound:
                raise InputError(
                    f"{text.where}: expected an explanation of codes of {known} concepts, got one of something else"
                )
        return list(texts)

    def _rows(self, sample: Sample) -> list[list[int]]:
        """The places of each row of a text."""
        extraction, point = self.extraction, self.concept_explainer.point
        return extraction.carriers(sample, extraction.elements(sample, point.in_decoder), point)

    def _with_targets(
        self, scorer: CodeReadingScorer, text: ExplainedText, codes: Float[Tensor, "rows c"], entry: Any
    ) -> ExplainedText:
        where = text.where.replace("inputs", "targets")
        size = codes.abs() if self.concept_explainer.codes_have_a_sign else codes
        if entry is None:
            rows = [self._read(size[:, i], where) for i in range(codes.shape[1])]
            entry = int(torch.stack([size[own, i].sum() for i, own in enumerate(rows)]).argmax())
        wanted = list(entry) if isinstance(entry, (list, tuple)) else [entry]
        if not wanted:
            raise InputError(f"{where}: expected at least one concept, got none; pass None for the strongest one")
        reads: list[tuple[int, int]] = []
        targets = []
        for target in wanted:
            sides = (target.target, target.rather_than) if isinstance(target, Contrast) else (target,)
            places, names = [], []
            for side in sides:
                number = self._number(side, codes.shape[1], where)
                rows_of_side = self._read(size[:, number], where)
                places.append(tuple(range(len(reads), len(reads) + len(rows_of_side))))
                reads += [(row, number) for row in rows_of_side]
                names.append(self._target_name(number, rows_of_side, text))
            first = None
            if scorer.looks_back_only:
                own_rows = {reads[k][0] for side_places in places for k in side_places}
                first = 1 + max(text.readout.slots[slot] for row in own_rows for slot in text.readout.rows[row])
            minus = places[1] if len(places) > 1 else ()
            targets.append(Target(" rather than ".join(names), places[0], minus, first=first))
        return replace(text, readout=_only_what_is_read(text.readout, reads, targets))

    def _read(self, size: Float[Tensor, " rows"], where: str) -> list[int]:
        """Which rows of a text are read for a concept of which so much is in each."""
        if self.at == "sum":
            return list(range(len(size)))
        if self.at == "strongest":
            return [int(size.argmax())]
        row = int(self.at)
        if not -len(size) <= row < len(size):
            raise InputError(
                f"{where}: expected a row from {-len(size)} to {len(size) - 1} for at={row}, there are {len(size)}"
            )
        return [row % len(size)]

    def _number(self, concept: Any, known: int, where: str) -> int:
        if isinstance(concept, str):
            named: dict[str, int] = {}
            for number, value in (self.names or {}).items():
                name = str(getattr(value, "name", value))
                if name == concept and name in named:
                    raise InputError(
                        f"{where}: expected the name of one concept, {concept!r} is that of {named[name]} and of "
                        f"{number}; pass a number"
                    )
                named |= {name: number, self.name(number): number}
            if concept not in named:
                raise InputError(
                    f"{where}: expected the number of a concept, or one of {list(named)!r:.200}, got {concept!r}"
                )
            return named[concept]
        found = whole(concept)
        if found is None or not 0 <= found < known:
            raise InputError(f"{where}: expected a concept from 0 to {known - 1}, got {concept!r:.60}")
        return found

    def _target_name(self, concept: int, rows: Sequence[int], text: ExplainedText) -> str:
        if len(rows) != 1:
            return self.name(concept)
        places = [text.readout.slots[slot] for slot in text.readout.rows[rows[0]]]
        first, last = (text.sample.tokens[place] for place in (min(places), max(places)))
        shown = text.sample.parts[first.part][first.start : last.end].strip() if first.part == last.part else ""
        return f"{self.name(concept)} at {shown!r}" if shown else self.name(concept)


def _only_what_is_read(readout: Readout, reads: Sequence[tuple[int, int]], targets: Sequence[Target]) -> Readout:
    """A readout of these reads without the rows and slots that none of them needs."""
    rows = sorted({row for row, _ in reads})
    slots = sorted({slot for row in rows for slot in readout.rows[row]})
    return Readout(
        tuple(readout.slots[slot] for slot in slots),
        tuple((rows.index(row), column) for row, column in reads),
        tuple(targets),
        tuple(tuple(slots.index(slot) for slot in readout.rows[row]) for row in rows),
    )
