"""Gradients integrated along the straight path from a baseline to a text, to a tolerance.

What the integral over a part of the path must be is known: the difference of the scores at its ends. So each segment
knows how far it is off, and only those that are too far off are cut: into halves while that helps, as it does where the
integrand is smooth, and into thirds with one point each where it jumps, as behind a ReLU. The middle third keeps the
point of the whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.model_wrapping import ExplainedText, Scorer

_HALF = 8  # points of a half
_SMOOTH = 4  # halving a segment makes a smooth integrand's gap at least so many times smaller, a jump's about 2 times
_WORST = 4  # segments whose gaps are within this factor of the largest are cut together
_SIZE = 0.1  # gaps are relative to at least such a share of the sum of the tokens' scores, each without its sign
_ROUNDING = 16  # gaps of so many units in the last place of the target's scores are none


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the path and the rule by which its integral is taken.

    Args:
        start: Where it begins; 0 is the baseline, 1 the text.
        end: Where it ends.
        points: Number of Gauss-Legendre points.
        depth: How often the path was cut to get it.
    """

    start: float
    end: float
    points: int
    depth: int = 0

    def path(
        self, embedding: Float[Tensor, "l d"], baseline: Float[Tensor, "l d"]
    ) -> Iterator[tuple[Float[Tensor, "l d"], Float[Tensor, "l d"]]]:
        """The points, and what to multiply gradients with there so that their mean is the integral."""
        difference, length = embedding - baseline, self.end - self.start
        for node, weight in _gauss_legendre(self.points):
            yield baseline + (self.start + node * length) * difference, self.points * weight * length * difference

    def halves(self) -> list[Segment]:
        """Both halves."""
        middle = (self.start + self.end) / 2
        bounds = ((self.start, middle), (middle, self.end))
        return [Segment(start, end, _HALF, self.depth + 1) for start, end in bounds]

    def thirds(self) -> list[Segment]:
        """Three thirds of one point each."""
        third = (self.end - self.start) / 3
        first, second = self.start + third, self.end - third
        bounds = ((self.start, first), (first, second), (second, self.end))
        return [Segment(start, end, 1, self.depth + 1) for start, end in bounds]


@cache
def _gauss_legendre(count: int) -> list[tuple[float, float]]:
    """Nodes on [0, 1], and weights that add up to 1."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return [((1 + node) / 2, weight / 2) for node, weight in zip(nodes.tolist(), weights.tolist(), strict=True)]


@dataclass(frozen=True, eq=False, slots=True)
class _Part:
    """The integral over one segment.

    Args:
        segment: The segment.
        scores: The integral, token by token.
        gap: What it must add up to, less what it does.
        before: The size of the gap of the segment that it was cut from.
    """

    segment: Segment
    scores: Float[Tensor, " l"]
    gap: float
    before: float

    def cut(self) -> list[Segment]:
        """What takes its place."""
        smooth = self.segment.depth < 2 or abs(self.gap) * _SMOOTH <= self.before
        return self.segment.halves() if smooth and self.segment.points > 1 else self.segment.thirds()

    @property
    def cost(self) -> int:
        """New points that the cut needs."""
        return sum(segment.points for segment in self.cut()) - (self.segment.points == 1)


class PathIntegral:
    """The integral for one target of one text, as far as it is known.

    Args:
        low: The target's score at the baseline.
        high: The target's score for the text.
        tolerance: How much of the difference of the two may be missing. Where scores of both signs cancel each other in
            a small difference, relative to a tenth of their sum without signs.
        resolution: Relative spacing of the numbers that the model computes with; what is below it is not missing.
    """

    def __init__(self, low: float, high: float, tolerance: float, resolution: float) -> None:
        self.values: dict[float, float] = {0.0: low, 1.0: high}
        self.parts: list[_Part] = []
        self.steps = 0
        self.tolerance = tolerance
        self.rounding: float = _ROUNDING * resolution * max(abs(low), abs(high))

    def add(self, segment: Segment, scores: Float[Tensor, " l"], before: float) -> None:
        """Take in the integral over a segment, between whose ends the score is known."""
        gap = self.values[segment.end] - self.values[segment.start] - float(scores.sum())
        self.parts.append(_Part(segment, scores, gap, before))

    @property
    def scores(self) -> Float[Tensor, " l"]:
        """The integral, token by token."""
        return torch.stack([part.scores for part in self.parts]).sum(dim=0)

    @property
    def missing(self) -> float:
        """The share that is missing, that no accident makes small.

        The gap of the whole, or the gaps of the segments added up as independent errors are, whichever is larger: one
        segment's may make up for another's, but then the scores of single tokens are still wrong.
        """
        gaps = [part.gap for part in self.parts]
        error = max(abs(math.fsum(gaps)), math.hypot(*gaps))
        size = max(abs(self.values[1.0] - self.values[0.0]), _SIZE * float(self.scores.abs().sum()))
        return 0.0 if error <= self.rounding else error / size

    def worst(self, max_steps: int) -> list[_Part]:
        """The segments to cut next; none where the integral is complete or the steps are spent."""
        if self.missing <= self.tolerance:
            return []
        order = sorted(self.parts, key=lambda part: -abs(part.gap))
        chosen, cost = [], 0
        for part in order:
            if abs(part.gap) * _WORST >= abs(order[0].gap) and self.steps + cost + part.cost <= max_steps:
                chosen.append(part)
                cost += part.cost
        return chosen


def integrate(
    scorer: Scorer,
    texts: Sequence[ExplainedText],
    embeddings: Sequence[Float[Tensor, "_ _"]],
    baselines: Sequence[Float[Tensor, "_ _"]],
    lows: Sequence[Float[Tensor, " _"]],
    highs: Sequence[Float[Tensor, " _"]],
    *,
    n_steps: int,
    tolerance: float,
    max_steps: int,
) -> Iterator[tuple[int, list[PathIntegral]]]:
    """The integrals for the targets of each text, by its number, as they are known; what one takes depends on no other.

    Args:
        scorer: The engine.
        texts: What is explained.
        embeddings: Their embeddings `(l, d)`.
        baselines: Where their paths begin.
        lows: Target scores `(t,)` at the baselines.
        highs: Target scores `(t,)` of the texts.
        n_steps: Points on the whole path, to begin with.
        tolerance: See `PathIntegral`.
        max_steps: The most points for one target.
    """
    ask = _asker(scorer, texts, embeddings, baselines)
    integrals = {
        (k, t): PathIntegral(float(low), float(high), tolerance, scorer.resolution)
        for k in range(len(texts))
        for t, (low, high) in enumerate(zip(lows[k], highs[k], strict=True))
    }
    new = [(place, Segment(0.0, 1.0, n_steps), math.inf) for place in integrals]
    left = set(range(len(texts)))
    while new:
        found = ask([(place, segment) for place, segment, _ in new], gradients=True)
        for (place, segment, before), scores in zip(new, found, strict=True):
            integrals[place].add(segment, scores, before)
            integrals[place].steps += segment.points
        cuts = [(place, part) for place, integral in integrals.items() for part in integral.worst(max_steps)]
        borders = [(place, segment.end) for place, part in cuts for segment in part.cut()[:-1]]
        values = ask([(place, Segment(at, at, 1)) for place, at in borders], gradients=False)
        for (place, at), value in zip(borders, values, strict=True):
            integrals[place].values[at] = float(value)
        new = []
        for place, part in cuts:
            integrals[place].parts.remove(part)
            segments = part.cut()
            if part.segment.points == 1:
                integrals[place].add(segments.pop(1), part.scores / 3, abs(part.gap))
            new += [(place, segment, abs(part.gap)) for segment in segments]
        for k in sorted(left - {k for (k, _), _, _ in new}):
            left.remove(k)
            yield k, [integrals[k, t] for t in range(len(highs[k]))]


Place = tuple[int, int]
"""A text and one of its targets, by their numbers."""


def _asker(
    scorer: Scorer,
    texts: Sequence[ExplainedText],
    embeddings: Sequence[Float[Tensor, "_ _"]],
    baselines: Sequence[Float[Tensor, "_ _"]],
) -> Callable[..., list[Tensor]]:
    """A function that runs segments for targets: their integrals token by token, or their scores."""
    groups = [{t: g for g, group in enumerate(text.target_groups) for t in group} for text in texts]
    some: dict[tuple[int, ...], ExplainedText] = {}  # texts with some of their targets

    def ask(wanted: Sequence[tuple[Place, Segment]], *, gradients: bool) -> list[Tensor]:
        shared: dict[tuple[int, int, Segment], list[int]] = {}  # targets with the same path are run together
        for (k, t), segment in wanted:
            shared.setdefault((k, groups[k][t], segment), []).append(t)
        runs = [(k, segment, targets) for (k, _, segment), targets in shared.items()]
        for k, _, targets in runs:
            some.setdefault((k, *targets), texts[k].only(targets))
        found: dict[tuple[Place, Segment], Tensor] = {}
        for run, moments in scorer.moments(
            [some[(k, *targets)] for k, _, targets in runs],
            [embeddings[k] for k, _, _ in runs],
            [baselines[k] for k, _, _ in runs],
            [segment.path for _, segment, _ in runs],
            gradients=gradients,
        ):
            k, segment, targets = runs[run]
            for row, t in enumerate(targets):
                if gradients:
                    tokens = moments.mean[row].double().sum(dim=-1)
                    found[(k, t), segment] = tokens.masked_fill(~texts[k].free_tokens[t], 0.0)
                else:
                    found[(k, t), segment] = moments.score[row]
        return [found[place] for place in wanted]

    return ask
