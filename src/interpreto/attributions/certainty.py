"""How far sampled scores may be off, and how many more draws a tolerance needs. Pure functions of numbers."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interpreto.errors import InputError, check_count

_NORMAL = 1.959964  # 95 % of a normal distribution lie within so many standard deviations
_GROWTH = 1.2  # the next round makes a design at most so many times larger, once it is close
_LEAP = 2.0  # and far from it at most so many times, for a few draws know little about how many are needed
_CAUTION = 2.0  # a leap goes for less than what is expected to be needed by this factor
_ROUNDING = 1e-6  # errors below this share of the target's scores are what float32 makes of constants


@cache
def student(freedom: int | float) -> float:
    """By what an error must be widened because it is itself estimated, with so many degrees of freedom.

    With it the interval score +- 1.96 errors holds the true value in 95 % of cases, as Student's has it, in place of
    fewer.

    >>> round(student(9), 3), round(student(1000), 3), student(0)
    (1.154, 1.001, inf)
    """
    from scipy.special import stdtrit  # not at the top: importing the package stays fast

    return float(stdtrit(freedom, 0.975)) / _NORMAL if freedom > 0 else math.inf


def mean_errors(units: Float[Tensor, "n ..."]) -> Float[Tensor, "*s"]:
    """Standard errors of the mean of independent units; infinite where there is only one."""
    n = len(units)
    if n < 2:
        return units.new_full(units.shape[1:], math.inf)
    errors: Tensor = units.std(dim=0) / n**0.5 * student(n - 1)
    return errors


def jackknife(
    whole: Float[Tensor, "*s"], without: Float[Tensor, "k ..."], counts: Float[Tensor, " k"]
) -> Float[Tensor, "*s"]:
    """Standard errors of an estimate from k independent groups of draws, from the estimates without each of them.

    Groups may be of different sizes (Busing, Meijer and van der Leeden 1999, Delete-m jackknife for unequal m,
    doi:10.1023/A:1008800423698). Infinite where there is only one group.
    """
    k = len(counts)
    if k < 2:
        return whole.new_full(whole.shape, math.inf)
    ratio = (counts.sum() / counts).view(-1, *[1] * whole.dim()).to(whole)
    pseudo = ratio * whole - (ratio - 1) * without
    centre = (pseudo / ratio).sum(dim=0)
    variance = ((pseudo - centre).square() / (ratio - 1)).mean(dim=0)
    return variance.sqrt() * student(k - 1)


def excess(
    scores: Float[Tensor, "t g"], std_errors: Float[Tensor, "t g"], tolerance: float, size: Float[Tensor, " t"]
) -> float:
    """The largest standard error over what is allowed, tolerance x the largest |score|, for the worst target.

    Args:
        scores: Scores; NaN where an element cannot matter.
        std_errors: Their standard errors.
        tolerance: The tolerance.
        size: How large the numbers are that the scores are made of; errors of rounding are none.
    """
    errors, allowed = std_errors.nan_to_num(nan=0.0, posinf=math.inf), tolerance * scores.nan_to_num().abs()
    if scores.numel() == 0:
        return 0.0
    largest = errors.amax(dim=1)
    ratios = largest / allowed.amax(dim=1)
    return float(torch.where(largest <= _ROUNDING * size.to(largest), 0.0, ratios).max())


def next_count(used: int, missing: int | float, most: int) -> int:
    """How many draws to have next, so that the tolerance is met with at most about 1.2 x as many as it needs.

    Errors of independent draws fall with the root of their number, those of balanced ones with the number itself: where
    much is missing, half of what the faster of the two needs is drawn at once, at most as many again as there are, and
    then a fifth more at a time.

    >>> next_count(100, missing=1.1, most=1000), next_count(100, missing=3, most=1000), next_count(5, 1.1, 1000)
    (120, 150, 6)
    """
    leap = min(missing / _CAUTION, _LEAP)
    return min(max(int(used * leap), int(used * _GROWTH), used + 1), most)


def check_tolerance(tolerance: Any, name: str, first: int | None, most: Any) -> None:
    """Refuse a tolerance that cannot be met, and a limit below where it starts.

    Raises:
        InputError: The message names the option.
    """
    if tolerance is None:
        return
    if isinstance(tolerance, bool) or not isinstance(tolerance, (int, float)) or not 0 < tolerance < math.inf:
        raise InputError(f"tolerance: expected above 0, or None for n_{name}, got {tolerance!r}")
    check_count(f"max_{name}", most, 1 if first is None else first)


def budget_message(method: str, name: str, tolerance: float, missing: dict[str, float], total: int, most: int) -> str:
    """What to tell the user where the budget ended before the tolerance was met.

    Args:
        method: Name of the method.
        name: What is drawn: "perturbations", "samples".
        tolerance: The tolerance.
        missing: By text, how many times too large its largest standard error is.
        total: Number of texts.
        most: The budget.
    """
    where, worst = max(missing.items(), key=lambda item: item[1])
    error = f"{worst * tolerance:.2g} of its target's largest score" if math.isfinite(worst) else "not known"
    return (
        f"{method}: {len(missing)} of {total} texts are not known to a tolerance of {tolerance:g} after {most} {name}; "
        f"least known is {where}, its largest standard error is {error}; see std_errors of the results, and raise "
        f"max_{name} or tolerance"
    )


def tells_apart(keep: Bool[Tensor, "p g"]) -> bool:
    """Whether a linear function of the elements, with its constant, is known from its values at these perturbations."""
    rows = torch.cat([keep, torch.ones(len(keep), 1, dtype=torch.bool)], dim=1)
    return bool(torch.linalg.matrix_rank(rows.double()) == rows.shape[1])
