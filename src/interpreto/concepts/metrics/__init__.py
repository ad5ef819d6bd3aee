"""Metrics of concept spaces: how faithful, how sparse, how stable, how useful."""

from interpreto.concepts.metrics.completeness import Completeness, CompletenessResult
from interpreto.concepts.metrics.consim import ConSim, ConSimPrompt, ConSimResult
from interpreto.concepts.metrics.distributions import FID, Wasserstein, frechet_distance
from interpreto.concepts.metrics.loss_recovered import LossRecovered, LossRecovery
from interpreto.concepts.metrics.passes import ConceptMetric
from interpreto.concepts.metrics.reconstruction import (
    MSE,
    ExplainedVariance,
    RelativeError,
    explained_variance,
    mean_squared_error,
    relative_error,
)
from interpreto.concepts.metrics.sparsity import DeadFraction, Sparsity, SparsityRatio, active_concepts
from interpreto.concepts.metrics.stability import Stability, matched_cosines

__all__ = [
    "FID",
    "MSE",
    "Completeness",
    "CompletenessResult",
    "ConSim",
    "ConSimPrompt",
    "ConSimResult",
    "ConceptMetric",
    "DeadFraction",
    "ExplainedVariance",
    "LossRecovered",
    "LossRecovery",
    "RelativeError",
    "Sparsity",
    "SparsityRatio",
    "Stability",
    "Wasserstein",
    "active_concepts",
    "explained_variance",
    "frechet_distance",
    "matched_cosines",
    "mean_squared_error",
    "relative_error",
]
