"""Singular value decomposition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch

from interpreto.concepts.concept_model import ConceptModel
from interpreto.concepts.fitting import FitLog
from interpreto.concepts.learned import LearnedConcepts
from interpreto.concepts.models.affine_model import AffineModel
from interpreto.concepts.models.second_moments import mean_and_covariance, principal_directions
from interpreto.model_wrapping import ActivationRows


@final
@dataclass(eq=False, kw_only=True)
class SVDConcepts(LearnedConcepts):
    """First right singular vectors `D` of the activations: `z = x D^T`, the best linear reconstruction with `c` codes.

    Exact, in one pass that never holds more than a batch; each direction's largest number is positive. Cost:
    `n d^2 + d^3`. Unlike `PCAConcepts` nothing is taken off first, so that the first concept is often the mean, which
    transformers have a large one of: take PCA unless 0 means something in these activations.

    Reference: Eckart and Young (1936), The approximation of one matrix by another of lower rank.
    """

    codes_have_a_sign: ClassVar[bool] = True
    concept_model_kinds: ClassVar[tuple[type[ConceptModel], ...]] = (AffineModel,)

    def learn(self, activations: ActivationRows, log: FitLog) -> ConceptModel:
        """Eigenvectors of the second moments."""
        mean, covariance = mean_and_covariance(activations, self.fit_device)
        directions = principal_directions(covariance + torch.outer(mean, mean), self.nb_concepts)[1].float()
        return AffineModel(torch.zeros_like(mean).float(), directions, directions)
