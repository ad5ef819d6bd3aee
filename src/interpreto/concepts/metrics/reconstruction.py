"""How much of the activations the concepts keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

from jaxtyping import Float
from torch import Tensor

from interpreto.concepts.metrics.passes import ConceptMetric


def mean_squared_error(activations: Float[Tensor, "n d"], reconstructions: Float[Tensor, "n d"]) -> float:
    """`mean_nd (x - x_hat)^2`: a mean, so that repeated data change nothing."""
    return float((activations - reconstructions).square().mean())


def relative_error(activations: Float[Tensor, "n d"], reconstructions: Float[Tensor, "n d"]) -> float:
    """`norm(X - X_hat) / norm(X)`, in Frobenius norms; 0 is perfect, and 1 is what zero gets."""
    return float((activations - reconstructions).norm() / activations.norm())


def explained_variance(activations: Float[Tensor, "n d"], reconstructions: Float[Tensor, "n d"]) -> float:
    """`1 - sum (x - x_hat)^2 / sum (x - mean)^2`; 1 is perfect, and 0 is what the mean gets."""
    spread = (activations - activations.mean(dim=0)).square().sum()
    return float(1 - (activations - reconstructions).square().sum() / spread)


@final
@dataclass(frozen=True, eq=False)
class MSE(ConceptMetric):
    """Mean squared error of the reconstruction, `mean_nd (x - x_hat)^2`, in squared units of the activations.

    Reference: Bricken et al. (2023), Towards monosemanticity, transformer-circuits.pub/2023/monosemantic-features.
    """

    higher_is_better: ClassVar[bool] = False

    def __call__(self, activations: Any) -> float:
        """The mean squared error."""
        error, size = 0.0, 0
        for one in self._passes(activations):
            error += float((one.activations - one.reconstructions).square().sum())
            size += one.activations.numel()
        return error / size


@final
@dataclass(frozen=True, eq=False)
class RelativeError(ConceptMetric):
    """Size of what the reconstruction misses, by the size of the activations: `norm(X - X_hat) / norm(X)`.

    0 is perfect, 1 is what zero gets.
    """

    higher_is_better: ClassVar[bool] = False

    def __call__(self, activations: Any) -> float:
        """The relative error."""
        error, size = 0.0, 0.0
        for one in self._passes(activations):
            error += float((one.activations - one.reconstructions).square().sum())
            size += float(one.activations.square().sum())
        return float((error / size) ** 0.5) if size else float("nan")


@final
@dataclass(frozen=True, eq=False)
class ExplainedVariance(ConceptMetric):
    """Share of the activations' variance around their mean that the reconstruction explains, R squared.

    1 is perfect, 0 is what the mean gets; below 0 the mean would do better.
    """

    higher_is_better: ClassVar[bool] = True

    def __call__(self, activations: Any) -> float:
        """The explained variance."""
        mean: Any = 0.0
        rows = 0
        for one in self._passes(activations):
            mean = mean + one.activations.sum(dim=0)
            rows += len(one.activations)
        error, spread = 0.0, 0.0
        for one in self._passes(activations):
            error += float((one.activations - one.reconstructions).square().sum())
            spread += float((one.activations - mean / rows).square().sum())
        return 1 - error / spread if spread else float("nan")
