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
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from interpreto.concepts.base import ConceptExplainer

Names = Mapping[int, Any]
"""What to call concepts, by number: `Interpretations`, or texts."""


@dataclass(frozen=True, eq=False)
class ConceptFunction(ExplainedFunction):
    """What both bridges share.

    Args:
        concept_explainer: Fitted concepts of a split model.
        granularity: What one row of hidden states belongs to; the same as in the fit.
        aggregation: How rows of several tokens become one; the same as in the fit.
        names: What to call concepts.
    """

    concept_explainer: ConceptExplainer
    _: KW_ONLY
    granularity: ActivationGranularity | str = ActivationGranularity.TOKEN
    aggregation: Aggregation | str = Aggregation.MEAN
    names: Names | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "granularity", choice("granularity", self.granularity, ActivationGranularity))
        object.__setattr__(self, "aggregation", choice("aggregation", self.aggregation, Aggregation))
        _ = self.concept_explainer.concept_model, self.split

    @property
    def split(self) -> ModelWithSplitPoints:
        """The split model."""
        return self.concept_explainer.split

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
        return {
            "concepts": type(self.concept_explainer).__name__,
            "split_point": self.concept_explainer.point.name,
            "activation_granularity": ActivationGranularity(self.granularity).value,
            "aggregation": Aggregation(self.aggregation).value,
        }


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
            scorer.check_rows(found[-1])
        codes = scorer.codes(found)
        return [self._with_targets(scorer, *each) for each in zip(found, codes, entries, strict=True)]

    def again(
        self, where: str, sample: Sample, elements: tuple[Element, ...], readout: Readout, scorer: Scorer
    ) -> ExplainedText:
        """An explained text from a saved result."""
        known = self.concept_explainer.concept_model.nb_concepts
        if not readout.rows or max(column for _, column in readout.reads) >= known:
            raise InputError(
                f"{where}: expected an explanation of codes of {known} concepts, got one of something else"
            )
        return ExplainedText(where, sample, elements, readout)

    def _rows(self, sample: Sample) -> list[list[int]]:
        """The places of each row of a text."""
        extraction, point = self.extraction, self.concept_explainer.point
        return extraction.carriers(sample, extraction.elements(sample, point.in_decoder), point)

    def _with_targets(
        self, scorer: CodeReadingScorer, text: ExplainedText, codes: Float[Tensor, "rows c"], entry: Any
    ) -> ExplainedText:
        where = text.where.replace("inputs", "targets")
        if entry is None:
            entry = int(codes.max(dim=0).values.argmax())
        wanted = list(entry) if isinstance(entry, (list, tuple)) else [entry]
        reads: list[tuple[int, int]] = []
        targets = []
        for target in wanted:
            sides = (target.target, target.rather_than) if isinstance(target, Contrast) else (target,)
            numbers = [self._number(side, codes.shape[1], where) for side in sides]
            own = [self._read(codes[:, number], where) for number in numbers]
            places = [
                tuple(range(len(reads) + sum(map(len, own[:i])), len(reads) + sum(map(len, own[: i + 1]))))
                for i in range(len(own))
            ]
            reads += [(row, number) for rows, number in zip(own, numbers, strict=True) for row in rows]
            name = " rather than ".join(self._target_name(n, rows, text) for n, rows in zip(numbers, own, strict=True))
            last = max(text.readout.slots[slot] for rows in own for row in rows for slot in text.readout.rows[row])
            first = last + 1 if scorer.looks_back_only else None
            targets.append(Target(name, places[0], places[1] if len(places) > 1 else (), first=first))
        return replace(text, readout=replace(text.readout, reads=tuple(reads), targets=tuple(targets)))

    def _read(self, codes: Float[Tensor, " rows"], where: str) -> list[int]:
        """Which rows of a text are read for a concept with these codes."""
        if self.at == "sum":
            return list(range(len(codes)))
        if self.at == "strongest":
            size = codes.abs() if self.concept_explainer.codes_have_a_sign else codes
            return [int(size.argmax())]
        row = int(self.at)
        if not -len(codes) <= row < len(codes):
            raise InputError(
                f"{where}: expected a row from {-len(codes)} to {len(codes) - 1} for at={row}, there are {len(codes)}"
            )
        return [row % len(codes)]

    def _number(self, concept: Any, known: int, where: str) -> int:
        if isinstance(concept, str):
            named = {str(getattr(value, "name", value)): number for number, value in (self.names or {}).items()}
            if concept not in named:
                raise InputError(
                    f"{where}: expected the number of a concept, or one of {list(named)!r:.200}, got {concept!r}"
                )
            return named[concept]
        number = whole(concept)
        if number is None or not 0 <= number < known:
            raise InputError(f"{where}: expected a concept from 0 to {known - 1}, got {concept!r:.60}")
        return number

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
            of rows of the reference, drawn once a text.
        reference: Activations for `"mean"` and `"resample"`.
        n_draws: How many draws are averaged over, for `"resample"`; each costs a pass.
        seed: Seed of the draws.
        max_concepts: At most so many concepts of a text are its elements, those with the largest codes; the others
            stay as they are.

    References: Fel et al. (2023), arXiv:2306.07304, sections 3.2 and 4; Fel et al. (2023), CRAFT, arXiv:2211.10154;
    Jourdan et al. (2023), COCKATIEL, arXiv:2305.06754.
    """

    _: KW_ONLY
    removal: str = "zero"
    reference: Any = None
    n_draws: int = 8
    seed: int = 0
    max_concepts: int | None = None

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
        object.__setattr__(self, "_reference", self._reference_codes())

    def _reference_codes(self) -> Float[Tensor, "n c"]:
        explainer = self.concept_explainer
        if self.reference is None:
            return torch.zeros(1, explainer.concept_model.nb_concepts)
        rows = explainer.rows(self.reference)
        codes = torch.cat([explainer.encode(batch).detach().float().cpu() for batch in rows.batches(4096)])
        return codes.mean(dim=0, keepdim=True) if self.removal == "mean" else codes

    def settings(self) -> dict[str, Any]:
        """What is noted of it in results."""
        own: dict[str, Any] = {"removal": self.removal, "max_concepts": self.max_concepts}
        if self.removal == "resample":
            own |= {"n_draws": self.n_draws, "draws_seed": self.seed}
        return {**super().settings(), **own}

    def scorer(self, engine: Engine) -> CodeEditingScorer:
        """The engine for the model's answers.

        Raises:
            InputError: A removal of tokens.
        """
        if engine.removal is not None and engine.removal != self.removal:
            raise InputError(
                f"removal: expected none, concepts are removed as ConceptsToOutput(removal={self.removal!r}) says, got "
                f"{engine.removal!r}"
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
            coder=self.concept_explainer.concept_model,
        )

    def texts(self, explained: Explained, scorer: Scorer, inputs: Any, targets: Any) -> list[ExplainedText]:
        """Texts whose elements are their concepts."""
        found = explained.texts(scorer, explained.sources_for(inputs, targets), targets)
        return [self._with_elements(text) for text in self._coded(scorer, found)]

    def again(
        self, where: str, sample: Sample, elements: tuple[Element, ...], readout: Readout, scorer: Scorer
    ) -> ExplainedText:
        """An explained text from a saved result."""
        known = self.concept_explainer.concept_model.nb_concepts
        if any(len(element.tokens) != 1 or element.tokens[0] >= known or element.end for element in elements):
            raise InputError(f"{where}: expected an explanation by {known} concepts, got one by something else")
        (text,) = self._coded(scorer, [ExplainedText(where, sample, elements, readout)])
        return text

    def _coded(self, scorer: Scorer, texts: Sequence[ExplainedText]) -> list[CodedText]:
        """The texts with the concepts in them."""
        extraction, point = self.extraction, self.concept_explainer.point
        found = []
        for text, hidden in zip(texts, scorer.hidden_states(texts, point), strict=True):
            rows = extraction.elements(text.sample, point.in_decoder)
            with torch.no_grad():
                codes = self.concept_explainer.encode(extraction.rows(hidden, text.sample, rows, point)).float().cpu()
            carriers = tuple(tuple(own) for own in extraction.carriers(text.sample, rows, point))
            own = (text.where, text.sample, text.elements, text.readout)
            found.append(CodedText(*own, codes=codes, nothing=self._nothing(codes), carriers=carriers))
        return found

    def _with_elements(self, text: CodedText) -> CodedText:
        """The same text, its elements the concepts that are active in it."""
        elements = tuple(Element(self.name(i), 0, 0, 0, (i,)) for i in self._active(text.codes, text.where))
        return replace(text, elements=elements)

    def _active(self, codes: Float[Tensor, "rows c"], where: str) -> list[int]:
        size = codes.abs().amax(dim=0)
        active = size.nonzero()[:, 0]
        if not len(active):
            raise InputError(f"{where}: expected a text with concepts, none of the {codes.shape[1]} is active in it")
        if self.max_concepts is not None and len(active) > self.max_concepts:
            active = active[size[active].argsort(descending=True, stable=True)[: self.max_concepts]].sort().values
        return [int(i) for i in active]

    def _nothing(self, codes: Float[Tensor, "rows c"]) -> Float[Tensor, "draws rows c"]:
        reference: Tensor = self._reference  # type: ignore[attr-defined]
        if self.removal != "resample":
            return reference.expand(1, len(codes), -1)
        rng = Generator().manual_seed(self.seed)
        return reference[torch.randint(len(reference), (self.n_draws, len(codes)), generator=rng)]
