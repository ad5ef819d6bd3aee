"""Weighted least squares, for the methods that fit a linear model to the perturbations."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def ridge(
    keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"], weights: Float[Tensor, " p"], penalty: float
) -> Float[Tensor, "t g"]:
    """Weighted ridge regression of scores on keep-vectors, with an intercept that is not penalised.

    Minimises `sum_p w_p (f_p - b - z_p . phi)^2 / sum_p w_p + penalty v |phi|^2`, with `v` the mean weighted variance
    of the columns of `keep`. So the penalty is relative to the weights and to what the perturbations vary, and means
    the same for every text and kernel. Solved in float64.
    """
    share = (weights.double() / weights.double().sum())[:, None]
    features = keep.double() - (share * keep.double()).sum(dim=0)
    values = scores.double() - (share * scores.double()).sum(dim=0)
    normal = features.T @ (share * features)
    scale = (penalty * normal.diagonal().mean()).clamp(min=torch.finfo(torch.float64).tiny)
    identity = torch.eye(keep.shape[1], dtype=torch.float64)
    solution: Tensor = torch.linalg.solve(normal + scale * identity, features.T @ (share * values))
    return solution.T


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
