"""What is known of sampled gradients: averages over parts of the points, and how scores spread from part to part.

Points are never kept, only their averages over a few parts of them, so that memory does not grow with their number.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.attributions.certainty import jackknife, student
from interpreto.model_wrapping import Moments

Scored = Callable[[Moments], Tensor]
"""From averages to scores of tokens `(t, l)`."""
Grouped = Callable[[Tensor], Tensor]
"""From scores of tokens `(t, l)` to those of elements `(t, g)`."""


class Parts(ABC):
    """The averages over all points of one text so far."""

    @staticmethod
    @abstractmethod
    def labels(count: int) -> list[int]:
        """The part of each of so many points of one round."""

    @abstractmethod
    def add(self, moments: Moments, count: int, scored: Scored) -> None:
        """Take in a round of points."""

    @abstractmethod
    def token_scores(self, scored: Scored) -> Float[Tensor, "t l"]:
        """Scores of tokens from all points."""

    @abstractmethod
    def std_errors(self, scored: Scored, grouped: Grouped) -> Float[Tensor, "t g"]:
        """Standard errors of the scores of elements."""


class IndependentParts(Parts):
    """Pairs of points, each pair independent of the others, in ten parts: errors by the jackknife.

    With fewer parts the errors themselves would be uncertain; with more, memory would be spent.
    """

    _PARTS = 10

    def __init__(self) -> None:
        self.counts: Tensor = torch.zeros(self._PARTS, dtype=torch.float64)
        self.sums: list[list[Tensor]] = []  # of mean, mean square and score, part by part

    @staticmethod
    def labels(count: int) -> list[int]:
        """Pairs go round the parts."""
        return [k // 2 % IndependentParts._PARTS for k in range(count)]

    def add(self, moments: Moments, count: int, scored: Scored) -> None:
        """Add to the sums; a round goes on with the part after that of the last round."""
        if not self.sums:
            self.sums = [[torch.zeros_like(v)] * self._PARTS for v in _values(moments)]
        labels = self.labels(count)
        start = int(self.counts.argmin())
        for label in sorted(set(labels)):
            part, n = (start + label) % self._PARTS, labels.count(label)
            for sums, value in zip(self.sums, _values(moments.parts[label]), strict=True):
                sums[part] = sums[part] + n * value
            self.counts[part] += n

    def token_scores(self, scored: Scored) -> Float[Tensor, "t l"]:
        """Scores of the averages over all points."""
        return scored(self._averages([*range(self._PARTS)]))

    def std_errors(self, scored: Scored, grouped: Grouped) -> Float[Tensor, "t g"]:
        """Those of the jackknife that leaves out one part at a time."""
        present = self.counts.nonzero()[:, 0].tolist()
        whole = grouped(self.token_scores(scored)).double()
        if len(present) < 2:
            return torch.full_like(whole, math.inf)
        without = [grouped(scored(self._averages([k for k in present if k != part]))) for part in present]
        return jackknife(whole, torch.stack(without).double(), self.counts[present])

    def _averages(self, parts: Sequence[int]) -> Moments:
        count = float(self.counts[list(parts)].sum())
        mean, square, score = (torch.stack([sums[k] for k in parts]).sum(dim=0) / count for sums in self.sums)
        return Moments(mean, square, score)


class StratifiedParts(Parts):
    """Points one in each of equal parts of a path, for scores that are means over them: errors by second differences.

    Neighbours on the path are alike, so that independent draws would spread more. A second difference of three
    neighbours, `(y_1 - 2 y_2 + y_3) / root 6`, has the variance of one of them, whatever the slope. More than twenty
    points are averaged in turns, 1st, 21st, ... together, so that averages are neighbours too.
    """

    _PARTS = 20

    def __init__(self) -> None:
        self.count: int = 0
        self.sum: Tensor | float = 0.0
        self.differences: list[Tensor] = []

    @staticmethod
    def labels(count: int) -> list[int]:
        """In turns."""
        return [k % StratifiedParts._PARTS for k in range(count)]

    def add(self, moments: Moments, count: int, scored: Scored) -> None:
        """Add to the sum, and keep the round's second differences, scaled to those of single points."""
        self.count += count
        self.sum = self.sum + count * scored(moments).double()
        tokens = torch.stack([scored(part) for part in moments.parts[:count]]).double()
        second = tokens[:-2] - 2 * tokens[1:-1] + tokens[2:]
        self.differences += list(second * (count / len(tokens) / 6) ** 0.5)

    def token_scores(self, scored: Scored) -> Float[Tensor, "t l"]:
        """The mean over all points."""
        return torch.as_tensor(self.sum) / self.count

    def std_errors(self, scored: Scored, grouped: Grouped) -> Float[Tensor, "t g"]:
        """Root of the mean squared difference over the number of points; infinite with fewer than three in a round."""
        n = len(self.differences)
        if not n:
            return torch.full_like(grouped(self.token_scores(scored)), math.inf)
        squares = torch.stack([grouped(difference) for difference in self.differences]).square()
        # Overlapping differences know less than as many independent ones.
        freedom = n**2 / (n + 8 / 9 * (n - 1) + 1 / 18 * max(n - 2, 0))
        errors: Tensor = (squares.mean(dim=0) / self.count).sqrt() * student(freedom)
        return errors


def _values(moments: Moments) -> tuple[Tensor, Tensor, Tensor]:
    return moments.mean, moments.mean_square, moments.score
