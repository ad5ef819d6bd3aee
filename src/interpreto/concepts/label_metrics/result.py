"""Scores of labels: plain frozen data, all that tables and pictures need."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from interpreto.concepts.label_metrics.statistics import UNKNOWN, Estimate, mean
from interpreto.errors import InputError, MissingExtraError
from interpreto.model_wrapping.llm_interface import Usage
from interpreto.saving import SavedAsJson

if TYPE_CHECKING:
    import pandas

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Judged:
    """A text that the language model was asked about, or that it wrote.

    Args:
        text: As it was shown.
        activation: The largest code of the concept in it; NaN where it was not read.
        group: What it is an example of, as `"quantile 1"`, `"inactive"`, `"natural"`, `"generated"`, `"factor 10"`.
        answer: What the language model said, 1 or 0, or a rating from 0 to 2; `None` without a usable answer.
    """

    text: str
    activation: float
    group: str
    answer: int | None


@dataclass(frozen=True, slots=True)
class ConceptScore:
    """How well one label fits its concept.

    Args:
        concept: Its number.
        label: What was scored; `None` where there is none.
        score: The metric itself; NaN where it cannot be measured.
        numbers: What else there is to know, by name; the metric says which.
        judged: The texts, with what the language model said of them.
        prompts: How many prompts there were.
        missing: How many of them got no usable answer.
        reason: Why there is no score.
    """

    concept: int
    label: str | None
    score: Estimate = UNKNOWN
    numbers: Mapping[str, Estimate] = field(default_factory=dict)
    judged: tuple[Judged, ...] = ()
    prompts: int = 0
    missing: int = 0
    reason: str | None = None

    def __repr__(self) -> str:
        said = f"{self.score}" if self.reason is None else f"not measurable: {self.reason}"
        return f"ConceptScore({self.concept}, {self.label!r:.60}, {said})"


@dataclass(frozen=True, eq=False, repr=False)
class LabelScores(Mapping[int, ConceptScore], SavedAsJson):
    """How well labels fit, by the numbers of their concepts.

    Args:
        scores: One a concept.
        metric: Name of the metric.
        settings: Its options, seed included, as plain values.
        usage: What the language model was asked for it.

    >>> scores = LabelScores((ConceptScore(3, "names of pets", Estimate(0.9, 0.05)),), "Detection")
    >>> scores
    LabelScores(Detection, 1 of 1 concepts, mean 0.900 ± nan)
    """

    saved_as: ClassVar[str] = "scores of labels"

    scores: tuple[ConceptScore, ...]
    metric: str
    settings: dict[str, Any] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)

    def __getitem__(self, concept: int) -> ConceptScore:
        if concept not in self._by_concept:
            raise KeyError(f"{concept}; there are {list(self)}")
        return self._by_concept[concept]

    @cached_property
    def _by_concept(self) -> dict[int, ConceptScore]:
        return {score.concept: score for score in self.scores}

    def __iter__(self) -> Iterator[int]:
        return (score.concept for score in self.scores)

    def __len__(self) -> int:
        return len(self.scores)

    def __repr__(self) -> str:
        known = sum(score.reason is None for score in self.scores)
        return f"LabelScores({self.metric}, {known} of {len(self)} concepts, mean {self.mean()})"

    def mean(self, number: str | None = None) -> Estimate:
        """Mean over the concepts that have a score, with the standard error that their spread gives it.

        Args:
            number: One of `numbers` in place of the score.

        Raises:
            InputError: No concept has a number of that name.
        """
        if number is None:
            return mean([score.score.value for score in self.scores])
        known = [score.numbers[number].value for score in self.scores if number in score.numbers]
        if not known:
            names = sorted({name for score in self.scores for name in score.numbers})
            raise InputError(f"number: expected one of {names}, got {number!r}")
        return mean(known)

    @property
    def missing(self) -> int:
        """How many prompts got no usable answer."""
        return sum(score.missing for score in self.scores)

    @property
    def not_measurable(self) -> dict[int, str]:
        """Why concepts have no score."""
        return {score.concept: score.reason for score in self.scores if score.reason is not None}

    def at_least(self, value: float) -> list[int]:
        """The concepts whose score is so large."""
        return [score.concept for score in self.scores if score.score.value >= value]

    def to_dict(self) -> dict[str, Any]:
        """As plain values, ready for JSON; `None` in the place of NaN."""
        return {
            "format": FORMAT,
            "kind": "label_scores",
            "metric": self.metric,
            "settings": self.settings,
            "usage": asdict(self.usage),
            "scores": [
                {
                    "concept": score.concept,
                    "label": score.label,
                    "score": _pair(score.score),
                    "numbers": {name: _pair(number) for name, number in score.numbers.items()},
                    "judged": [[one.text, _number(one.activation), one.group, one.answer] for one in score.judged],
                    "prompts": score.prompts,
                    "missing": score.missing,
                    "reason": score.reason,
                }
                for score in self.scores
            ],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LabelScores:
        """The inverse of `to_dict`.

        Raises:
            InputError: No saved scores, or some of a newer format.
        """
        if data.get("kind") != "label_scores":
            raise InputError(f"file: expected saved scores of labels, got the kind {data.get('kind')!r:.60}")
        if data.get("format") != FORMAT:
            raise InputError(
                f"file: expected scores of format {FORMAT}, got format {data.get('format')!r:.60}; "
                "read them with the version of interpreto that wrote them, or a newer one"
            )
        scores = tuple(
            ConceptScore(
                _whole(one["concept"]),
                _text_or_none(one["label"]),
                _estimate(one["score"]),
                {_text(name): _estimate(pair) for name, pair in one["numbers"].items()},
                tuple(_judged(*judged) for judged in one["judged"]),
                _whole(one["prompts"]),
                _whole(one["missing"]),
                _text_or_none(one["reason"]),
            )
            for one in data["scores"]
        )
        usage = Usage(**{name: _whole(count) for name, count in data["usage"].items()})
        return cls(scores, _text(data["metric"]), dict(data["settings"]), usage)

    def to_pandas(self) -> pandas.DataFrame:
        """One row a concept.

        Columns: `concept, label, score, error, prompts, missing, reason`, and two for each of the other numbers, the
        second with `_error` at its end.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise MissingExtraError("pandas", "data", "to_pandas()") from None
        rows = [
            {
                "concept": score.concept,
                "label": score.label,
                "score": score.score.value,
                "error": score.score.error,
                "prompts": score.prompts,
                "missing": score.missing,
                "reason": score.reason,
            }
            | {name: number.value for name, number in score.numbers.items()}
            | {f"{name}_error": number.error for name, number in score.numbers.items()}
            for score in self.scores
        ]
        return pandas.DataFrame(rows)


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _pair(estimate: Estimate) -> list[float | None]:
    return [_number(estimate.value), _number(estimate.error)]


def _estimate(pair: Any) -> Estimate:
    value, error = pair
    return Estimate(_float(value), _float(error))


def _judged(text: Any, activation: Any, group: Any, answer: Any) -> Judged:
    return Judged(_text(text), _float(activation), _text(group), None if answer is None else _whole(answer))


def _float(value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"expected a number, got {value!r:.60}")
    return float(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"expected a whole number, got {value!r:.60}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, got {value!r:.60}")
    return value


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)
