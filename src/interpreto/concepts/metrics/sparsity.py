"""How many concepts a row needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.concepts.metrics.passes import ConceptMetric
from interpreto.errors import InputError


def active_concepts(codes: Float[Tensor, "n c"], threshold: float = 0.0) -> float:
    """Mean number of concepts in a row whose code is beyond the threshold in absolute value (L0)."""
    return float((codes.abs() > threshold).sum(dim=1).double().mean())


@dataclass(frozen=True, eq=False)
class _Activity(ConceptMetric):
    threshold: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.threshold, (int, float)) or not self.threshold >= 0:
            raise InputError(f"threshold: expected a number from 0 on, got {self.threshold!r}")

    def _count(self, activations: Any) -> tuple[Tensor, int]:
        """For each concept the rows in which it is active, and the number of rows."""
        counts: Tensor | int = 0
        rows = 0
        for one in self._passes(activations):
            counts = counts + (one.codes.abs() > self.threshold).sum(dim=0)
            rows += len(one.codes)
        return torch.as_tensor(counts), rows


@final
@dataclass(frozen=True, eq=False)
class Sparsity(_Activity):
    """A count: the mean number of concepts in a row whose code is not 0 (L0). `SparsityRatio` is the fraction.

    Args:
        concept_explainer: Fitted concepts.
        threshold: Codes up to this absolute value count as 0.

    Reference: Bricken et al. (2023), Towards monosemanticity, transformer-circuits.pub/2023/monosemantic-features.
    """

    higher_is_better: ClassVar[bool] = False

    def __call__(self, activations: Any) -> float:
        """Concepts a row."""
        counts, rows = self._count(activations)
        return float(counts.sum()) / rows


@final
@dataclass(frozen=True, eq=False)
class SparsityRatio(_Activity):
    """A fraction: the mean share of all concepts that a row has, `Sparsity / nb_concepts`.

    Args:
        concept_explainer: Fitted concepts.
        threshold: Codes up to this absolute value count as 0.
    """

    higher_is_better: ClassVar[bool] = False

    def __call__(self, activations: Any) -> float:
        """Share of the concepts."""
        counts, rows = self._count(activations)
        return float(counts.sum()) / rows / len(counts)


@final
@dataclass(frozen=True, eq=False)
class DeadFraction(_Activity):
    """Share of the concepts that no row has; say on how many rows it was measured, rare concepts need many.

    Args:
        concept_explainer: Fitted concepts.
        threshold: Codes up to this absolute value count as 0.
    """

    higher_is_better: ClassVar[bool] = False

    def __call__(self, activations: Any) -> float:
        """Share of the concepts that are dead."""
        counts, _ = self._count(activations)
        return float((counts == 0).double().mean())
