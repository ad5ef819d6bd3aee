"""How alike activations and their reconstructions are as clouds of points, whichever row is which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.concepts.metrics.passes import ConceptMetric
from interpreto.errors import InputError


def frechet_distance(
    mean: Float[Tensor, " d"],
    covariance: Float[Tensor, "d d"],
    other_mean: Float[Tensor, " d"],
    other_covariance: Float[Tensor, "d d"],
) -> float:
    """`norm(m1 - m2)^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))`: squared 2-Wasserstein distance of two Gaussians.

    The root's trace is that of `(S1^(1/2) S2 S1^(1/2))^(1/2)`, which is symmetric.
    """
    values, vectors = torch.linalg.eigh(covariance)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ other_covariance @ root).clamp(min=0).sqrt().sum()
    distance = (mean - other_mean).square().sum() + covariance.trace() + other_covariance.trace() - 2 * cross
    return max(float(distance), 0.0)


@final
@dataclass(frozen=True, eq=False)
class FID(ConceptMetric):
    """Frechet distance between activations and reconstructions, each seen as a Gaussian; 0 is perfect.

    In squared units of the activations. Unlike the mean squared error it does not ask whether each row is
    reconstructed, but whether reconstructions are spread as activations are. Covariances need more rows than the
    activations are wide. Some works call the mean of one-dimensional Wasserstein distances by this name: that is
    `Wasserstein` here.

    Reference: Heusel et al. (2017), section 2 and equation 6, arXiv:1706.08500; for concepts Fel et al. (2023),
    arXiv:2306.07304.
    """

    higher_is_better: ClassVar[bool] = False

    def __call__(self, activations: Any) -> float:
        """The distance.

        Raises:
            InputError: Fewer than two rows.
        """
        sums: list[Any] = [0.0, 0.0]
        squares: list[Any] = [0.0, 0.0]
        rows = 0
        shift = None
        for one in self._passes(activations):
            shift = one.activations.mean(dim=0) if shift is None else shift  # against cancellation
            rows += len(one.activations)
            for k, x in enumerate((one.activations - shift, one.reconstructions - shift)):
                sums[k] = sums[k] + x.sum(dim=0)
                squares[k] = squares[k] + x.T @ x
        if rows < 2:
            raise InputError(f"activations: expected at least two rows for a covariance, got {rows}")
        means = [total / rows for total in sums]
        covariances = [
            (square - rows * torch.outer(mean, mean)) / (rows - 1) for square, mean in zip(squares, means, strict=True)
        ]
        return frechet_distance(means[0], covariances[0], means[1], covariances[1])


@final
@dataclass(frozen=True, eq=False)
class Wasserstein(ConceptMetric):
    """Mean over dimensions of the one-dimensional 1-Wasserstein distance of activations and reconstructions.

    In units of the activations; 0 is perfect. Keeps all rows in memory, to sort them.

    Reference: Fel et al. (2023), A holistic approach to unifying automatic concept extraction and concept importance
    estimation, arXiv:2306.07304, where it goes by the name of FID.
    """

    higher_is_better: ClassVar[bool] = False

    def __call__(self, activations: Any) -> float:
        """The distance."""
        passes = list(self._passes(activations))
        x = torch.cat([one.activations for one in passes]).sort(dim=0).values
        y = torch.cat([one.reconstructions for one in passes]).sort(dim=0).values
        return float((x - y).abs().mean())
