"""Non-negative matrix factorisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from interpreto.concepts.concept_model import ConceptModel
from interpreto.concepts.fitting import FitLog
from interpreto.concepts.learned import LearnedConcepts
from interpreto.concepts.models.least_squares_model import RectifiedModel, SplitModel, sides, without_negatives
from interpreto.concepts.models.scikit import fitted, tensor
from interpreto.errors import InputError, check_count
from interpreto.model_wrapping import ActivationRows


@final
@dataclass(eq=False, kw_only=True)
class NMFConcepts(LearnedConcepts):
    """Parts that only add up: `A ~ Z D` with `Z >= 0` and `D >= 0`, for activations without numbers below 0.

    Codes of new rows are `argmin_{z >= 0} |x - z D|^2`, solved to the end for each row alone. Parts have length 1.

    Cost: `n c d` an iteration; beyond 32,768 rows by mini-batches. The start decides which of several solutions is
    found. Most activations of transformers are signed: `SemiNMFConcepts` takes them as they are.

    Args:
        relu: What happens to numbers below 0: `"error"` refuses them, `"clip"` takes them for 0 and loses them,
            `"split"` learns from `[max(x, 0), max(-x, 0)]` and keeps everything; `decode` puts both sides together.
        max_iterations: Bound on the iterations; where it is reached there is a warning.
        tolerance: Relative change below which it has converged.

    Reference: Lee and Seung (1999), Learning the parts of objects by non-negative matrix factorization; for concepts of
    texts, Jourdan et al. (2023), COCKATIEL, arXiv:2305.06754.
    """

    relu: str = "error"
    max_iterations: int = 500
    tolerance: float = 1e-4

    concept_model_kinds: ClassVar[tuple[type[ConceptModel], ...]] = (RectifiedModel, SplitModel)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("max_iterations", self.max_iterations, 1)
        if self.relu not in ("error", "clip", "split"):
            raise InputError(f"relu: expected 'error', 'clip' or 'split', got {self.relu!r}")

    def learn(self, activations: ActivationRows, log: FitLog) -> ConceptModel:
        """Coordinate descent, or multiplicative updates on mini-batches."""
        x = activations.all().detach()
        if self.relu == "split":
            return SplitModel(*self._parts(sides(x)).chunk(2, dim=1))
        return RectifiedModel(self._parts(without_negatives(x, clip=self.relu == "clip")), self.relu == "clip")

    def _parts(self, rows: Float[Tensor, "n d"]) -> Float[Tensor, "c d"]:
        from sklearn.decomposition import NMF, MiniBatchNMF

        if self.nb_concepts > rows.shape[1]:
            raise InputError(
                f"nb_concepts: expected at most the width {rows.shape[1]}, as more parts are not determined, "
                f"got {self.nb_concepts}"
            )
        options: dict[str, Any] = {"init": "nndsvda", "max_iter": self.max_iterations, "random_state": self.seed}
        if len(rows) <= _MOST_AT_ONCE:
            nmf = NMF(self.nb_concepts, tol=self.tolerance, **options)
        else:
            nmf = MiniBatchNMF(self.nb_concepts, tol=self.tolerance, batch_size=4096, **options)
        advice = f"{self.max_iterations} iterations; pass more max_iterations, fewer nb_concepts or a larger tolerance"
        return normalize(tensor(fitted(nmf, rows, advice).components_, self.fit_device), dim=1)


_MOST_AT_ONCE = 1 << 15
