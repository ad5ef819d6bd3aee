"""Explanations of draws of one function, as one explanation of their mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.attributions.certainty import mean_errors
from interpreto.attributions.result import Attribution


def mean_of_draws(results: Sequence[Attribution]) -> Attribution:
    """The mean explanation. Its standard errors are those of the mean of the draws, which is not known from one.

    What each draw's own standard errors say is the same error in all of them, where all drew the same perturbations.
    """
    if len(results) == 1:
        return replace(results[0], std_errors=torch.full_like(results[0].scores, torch.inf))
    own = [result.std_errors for result in results if result.std_errors is not None]
    variance = mean_errors(torch.stack([result.scores for result in results])).square()
    if own:
        variance = variance + torch.stack(own).mean(dim=0).square()
    scores = torch.stack([result.scores for result in results]).mean(dim=0)
    return replace(
        results[0],
        scores=scores,
        std_errors=variance.sqrt(),
        target_scores=_mean([result.target_scores for result in results]),
        baseline_scores=_mean([result.baseline_scores for result in results]),
    )


def _mean(values: Sequence[Float[Tensor, " t"] | None]) -> Float[Tensor, " t"] | None:
    known = [value for value in values if value is not None]
    return torch.stack(known).mean(dim=0) if known else None
