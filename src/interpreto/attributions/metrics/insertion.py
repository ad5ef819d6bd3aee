"""Insertion."""

from dataclasses import dataclass
from typing import ClassVar, final

from jaxtyping import Bool, Float
from torch import Tensor

from interpreto.attributions.metrics.faithfulness import FaithfulnessMetric, area, even_steps
from interpreto.errors import check_count


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Insertion(FaithfulnessMetric):
    """Area under the target's score as elements are put back, the highest scores first; higher is more faithful.

    Cost: at most n_steps + 1 forward passes a target and order.

    Args:
        n_steps: The most steps of the curve; shorter texts take one a element.

    Reference: Petsiuk, Das and Saenko (2018), RISE, section 4.1, arXiv:1806.07421.
    """

    n_steps: int = 100

    higher_is_better: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("n_steps", self.n_steps, 1)

    def steps(self, n_elements: int) -> list[int]:
        """None of them, to all of them."""
        return even_steps(n_elements, self.n_steps)

    def masks(self, taken: Bool[Tensor, "s g"]) -> Bool[Tensor, "s g"]:
        """Only what is taken."""
        return taken

    def figure(self, curve: Float[Tensor, " s"], untouched: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """The area."""
        return area(curve)
