"""Sparse dictionary learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from interpreto.concepts.base import LearnedConcepts
from interpreto.concepts.concept_model import ConceptModel
from interpreto.concepts.fitting import FitLog
from interpreto.concepts.models.least_squares_model import LassoModel
from interpreto.concepts.models.scikit import fitted, tensor
from interpreto.errors import InputError, check_count
from interpreto.model_wrapping import ActivationRows


@final
@dataclass(eq=False, kw_only=True)
class DictionaryLearningConcepts(LearnedConcepts):
    """Unit directions of which few make up each row: `min sum_x 1/2 |x - mean - z D|^2 + sparsity s |z|_1`.

    `s` is the root mean squared length of the centred rows, so that `sparsity` means the same for any model: about
    the share of its length that a code must explain to be there. There may be more concepts than dimensions. Codes
    are signed, and solved to the end for each row by itself.

    Cost: a lasso for each row of each pass. A sparse autoencoder encodes faster and takes far more data and concepts.

    Args:
        sparsity: Weight of the codes' sizes; 0.3 gives a few codes a row, 1 and above next to none.
        max_passes: Bound on the passes over the data; it ends before where nothing improves.

    Reference: Mairal, Bach, Ponce and Sapiro (2010), Online learning for matrix factorization and sparse coding,
    algorithm 1, arXiv:0908.0050.
    """

    sparsity: float = 0.1
    max_passes: int = 100

    concept_model_kinds: ClassVar[tuple[type[ConceptModel], ...]] = (LassoModel,)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("max_passes", self.max_passes, 1)
        if not self.sparsity > 0:
            raise InputError(f"sparsity: expected above 0, got {self.sparsity}")

    def learn(self, activations: ActivationRows, log: FitLog) -> ConceptModel:
        """Online dictionary learning on mini-batches."""
        from sklearn.decomposition import MiniBatchDictionaryLearning

        rows = activations.all().detach().double()
        mean = rows.mean(dim=0)
        scale = (rows - mean).square().sum(dim=1).mean().sqrt()
        if not scale > 0:
            raise InputError("activations: expected rows that differ, got equal ones")
        learner = MiniBatchDictionaryLearning(
            self.nb_concepts,
            alpha=self.sparsity,
            max_iter=self.max_passes,
            batch_size=min(256, len(rows)),
            fit_algorithm="cd",
            random_state=self.seed,
        )
        found = fitted(learner, (rows - mean) / scale, "pass more max_passes").components_
        device = self.fit_device
        penalty = (self.sparsity * scale).to(device).float()
        return LassoModel(mean.to(device).float(), tensor(found, device), penalty)
