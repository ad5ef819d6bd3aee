"""Codes of rows on a fixed dictionary by least squares, non-negative or sparse, solved to the end."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


def least_squares_codes(
    rows: Float[Tensor, "n d"],
    dictionary: Float[Tensor, "c d"],
    *,
    penalty: Tensor | float = 0.0,
    nonnegative: bool = True,
    start: Float[Tensor, "n c"] | None = None,
    exact: bool = True,
) -> Float[Tensor, "n c"]:
    """The codes `argmin_z 1/2 |x - z D|^2 + penalty |z|_1` of each row `x`, with `z >= 0` where asked.

    Exact: an active-set method finds which codes are not 0, and their signs; one linear system on these gives their
    values. Gradients are those of that system, the solution's own wherever its support does not change. Each row is
    solved for itself. Where the dictionary's rows depend on each other, a ridge of 1e-10 chooses.

    Cost: one or two Cholesky factorisations a row, of the size of its support; seconds for 20,000 rows of 50 concepts.
    With more concepts than dimensions and no penalty, many more: the solution is then hardly determined.

    Args:
        rows: What to encode.
        dictionary: One direction per concept.
        penalty: Weight of the sum of the codes' sizes, in squared units of the rows; 0 or more.
        nonnegative: Whether codes below 0 are forbidden.
        start: Codes on a similar dictionary; they save time and change nothing else.
        exact: Without, some gradient steps from the start, or from zero: for turns that the next one goes on with.
            No row becomes worse than its start.

    Returns:
        The codes, in the number type of the rows.

    Reference: Lawson and Hanson (1974), Solving least squares problems, chapter 23; many changes of the support at
    once as in Kim and Park (2011), Fast nonnegative matrix factorization: an active-set-like method and comparisons.

    >>> least_squares_codes(torch.tensor([[2.0, -1.0]]), torch.eye(2))
    tensor([[2., 0.]])
    >>> least_squares_codes(torch.tensor([[2.0, -1.0]]), torch.eye(2), penalty=0.25, nonnegative=False)
    tensor([[ 1.7500, -0.7500]])
    """
    directions = dictionary.double()
    lengths: Tensor = torch.linalg.vector_norm(directions, dim=1)
    lengths = lengths.where(lengths > 0, 1.0)
    directions = directions / lengths[:, None]
    gram = directions @ directions.T + _RIDGE * torch.eye(len(directions), dtype=torch.float64, device=rows.device)
    floor = torch.as_tensor(penalty, dtype=torch.float64, device=rows.device) / lengths
    size = max(1, _NUMBERS // min(dictionary.shape) ** 2)
    found = torch.zeros(len(rows), len(dictionary), dtype=torch.float64, device=rows.device)
    chunks = []
    for first in range(0, len(rows), size):
        problem = _Problem(gram, rows[first : first + size].double() @ directions.T, floor, nonnegative)
        with torch.no_grad():
            codes = None if start is None else start[first : first + size].double() * lengths
            if codes is None or not exact:
                codes = problem.approximate(codes)
            if exact:
                codes = problem.search(codes)
        chunks.append(problem.solve(codes.sign()) if rows.requires_grad or dictionary.requires_grad else codes)
    found = torch.cat(chunks) if chunks else found
    found = (found.clamp(min=0) if nonnegative else found) / lengths
    return found.to(rows)


_NUMBERS = 1 << 22
"""Numbers in the matrices of one chunk of rows: 32 MiB."""
_RIDGE = 1e-10
_TOLERANCE = 1e-11
_APPROXIMATE_STEPS = 60


@dataclass(frozen=True, eq=False)
class _Problem:
    """Minimise `f(z) = 1/2 z G z - b z + sum_k floor_k |z_k|` for each row of `b`."""

    gram: Float[Tensor, "c c"]
    b: Float[Tensor, "n c"]
    floor: Float[Tensor, " c"]
    nonnegative: bool

    def approximate(self, start: Float[Tensor, "n c"] | None) -> Float[Tensor, "n c"]:
        """Codes near the solution, from the start or zero, by accelerated gradient steps in single precision."""
        gram, b, floor = self.gram.float(), self.b.float(), self.floor.float()
        step = 1 / torch.linalg.eigvalsh(self.gram)[-1].float()
        codes = ahead = torch.zeros_like(b) if start is None else start.float()
        speed = 1.0
        for _ in range(_APPROXIMATE_STEPS):
            ahead = ahead + step * (b - ahead @ gram)
            new = (ahead - step * floor).clamp(min=0)
            if not self.nonnegative:
                new -= (-ahead - step * floor).clamp(min=0)
            faster = (1 + (1 + 4 * speed**2) ** 0.5) / 2
            ahead = new + (speed - 1) / faster * (new - codes)
            codes, speed = new, faster
        found = codes.double()
        if start is None:
            return found
        better = self.value(found) <= self.value(start)
        return torch.where(better[:, None], found, start)

    def search(self, codes: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
        """The solution, searched from codes that obey the constraints.

        A step moves all codes that break their condition at once where that makes f smaller; where it does not, it is
        the one of Lawson and Hanson, which always does. So f falls, no support comes twice, and the search ends.
        """
        tolerance = _TOLERANCE * self.b.abs().amax(dim=1, keepdim=True)
        left = torch.arange(len(codes), device=codes.device)
        for _ in range(100 + 20 * codes.shape[1]):
            part = _Problem(self.gram, self.b[left], self.floor, self.nonnegative)
            pull = part.pull(codes[left])
            wrong = (pull.abs() > tolerance[left]).any(dim=1)
            left = left[wrong]
            if not len(left):
                break
            part = _Problem(self.gram, part.b[wrong], self.floor, self.nonnegative)
            pull = pull[wrong]
            codes[left] = part.step(codes[left], pull.where(pull.abs() > tolerance[left], 0.0))
        return codes

    def pull(self, z: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
        """Where each code would go, if it may: minus the slope of f, 0 everywhere at the solution."""
        slope = self.b - z @ self.gram
        entering = (slope.abs() - self.floor).clamp(min=0) * slope.sign()
        if self.nonnegative:
            entering = entering.clamp(min=0)
        return torch.where(z != 0, slope - self.floor * z.sign(), entering)

    def step(self, z: Float[Tensor, "n c"], pull: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
        """Better codes."""
        signs = torch.where(z == 0, pull, z).sign()
        bold = self.solve(signs)
        bold = torch.where(bold * signs > 0, bold, 0.0)
        stuck = self.value(bold) >= self.value(z)
        if stuck.any():
            part = _Problem(self.gram, self.b[stuck], self.floor, self.nonnegative)
            bold[stuck] = part.careful_step(z[stuck], pull[stuck])
        return bold

    def careful_step(self, z: Float[Tensor, "n c"], pull: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
        """Towards the minimum on the support, and with one code more from there, as far as the signs stay."""
        settled = ((z == 0) | (pull == 0)).all(dim=1, keepdim=True)
        first = torch.zeros_like(z).scatter(1, pull.abs().argmax(dim=1, keepdim=True), 1.0)
        signs = z.sign() + torch.where(settled, first * pull.sign(), 0.0)
        there = self.solve(signs)
        crossing = there * signs < 0
        share = torch.where(crossing, z / (z - there), 1.0)
        least = share.amin(dim=1, keepdim=True)
        return torch.where(crossing & (share <= least), 0.0, z + least * (there - z))

    def value(self, z: Float[Tensor, "n c"]) -> Float[Tensor, " n"]:
        """f of each row."""
        return ((z @ self.gram / 2 - self.b) * z + self.floor * z.abs()).sum(dim=1)

    def solve(self, signs: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
        """Where f would be smallest with these signs: `G_SS z_S = b_S - floor_S signs_S`, and 0 outside of S."""
        support = signs != 0
        most = int(support.sum(dim=1).max())
        order = support.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]
        inside = support.gather(1, order)
        small = self.gram[order[:, :, None], order[:, None, :]]
        eye = torch.eye(most, dtype=small.dtype, device=small.device)
        small = torch.where(inside[:, :, None] & inside[:, None, :], small, eye)
        right = torch.where(inside, (self.b - self.floor * signs).gather(1, order), 0.0)
        values = torch.cholesky_solve(right[:, :, None], torch.linalg.cholesky(small))[:, :, 0]
        return torch.zeros_like(self.b).scatter(1, order, torch.where(inside, values, 0.0))
