"""The strength that shifts a model's predictions by a wanted amount."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from interpreto.errors import InputError

_DOUBLINGS, _HALVINGS = 24, 60


@dataclass(frozen=True, slots=True)
class Strength:
    """A strength that was looked for.

    Args:
        value: The strength, from 0 on.
        kl: The shift that it causes.
        n_measured: How many strengths were tried.
    """

    value: float
    kl: float
    n_measured: int


def strength_for(
    kl: float, shift: Callable[[float], float], *, start: float = 1.0, tolerance: float = 0.01
) -> Strength:
    """The strength whose shift is `kl`, by doubling and bisection.

    From `start` the strength is doubled until the shift is at least `kl`; then the interval between the last strength
    below and the first one above is halved until the shift is within the tolerance. The lower end always shifts by
    less than `kl` and the upper end by at least as much, so that there is a solution between them wherever the shift is
    continuous; where it is not monotone there may be others.

    Args:
        kl: The wanted shift, in nats, above 0.
        shift: From a strength to its shift; 0 at 0.
        start: The first strength to try.
        tolerance: How far from `kl` the shift may be, as a share of it.

    Raises:
        InputError: No strength up to `2^24` times the first one shifts by as much, or the shift jumps over `kl`.

    >>> strength_for(0.5, lambda strength: strength**2 / 8)
    Strength(value=2.0, kl=0.5, n_measured=2)
    """
    low, high, most = (0.0, 0.0), (start, shift(start)), (start, 0.0)
    n_measured = 1
    while high[1] < kl:  # what is no number is too much
        most = max(most, high, key=lambda tried: tried[1])
        if n_measured > _DOUBLINGS:
            raise InputError(
                f"kl: expected a shift that can be reached, got {kl:g} nats; the largest was {most[1]:.3g} at a "
                f"strength of {most[0]:.4g}; ask for less, or for another concept, sign or positions"
            )
        low, high = high, (2 * high[0], shift(2 * high[0]))
        n_measured += 1
    found = high
    for _ in range(_HALVINGS):
        if abs(found[1] - kl) <= tolerance * kl:
            return Strength(found[0], found[1], n_measured)
        middle = (low[0] + high[0]) / 2
        found = (middle, shift(middle))
        n_measured += 1
        low, high = (found, high) if found[1] < kl else (low, found)
    if not math.isfinite(high[1]):
        raise InputError(
            f"kl: expected a shift that can be reached, got {kl:g} nats; the largest was {low[1]:.3g} at a strength of "
            f"{low[0]:.4g}, and stronger ones give no numbers; ask for less, or for another concept, sign or positions"
        )
    raise InputError(
        f"kl: expected a shift that grows with the strength, got one that jumps over {kl:g} nats, from {low[1]:.3g} at "
        f"a strength of {low[0]:.6g} to {high[1]:.3g} at {high[0]:.6g}; ask for one of these"
    )
