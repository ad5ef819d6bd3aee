"""Words, concepts and decisions: functions of concepts that every attribution method explains.

>>> from interpreto import Occlusion, ModelWithSplitPoints
>>> from interpreto.concepts import ConceptsToOutput, SemiNMFConcepts
>>> from interpreto.demo import load
>>> model, tokenizer = load("emotion")
>>> split = ModelWithSplitPoints(model, tokenizer=tokenizer, split_points=1)
>>> concepts = SemiNMFConcepts(split, nb_concepts=4)
>>> report = concepts.fit(split.get_activations(["I am so happy", "I was scared of the dark"]))
>>> (words,) = Occlusion(concepts)("I was scared", [1])  # which words make concept 1?
>>> [element.text for element in words.elements]
['I', ' was', ' scared']
>>> (weights,) = Occlusion(ConceptsToOutput(concepts))("I was scared", ["fear"])  # which concepts make the decision?
>>> [element.text for element in weights.elements]
['concept 0', 'concept 1', 'concept 2', 'concept 3']
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from interpreto.errors import InputError, check_count
from interpreto.model_wrapping import (
    ActivationGranularity,
    Aggregation,
    Contrast,
    Engine,
    Explained,
    ExplainedFunction,
    ExplainedText,
    ModelWithSplitPoints,
    Readout,
    Scorer,
    Target,
)
from interpreto.model_wrapping.activations import choice
from interpreto.model_wrapping.code_edits import CodedText, CodeEditingScorer
from interpreto.model_wrapping.code_reading import CodeReadingScorer
from interpreto.model_wrapping.extraction import Extraction
from interpreto.model_wrapping.targets import split_targets, whole
from interpreto.text import Element, Sample
from interpreto.types import Task


@dataclass(frozen=True, eq=False)
class ConceptFunction(ExplainedFunction):
    """What both bridges share.

    Args:
        concept_explainer: Fitted concepts of a split model.
        granularity: What one row of hidden states belongs to; the same as in the fit.
        aggregation: How rows of several tokens become one; the same as in the fit.
        names: What to call concepts, by number: `Interpretations`, or texts.
    """

    concept_explainer: Any
    _: KW_ONLY
    granularity: ActivationGranularity | str = ActivationGranularity.TOKEN
    aggregation: Aggregation | str = Aggregation.MEAN
    names: Any = None

    def __post_init__(self) -> None:
        if not hasattr(self.concept_explainer, "concept_model"):
            raise InputError(
                "concept_explainer: expected fitted concepts of a split model, such as SemiNMFConcepts(split, ...), "
                f"got {type(self.concept_explainer).__name__}"
            )
        if self.names is not None and not isinstance(self.names, Mapping):
            raise InputError(
                f"names: expected Interpretations or names by the numbers of concepts, got {type(self.names).__name__}"
            )
        object.__setattr__(self, "granularity", choice("granularity", self.granularity, ActivationGranularity))
        object.__setattr__(self, "aggregation", choice("aggregation", self.aggregation, Aggregation))
        _ = self.concept_explainer.concept_model, self.split

    @property
    def split(self) -> ModelWithSplitPoints:
        """The split model."""
        split: ModelWithSplitPoints = self.concept_explainer.split
        return split

    @property
    def extraction(self) -> Extraction:
        """How rows are made."""
        return self.split.extraction(self.granularity, self.aggregation)

    def name(self, concept: int) -> str:
        """What to call a concept."""
        found = None if self.names is None else self.names.get(concept)
        return f"concept {concept}" if found is None else f"{getattr(found, 'name', found)} ({concept})"

    def settings(self) -> dict[str, Any]:
        """What is noted of it in results."""
        return self.identity()

    def identity(self) -> dict[str, Any]:
        """Those of its settings without which it is another function."""
        return {
            "concepts": type(self.concept_explainer).__name__,
            "split_point": self.concept_explainer.point.name,
            "activation_granularity": ActivationGranularity(self.granularity).value,
            "aggregation": Aggregation(self.aggregation).value,
            "concepts_fingerprint": self.concept_explainer.concept_model.fingerprint(),
        }

    def _check_width(self, width: int) -> None:
        known, name = self.concept_explainer.concept_model.width, self.concept_explainer.point.name
        if width != known:
            raise InputError(
                f"split point {name!r}: expected the width {known} that the concepts have, got {width}; fit them on "
                "this model's activations there"
            )


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


@dataclass(frozen=True, eq=False)
class ConceptsToOutput(ConceptFunction):
    """From concepts to decisions: which concepts of a text carry the model's answer, by any attribution method.

    The model runs with `h + decode(z') - decode(z)` in the place of a row `h` with codes `z`, where `z'` are the codes
    of the concepts that are kept, and what `removal` says for the others: what the concepts do not explain stays as it
    is, and keeping all of them changes nothing. Elements of the results are the concepts that are active in the text.
    Targets are those of the model. `InputxGradient` is gradient x concept; `Sobol` is the importance of CRAFT and
    COCKATIEL; `Insertion` and `Deletion` of such results are C-insertion and C-deletion. Gradients sum over rows;
    `Saliency` and its family take norms over them.

    Args:
        concept_explainer: Fitted concepts of a split model.
        granularity: What one row of hidden states belongs to; the same as in the fit. A row that is made from several
            tokens moves all of them alike.
        aggregation: How rows of several tokens become one; the same as in the fit.
        names: What to call concepts.
        removal: What the code of a removed concept becomes: `"zero"`, `"mean"` of the reference, or `"resample"`, codes
            of rows of the reference that are drawn at random.
        reference: Activations for `"mean"` and `"resample"`.
        n_draws: How many draws results are means of, for `"resample"`; each costs as much as one explanation, and
            their differences make standard errors. Metrics use the first draw.
        seed: Seed of the draws.
        max_concepts: At most so many concepts of a text are its elements, those with the largest codes; the others
            stay as they are.
        source_only: Models that write: only concepts in the rows of the prompt are elements, not those in what was
            written already.

    Models that write take rows of one token each: a row of several would know what is written later.

    References: Fel et al. (2023), arXiv:2306.07304, sections 3.2 and 4; Fel et al. (2023), CRAFT, arXiv:2211.10154;
    Jourdan et al. (2023), COCKATIEL, arXiv:2305.06754.
    """

    _: KW_ONLY
    removal: str = "zero"
    reference: Any = None
    n_draws: int = 8
    seed: int = 0
    max_concepts: int | None = None
    source_only: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.removal not in ("zero", "mean", "resample"):
            raise InputError(f"removal: expected 'zero', 'mean' or 'resample', got {self.removal!r}")
        if (self.reference is None) is not (self.removal == "zero"):
            raise InputError(
                "reference: expected activations for 'mean' and 'resample', and None for 'zero', got removal="
                f"{self.removal!r} and {'None' if self.reference is None else type(self.reference).__name__}"
            )
        check_count("n_draws", self.n_draws, 1)
        check_count("seed", self.seed, 0)
        if self.max_concepts is not None:
            check_count("max_concepts", self.max_concepts, 1)
        if self.reference is not None and self.concept_explainer.rows(self.reference).n_rows == 0:
            raise InputError("reference: expected at least one row of activations, got none")
        _ = self._mean_codes

    @cached_property
    def _mean_codes(self) -> Float[Tensor, " c"]:
        """Of the reference; zeros without one."""
        explainer = self.concept_explainer
        total = torch.zeros(explainer.concept_model.nb_concepts, dtype=torch.float64)
        if self.removal != "mean":
            return total.float()
        rows = explainer.rows(self.reference)
        for batch in rows.batches(4096):
            total += explainer.encode(batch).detach().double().sum(dim=0).cpu()
        mean: Tensor = total / rows.n_rows
        return mean.float()

    @property
    def n_versions(self) -> int | None:
        """How many draws results are means of."""
        return self.n_draws if self.removal == "resample" else None

    def settings(self) -> dict[str, Any]:
        """What is noted of it in results."""
        own: dict[str, Any] = {"concept_removal": self.removal, "max_concepts": self.max_concepts}
        if self.removal == "resample":
            own |= {"n_draws": self.n_draws, "draws_seed": self.seed}
        return {**super().settings(), **own}

    def scorer(self, engine: Engine) -> CodeEditingScorer:
        """The engine for the model's answers.

        Raises:
            InputError: A removal of tokens.
        """
        if engine.removal is not None:
            raise InputError(
                f"removal: expected none where concepts are removed, as ConceptsToOutput(removal={self.removal!r}) "
                f"says, got {engine.removal!r}"
            )
        split = self.split
        return CodeEditingScorer(
            split.traits,
            split.task,
            engine.mode,
            split.traits.filling(None),
            engine.batch_size or split.batch_size,
            engine.progress,
            point=self.concept_explainer.point,
        )

    def texts(self, explained: Explained, scorer: Scorer, inputs: Any, targets: Any) -> list[ExplainedText]:
        """Texts whose elements are their concepts, each as often as codes are drawn for removed ones."""
        found = explained.texts(scorer, explained.sources_for(inputs, targets), targets)
        return [text for draws in self._coded(scorer, found, None) for text in draws]

    def again(self, scorer: Scorer, texts: Sequence[ExplainedText]) -> list[ExplainedText]:
        """Explained texts from those of saved results."""
        known = self.concept_explainer.concept_model.nb_concepts
        wanted = []
        for text in texts:
            numbers = [element.tokens[0] if len(element.tokens) == 1 else -1 for element in text.elements]
            if not numbers or any(not 0 <= i < known for i in numbers) or any(e.end for e in text.elements):
                raise InputError(
                    f"{text.where}: expected an explanation by {known} concepts, got one by something else"
                )
            wanted.append(numbers)
        return [draws[0] for draws in self._coded(scorer, texts, wanted)]

    def _coded(
        self, scorer: Scorer, texts: Sequence[ExplainedText], wanted: Sequence[Sequence[int]] | None
    ) -> list[list[CodedText]]:
        """The texts with the concepts in them, or with those that are wanted; of each one a draw."""
        extraction, point, model = self.extraction, self.concept_explainer.point, self.concept_explainer.concept_model
        found = []
        for k, (text, hidden) in enumerate(zip(texts, scorer.hidden_states(texts, point), strict=True)):
            self._check_width(hidden.shape[1])
            rows = self._seen_rows(scorer, text, extraction.elements(text.sample, point.in_decoder))
            with torch.no_grad():
                all_codes = self.concept_explainer.encode(extraction.rows(hidden, text.sample, rows, point)).float()
            own = self._active(all_codes, text.where) if wanted is None else list(wanted[k])
            elements = tuple(Element(self.name(i), 0, 0, 0, (i,)) for i in own) if wanted is None else text.elements
            made = CodedText(
                text.where,
                text.sample,
                elements,
                text.readout,
                codes=all_codes[:, own].cpu(),
                nothing=self._mean_codes[own].expand(len(rows), -1),
                directions=model.dictionary[own].float().cpu(),
                carriers=tuple(tuple(places) for places in extraction.carriers(text.sample, rows, point)),
            )
            found.append([replace(made, nothing=nothing) for nothing in self._nothings(made, own)])
        return found

    def _seen_rows(self, scorer: Scorer, text: ExplainedText, rows: Sequence[Element]) -> list[Element]:
        """The rows that targets see, of those of a text.

        Raises:
            InputError: Rows that know what is written later.
        """
        writes = scorer.task is Task.CAUSAL_LM or (scorer.task.generates and self.concept_explainer.point.in_decoder)
        if writes and any(len(row.tokens) > 1 for row in rows):
            raise InputError(
                f"granularity: expected 'token' or 'all_tokens' for a model that writes, got {self.granularity!r}: a "
                "row of several tokens knows what is written later"
            )
        last = max(text.readout.slots) if writes else len(text.sample.tokens)
        if self.source_only and writes:
            last = min(last, text.sample.output_start - 1)
        return [row for row in rows if row.tokens[0] <= last]

    def _active(self, codes: Float[Tensor, "rows c"], where: str) -> list[int]:
        size = codes.abs().amax(dim=0) if len(codes) else codes.new_zeros(codes.shape[1])
        active = size.nonzero()[:, 0]
        if not len(active):
            raise InputError(f"{where}: expected a text with concepts, none of the {codes.shape[1]} is active in it")
        if self.max_concepts is not None and len(active) > self.max_concepts:
            active = active[size[active].argsort(descending=True, stable=True)[: self.max_concepts]].sort().values
        return [int(i) for i in active]

    def _nothings(self, text: CodedText, own: Sequence[int]) -> list[Float[Tensor, "rows g"]]:
        """Codes of removed concepts, one a draw."""
        if self.removal != "resample":
            return [text.nothing]
        rows, rng = self.concept_explainer.rows(self.reference), Generator().manual_seed(self.seed)
        chosen = torch.randint(rows.n_rows, (self.n_draws, len(text.codes)), generator=rng)
        return [self.concept_explainer.encode(rows.take(draw)).detach().float().cpu()[:, own] for draw in chosen]


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
