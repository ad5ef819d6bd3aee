"""AOPC sufficiency."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from jaxtyping import Bool, Float
from torch import Tensor

from interpreto.attributions.metrics.faithfulness import FaithfulnessMetric, bin_steps, check_bins


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Sufficiency(FaithfulnessMetric):
    """Score lost when only the top elements are left, `f(x) - f(top)`, mean over bins; lower is more faithful.

    Cost: as many forward passes as bins, a target and order.

    Args:
        bins: Shares of the elements that are left.

    Reference: DeYoung et al. (2020), ERASER, section 5, arXiv:1911.03429.
    """

    bins: Sequence[float] = (0.01, 0.05, 0.1, 0.2, 0.5)

    higher_is_better: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_bins(self.bins)

    def steps(self, n_elements: int) -> list[int]:
        """The shares, as numbers of elements."""
        return bin_steps(n_elements, self.bins)

    def masks(self, taken: Bool[Tensor, "s g"]) -> Bool[Tensor, "s g"]:
        """Only the top elements."""
        return taken

    def figure(self, curve: Float[Tensor, " s"], untouched: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """The mean loss."""
        return (untouched - curve).mean()
