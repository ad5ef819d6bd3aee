"""Sparse dictionary learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch.nn.functional import normalize

from interpreto.concepts.concept_model import ConceptModel
from interpreto.concepts.fitting import FitLog
from interpreto.concepts.learned import LearnedConcepts
from interpreto.concepts.models.alternating import Codes
from interpreto.concepts.models.least_squares_model import LassoModel
from interpreto.concepts.models.second_moments import mean_and_covariance
from interpreto.errors import InputError, check_count
from interpreto.model_wrapping import ActivationRows


@final
@dataclass(eq=False, kw_only=True)
class DictionaryLearningConcepts(LearnedConcepts):
    """Directions of which few make up each row: `min 1/2 |x - mean - z D|^2 + sparsity s |z|_1`, rows of D of length 1.

    From random rows, by turns: codes by the lasso; directions one after the other, exactly, within length 1.
    `s` is the root mean squared length of the centred rows, so that `sparsity` means the same for any model: about
    the share of a typical row's length that a concept must explain to be there. The error with its penalty, which is
    what `losses` holds, never rises. There may be more concepts than dimensions; codes are signed. A direction that no
    row uses is given the row that is explained worst.

    Cost: a lasso for each row and iteration. A sparse autoencoder encodes faster, and is for thousands of concepts.

    Args:
        sparsity: Weight of the codes' sizes; 0.1 gives a few codes a row, 1 next to none.
        max_iterations: Bound on the iterations.
        tolerance: Relative fall of the loss below which it has converged.

    Reference: Mairal, Bach, Ponce and Sapiro (2010), Online learning for matrix factorization and sparse coding,
    algorithm 2 for the directions, arXiv:0908.0050.
    """

    sparsity: float = 0.1
    max_iterations: int = 200
    tolerance: float = 1e-5

    codes_have_a_sign: ClassVar[bool] = True
    concept_model_kinds: ClassVar[tuple[type[ConceptModel], ...]] = (LassoModel,)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("max_iterations", self.max_iterations, 1)
        if not self.sparsity > 0:
            raise InputError(f"sparsity: expected above 0, got {self.sparsity}")

    def learn(self, activations: ActivationRows, log: FitLog) -> ConceptModel:
        """Codes and directions by turns."""
        mean, covariance = mean_and_covariance(activations, self.fit_device)
        variance = float(covariance.diagonal().sum())
        if variance <= 1e-12 * float(mean.square().sum()):
            raise InputError("activations: expected rows that differ, got equal ones")
        penalty = self.sparsity * variance**0.5
        order = torch.randperm(activations.n_rows, generator=torch.Generator().manual_seed(self.seed))
        first = activations.take(order[: self.nb_concepts]).detach().to(mean)
        directions = normalize(first - mean, dim=1)
        codes, last = Codes(activations, self.fit_device, mean=mean, penalty=penalty), None
        for _ in log.steps(self.max_iterations):
            turn = codes.solve(directions)
            log.record(turn.loss)
            if turn.ends(last, self.tolerance):
                break
            last = turn
            for k in turn.used.nonzero()[:, 0].tolist():
                best = directions[k] + (turn.products[k] - turn.gram[k] @ directions) / turn.gram[k, k]
                directions[k] = best / best.norm().clamp(min=1.0)
            if (k := turn.unused()) is not None:
                worst = activations.take(torch.tensor([turn.worst])).detach().to(mean) - mean
                directions[k] = normalize(worst, dim=1)[0]
        return LassoModel(mean.float(), directions.float(), mean.new_tensor(penalty).float())
