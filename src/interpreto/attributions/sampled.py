"""What methods that draw at random share: standard errors, and more draws until a tolerance is met."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from interpreto.attributions.certainty import budget_message, check_tolerance, excess, next_count
from interpreto.attributions.gradient import GradientExplainer, TokenScores, spread_of
from interpreto.attributions.parts import IndependentParts, Parts
from interpreto.attributions.perturbation import Design, PerturbationExplainer
from interpreto.attributions.result import Attribution
from interpreto.errors import check_count, warn
from interpreto.model_wrapping import ExplainedText, Moments, Scorer


@dataclass(frozen=True, eq=False)
class SampledPerturbationExplainer(PerturbationExplainer):
    """Draws its perturbations at random, so that scores have standard errors, and more draws make them smaller.

    Args:
        tolerance: How large the largest standard error of a target's scores may be, relative to its largest score
            without sign. More perturbations are drawn, a fifth more at a time once it is close, until all targets of a
            text are that well known, or the budget ends, with a warning; the result's `settings` say how many were used
            and whether the tolerance was met. `None`: as many as there are to begin with.
    """

    _: KW_ONLY
    tolerance: float | None = None

    counted: ClassVar[str] = "perturbations"
    """What is counted: the first number is the option `n_<counted>`, the largest `max_<counted>`."""

    @abstractmethod
    def std_errors(self, keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"]) -> Float[Tensor, "t _"]:
        """Standard errors of the scores, over draws of the perturbations, around what infinitely many would give."""

    @abstractmethod
    def more_masks(self, keep: Bool[Tensor, "p g"], count: int, rng: Generator) -> Bool[Tensor, "q g"]:
        """So many further perturbations for a design; none where there are no others."""

    def drawn(self, keep: Bool[Tensor, "p g"]) -> int:
        """How many of what is counted a design holds."""
        return len(keep)

    def within(self, first: int) -> int:
        """A first number that the method chooses itself: not above the most that the user allows."""
        return first if self.tolerance is None else min(first, self._most)

    def next_count(self, used: int, missing: float) -> int:
        """How many draws to have next, if the largest standard error is so many times what the tolerance allows."""
        return next_count(used, missing, self._most)

    @property
    def _most(self) -> int:
        return int(getattr(self, f"max_{self.counted}"))

    def _goes_on(self, design: Design) -> bool:
        if self.tolerance is None:
            return False
        used = self._judge(design)
        if design.missing <= 1 or used >= self._most:
            return False
        more = self.more_masks(design.keep, next_count(used, design.missing, self._most) - used, design.rng)
        if not len(more) or self.drawn(torch.cat([design.keep, more])) > self._most:
            return False
        design.grow(more)
        return True

    def _judge(self, design: Design) -> int:
        """Note how well the scores are known, and how much was drawn for them."""
        used = self.drawn(design.keep)
        scores, errors = self._estimate(design)
        size = design.scores.abs().amax(dim=0)
        design.missing = excess(scores, errors, self.tolerance or 0.0, size) if errors is not None else 0.0
        design.notes = {f"n_{self.counted}_used": used, "tolerance_met": design.missing <= 1}
        return used

    def _explained(self, scorer: Scorer, design: Design) -> Attribution:
        if self.tolerance is not None:  # anew, for it may have ended in the middle of a round
            self._judge(design)
        return super()._explained(scorer, design)

    def _finish(self, designs: Sequence[Design]) -> None:
        missing = {design.text.where: design.missing for design in designs if design.missing > 1}
        if self.tolerance is not None and missing:
            name = type(self).__name__
            warn(budget_message(name, self.counted, self.tolerance, missing, len(designs), self._most))


@dataclass(eq=False)
class _Sample:
    """The points of one text so far, and what the gradients there said."""

    text: ExplainedText
    embedding: Tensor
    baseline: Tensor
    parts: Parts
    rounds: int = 0
    used: int = 0
    missing: float = 0.0


@dataclass(frozen=True, eq=False)
class SampledGradientExplainer(GradientExplainer):
    """Draws the points at which gradients are taken, so that scores have standard errors.

    Args:
        n_samples: Points; with a tolerance, those to begin with.
        tolerance: How large the largest standard error of a target's scores may be, relative to its largest score
            without sign. More points are drawn, a fifth more at a time once it is close, until all targets of a text
            are that well known, or the budget ends, with a warning; the result's `settings` say how many were used and
            whether the tolerance was met. `None`: n_samples points.
        max_samples: The most points, where there is a tolerance.
    """

    _: KW_ONLY
    n_samples: int = 20
    tolerance: float | None = None
    max_samples: int = 2000

    kept: ClassVar[type[Parts]] = IndependentParts
    """How points are averaged in parts: pairs that are independent of each other, or strata of a path."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("n_samples", self.n_samples, 1)
        check_tolerance(self.tolerance, "samples", self.n_samples, self.max_samples)

    @abstractmethod
    def draw(
        self,
        embedding: Float[Tensor, "l d"],
        baseline: Float[Tensor, "l d"],
        spread: float,
        count: int,
        rng: Generator,
    ) -> Iterator[tuple[Float[Tensor, "l d"], Tensor | float]]:
        """So many random points, as in `points`."""

    def points(
        self, embedding: Float[Tensor, "l d"], baseline: Float[Tensor, "l d"], spread: float, rng: Generator
    ) -> Iterator[tuple[Float[Tensor, "l d"], Tensor | float]]:
        """The points to begin with."""
        return self.draw(embedding, baseline, spread, self.n_samples, rng)

    def steadied(
        self, scores: Float[Tensor, "t g"], std_errors: Float[Tensor, "t g"], count: int
    ) -> Float[Tensor, "t g"]:
        """What the method knows better about its errors after so many points than the spread of the parts says."""
        return std_errors

    def _token_scores(
        self,
        scorer: Scorer,
        texts: Sequence[ExplainedText],
        embeddings: Sequence[Float[Tensor, "_ _"]],
        baselines: Sequence[Float[Tensor, "_ _"]],
        lows: Sequence[Float[Tensor, " _"]] | None,
        highs: Sequence[Float[Tensor, " _"]] | None,
    ) -> Iterator[tuple[int, TokenScores]]:
        samples = [_Sample(*own, self.kept()) for own in zip(texts, embeddings, baselines, strict=True)]
        numbers = {id(sample): k for k, sample in enumerate(samples)}
        rough: dict[int, TokenScores] = {}  # of texts that need more points
        going = [(sample, self.n_samples) for sample in samples]
        try:
            while going:
                more: list[tuple[_Sample, int]] = []
                for i, moments in scorer.moments(
                    [sample.text for sample, _ in going],
                    [sample.embedding for sample, _ in going],
                    [sample.baseline for sample, _ in going],
                    [partial(self._round, sample.text, sample.rounds, count) for sample, count in going],
                    parts=self.kept.labels(max(count for _, count in going)),
                ):
                    sample, count = going[i]
                    k = numbers[id(sample)]
                    rough[k] = self._add(sample, count, moments)
                    if further := self._more(sample):
                        more.append((sample, further))
                    else:
                        yield k, rough.pop(k)
                going = more
        except GeneratorExit:
            raise
        except BaseException:  # ctrl-C, too
            yield from rough.items()
            raise
        missing = {sample.text.where: sample.missing for sample in samples if sample.missing > 1}
        if self.tolerance is not None and missing:
            name = type(self).__name__
            warn(budget_message(name, "samples", self.tolerance, missing, len(samples), self.max_samples))

    def _round(
        self, text: ExplainedText, number: int, count: int, embedding: Tensor, baseline: Tensor
    ) -> Iterator[tuple[Tensor, Tensor | float]]:
        """Points of a round, the same ones for all targets; later rounds have random numbers of their own."""
        rng = self._generator()
        for _ in range(number):
            rng = Generator().manual_seed(int(torch.randint(2**62, (), generator=rng)))
        return self.draw(embedding, baseline, spread_of(text, embedding), count, rng)

    def _add(self, sample: _Sample, count: int, moments: Moments) -> TokenScores:
        """Take in what the gradients of a round said."""
        text, embedding = sample.text, sample.embedding.cpu()

        def scored(averages: Moments) -> Tensor:
            return self.token_scores(averages, embedding)

        sample.parts.add(moments, count, scored)
        sample.used += count
        sample.rounds += 1
        tokens = sample.parts.token_scores(scored)
        scores = self._by_element(text, tokens, tokens)
        errors = sample.parts.std_errors(scored, lambda values: self._by_element(text, values, tokens))
        errors = self.steadied(scores.double(), errors.double(), sample.used)
        notes = {}
        if self.tolerance is not None:
            seen = errors.masked_fill(~text.visible, 0.0)
            sample.missing = excess(scores, seen, self.tolerance, scores.abs().amax(dim=1))
            notes = {"n_samples_used": sample.used, "tolerance_met": sample.missing <= 1}
        return TokenScores(tokens, None, errors, notes)

    def _more(self, sample: _Sample) -> int:
        """How many more points a text needs, in whole pairs; 0 where it needs none or may have none."""
        if sample.missing <= 1:
            return 0
        more = next_count(sample.used, sample.missing, self.max_samples) - sample.used
        more += more % 2
        return more if sample.used + more <= self.max_samples else 0
