"""Rows with a known structure, and how far a dictionary is from it."""

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import normalize


def worst_cosine(found: Tensor, planted: Tensor, *, sign_free: bool = False) -> float:
    """The smallest cosine between planted directions and those found, one to one."""
    cosines = normalize(found.double(), dim=1) @ normalize(planted.double(), dim=1).T
    cosines = cosines.abs() if sign_free else cosines
    return float(cosines[linear_sum_assignment(-cosines.numpy())].min())


def orthogonal(c: int, d: int, rng: torch.Generator) -> Tensor:
    return torch.linalg.qr(torch.randn(d, c, generator=rng, dtype=torch.float64)).Q.T


def of_distinct_variances(n: int, d: int, c: int, seed: int, mean: float = 1.0) -> tuple[Tensor, Tensor]:
    """Rows on orthogonal directions whose variances halve, uncorrelated to the last digit, and the directions."""
    rng = torch.Generator().manual_seed(seed)
    directions = orthogonal(c, d, rng)
    codes = torch.randn(n, c, generator=rng, dtype=torch.float64)
    codes = torch.linalg.qr(codes - codes.mean(dim=0)).Q * n**0.5 * 2.0 ** -torch.arange(c)
    return (codes @ directions + mean).float(), directions


def of_independent_sources(n: int, d: int, c: int, seed: int) -> tuple[Tensor, Tensor]:
    """Rows that mix Laplace sources, and the mixing directions."""
    rng = torch.Generator().manual_seed(seed)
    uniform = torch.rand(n, c, generator=rng, dtype=torch.float64) - 0.5
    sources = uniform.sign() * -torch.log1p(-2 * uniform.abs())
    mixing = torch.randn(c, d, generator=rng, dtype=torch.float64)
    return (sources @ mixing + 0.5).float(), mixing


def of_parts(n: int, d: int, c: int, seed: int) -> tuple[Tensor, Tensor]:
    """Non-negative rows made of parts, some rows of one part alone and some numbers in one part alone."""
    rng = torch.Generator().manual_seed(seed)
    parts = torch.rand(c, d, generator=rng, dtype=torch.float64)
    parts[:, : 2 * c] = torch.eye(c, dtype=torch.float64).repeat(1, 2)
    codes = torch.rand(n, c, generator=rng, dtype=torch.float64)
    codes *= torch.rand(n, c, generator=rng) < 0.3
    codes[: 4 * c] = torch.eye(c, dtype=torch.float64).repeat(4, 1)
    return (codes @ parts).float(), parts


def of_clusters(n: int, d: int, c: int, seed: int) -> tuple[Tensor, Tensor]:
    """Rows around centres, and the exact means of each centre's rows."""
    rng = torch.Generator().manual_seed(seed)
    centres = 5 * torch.randn(c, d, generator=rng, dtype=torch.float64)
    labels = torch.arange(n) % c
    rows = (centres[labels] + 0.3 * torch.randn(n, d, generator=rng, dtype=torch.float64)).float()
    return rows, torch.stack([rows[labels == k].double().mean(dim=0) for k in range(c)])
