"""Sparse principal component analysis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch

from interpreto.concepts.concept_model import ConceptModel
from interpreto.concepts.fitting import FitLog
from interpreto.concepts.learned import LearnedConcepts
from interpreto.concepts.models.affine_model import AffineModel
from interpreto.concepts.models.scikit import fitted
from interpreto.concepts.models.second_moments import mean_and_covariance, signed
from interpreto.errors import InputError, check_count
from interpreto.model_wrapping import ActivationRows


@final
@dataclass(eq=False, kw_only=True)
class SparsePCAConcepts(LearnedConcepts):
    """Directions of large variance in few neurons each: `min |A - mean - Z D|^2 / 2 + sparsity |D|_1`.

    Columns of `Z` have at most length 1 while fitting. Rows are first divided by the root of `n` times their mean
    variance, so that `sparsity` means the same for any model. Codes of new rows are those of least squares. Each
    direction has length 1 and its largest number positive.

    Cost: `n d^2` once, then `c d^2` an iteration, whatever the number of rows. Use it where a concept should name its
    neurons; neurons of a residual stream mean little by themselves.

    Args:
        sparsity: Weight of the directions' sizes; near 0 it is PCA's space, above 1 or so nothing is left.
        max_iterations: Bound on the iterations.
        tolerance: Fall of the loss below which it has converged.

    Reference: Zou, Hastie and Tibshirani (2006), Sparse principal component analysis; by dictionary learning as
    in Mairal et al. (2010), Online learning for matrix factorization and sparse coding, arXiv:0908.0050.
    """

    sparsity: float = 0.1
    max_iterations: int = 1000
    tolerance: float = 1e-6

    codes_have_a_sign: ClassVar[bool] = True
    concept_model_kinds: ClassVar[tuple[type[ConceptModel], ...]] = (AffineModel,)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("max_iterations", self.max_iterations, 1)
        if not self.sparsity > 0:
            raise InputError(f"sparsity: expected above 0, got {self.sparsity}")

    def learn(self, activations: ActivationRows, log: FitLog) -> ConceptModel:
        """Dictionary learning with neurons as samples, then the ridge regression that encodes."""
        from sklearn.decomposition import SparsePCA

        if self.nb_concepts > activations.width:
            raise InputError(f"nb_concepts: expected at most the width {activations.width}, got {self.nb_concepts}")
        mean, covariance = mean_and_covariance(activations, self.fit_device)
        variance = covariance.diagonal().mean()
        if variance <= 1e-12 * mean.square().mean():
            raise InputError("activations: expected rows that differ, got equal ones")
        # Rows enter the loss by their covariance alone, so a square root of it, with mean 0, stands for all of them.
        values, vectors = torch.linalg.eigh(covariance / (2 * variance))
        root = values.clamp(min=0).sqrt()[:, None] * vectors.T
        pca = SparsePCA(
            self.nb_concepts,
            alpha=self.sparsity,
            max_iter=self.max_iterations,
            tol=self.tolerance,
            method="cd",
            random_state=self.seed,
        )
        advice = f"{self.max_iterations} iterations; pass more max_iterations or a larger tolerance"
        found = fitted(pca, torch.cat([root, -root]), advice).components_
        directions = torch.as_tensor(found).to(device=self.fit_device, dtype=torch.float64)
        if not bool(directions.any()):
            raise InputError(
                f"sparsity: expected a weight that leaves something, got {self.sparsity}; take a smaller one"
            )
        directions = signed(directions)
        ridge = _RIDGE * torch.eye(self.nb_concepts).to(directions)
        encoder = torch.linalg.solve(directions @ directions.T + ridge, directions)
        return AffineModel(mean.float(), encoder.float(), directions.float())


_RIDGE = 1e-6
