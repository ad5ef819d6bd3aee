"""FADE: does a label say what a concept is active on, and what it does? Four numbers, each with its own question."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, final

import numpy as np
from jaxtyping import Float32, Int
from numpy import ndarray
from tqdm.auto import tqdm

from interpreto.concepts.label_metrics.answers import distinct, numbers_in, texts_in
from interpreto.concepts.label_metrics.base import LabelMetric, Plan
from interpreto.concepts.label_metrics.prompts import RATING, cut, generation_chat
from interpreto.concepts.label_metrics.result import ConceptScore, Judged
from interpreto.concepts.label_metrics.statistics import (
    UNKNOWN,
    Estimate,
    auroc,
    gain_over,
    resampled_average_precision,
    separation,
    share,
)
from interpreto.concepts.label_metrics.windows import Reading, Sign, Table, Windows, largest_code
from interpreto.concepts.steering import Steering
from interpreto.errors import InputError, ModelError, check_count
from interpreto.model_wrapping.activations import choice
from interpreto.model_wrapping.generation import check_settings, generate
from interpreto.types import Task

_STRATA = (0.5, 0.75, 0.95)
_TOP = 0.1


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Clarity(LabelMetric):
    """How far texts written for the label stand out: `|2 AUROC - 1|` of their activations against natural texts.

    The language model writes texts that express the label, each is read once (equal ones, and those of nothing but the
    label's words, are left out), and a text's activation is the largest code in it. 1: what the label says makes the
    concept active, more than other texts do. 0: it does not, or as much as any other text. The score does not say which
    side is larger: `numbers["auroc"]` does, and below 0.5 the label names what the concept is *not* active on.

    Longer texts have larger maxima: the windows of natural texts should be about as long as those that are written, one
    or two sentences.

    Cost: `n_prompts` calls a concept, one pass over the natural texts and one over those that are written.

    Args:
        n_prompts: Requests for texts, each for another kind of text.
        per_prompt: Texts a request.

    Reference: Puri et al. (2025), FADE: why bad descriptions happen to good features, section 3, arXiv:2502.16994.
    """

    n_prompts: int = 15
    per_prompt: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("n_prompts", self.n_prompts, 1)
        check_count("per_prompt", self.per_prompt, 1)

    def plans(
        self, labels: Mapping[int, str], reading: Reading, windows: Windows, table: Table
    ) -> dict[int, Plan | str]:
        """Requests for texts."""
        return {
            concept: self._plan(concept, label, reading, windows.codes[:, column])
            for column, (concept, label) in enumerate(labels.items())
        }

    def _plan(self, concept: int, label: str, reading: Reading, natural: Float32[ndarray, " w"]) -> Plan:
        def score(answers: Sequence[str | None]) -> ConceptScore:
            read = [texts_in(answer) for answer in answers]
            missing = sum(texts is None for texts in read)
            written = distinct((text for texts in read for text in texts or ()), label)
            written = [text for text in written if reading.readable(text)]
            if not written:
                return ConceptScore(0, None, missing=missing, reason="the language model wrote no usable text")
            own = reading.largest(written, concept)
            areas = auroc(own, natural)
            judged = tuple(
                Judged(text, float(code), "generated", None) for text, code in zip(written, own, strict=True)
            )
            return ConceptScore(0, None, separation(areas), {"auroc": areas}, judged, missing=missing)

        return Plan(tuple(generation_chat(label, k, self.per_prompt) for k in range(self.n_prompts)), score)


@dataclass(frozen=True, eq=False, kw_only=True)
class RatedTexts(LabelMetric):
    """Natural texts that a language model rates: 2 expresses the label, 0 does not, 1 is left out.

    A tenth of the texts are those with the largest activations, the others are drawn evenly from four strata of the
    rest: the lower half by activation, up to the 75th percentile, up to the 95th, above. So texts with the concept are
    far more frequent than in the data. Where no text is rated 2, or none 0, there is nothing to compare, and no score.

    Args:
        n_texts: Texts a concept.
        per_prompt: Texts a prompt.
    """

    n_texts: int = 500
    per_prompt: int = 15

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("n_texts", self.n_texts, 2)
        check_count("per_prompt", self.per_prompt, 1)

    def plans(
        self, labels: Mapping[int, str], reading: Reading, windows: Windows, table: Table
    ) -> dict[int, Plan | str]:
        """Texts of each concept, shuffled, some a prompt."""
        return {
            concept: self._plan(concept, label, windows, column)
            for column, (concept, label) in enumerate(labels.items())
        }

    @abstractmethod
    def compared(self, activations: Float32[ndarray, " n"], ratings: Int[ndarray, " n"]) -> ConceptScore:
        """The score of texts that are rated 2 or 0, some of either kind."""

    def _plan(self, concept: int, label: str, windows: Windows, column: int) -> Plan:
        codes = windows.codes[:, column]
        drawn = in_strata(codes, self.n_texts, self.rng(concept))
        texts = [cut(windows.text(window), self.longest_excerpt) for window in drawn]
        batches = [texts[k : k + self.per_prompt] for k in range(0, len(texts), self.per_prompt)]

        def score(answers: Sequence[str | None]) -> ConceptScore:
            ratings, missing = rated(batches, answers)
            judged = tuple(
                Judged(text, float(codes[window]), "natural", rating)
                for text, window, rating in zip(texts, drawn, ratings, strict=True)
            )
            kept = [k for k, rating in enumerate(ratings) if rating in (0, 2)]
            known = np.asarray([ratings[k] for k in kept], np.int64)
            for rating in (2, 0):
                if rating not in known:
                    reason = f"none of the {len(texts)} texts is rated {rating}; " + (
                        "pass more texts, or ones that are about it" if rating == 2 else "the label fits every text"
                    )
                    reason = "too many answers are missing" if missing == len(batches) else reason
                    return ConceptScore(0, None, judged=judged, missing=missing, reason=reason)
            found = self.compared(codes[[drawn[k] for k in kept]], known)
            return ConceptScore(0, None, found.score, found.numbers, judged, missing=missing)

        return Plan(tuple(RATING.chat(label, batch) for batch in batches), score)


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Responsiveness(RatedTexts):
    """How far natural texts that express the label stand out: `|2 AUROC - 1|` of activations, rated 2 against rated 0.

    1: by the activation one can tell whether a text expresses the label. 0: one cannot, or the label fits texts in
    which the concept is not. As for `Clarity`, `numbers["auroc"]` says which side is larger.

    Cost: a call for every `per_prompt` texts, 34 a concept by default, and one pass over the texts. `Purity` asks the
    same: with a `cache`, the second of them costs nothing.

    Reference: Puri et al. (2025), section 3, arXiv:2502.16994.
    """

    def compared(self, activations: Float32[ndarray, " n"], ratings: Int[ndarray, " n"]) -> ConceptScore:
        """The separation."""
        areas = auroc(activations[ratings == 2], activations[ratings == 0])
        return ConceptScore(0, None, separation(areas), {"auroc": areas})


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Purity(RatedTexts):
    """How few other texts are among those with the largest activations: average precision of texts rated 2 against 0.

    1: the concept is active on nothing else than what the label says. A concept that is active on two things, of which
    the label names one, is responsive but not pure. Where texts with the label have the *smaller* activations (`auroc`
    below 0.5), these are ranked from below. `numbers["share"]` is the share of texts that are rated 2: what guessing
    gets.

    Cost: as `Responsiveness`, which asks the same.

    Reference: Puri et al. (2025), section 3, arXiv:2502.16994.
    """

    def compared(self, activations: Float32[ndarray, " n"], ratings: Int[ndarray, " n"]) -> ConceptScore:
        """The average precision; its error is the spread over 200 bootstrap samples."""
        relevant = ratings == 2
        areas = auroc(activations[relevant], activations[~relevant])
        ranked = activations if areas.value >= 0.5 else -activations
        found = resampled_average_precision(ranked, relevant, self.seed)
        return ConceptScore(0, None, found, {"auroc": areas, "share": share(int(relevant.sum()), len(relevant))})


class Strength(str, Enum):
    """What a factor is multiplied with."""

    LARGEST = "largest"
    """The concept's largest code in the natural texts, whatever its code is at a place: for sparse codes, of which most
    are 0."""
    OWN = "own"
    """The code at each place, as for neurons: a concept that is not there stays away."""


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Faithfulness(LabelMetric):
    """How much more the model writes what the label says when the concept is amplified.

    `max(max over a of p(a) - p(0), 0) / (1 - p(0))`, where `p(a)` is the share of continuations of natural texts that
    the language model rates 2 while the concept is held at `a` times its largest code (or multiplied by `a`), at every
    token. 1: with the concept, the model writes nothing else. 0: no more than without it. `numbers` has `share_<a>` for
    every factor and `factor`, the one that did best. The best of several noisy shares is too high by about their error.

    Sensible where `Clarity` and `Responsiveness` are high: `scores.at_least(0.5)` names these concepts.

    Cost: `n_prompts` answers of the model a factor and concept, one at a time, and a call to the language model for
    every `per_prompt` distinct ones. Greedy, so the same every time; with settings that sample, the same for a seed.

    Args:
        factors: What the concept is multiplied with, 0 among them.
        strength: Whether that is its largest code, or its own at each place.
        n_prompts: Natural texts that are continued.
        n_tokens: Tokens that are written after each.
        per_prompt: Texts a prompt to the language model.
        generation: Further settings for `model.generate`, as `{"do_sample": True, "temperature": 0.7}`.

    Reference: Puri et al. (2025), section 3, arXiv:2502.16994.
    """

    factors: Sequence[float] = (-50.0, -10.0, -1.0, 0.0, 1.0, 10.0, 50.0)
    strength: Strength | str = Strength.LARGEST
    n_prompts: int = 50
    n_tokens: int = 30
    per_prompt: int = 15
    generation: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("n_prompts", "n_tokens", "per_prompt"):
            check_count(name, getattr(self, name), 1)
        object.__setattr__(self, "strength", choice("strength", self.strength, Strength))
        factors = _factors(self.factors)
        object.__setattr__(self, "factors", factors)
        check_settings(self.generation)
        if 0 not in factors or len(factors) < 2:
            raise InputError(f"factors: expected different numbers, 0 and at least one other, got {self.factors!r:.80}")
        if not {"max_new_tokens", "max_length"}.isdisjoint(self.generation):
            raise InputError("generation: expected no length, which n_tokens says; leave it out")

    def plans(
        self, labels: Mapping[int, str], reading: Reading, windows: Windows, table: Table
    ) -> dict[int, Plan | str]:
        """Continuations of each concept, shuffled, some a prompt.

        Raises:
            ModelError: A model that continues no texts.
        """
        task = self.concept_explainer.split.task
        if task is not Task.CAUSAL_LM:
            raise ModelError(
                f"model: expected a causal language model, which continues texts, got one for {task.value}"
            )
        plans: dict[int, Plan | str] = {}
        total = len(labels) * len(self.factors) * min(self.n_prompts, len(windows))
        with tqdm(total=total, desc="continuations", unit="text", disable=not self.progress) as bar:
            for column, (concept, label) in enumerate(labels.items()):
                largest = largest_code(windows.codes[:, column])
                if largest > 0:
                    plans[concept] = self._plan(concept, label, windows, largest, bar)
                else:
                    plans[concept] = "it is active in none of the texts; pass more of them"
                    bar.update(total // len(labels))
        return plans

    def _plan(self, concept: int, label: str, windows: Windows, largest: float, bar: Any) -> Plan:
        rng = self.rng(concept)
        prompts = [windows.text(w) for w in rng.permutation(len(windows))[: self.n_prompts].tolist()]
        written = {factor: list(self._continued(concept, prompts, factor, largest, bar)) for factor in self.factors}
        asked = sorted({text for texts in written.values() for text in texts if text.strip()})
        asked = [asked[k] for k in rng.permutation(len(asked)).tolist()]
        batches = [asked[k : k + self.per_prompt] for k in range(0, len(asked), self.per_prompt)]

        def score(answers: Sequence[str | None]) -> ConceptScore:
            ratings, missing = rated(batches, answers)
            known = {"": 0} | dict(zip(asked, ratings, strict=True))  # nothing written expresses nothing
            judged = tuple(
                Judged(text, math.nan, f"factor {factor:g}", known[text if text.strip() else ""])
                for factor, texts in written.items()
                for text in texts
            )
            return steered(judged, self.factors, missing)

        shown = [[cut(text, self.longest_excerpt) for text in batch] for batch in batches]
        return Plan(tuple(RATING.chat(label, batch) for batch in shown), score)

    def _continued(
        self, concept: int, prompts: Sequence[str], factor: float, largest: float, bar: Any
    ) -> Iterator[str]:
        """What the model writes after each prompt."""
        split = self.concept_explainer.split
        top = -largest if self.sign is Sign.NEGATIVE else largest
        options = {"do_sample": False, "num_beams": 1} | dict(self.generation) | {"max_new_tokens": self.n_tokens}

        steering = Steering(self.concept_explainer)
        own = self.strength is Strength.OWN
        changed = steering.boost(concept, factor) if own else steering.clamp(concept, factor * top)
        for k, prompt in enumerate(prompts):
            source = split.samples([prompt], first=k)[0].ids
            if split.traits.limit is not None:
                source = source[: max(1, split.traits.limit - self.n_tokens)]
            with changed:
                row = generate(
                    split.traits, source, joined=True, options=options, seed=self.seed + k, where=f"prompts[{k}]"
                )
            bar.update()
            yield str(split.tokenizer.decode(row[len(source) :], skip_special_tokens=True)).strip()


def _factors(factors: Any) -> tuple[float, ...]:
    try:
        found = tuple(dict.fromkeys(float(factor) for factor in factors))
    except (TypeError, ValueError):
        found = ()
    if not found or not all(math.isfinite(factor) for factor in found):
        raise InputError(f"factors: expected numbers, got {factors!r:.80}")
    return found


def steered(judged: tuple[Judged, ...], factors: Sequence[float], missing: int) -> ConceptScore:
    """The gain of the best factor over none, from rated continuations."""
    shares: dict[float, Estimate] = {}
    for factor in factors:
        ratings = [one.answer for one in judged if one.group == f"factor {factor:g}" and one.answer is not None]
        shares[factor] = share(ratings.count(2), len(ratings))
    numbers = {f"share_{factor:g}": found for factor, found in shares.items()}
    others = {factor: found for factor, found in shares.items() if factor and not math.isnan(found.value)}
    if not others or math.isnan(shares[0].value):
        reason = "too many answers are missing"
    elif shares[0].value == 1:
        reason = "all texts express the label without the concept: there is nothing to gain"
    else:
        best = max(others, key=lambda factor: others[factor].value)
        numbers["factor"] = Estimate(best, math.nan)
        return ConceptScore(0, None, gain_over(others[best], shares[0]), numbers, judged, missing=missing)
    return ConceptScore(0, None, UNKNOWN, numbers, judged, missing=missing, reason=reason)


def rated(batches: Sequence[Sequence[str]], answers: Sequence[str | None]) -> tuple[list[int | None], int]:
    """The rating of each text, `None` where it is missing, and how many answers were unusable."""
    ratings: list[int | None] = []
    read = [numbers_in(answer, len(batch), 2) for answer, batch in zip(answers, batches, strict=True)]
    for batch, numbers in zip(batches, read, strict=True):
        ratings += numbers if numbers is not None else [None] * len(batch)
    return ratings, sum(numbers is None for numbers in read)


def in_strata(codes: Float32[ndarray, " w"], count: int, rng: np.random.Generator) -> list[int]:
    """Windows to rate, shuffled: a tenth with the largest codes, the others evenly from four strata of the rest.

    The strata end at the 50th, 75th, 95th and 100th percentile. Where one has too few, all others make up for it.

    Args:
        codes: Of one concept, in an order that says nothing.
        count: How many to draw.
        rng: Source of the draws.
    """
    order = np.argsort(codes, kind="stable")
    count = min(count, len(order))
    n_top = int(_TOP * count)
    rest, top = np.split(order, [len(order) - n_top])
    strata = [rng.permutation(part) for part in np.split(rest, [int(p * len(rest)) for p in _STRATA])]
    wanted = [len(part) for part in np.array_split(np.arange(count - n_top), len(strata))]
    drawn = [part[:k] for part, k in zip(strata, wanted, strict=True)]
    spare = np.concatenate([part[k:] for part, k in zip(strata, wanted, strict=True)])
    missing = count - n_top - sum(map(len, drawn))
    chosen = np.concatenate([top, *drawn, rng.permutation(spare)[:missing]])
    return [int(window) for window in rng.permutation(chosen)]
