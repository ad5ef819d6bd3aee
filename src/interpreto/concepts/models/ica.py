"""Independent component analysis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch

from interpreto.concepts.concept_model import ConceptModel
from interpreto.concepts.fitting import FitLog
from interpreto.concepts.learned import LearnedConcepts
from interpreto.concepts.models.affine_model import AffineModel
from interpreto.concepts.models.scikit import fitted
from interpreto.concepts.models.second_moments import mean_and_covariance, principal_directions
from interpreto.errors import InputError, check_count
from interpreto.model_wrapping import ActivationRows


@final
@dataclass(eq=False, kw_only=True)
class ICAConcepts(LearnedConcepts):
    """Directions whose codes are as independent as can be: `z = (x - mean) W^T`, and `x = z A + mean`.

    Rows are projected on their principal components and whitened; FastICA then turns them so that each code is as
    far from Gaussian as it gets. The dictionary `A` is the mixing matrix: what one unit of a code, which has variance
    1, adds. Each direction's largest number is positive. Reconstructs as well as `PCAConcepts`.

    Cost: one pass for the covariance, then up to `max_iterations` times `n c^2`. Not for codes that are nearly
    Gaussian: their directions are arbitrary. Another seed may order the concepts otherwise.

    Args:
        contrast: What measures non-Gaussianity: `"logcosh"`, `"exp"` (robust), `"cube"` (kurtosis; not for outliers).
        max_iterations: Bound on the iterations; where it is reached there is a warning.
        tolerance: Change of the directions' cosines below which it has converged.

    Reference: Hyvärinen and Oja (2000), Independent component analysis: algorithms and applications, section 6; on
    embeddings, Yamagiwa et al. (2023), arXiv:2305.13175.
    """

    contrast: str = "logcosh"
    max_iterations: int = 1000
    tolerance: float = 1e-5

    codes_have_a_sign: ClassVar[bool] = True
    concept_model_kinds: ClassVar[tuple[type[ConceptModel], ...]] = (AffineModel,)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("max_iterations", self.max_iterations, 1)
        if self.contrast not in ("logcosh", "exp", "cube"):
            raise InputError(f"contrast: expected 'logcosh', 'exp' or 'cube', got {self.contrast!r}")

    def learn(self, activations: ActivationRows, log: FitLog) -> ConceptModel:
        """Whitening, then FastICA."""
        from sklearn.decomposition import FastICA

        mean, covariance = mean_and_covariance(activations, self.fit_device)
        variances, directions = principal_directions(covariance, self.nb_concepts)
        whitener = directions / variances.sqrt()[:, None]
        white = torch.cat([(x.to(mean) - mean) @ whitener.T for x in activations.batches(1 << 14)])
        ica = FastICA(
            whiten=False,
            fun=self.contrast,
            max_iter=self.max_iterations,
            tol=self.tolerance,
            random_state=self.seed,
        )
        advice = f"{self.max_iterations} iterations; pass more max_iterations, fewer nb_concepts or a larger tolerance"
        turn = torch.as_tensor(fitted(ica, white, advice).components_).to(mean)
        mixing = turn @ (directions * variances.sqrt()[:, None])
        sign = mixing.gather(1, mixing.abs().argmax(dim=1, keepdim=True)).sign()
        return AffineModel(mean.float(), (sign * (turn @ whitener)).float(), (sign * mixing).float())
