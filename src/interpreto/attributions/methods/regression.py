"""Weighted least squares, for the methods that fit a linear model to the perturbations."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interpreto.attributions.certainty import student, tells_apart


def ridge(
    keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"], weights: Float[Tensor, " p"], penalty: float
) -> Float[Tensor, "t g"]:
    """Weighted ridge regression of scores on keep-vectors, with an intercept that is not penalised.

    Minimises `sum_p w_p (f_p - b - z_p . phi)^2 / sum_p w_p + penalty v |phi|^2`, with `v` the mean weighted variance
    of the columns of `keep`. So the penalty is relative to the weights and to what the perturbations vary, and means
    the same for every text and kernel. Solved in float64.
    """
    share, features, values, normal = _normal_equations(keep, scores, weights, penalty)
    solution: Tensor = torch.linalg.solve(normal, features.T @ (share * values))
    return solution.T


def ridge_errors(
    keep: Bool[Tensor, "p g"],
    scores: Float[Tensor, "p t"],
    weights: Float[Tensor, " p"],
    penalty: float,
    drawn: Bool[Tensor, " p"],
) -> Float[Tensor, "t g"]:
    """Standard errors of `ridge` over draws of the perturbations, around what it would give with all of them.

    The sandwich `H^-1 sum_p (s_p e_p x_p) (s_p e_p x_p)^T H^-1` with shares `s` of the weights, residuals `e`, features
    `x` and the normal matrix `H`. A perturbation pulls the fit towards itself, so residuals are divided by one less
    their leverage, to the power of 1/2 (known as HC2), and errors are widened by Student's factor. Infinite where the
    perturbations do not tell the elements apart.

    Args:
        keep: Keep-vectors.
        scores: Target scores.
        weights: Weights.
        penalty: Strength of the penalty.
        drawn: Which of the perturbations were drawn; the others are always the same.
    """
    share, features, values, normal = _normal_equations(keep, scores, weights, penalty)
    pull: Tensor = torch.linalg.solve(normal, features.T).T  # (p, g)
    residuals = values - features @ (pull.T @ (share * values))
    leverage = share * (1 + (features * pull).sum(dim=1, keepdim=True))
    sizes = (share * residuals).square() / (1 - leverage).clamp(min=1e-3)
    variance: Tensor = sizes[drawn].T @ pull[drawn].square()
    if not tells_apart(keep):
        return torch.full_like(variance, torch.inf)
    return variance.sqrt() * student(len(keep) - keep.shape[1] - 1)


def _normal_equations(
    keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"], weights: Float[Tensor, " p"], penalty: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Shares of the weights `(p, 1)`, centred features and values, and the normal matrix with its penalty."""
    share = (weights.double() / weights.double().sum())[:, None]
    features = keep.double() - (share * keep.double()).sum(dim=0)
    values = scores.double() - (share * scores.double()).sum(dim=0)
    normal = features.T @ (share * features)
    scale = (penalty * normal.diagonal().mean()).clamp(min=torch.finfo(torch.float64).tiny)
    return share, features, values, normal + scale * torch.eye(keep.shape[1], dtype=torch.float64)


def constrained(
    keep: Bool[Tensor, "p g"],
    scores: Float[Tensor, "p t"],
    weights: Float[Tensor, " p"],
    start: Float[Tensor, " t"],
    total: Float[Tensor, " t"],
) -> Float[Tensor, "t g"]:
    """Weighted least squares of `f_p = start + z_p . phi` under the constraint `sum(phi) = total`, exactly.

    The constraint is built in: `phi = total / g + N psi` with the columns of `N` an orthonormal basis of the vectors
    that sum to 0. Where the perturbations leave `psi` open, it is the smallest one. Solved in float64.
    """
    g = keep.shape[1]
    root = weights.double().sqrt()[:, None]
    basis = torch.linalg.qr(torch.cat([torch.ones(g, 1), torch.eye(g)[:, : g - 1]], dim=1).double()).Q[:, 1:]
    even = (total.double() / g).expand(g, -1)
    residual = scores.double() - start.double() - keep.double() @ even
    psi: Tensor = torch.linalg.lstsq(root * (keep.double() @ basis), root * residual, driver="gelsd").solution
    values: Tensor = even + basis @ psi
    return values.T
