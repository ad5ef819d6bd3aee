"""Numbers that say how well a label fits, each with its standard error. Pure functions of arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

_RESAMPLES = 200


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and how far it may be off.

    Args:
        value: The number; NaN where it cannot be measured.
        error: Its standard error; NaN where that is not known.
    """

    value: float
    error: float

    def __repr__(self) -> str:
        return f"{self.value:.3f} ± {self.error:.3f}"


UNKNOWN = Estimate(math.nan, math.nan)
"""What cannot be measured."""


def share(count: int, total: int) -> Estimate:
    """`count / total`, with the standard deviation of a share about which nothing was known before.

    That is the spread of a Beta distribution, `sqrt(p (1 - p) / (n + 3))` at `p = (k + 1) / (n + 2)`: never 0, so that
    5 of 5 is not taken for certain.

    >>> share(5, 5)
    1.000 ± 0.124
    """
    smoothed = (count + 1) / (total + 2)
    error = math.sqrt(smoothed * (1 - smoothed) / (total + 3))
    return Estimate(count / total, error) if total else UNKNOWN


def mean(values: Sequence[float]) -> Estimate:
    """Mean of the numbers that are known, and its standard error by their spread.

    >>> mean([0.0, 1.0, math.nan])
    0.500 ± 0.500
    """
    known = np.asarray([value for value in values if not math.isnan(value)])
    if not len(known):
        return UNKNOWN
    error = float(known.std(ddof=1)) / math.sqrt(len(known)) if len(known) > 1 else math.nan
    return Estimate(float(known.mean()), error)


def balanced_accuracy(recall: Estimate, specificity: Estimate) -> Estimate:
    """Mean of the shares of texts with and without the concept that are told right; guessing gets 0.5.

    >>> balanced_accuracy(share(5, 5), share(0, 5))
    0.500 ± 0.087
    """
    return Estimate((recall.value + specificity.value) / 2, math.hypot(recall.error, specificity.error) / 2)


def f1(recall: Estimate, specificity: Estimate, positives: int, negatives: int) -> Estimate:
    """`2 tp / (2 tp + fp + fn)`; unlike balanced accuracy it depends on how many of either kind are asked about.

    The error is that of the two shares, carried on to first order.

    Args:
        recall: Share of the positives that are found.
        specificity: Share of the negatives that are told apart.
        positives: How many of the one kind.
        negatives: How many of the other.

    >>> round(f1(share(3, 4), share(2, 4), 4, 4).value, 3)
    0.667
    """
    if not positives or not negatives:
        return UNKNOWN
    hits = recall.value * positives
    called = hits + (1 - specificity.value) * negatives + positives
    by_recall = 2 * positives * (called - hits) / called**2
    by_specificity = 2 * hits * negatives / called**2
    return Estimate(2 * hits / called, math.hypot(by_recall * recall.error, by_specificity * specificity.error))


def auroc(with_it: Float[ndarray, " m"], without: Float[ndarray, " n"]) -> Estimate:
    """Share of pairs in which the one with the concept has the larger number; equal numbers count half.

    The error is DeLong's, 0 where the two do not overlap, and NaN where one side has a single member.

    Args:
        with_it: Numbers of those that should be large.
        without: Numbers of the others.

    Reference: DeLong, DeLong and Clarke-Pearson (1988), doi:10.2307/2531595.

    >>> auroc(np.array([2.0, 3.0]), np.array([1.0, 2.0])).value
    0.875
    """
    from scipy.stats import rankdata  # not at the top: importing the package stays fast

    m, n = len(with_it), len(without)
    if not m or not n:
        return UNKNOWN
    ranks = rankdata(np.concatenate([with_it, without]))
    of_each = (ranks[:m] - rankdata(with_it)) / n
    against_each = 1 - (ranks[m:] - rankdata(without)) / m
    error = math.sqrt(of_each.var(ddof=1) / m + against_each.var(ddof=1) / n) if min(m, n) > 1 else math.nan
    return Estimate(float(of_each.mean()), error)


def separation(areas: Estimate) -> Estimate:
    """`|2 AUROC - 1|`: 0 where two sets look alike, 1 where they do not overlap, whichever is the larger.

    >>> separation(Estimate(0.1, 0.05))
    0.800 ± 0.100
    """
    return Estimate(abs(2 * areas.value - 1), 2 * areas.error)


def average_precision(numbers: Float[ndarray, " n"], relevant: Bool[ndarray, " n"]) -> float:
    """Precision at every number that is reached going down, weighted by the recall that it adds.

    >>> average_precision(np.array([3.0, 2.0, 1.0]), np.array([True, False, True]))
    0.8333333333333333
    """
    if not relevant.any():
        return math.nan
    order = np.argsort(-numbers, kind="stable")
    hits = np.cumsum(relevant[order])
    ends = np.append(np.flatnonzero(np.diff(numbers[order])), len(order) - 1)  # equal numbers are reached together
    gains = np.diff(hits[ends], prepend=0) / hits[-1]
    return float((gains * hits[ends] / (ends + 1)).sum())


def resampled_average_precision(numbers: Float[ndarray, " n"], relevant: Bool[ndarray, " n"], seed: int) -> Estimate:
    """The same with a standard error: its spread when either kind is drawn again, with replacement."""
    rng = np.random.default_rng(seed)
    own, others = np.flatnonzero(relevant), np.flatnonzero(~relevant)
    if not len(own) or not len(others):
        return UNKNOWN
    drawn = [np.concatenate([rng.choice(own, len(own)), rng.choice(others, len(others))]) for _ in range(_RESAMPLES)]
    spread = np.std([average_precision(numbers[k], relevant[k]) for k in drawn], ddof=1)
    return Estimate(average_precision(numbers, relevant), float(spread))


def gain_over(steered: Estimate, without: Estimate) -> Estimate:
    """`max(a - b, 0) / (1 - b)`: how much of what is left to gain is gained; unknown where nothing is left.

    >>> gain_over(Estimate(0.6, 0.0), Estimate(0.2, 0.0)).value
    0.49999999999999994
    """
    left = 1 - without.value
    if not left > 0:
        return UNKNOWN
    error = math.hypot(steered.error / left, (1 - steered.value) * without.error / left**2)
    return Estimate(max(steered.value - without.value, 0.0) / left, error)
