"""Semi-non-negative matrix factorisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch

from interpreto.concepts.concept_model import ConceptModel
from interpreto.concepts.fitting import FitLog
from interpreto.concepts.learned import LearnedConcepts
from interpreto.concepts.models.alternating import Codes, check_determined
from interpreto.concepts.models.clusters import centroids
from interpreto.concepts.models.least_squares_model import NonnegativeModel
from interpreto.errors import check_count
from interpreto.model_wrapping import ActivationRows


@final
@dataclass(eq=False, kw_only=True)
class SemiNMFConcepts(LearnedConcepts):
    """Directions of any sign with codes that only add up: `min |A - Z D|^2` with `Z >= 0`.

    From the centres of k-means, by turns: codes by non-negative least squares, some steps on from those of the last
    turn; directions exactly, by `(Z^T Z) D = Z^T A`. The mean squared error, which is what `losses` holds, never
    rises. Directions have unit length. A direction that no row uses is given the row that is explained worst.

    Cost: a non-negative least squares problem for each row and iteration. Directions are free, so they need not
    resemble any row: `ConvexNMFConcepts` makes them of rows. Use `NMFConcepts` where nothing is below 0.

    Args:
        max_iterations: Bound on the iterations.
        tolerance: Relative fall of the error below which it has converged.

    Reference: Ding, Li and Jordan (2010), Convex and semi-nonnegative matrix factorizations, section 2; codes by
    non-negative least squares in place of multiplicative updates.
    """

    max_iterations: int = 100
    tolerance: float = 1e-4

    concept_model_kinds: ClassVar[tuple[type[ConceptModel], ...]] = (NonnegativeModel,)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("max_iterations", self.max_iterations, 1)

    def learn(self, activations: ActivationRows, log: FitLog) -> ConceptModel:
        """Codes and directions by turns."""
        check_determined(self.nb_concepts, activations.width)
        directions = centroids(activations, self.nb_concepts, 1, self.seed).to(self.fit_device).double()
        codes, last = Codes(activations, self.fit_device, exact=False), None
        for _ in log.steps(self.max_iterations):
            turn = codes.solve(directions)
            log.record(turn.loss)
            if turn.ends(last, self.tolerance):
                break
            last, used = turn, turn.used
            ridge = torch.diag(1e-10 * turn.gram.diagonal()[used])
            factor = torch.linalg.cholesky(turn.gram[used][:, used] + ridge)
            directions[used] = torch.cholesky_solve(turn.products[used], factor)
            if (k := turn.unused()) is not None:
                directions[k] = activations.take(torch.tensor([turn.worst]))[0].detach().to(directions)
        lengths = directions.norm(dim=1, keepdim=True)
        return NonnegativeModel((directions / lengths.where(lengths > 0, 1.0)).float())
