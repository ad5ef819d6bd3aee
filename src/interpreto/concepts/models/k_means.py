"""K-means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch

from interpreto.concepts.concept_model import ConceptModel
from interpreto.concepts.fitting import FitLog
from interpreto.concepts.learned import LearnedConcepts
from interpreto.concepts.models.centroid_models import CentroidModel, CosineCentroids, NearestCentroid, SoftCentroids
from interpreto.concepts.models.clusters import centroids
from interpreto.errors import InputError, check_count
from interpreto.model_wrapping import ActivationRows


@final
@dataclass(eq=False, kw_only=True)
class KMeansConcepts(LearnedConcepts):
    """Centres of clusters: `min_C sum_x min_k |x - C_k|^2`; codes say how near a row is, and decode to `z C`.

    Cost: `n c d` an iteration and start; beyond 32,768 rows by mini-batches of 4096. Clusters exclude each other: not
    for rows that hold several concepts at once, as tokens of language models do.

    Args:
        codes: `"softmax"`: `softmax(-|x - C_k|^2 / temperature)`, shares of the clusters, with gradients; `"one_hot"`:
            the nearest cluster alone, without gradients; `"cosine"`: `max(0, cos(x, C_k))`, which compares
            directions and does not reconstruct.
        temperature: Of the softmax, in squared units of the activations; by default the power of 2 times the mean
            squared distance to the nearest centre that reconstructs best, so no worse than `"one_hot"`.
        n_starts: Random starts (k-means++), of which the best is kept.

    Reference: Lloyd (1982), Least squares quantization in PCM; for concepts, Ghorbani et al. (2019), arXiv:1902.03129.
    """

    codes: str = "softmax"
    temperature: float | None = None
    n_starts: int = 10

    concept_model_kinds: ClassVar[tuple[type[ConceptModel], ...]] = (NearestCentroid, SoftCentroids, CosineCentroids)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("n_starts", self.n_starts, 1)
        if self.codes not in ("softmax", "one_hot", "cosine"):
            raise InputError(f"codes: expected 'softmax', 'one_hot' or 'cosine', got {self.codes!r}")
        if self.temperature is not None and not self.temperature > 0:
            raise InputError(f"temperature: expected above 0, got {self.temperature}")

    def learn(self, activations: ActivationRows, log: FitLog) -> ConceptModel:
        """Lloyd's iterations, then the temperature."""
        centres = centroids(activations, self.nb_concepts, self.n_starts, self.seed).to(self.fit_device)
        if self.codes == "one_hot":
            return NearestCentroid(centres)
        if self.codes == "cosine":
            return CosineCentroids(centres)
        if self.temperature is not None:
            return SoftCentroids(centres, centres.new_tensor(self.temperature))
        order = torch.randperm(activations.n_rows, generator=torch.Generator().manual_seed(self.seed))
        rows = activations.take(order[:_MEASURED]).to(centres)
        nearest = NearestCentroid(centres)
        distance = max(_error(nearest, rows), torch.finfo(rows.dtype).tiny * 2**_HALVINGS)
        choices = [SoftCentroids(centres, centres.new_tensor(distance / 2**k)) for k in range(-2, _HALVINGS)]
        return min(choices, key=lambda model: _error(model, rows))


_MEASURED, _HALVINGS = 1 << 13, 12


def _error(model: CentroidModel, rows: torch.Tensor) -> float:
    """Mean squared distance between rows and their reconstructions."""
    return float((rows - model.decode(model.encode(rows))).square().sum(dim=1).mean())
