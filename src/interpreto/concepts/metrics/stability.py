"""Whether the same concepts come out again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.concepts.base import ConceptExplainer
from interpreto.concepts.metrics.passes import check_explainer
from interpreto.errors import InputError


def matched_cosines(
    dictionary: Float[Tensor, "c d"], other: Float[Tensor, "k d"], *, sign_free: bool = False
) -> Float[Tensor, " m"]:
    """Cosines of the best one-to-one matching of two dictionaries' directions (Hungarian algorithm).

    Args:
        dictionary: Directions.
        other: Directions of the same width; there may be more or fewer.
        sign_free: Whether a direction and its opposite are the same.

    Returns:
        One cosine (its absolute value, if sign-free) a pair, as many as the smaller dictionary has directions.
    """
    from scipy.optimize import linear_sum_assignment

    cosines = _unit(dictionary) @ _unit(other).T
    cosines = cosines.abs() if sign_free else cosines
    rows, columns = linear_sum_assignment(cosines.numpy(), maximize=True)
    return cosines[torch.from_numpy(rows), torch.from_numpy(columns)]


def _unit(dictionary: Tensor) -> Tensor:
    return torch.nn.functional.normalize(dictionary.detach().cpu().double(), dim=1)


@final
@dataclass(frozen=True, eq=False)
class Stability:
    """Mean cosine of matched directions over all pairs of fits: of other seeds, say, or of halves of the data.

    1: the same concepts come out each time. Concepts are matched one to one by the Hungarian algorithm, which takes
    seconds for 4,000 of them. Methods whose codes have a sign (PCA, ICA, ...) know a direction only up to its sign, so
    absolute cosines are taken.

    Args:
        concept_explainers: Two or more fits of one method.
        sign_free: Whether a direction and its opposite are the same; by default as the methods say.

    Reference: Fel et al. (2023), arXiv:2306.07304; Paulo and Belrose (2025), arXiv:2501.16615.
    """

    concept_explainers: Sequence[ConceptExplainer]
    sign_free: bool | None = None

    higher_is_better: ClassVar[bool] = True

    def __call__(self) -> float:
        """The mean cosine.

        Raises:
            InputError: Fewer than two fits, or of different widths.
            NotFittedError: One of them learned nothing yet.
        """
        if not isinstance(self.concept_explainers, Sequence):
            raise InputError("concept_explainers: expected a list of fits to compare, got one")
        explainers = list(self.concept_explainers)
        for k, explainer in enumerate(explainers):
            check_explainer(f"concept_explainers[{k}]", explainer)
        if len(explainers) < 2:
            raise InputError(f"concept_explainers: expected at least two fits to compare, got {len(explainers)}")
        dictionaries = [explainer.dictionary for explainer in explainers]
        widths = {dictionary.shape[1] for dictionary in dictionaries}
        if len(widths) > 1:
            raise InputError(f"concept_explainers: expected concepts of one width, got {sorted(widths)}")
        sign_free = self.sign_free
        if sign_free is None:
            sign_free = any(explainer.codes_have_a_sign for explainer in explainers)
        pairs = combinations(dictionaries, 2)
        return float(torch.stack([matched_cosines(a, b, sign_free=sign_free).mean() for a, b in pairs]).mean())
