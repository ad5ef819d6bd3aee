"""Users' own methods: one short class, nothing else."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import pytest
import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

import interpreto
from interpreto import Attribution, InputxGradient
from interpreto.attributions import GradientExplainer, PerturbationExplainer
from interpreto.model_wrapping import Moments
from tests.attributions.cases import cases


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Occlusion(PerturbationExplainer):
    """Score lost when one element is hidden: phi_i = f(x) - f(x without i).

    Cost: g + 1 forward passes. Blind to redundancy: two elements that say the same thing both score near 0.

    Reference: Zeiler and Fergus (2014), section 4.2, arXiv:1311.2901.
    """

    def masks(self, n_elements: int, rng: Generator) -> Bool[Tensor, "p g"]:
        drop = torch.eye(n_elements, dtype=torch.bool)
        return torch.cat([torch.ones_like(drop[:1]), ~drop])

    def aggregate(self, keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"]) -> Float[Tensor, "t g"]:
        return (scores[:1] - scores[1:]).T


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Doubled(GradientExplainer):
    """Twice the product of embedding and gradient."""

    factor: float = 2.0

    def points(
        self, embedding: Float[Tensor, "l d"], baseline: Float[Tensor, "l d"], spread: float, rng: Generator
    ) -> Iterator[tuple[Float[Tensor, "l d"], Tensor | float]]:
        yield embedding, embedding

    def token_scores(self, moments: Moments, embedding: Float[Tensor, "l d"]) -> Float[Tensor, "t l"]:
        return self.factor * moments.mean.sum(dim=-1)


@pytest.mark.parametrize("kind", list(cases()))
def test_own_perturbation_method(kind):
    case = cases()[kind]
    mine = Occlusion(case.model(), case.tokenizer(), batch_size=3)(case.inputs, case.targets)
    theirs = interpreto.Occlusion(case.model(), case.tokenizer(), batch_size=3)(case.inputs, case.targets)
    for one, other in zip(mine, theirs, strict=True):
        assert torch.equal(one.scores.nan_to_num(), other.scores.nan_to_num())
        assert Attribution.from_json(one.to_json()).method == "Occlusion"


@pytest.mark.parametrize("kind", list(cases()))
def test_own_gradient_method(kind):
    case = cases()[kind]
    mine = Doubled(case.model(), case.tokenizer(), factor=3.0)(case.inputs, case.targets)
    theirs = InputxGradient(case.model(), case.tokenizer())(case.inputs, case.targets)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one.scores, 3 * other.scores, equal_nan=True)
        assert one.settings["factor"] == 3.0
