"""How often a classifier is right, and how far that may be off. Pure functions of numbers."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def share_with_error(values: Float[Tensor, " n"], groups: Int[Tensor, " n"] | None = None) -> tuple[float, float]:
    """The mean, and its standard error: `sqrt(k / (k - 1) sum_g (sum_{i in g} (v_i - mean))^2) / n` over `k` groups.

    With rows by themselves this is the standard deviation over the root of `n`. Rows of one text are not independent,
    and as one group they count as what they are together. NaN with fewer than two groups.

    Reference: Liang and Zeger (1986), Longitudinal data analysis using generalized linear models.

    >>> share_with_error(torch.tensor([1.0, 0.0, 1.0, 1.0]))
    (0.75, 0.25)
    """
    values = values.double()
    groups = torch.arange(len(values)) if groups is None else groups
    mean = float(values.mean())
    group_of = torch.unique(groups, return_inverse=True)[1]
    count = int(group_of.max()) + 1
    if count < 2:
        return mean, math.nan
    sums = torch.zeros(count, dtype=torch.float64).index_add(0, group_of, values - mean)
    return mean, float((sums.square().sum() * count / (count - 1)).sqrt()) / len(values)


def balanced_accuracy(right: Bool[Tensor, " n"], classes: Int[Tensor, " n"]) -> float:
    """The mean over classes of the share of their rows that is right: 1 / classes for guessing, however rare some are.

    >>> balanced_accuracy(torch.tensor([True, True, True, False]), torch.tensor([0, 0, 0, 1]))
    0.5
    """
    present = torch.unique(classes)
    return float(torch.stack([right[classes == number].double().mean() for number in present]).mean())
