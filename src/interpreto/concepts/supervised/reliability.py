"""Whether a probability of 0.8 is right in 8 of 10 cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interpreto.errors import InputError, check_count


@dataclass(frozen=True, slots=True)
class Calibration:
    """Confidence against accuracy, in equally wide bins of confidence from 0 to 1.

    Args:
        counts: Rows in each bin.
        confidences: Their mean confidence: the probability of the class that is predicted. `None` in an empty bin.
        accuracies: Share of them that is right; `None` in an empty bin.
    """

    counts: tuple[int, ...]
    confidences: tuple[float | None, ...]
    accuracies: tuple[float | None, ...]

    @property
    def expected_error(self) -> float:
        """Expected calibration error, `sum_b n_b / n |accuracy_b - confidence_b|`: 0 where confidence is right."""
        weights = [count / sum(self.counts) for count in self.counts]
        return sum((weight * gap for weight, gap in zip(weights, self._gaps, strict=True)), 0.0)

    @property
    def largest_error(self) -> float:
        """The gap of the bin that has the largest."""
        return max(self._gaps)

    @property
    def _gaps(self) -> list[float]:
        pairs = zip(self.confidences, self.accuracies, strict=True)
        return [0.0 if c is None or a is None else abs(a - c) for c, a in pairs]

    def to_dict(self) -> dict[str, Any]:
        """As plain values, ready for JSON."""
        return {
            "counts": list(self.counts),
            "confidences": list(self.confidences),
            "accuracies": list(self.accuracies),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Calibration:
        """The inverse of `to_dict`.

        Raises:
            ValueError: Bins that do not belong together.
        """
        counts = tuple(int(count) for count in data["counts"])
        confidences, accuracies = (
            tuple(None if value is None else float(value) for value in data[name])
            for name in ("confidences", "accuracies")
        )
        if not len(counts) == len(confidences) == len(accuracies):
            raise ValueError("bins of different numbers")
        return cls(counts, confidences, accuracies)


def calibration(probabilities: Float[Tensor, "n c"], classes: Int[Tensor, " n"], n_bins: int = 10) -> Calibration:
    """Confidence against accuracy of predicted probabilities.

    Args:
        probabilities: Of each class, a row each.
        classes: The true class of each row.
        n_bins: How many bins; few rows fill few bins, and empty ones say nothing.

    Raises:
        InputError: No bins.

    Reference: Guo et al. (2017), On calibration of modern neural networks, section 2, arXiv:1706.04599.

    >>> calibration(torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.3, 0.7]]), torch.tensor([0, 1, 1])).counts
    (0, 0, 0, 0, 0, 0, 1, 0, 2, 0)
    """
    check_count("n_bins", n_bins, 1)
    if len(probabilities) != len(classes) or not len(classes):
        raise InputError(f"classes: expected one for each of {len(probabilities)} rows, got {len(classes)}")
    confidence, predicted = probabilities.double().max(dim=1)
    right = (predicted == classes).double()
    bins = (confidence * n_bins).ceil().long().clamp(1, n_bins) - 1  # a bin holds its upper end, as in the paper
    counts = torch.bincount(bins, minlength=n_bins)
    sums = [torch.zeros(n_bins, dtype=torch.float64).index_add(0, bins, values) for values in (confidence, right)]
    means = [[float(s / n) if n else None for s, n in zip(total, counts, strict=True)] for total in sums]
    return Calibration(tuple(counts.tolist()), tuple(means[0]), tuple(means[1]))
