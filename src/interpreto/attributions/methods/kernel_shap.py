"""KernelSHAP."""

from dataclasses import dataclass
from itertools import combinations, repeat
from math import comb
from typing import ClassVar, final

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from interpreto.attributions.certainty import check_tolerance, student
from interpreto.attributions.methods.designs import subsets
from interpreto.attributions.methods.regression import constrained
from interpreto.attributions.sampled import SampledPerturbationExplainer
from interpreto.errors import check_count

_FREEDOM = 3  # pairs beyond what is solved for, below which residuals say too little


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class KernelShap(SampledPerturbationExplainer):
    """Shapley values, as the solution of a weighted least squares problem.

    Minimises `sum_z k(z) (f(z) - f(none) - z . phi)^2` with the Shapley kernel `k(z) = (g-1) / (C(g,|z|) |z| (g-|z|))`
    under the constraint `sum(phi) = f(all) - f(none)`, which always holds exactly. When all `2^g` coalitions fit the
    budget the values are the Shapley values themselves. Otherwise the sizes of coalitions with the most weight (few
    elements kept, or few removed) are enumerated as far as the budget goes, and from the others coalitions are drawn
    without repetition, each together with its complement and every element about as often.

    Standard errors take the drawn sizes as strata, pairs of complements as units and what is left of each size into
    account: enumerated sizes have none, and where all coalitions were run they are 0.

    Cost: n_perturbations forward passes (fewer when 2^g is fewer). `f(none)` hides everything, which may be far from
    what the model knows.

    Args:
        n_perturbations: The budget; by default 8 an element and at least 128. Fewer than 2 to 3 an element do
            not tell them apart: there is a warning, and they share evenly what is left open. With a tolerance, those
            to begin with.
        max_perturbations: The most perturbations, where there is a tolerance.

    Reference: Lundberg and Lee (2017), A unified approach to interpreting model predictions, section 4.1,
    arXiv:1705.07874; paired sampling: Covert and Lee (2021), arXiv:2012.01536; strata and finite populations: Cochran
    (1977), Sampling techniques, section 5.4.
    """

    n_perturbations: int | None = None
    max_perturbations: int = 10_000

    is_additive: ClassVar[bool] = True
    is_solved: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_perturbations is not None:
            check_count("n_perturbations", self.n_perturbations, 2)
        check_tolerance(self.tolerance, "perturbations", self.n_perturbations, self.max_perturbations)

    def masks(self, n_elements: int, rng: Generator) -> Bool[Tensor, "p g"]:
        """All, none, and coalitions between, as many as the budget allows."""
        budget = self.n_perturbations or self.within(max(128, 8 * n_elements))
        ends = torch.tensor([[True], [False]]).expand(-1, n_elements)
        return torch.cat([ends, coalitions(n_elements, budget - 2, rng)])

    def more_masks(self, keep: Bool[Tensor, "p g"], count: int, rng: Generator) -> Bool[Tensor, "q g"]:
        """Further coalitions, so that together they are as good as if they had been drawn at once."""
        return coalitions(keep.shape[1], len(keep) - 2 + max(count, 2), rng, run=keep[2:])

    def aggregate(self, keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"]) -> Float[Tensor, "t _"]:
        """The constrained least squares solution.

        Each size of coalition weighs what it weighs in the Shapley kernel, shared evenly by the coalitions of that
        size that were run. Elements that a target does not see are null players, and the kernel's weights of the
        others, summed over what those did, are again those of the Shapley kernel: nothing needs to be run anew.
        Coalitions that differ in null players only are one.
        """
        g = keep.shape[1]
        total = scores[0] - scores[1]
        coalition, value, weights = _between(keep, scores)
        if not len(coalition):
            return (total[:, None] / g).expand(-1, g)
        return constrained(coalition, value, weights, scores[1], total)

    def std_errors(self, keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"]) -> Float[Tensor, "t _"]:
        """Those of stratified sampling without repetition; infinite where pairs are no more than what they solve for.

        A coalition `z` and its complement have opposite features, `x` and `-x` with `x` the part of `z` that sums to 0,
        so a pair counts by the difference `r` of its residuals, divided by one less its leverage (HC3). With the normal
        matrix `H = sum 2 w x x^T` the covariance is `H^-1 sum_s (1 - m_s / M_s) C_s H^-1`: `C_s` is that of the sum of
        `w r x` over the `m_s` pairs of stratum s, of `M_s` that there are. Errors are widened by Student's factor for
        as many degrees of freedom as there are pairs beyond the g - 1 numbers that are solved for.
        """
        g = keep.shape[1]
        coalition, value, weights = _between(keep, scores)
        z = coalition[: len(coalition) // 2].double()
        x = z - z.mean(dim=1, keepdim=True)
        w = weights[: len(z), None]
        normal = 2 * x.T @ (w * x) + torch.ones(g, g, dtype=torch.float64)  # the sum is fixed by the constraint
        freedom = len(z) - (g - 1)
        known = len(z) == 2 ** (g - 1) - 1  # all coalitions
        solvable = len(z) > 0 and int(torch.linalg.matrix_rank(normal, hermitian=True)) == g
        if g < 2 or not solvable or (freedom < _FREEDOM and not known):
            return torch.full((scores.shape[1], g), 0.0 if g < 2 else torch.inf, dtype=torch.float64)
        pull: Tensor = torch.linalg.solve(normal, x.T).T  # (m, g)
        fitted = self.aggregate(keep, scores).double()
        rest = value[: len(z)].double() - value[len(z) :].double() - (2 * z - 1) @ fitted.T
        leverage = 2 * w * (x * pull).sum(dim=1, keepdim=True)
        rest = w * rest / (1 - leverage).clamp(min=0.05)
        variance = torch.zeros(scores.shape[1], g, dtype=torch.float64)
        sizes = torch.minimum(z.sum(dim=1), g - z.sum(dim=1)).long()
        if not known and all(int((sizes == size).sum()) == _pairs(g, size) for size in set(sizes.tolist())):
            return torch.full_like(variance, torch.inf)  # sizes of which nothing was drawn
        for size in set(sizes.tolist()):
            own = sizes == size
            m, all_pairs = int(own.sum()), _pairs(g, size)
            if m < all_pairs:
                units = rest[own].T[:, :, None] * pull[own]  # (t, m, g)
                if m > 1:
                    units = (units - units.mean(dim=1, keepdim=True)) * (m / (m - 1)) ** 0.5
                variance += (1 - m / all_pairs) * units.square().sum(dim=1)
        return variance if known else variance.sqrt() * student(freedom)


def coalitions(
    n_elements: int, budget: int, rng: Generator, run: Bool[Tensor, "q g"] | None = None
) -> Bool[Tensor, "p g"]:
    """Distinct coalitions between none and all, each followed by its complement: as many as fit, or all there are.

    Sizes are taken from the outside in: a size is enumerated when its share of what is left of the budget, by the
    Shapley kernel, would hold all its coalitions. What is left then goes to the other sizes by their shares.

    Args:
        n_elements: Number of elements g.
        budget: How many coalitions, those that were run already included.
        rng: Random numbers.
        run: Coalitions that were run already, and that are not given again.
    """
    g = n_elements
    halves = torch.zeros(0, g, dtype=torch.bool) if run is None else _halves(run)
    run_sizes = torch.bincount(halves.sum(dim=1), minlength=g + 1).tolist()
    wanted = _wanted(g, budget // 2)
    left = budget // 2 - len(halves)
    kept: list[Tensor] = []
    for size, (count, all_of_it) in wanted.items():
        own = halves[halves.sum(dim=1) == size]
        more = max(min(count - run_sizes[size], left), 0)
        left -= more
        kept.append(_enumerated(g, size, own)[:more] if all_of_it else _drawn(g, size, more, rng, own))
    half = torch.cat([*kept, torch.zeros(0, g, dtype=torch.bool)])
    return torch.stack([half, ~half], dim=1).flatten(0, 1)


def _wanted(g: int, pairs: int) -> dict[int, tuple[int, bool]]:
    """Of each size, from the outside in, how many pairs, and whether these are all of them."""
    sizes = list(range(1, g // 2 + 1))  # with its complement, a coalition of size s stands for one of size g - s too
    mass = {s: 1 / (s * (g - s)) * (1 if 2 * s == g else 2) for s in sizes}
    left, found = pairs, {}
    while sizes and left > 0 and left * mass[sizes[0]] / sum(mass[s] for s in sizes) >= _pairs(g, sizes[0]) - 1e-9:
        size = sizes.pop(0)
        found[size] = (_pairs(g, size), True)
        left -= _pairs(g, size)
    if sizes and left > 0:
        shares = torch.tensor([left * mass[s] / sum(mass[s] for s in sizes) for s in sizes], dtype=torch.float64)
        wanted = shares.floor().long()
        wanted[(shares - wanted).argsort(descending=True)[: left - int(wanted.sum())]] += 1
        for size, count in zip(sizes, wanted.tolist(), strict=True):
            found[size] = (min(count, _pairs(g, size)), False)
    return found


def _pairs(g: int, size: int) -> int:
    """How many coalitions of a size there are, complements of each other counted once."""
    return comb(g, size) // (2 if 2 * size == g else 1)


def _enumerated(g: int, size: int, run: Bool[Tensor, "q g"]) -> Bool[Tensor, "p g"]:
    """All coalitions of one size, no two complements of each other, but those that were run."""
    members = torch.tensor(list(combinations(range(g), size))[: _pairs(g, size)])
    every = torch.zeros(len(members), g, dtype=torch.bool).scatter(1, members, True)
    before = {row.tobytes() for row in run.numpy()}
    return every[[row.tobytes() not in before for row in every.numpy()]]


def _drawn(g: int, size: int, count: int, rng: Generator, run: Bool[Tensor, "q g"]) -> Bool[Tensor, "p g"]:
    """Random coalitions of one size, no two equal or complements of each other, each element in about as many."""
    before = {row.tobytes() for row in run.numpy()}
    seen: dict[bytes, Tensor] = {}
    for drawn in subsets({size: run.sum(dim=0).float()}, repeat(size), rng):
        if len(seen) == count:
            break
        keep = ~drawn if 2 * size == g and not drawn[0] else drawn
        if keep.numpy().tobytes() not in before:
            seen.setdefault(keep.numpy().tobytes(), keep)
    return torch.stack([*seen.values()]) if seen else torch.zeros(0, g, dtype=torch.bool)


def _halves(keep: Bool[Tensor, "p g"]) -> Bool[Tensor, "q g"]:
    """Of coalitions and their complements the smaller ones; of two halves the one with the first element."""
    g, sizes = keep.shape[1], keep.sum(dim=1)
    return keep[(2 * sizes < g) | ((2 * sizes == g) & keep[:, 0])] if g else keep[:0]


def _between(
    keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"]
) -> tuple[Bool[Tensor, "q g"], Float[Tensor, "q t"], Float[Tensor, " q"]]:
    """The distinct coalitions between none and all, those of `_halves` before their complements, and their weights."""
    g = keep.shape[1]
    place: dict[bytes, int] = {}
    for k, row in enumerate(keep.numpy()):
        place.setdefault(row.tobytes(), k)
    rows = keep[list(place.values())]
    half = _halves(rows[(rows.sum(dim=1) > 0) & (rows.sum(dim=1) < g)])
    coalition = torch.cat([half, ~half])
    value = scores[[place[row.tobytes()] for row in coalition.numpy()]]
    sizes = coalition.sum(dim=1)
    mass = torch.tensor([0.0] + [(g - 1) / (size * (g - size)) for size in range(1, g)] + [0.0], dtype=torch.float64)
    return coalition, value, (mass / torch.bincount(sizes, minlength=g + 1).clamp(min=1))[sizes]
