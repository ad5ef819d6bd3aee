"""GradientSHAP."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from interpreto.attributions.gradient import PathExplainer
from interpreto.attributions.methods.gradients import check_noise, gaussian
from interpreto.attributions.parts import Parts, StratifiedParts
from interpreto.attributions.sampled import SampledGradientExplainer
from interpreto.model_wrapping import Moments


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class GradientShap(SampledGradientExplainer, PathExplainer):
    """Expected gradients: `phi_i = E[sum_d (e - e')_id df/de_id(e' + a (e - e'))]` over random baselines and points.

    The baselines `e'` are the given one with Gaussian noise, `a` is uniform on [0, 1], one draw in each of n_samples
    equal parts of it. An estimate of `f(x) - E f(e')`, shared out; with noise 0, of integrated gradients.

    Cost: n_samples forward and, a target, backward passes.

    Args:
        noise: Standard deviation of the baselines' noise, relative to the range of the embedding's values, in
            generation of the prompt's.

    Reference: Lundberg and Lee (2017), arXiv:1705.07874; as expected gradients: Erion et al. (2021), section 2,
    arXiv:1906.10670.
    """

    noise: float = 0.05

    kept: ClassVar[type[Parts]] = StratifiedParts

    def __post_init__(self) -> None:
        super().__post_init__()
        check_noise(self.noise)

    def draw(
        self,
        embedding: Float[Tensor, "l d"],
        baseline: Float[Tensor, "l d"],
        spread: float,
        count: int,
        rng: Generator,
    ) -> Iterator[tuple[Float[Tensor, "l d"], Tensor | float]]:
        """Random points on paths from random baselines, with the difference between the path's ends."""
        for k in range(count):
            start = baseline + self.noise * spread * gaussian(baseline, rng)
            share = (k + float(torch.rand((), generator=rng))) / count
            yield start + share * (embedding - start), embedding - start

    def token_scores(self, moments: Moments, embedding: Float[Tensor, "l d"]) -> Float[Tensor, "t l"]:
        """The mean of the products, summed over the width."""
        return moments.mean.sum(dim=-1)
