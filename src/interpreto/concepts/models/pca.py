"""Principal component analysis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from interpreto.concepts.concept_model import ConceptModel
from interpreto.concepts.fitting import FitLog
from interpreto.concepts.learned import LearnedConcepts
from interpreto.concepts.models.affine_model import AffineModel
from interpreto.concepts.models.second_moments import mean_and_covariance, principal_directions
from interpreto.model_wrapping import ActivationRows


@final
@dataclass(eq=False, kw_only=True)
class PCAConcepts(LearnedConcepts):
    """Orthogonal directions of largest variance: the first eigenvectors `D` of the covariance, `z = (x - mean) D^T`.

    No other affine map with as many codes reconstructs better. Exact, in one pass that never holds more than a batch;
    each direction's largest number is positive. Cost: `n d^2 + d^3`.

    Directions are where the variance is, not what a reader would call one thing: concepts are orthogonal, codes are
    signed and dense. `SVDConcepts` does not take the mean off; `ICAConcepts` turns the same space to independence;
    `SparsePCAConcepts` uses few neurons a direction.

    Reference: Pearson (1901), On lines and planes of closest fit to systems of points in space; Jolliffe (2002),
    Principal component analysis, chapter 2.
    """

    codes_have_a_sign: ClassVar[bool] = True
    concept_model_kinds: ClassVar[tuple[type[ConceptModel], ...]] = (AffineModel,)

    def learn(self, activations: ActivationRows, log: FitLog) -> ConceptModel:
        """Eigenvectors of the covariance."""
        mean, covariance = mean_and_covariance(activations, self.fit_device)
        directions = principal_directions(covariance, self.nb_concepts)[1].float()
        return AffineModel(mean.float(), directions, directions)
