"""Convex non-negative matrix factorisation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, final

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from interpreto.concepts.concept_model import ConceptModel
from interpreto.concepts.fitting import FitLog
from interpreto.concepts.learned import LearnedConcepts
from interpreto.concepts.models.active_set import least_squares_codes
from interpreto.concepts.models.alternating import BATCH, Codes, check_determined
from interpreto.concepts.models.centroid_models import NearestCentroid
from interpreto.concepts.models.clusters import centroids
from interpreto.concepts.models.least_squares_model import NonnegativeModel
from interpreto.errors import check_count
from interpreto.model_wrapping import ActivationRows


@final
@dataclass(eq=False, kw_only=True)
class ConvexNMFConcepts(LearnedConcepts):
    """Weighted means of rows, with codes that only add up: `min |A - Z W A|^2`, `Z, W >= 0`, rows of `W` sum to 1.

    From the rows nearest to the centres of k-means, by turns: codes by non-negative least squares; then the
    weights of one concept after the other, by non-negative least squares on the rows that it is made of and those that
    would lower the error most. The mean squared error, which is what `losses` holds, never rises. That weights sum to
    1 takes nothing away, as codes have any size. Concepts are made of at most `d` rows each; no n x n matrix is formed.

    Cost: that of `SemiNMFConcepts`. Its directions stay among the rows where those of `SemiNMFConcepts` may leave them,
    so it reconstructs a little worse; where rows lie on all sides of 0 the weights exclude no direction.

    Args:
        max_iterations: Bound on the iterations.
        tolerance: Relative fall of the error below which it has converged.

    Reference: Ding, Li and Jordan (2010), Convex and semi-nonnegative matrix factorizations, section 3; by
    least squares in place of multiplicative updates.
    """

    max_iterations: int = 100
    tolerance: float = 1e-4

    concept_model_kinds: ClassVar[tuple[type[ConceptModel], ...]] = (NonnegativeModel,)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("max_iterations", self.max_iterations, 1)

    def learn(self, activations: ActivationRows, log: FitLog) -> ConceptModel:
        """Codes and weights by turns."""
        check_determined(self.nb_concepts, activations.width)
        device = self.fit_device
        centres = centroids(activations, self.nb_concepts, 1, self.seed).to(device)
        mixtures = [
            _Mixture(activations, rows, device)
            for rows in _best(activations, NearestCentroid(centres).nearness, 1, device)
        ]
        directions = torch.stack([mixture.point for mixture in mixtures])
        codes, last = Codes(activations, device), None
        for _ in log.steps(self.max_iterations):
            turn = codes.solve(directions)
            log.record(turn.loss)
            if turn.ends(last, self.tolerance):
                break
            last = turn
            pull = (turn.products - turn.gram @ directions).float().T
            candidates = _best(activations, partial(_matches, pull=pull), _CANDIDATES, device)
            for k in turn.used.nonzero()[:, 0].tolist():
                target = directions[k] + (turn.products[k] - turn.gram[k] @ directions) / turn.gram[k, k]
                mixtures[k].approach(target, candidates[k])
                directions[k] = mixtures[k].point
            if (k := turn.unused()) is not None:
                mixtures[k] = _Mixture(activations, torch.tensor([turn.worst], device=device), device)
                directions[k] = mixtures[k].point
        return NonnegativeModel(torch.stack([mixture.point / mixture.weights.sum() for mixture in mixtures]).float())


_CANDIDATES = 8
"""Rows tried for each concept in one iteration."""


class _Mixture:
    """A sum of rows with weights above 0.

    Args:
        activations: All rows.
        members: The numbers of those that it starts with, each with weight 1.
        device: Where to keep it.
    """

    def __init__(self, activations: ActivationRows, members: Int[Tensor, " k"], device: torch.device) -> None:
        self._activations = activations
        self._device = device
        self._members = members
        self._rows = self._take(members)
        self.weights = torch.ones(len(members), dtype=torch.float64, device=device)

    @property
    def point(self) -> Float[Tensor, " d"]:
        """Where it is."""
        return self.weights @ self._rows

    def approach(self, target: Float[Tensor, " d"], candidates: Int[Tensor, " k"]) -> None:
        """Take the weights that come nearest to a target, on the rows so far and these."""
        new = candidates[~torch.isin(candidates, self._members)]
        members, rows = torch.cat([self._members, new]), torch.cat([self._rows, self._take(new)])
        start = torch.cat([self.weights, self.weights.new_zeros(len(new))])
        weights = least_squares_codes(target[None], rows, start=start[None])[0]
        there = weights > 0
        if bool(there.any()):
            self._members, self._rows, self.weights = members[there], rows[there], weights[there]

    def _take(self, members: Int[Tensor, " k"]) -> Float[Tensor, "k d"]:
        return self._activations.take(members.cpu()).detach().to(self._device).double()


def _matches(x: Float[Tensor, "n d"], pull: Float[Tensor, "d c"]) -> Float[Tensor, "n c"]:
    """How far each row, at length 1, points to where each concept is pulled."""
    return normalize(x, dim=1) @ pull


def _best(
    activations: ActivationRows, score: Callable[[Tensor], Tensor], count: int, device: torch.device
) -> Int[Tensor, "c k"]:
    """The numbers of the rows with the largest scores `(n, c)`, for each concept."""
    best: Tensor | None = None
    numbers = torch.empty(0)
    for first, batch in zip(range(0, activations.n_rows, BATCH), activations.batches(BATCH), strict=True):
        own = score(batch.detach().to(device)).T
        places = torch.arange(first, first + len(batch), device=device).expand_as(own)
        scores = own if best is None else torch.cat([best, own], dim=1)
        places = places if best is None else torch.cat([numbers, places], dim=1)
        best, order = scores.topk(min(count, scores.shape[1]), dim=1)
        numbers = places.gather(1, order)
    return numbers
