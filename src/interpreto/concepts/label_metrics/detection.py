"""Labels as classifiers: can a language model tell from the label alone where a concept is active?"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, final

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from interpreto.concepts.label_metrics.answers import numbers_in
from interpreto.concepts.label_metrics.base import LabelMetric, Plan
from interpreto.concepts.label_metrics.prompts import DETECTION, FUZZING, Question, cut, highlighted
from interpreto.concepts.label_metrics.result import ConceptScore, Judged
from interpreto.concepts.label_metrics.statistics import balanced_accuracy, f1, share
from interpreto.concepts.label_metrics.windows import Reading, Table, Windows, largest_code
from interpreto.errors import InputError, check_count
from interpreto.model_wrapping import ActivationGranularity
from interpreto.model_wrapping.activations import choice

INACTIVE = "inactive"
_MARKED = 0.3  # of the window's largest code


class WrongMarks(str, Enum):
    """Where the words are that should not have been marked."""

    INACTIVE_TEXTS = "inactive_texts"
    """In texts without the concept: any words."""
    ACTIVE_TEXTS = "active_texts"
    """In texts with the concept: words in which it is not active. Harder, for the text around them fits."""


@dataclass(frozen=True, slots=True)
class Draw:
    """The windows of one concept that are asked about.

    Args:
        column: Place of the concept among those that are read.
        active: Windows in which it is active, and which quantile each is of, 1 for the strongest.
        inactive: Windows in which it is not.
        others: Windows in which it is active and that are not among the drawn ones, in random order.
        least: A code must be above it to be active.
    """

    column: int
    active: tuple[tuple[int, int], ...]
    inactive: tuple[int, ...]
    others: tuple[int, ...]
    least: float


@dataclass(frozen=True, slots=True)
class Item:
    """A text to ask about, and the right answer.

    Args:
        text: As it is shown.
        activation: The largest code in it.
        group: `"quantile 1"`, ... or `"inactive"`.
    """

    text: str
    activation: float
    group: str

    @property
    def truth(self) -> int:
        """1 where the answer should be yes."""
        return int(self.group != INACTIVE)


@dataclass(frozen=True, eq=False, kw_only=True)
class YesOrNo(LabelMetric):
    """A list of yes or no answers about texts with and without a concept.

    The score is balanced accuracy, the mean of the shares that are told right of either kind: 0.5 for guessing, 0 for a
    judge who says the contrary. `numbers` has `recall` (of texts with the concept), `specificity` (of those without),
    `f1`, and `recall_1`, `recall_2`, ... by quantile of the activation, the strongest first: many labels fit the
    strongest texts only. Answers have no probabilities, so there is no area under a curve. Errors take answers for
    independent; those of one prompt may not quite be. Missing answers are left out.

    Args:
        n_active: Texts in which the concept is active, as many from each quantile.
        n_inactive: Texts in which it is not.
        n_quantiles: Into how many parts of equal size the active texts are cut, by activation.
        per_prompt: Texts a prompt.
        active_share: A text is active where its largest code is above this share of the concept's largest code. With 0
            any code above 0 counts, as fits sparse codes; dense ones are above 0 nearly everywhere and need more.
    """

    n_active: int = 50
    n_inactive: int = 50
    n_quantiles: int = 10
    per_prompt: int = 5
    active_share: float = 0.0

    question: ClassVar[Question]

    @property
    def shows_inactive(self) -> bool:
        """Whether texts without the concept are shown."""
        return True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("n_active", "n_inactive", "n_quantiles", "per_prompt"):
            check_count(name, getattr(self, name), 1)
        if isinstance(self.active_share, bool) or not 0 <= self.active_share < 1:
            raise InputError(f"active_share: expected a share from 0 to below 1, got {self.active_share!r}")

    def plans(
        self, labels: Mapping[int, str], reading: Reading, windows: Windows, table: Table
    ) -> dict[int, Plan | str]:
        """Texts of each concept, shuffled, some a prompt."""
        drawn = {c: self._drawn(c, column, windows) for column, c in enumerate(labels)}
        draws = {concept: draw for concept, draw in drawn.items() if isinstance(draw, Draw)}
        items = self.items(draws, windows, table)
        plans: dict[int, Plan | str] = {concept: why for concept, why in drawn.items() if isinstance(why, str)}
        for concept, own in items.items():
            truths = {item.truth for item in own}
            plans[concept] = self._plan(labels[concept], own, concept) if truths == {0, 1} else _NOTHING_TO_MARK
        return plans

    @abstractmethod
    def items(self, draws: Mapping[int, Draw], windows: Windows, table: Table) -> dict[int, list[Item]]:
        """What is shown of the windows of each concept."""

    def _drawn(self, concept: int, column: int, windows: Windows) -> Draw | str:
        codes, rng = windows.codes[:, column], self.rng(concept)
        least = self.active_share * largest_code(codes)
        active = np.flatnonzero(codes > least)
        inactive = np.flatnonzero(codes <= least)
        if not len(active):
            return "it is active in none of the texts; pass more of them"
        if not len(inactive) and self.shows_inactive:
            return (
                "it is active in all of the texts; raise active_share, above which part of its largest code it counts"
            )
        quantiles = np.array_split(active[np.argsort(-codes[active], kind="stable")], self.n_quantiles)
        wanted = [len(part) for part in np.array_split(np.arange(self.n_active), self.n_quantiles)]
        chosen = [
            (int(window), k)
            for k, (part, count) in enumerate(zip(quantiles, wanted, strict=True), start=1)
            for window in rng.permutation(part)[:count]
        ]
        others = rng.permutation(np.setdiff1d(active, [window for window, _ in chosen]))
        without = rng.permutation(inactive)[: self.n_inactive]
        return Draw(column, tuple(chosen), tuple(without.tolist()), tuple(others.tolist()), least)

    def _plan(self, label: str, items: Sequence[Item], concept: int) -> Plan:
        rng = np.random.default_rng([self.seed, concept, 1])
        shuffled = [items[k] for k in rng.permutation(len(items)).tolist()]
        batches = [shuffled[k : k + self.per_prompt] for k in range(0, len(shuffled), self.per_prompt)]
        chats = tuple(self.question.chat(label, [item.text for item in batch]) for batch in batches)

        def score(answers: Sequence[str | None]) -> ConceptScore:
            read = [numbers_in(text, len(batch), 1) for text, batch in zip(answers, batches, strict=True)]
            judged = tuple(
                Judged(item.text, item.activation, item.group, None if said is None else said[k])
                for batch, said in zip(batches, read, strict=True)
                for k, item in enumerate(batch)
            )
            return scored(judged, missing=sum(said is None for said in read))

        return Plan(chats, score)


def scored(judged: tuple[Judged, ...], missing: int) -> ConceptScore:
    """Balanced accuracy and its companions, from texts and what was said of them."""
    known = [one for one in judged if one.answer is not None]
    yes = [bool(one.answer) for one in known if one.group != INACTIVE]
    no = [not one.answer for one in known if one.group == INACTIVE]
    recall, specificity = share(sum(yes), len(yes)), share(sum(no), len(no))
    numbers = {"recall": recall, "specificity": specificity, "f1": f1(recall, specificity, len(yes), len(no))}
    for group in sorted({one.group for one in judged} - {INACTIVE}, key=_quantile):
        own = [bool(one.answer) for one in known if one.group == group]
        numbers[f"recall_{_quantile(group)}"] = share(sum(own), len(own))
    reason = None if yes and no else "too many answers are missing"
    return ConceptScore(
        0, None, balanced_accuracy(recall, specificity), numbers, judged, missing=missing, reason=reason
    )


def _quantile(group: str) -> int:
    return int(group.removeprefix("quantile "))


_NOTHING_TO_MARK = "there is no word to mark in its texts, or no other one; pass more or longer ones"


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Detection(YesOrNo):
    """Share of texts of which a language model can tell, by the label, whether the concept is active in them.

    It is shown five texts at a time and says 1 or 0 to each. The test of a label's recall: does it name all that the
    concept is active on? Whether it names the right words in those texts is what `Fuzzing` tests.

    Cost: a call to the language model for every `per_prompt` texts, 20 a concept by default, and one pass over the
        texts.

    Reference: Paulo et al. (2024), Automatically interpreting millions of features in large language models,
    arXiv:2410.13928.
    """

    question: ClassVar[Question] = DETECTION

    def items(self, draws: Mapping[int, Draw], windows: Windows, table: Table) -> dict[int, list[Item]]:
        """The windows as they are."""

        def item(draw: Draw, window: int, group: str) -> Item:
            return Item(
                cut(windows.text(window), self.longest_excerpt), float(windows.codes[window, draw.column]), group
            )

        return {
            concept: [item(draw, window, f"quantile {k}") for window, k in draw.active]
            + [item(draw, window, INACTIVE) for window in draw.inactive]
            for concept, draw in draws.items()
        }


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Fuzzing(YesOrNo):
    """Share of texts of which a language model can tell, by the label, whether the right words are marked in them.

    Words stand between `<<` and `>>`: in half of the texts those with at least 0.3 of the text's largest code, in the
    others as many random ones, `ceil` of the mean number. What looks like a mark in a text itself is set apart by
    spaces. The test of a label's precision: a label that fits the whole text but not the active words fails it.

    Cost: as `Detection`, and the shown texts are read from the model once more where activations are not given.

    Args:
        wrong_marks: Where the random words are: in texts without the concept, or (harder) in texts with it, on words in
            which it is not active.

    Reference: Paulo et al. (2024), arXiv:2410.13928.
    """

    wrong_marks: WrongMarks | str = WrongMarks.INACTIVE_TEXTS

    question: ClassVar[Question] = FUZZING

    @property
    def shows_inactive(self) -> bool:
        """Whether wrong marks are in texts without the concept."""
        return self.wrong_marks is WrongMarks.INACTIVE_TEXTS

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "wrong_marks", choice("wrong_marks", self.wrong_marks, WrongMarks))
        whole = (ActivationGranularity.CLS_TOKEN, ActivationGranularity.SAMPLE)
        if self.activation_granularity in whole:
            raise InputError(
                "activation_granularity: expected one with several rows a text, of which some can be marked, got "
                f"{ActivationGranularity(self.activation_granularity).value!r}; use Detection"
            )
        if self._size < 2:
            raise InputError(f"window: expected at least 2 elements, of which some can be marked, got {self._size}")

    def items(self, draws: Mapping[int, Draw], windows: Windows, table: Table) -> dict[int, list[Item]]:
        """The windows with marks."""
        wrong = {concept: self._wrong(draw) for concept, draw in draws.items()}
        wanted = [
            (draw.column, window)
            for concept, draw in draws.items()
            for window in (*(window for window, _ in draw.active), *wrong[concept])
        ]
        elements = table.elements(windows, wanted)

        def item(draw: Draw, window: int, marked: Sequence[int], group: str) -> Item:
            spans = [elements[draw.column, window].spans[k] for k in sorted(marked)]
            text = highlighted(windows.text(window), spans, self.longest_excerpt)
            return Item(text, float(windows.codes[window, draw.column]), group)

        found: dict[int, list[Item]] = {}
        for concept, draw in draws.items():
            rng = np.random.default_rng([self.seed, concept, 2])
            right = [(w, k, _active(elements[draw.column, w].codes)) for w, k in draw.active]
            right = [(window, k, marked) for window, k, marked in right if marked]
            found[concept] = [item(draw, window, marked, f"quantile {k}") for window, k, marked in right]
            count = math.ceil(sum(len(marked) for *_, marked in right) / len(right)) if right else 0
            left = self.n_inactive
            for window in wrong[concept]:
                codes = elements[draw.column, window].codes
                free = np.flatnonzero(codes <= draw.least)
                if left and len(free):
                    marked = rng.permutation(free)[:count].tolist()
                    found[concept].append(item(draw, window, marked, INACTIVE))
                    left -= 1
        return found

    def _wrong(self, draw: Draw) -> tuple[int, ...]:
        """Windows in which wrong words may be marked: those that are not shown otherwise first."""
        if self.shows_inactive:
            return draw.inactive
        own = tuple(window for window, _ in draw.active)
        return (*draw.others[: _SPARE * self.n_inactive], *own)[: _SPARE * self.n_inactive]


_SPARE = 2  # windows looked at for each that is wanted: some are active in every word


def _active(codes: Float32[ndarray, " e"]) -> list[int]:
    """The elements with at least 0.3 of the largest code, if that is above 0."""
    if not len(codes) or not codes.max() > 0:
        return []
    return np.flatnonzero(codes >= _MARKED * codes.max()).tolist()
