"""KernelSHAP."""

from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import ClassVar, final

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from interpreto.attributions.base import PerturbationExplainer
from interpreto.attributions.methods.regression import constrained
from interpreto.errors import check_count


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class KernelShap(PerturbationExplainer):
    """Shapley values, as the solution of a weighted least squares problem.

    Minimises `sum_z k(z) (f(z) - f(none) - z . phi)^2` with the Shapley kernel `k(z) = (g-1) / (C(g,|z|) |z| (g-|z|))`
    under the constraint `sum(phi) = f(all) - f(none)`, which always holds exactly. When all `2^g` coalitions fit the
    budget the values are the Shapley values themselves. Otherwise the sizes of coalitions with the most weight (few
    elements kept, or few removed) are enumerated as far as the budget goes, and from the others coalitions are drawn
    without repetition, each together with its complement and every element about as often.

    Cost: n_perturbations forward passes (fewer when 2^g is fewer). `f(none)` hides everything, which may be far from
    what the model knows.

    Args:
        n_perturbations: The budget; by default 8 an element and at least 128. Fewer than 2 to 3 an element do
            not tell them apart: there is a warning, and they share evenly what is left open.

    Reference: Lundberg and Lee (2017), A unified approach to interpreting model predictions, section 4.1,
    arXiv:1705.07874; paired sampling: Covert and Lee (2021), arXiv:2012.01536.
    """

    n_perturbations: int | None = None

    is_additive: ClassVar[bool] = True
    is_solved: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_perturbations is not None:
            check_count("n_perturbations", self.n_perturbations, 2)

    def masks(self, n_elements: int, rng: Generator) -> Bool[Tensor, "p g"]:
        """All, none, and coalitions between, as many as the budget allows."""
        budget = self.n_perturbations or max(128, 8 * n_elements)
        ends = torch.tensor([[True], [False]]).expand(-1, n_elements)
        return torch.cat([ends, coalitions(n_elements, budget - 2, rng)])

    def aggregate(self, keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"]) -> Float[Tensor, "t _"]:
        """The constrained least squares solution.

        Each size of coalition weighs what it weighs in the Shapley kernel, shared evenly by the coalitions of that
        size that were run. Elements that a target does not see are null players, and the kernel's weights of the
        others, summed over what those did, are again those of the Shapley kernel: nothing needs to be run anew.
        """
        g = keep.shape[1]
        sizes = keep.sum(dim=1)
        between = (sizes > 0) & (sizes < g)
        total = scores[0] - scores[1]
        if not bool(between.any()):
            return (total[:, None] / g).expand(-1, g)
        sizes = sizes[between]
        counts = torch.bincount(sizes, minlength=g + 1)
        mass = torch.tensor(
            [0.0] + [(g - 1) / (size * (g - size)) for size in range(1, g)] + [0.0], dtype=torch.float64
        )
        weights = (mass / counts.clamp(min=1))[sizes]
        return constrained(keep[between], scores[between], weights, scores[1], total)


def coalitions(n_elements: int, budget: int, rng: Generator) -> Bool[Tensor, "p g"]:
    """Different coalitions, neither empty nor full, in pairs of complements, at most `budget` of them.

    Sizes are taken from the outside in: a size is enumerated when its share of what is left of the budget, by the
    Shapley kernel, would hold all its coalitions. What is left then goes to the other sizes by their shares.
    """
    g = n_elements
    sizes = list(range(1, g // 2 + 1))  # with its complement, a coalition of size s stands for one of size g - s too
    pairs = {s: comb(g, s) // (2 if 2 * s == g else 1) for s in sizes}
    mass = {s: 1 / (s * (g - s)) * (1 if 2 * s == g else 2) for s in sizes}
    left = budget // 2
    kept: list[Tensor] = []
    while sizes and left > 0 and left * mass[sizes[0]] / sum(mass[s] for s in sizes) >= pairs[sizes[0]] - 1e-9:
        size = sizes.pop(0)
        chosen = list(combinations(range(g), size))[: pairs[size]]
        kept.append(_vectors(torch.tensor(chosen), g))
        left -= pairs[size]
    if sizes and left > 0:
        shares = torch.tensor([left * mass[s] / sum(mass[s] for s in sizes) for s in sizes], dtype=torch.float64)
        wanted = shares.floor().long()
        wanted[(shares - wanted).argsort(descending=True)[: left - int(wanted.sum())]] += 1
        for size, count in zip(sizes, wanted.tolist(), strict=True):
            kept.append(_drawn(g, size, min(count, pairs[size]), rng))
    half = torch.cat([*kept, torch.zeros(0, g, dtype=torch.bool)])
    return torch.stack([half, ~half], dim=1).flatten(0, 1)


def _drawn(g: int, size: int, count: int, rng: Generator) -> Bool[Tensor, "p g"]:
    """Random coalitions of one size, no two equal or complements of each other, each element in about as many."""
    seen: dict[bytes, Tensor] = {}
    times = torch.zeros(g)
    while len(seen) < count:
        keep = torch.zeros(g, dtype=torch.bool)
        keep[(times + torch.rand(g, generator=rng)).argsort()[:size]] = True
        times += keep
        if 2 * size == g and not keep[0]:
            keep = ~keep
        seen.setdefault(keep.numpy().tobytes(), keep)
    return torch.stack([*seen.values()]) if seen else torch.zeros(0, g, dtype=torch.bool)


def _vectors(members: Tensor, g: int) -> Bool[Tensor, "p g"]:
    return torch.zeros(len(members), g, dtype=torch.bool).scatter(1, members, True)
