"""Means, covariances and principal directions of rows, exact, in one pass."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.errors import InputError
from interpreto.model_wrapping import ActivationRows

_BATCH = 1 << 14


def mean_and_covariance(rows: ActivationRows, device: torch.device) -> tuple[Float[Tensor, " d"], Float[Tensor, "d d"]]:
    """The mean `m` and `mean (x - m)^T (x - m)` of all rows, in double precision and without loading them at once."""
    total = torch.zeros(rows.width, dtype=torch.float64, device=device)
    products = torch.zeros(rows.width, rows.width, dtype=torch.float64, device=device)
    shift = rows.take(torch.arange(1)).double().to(device)[0]  # near the mean, so that nothing cancels below
    for batch in rows.batches(_BATCH):
        x = batch.to(device).double() - shift
        total += x.sum(dim=0)
        products += x.T @ x
    offset = total / rows.n_rows
    return shift + offset, products / rows.n_rows - torch.outer(offset, offset)


def principal_directions(
    matrix: Float[Tensor, "d d"], nb_concepts: int
) -> tuple[Float[Tensor, " c"], Float[Tensor, "c d"]]:
    """The largest eigenvalues of a covariance and their unit vectors, each with its largest number positive.

    Raises:
        InputError: Fewer of them than concepts.
    """
    values, vectors = torch.linalg.eigh(matrix)
    rank = int((values > 1e-12 * len(matrix) * values[-1].clamp(min=0)).sum())
    if nb_concepts > rank:
        raise InputError(
            f"nb_concepts: expected at most {rank}, the dimensions that the activations fill (width {len(matrix)}), "
            f"got {nb_concepts}; take fewer concepts or more diverse texts"
        )
    return values.flip(0)[:nb_concepts], signed(vectors.flip(1).T[:nb_concepts])


def signed(directions: Float[Tensor, "c d"]) -> Float[Tensor, "c d"]:
    """Directions turned so that each one's largest number is positive."""
    largest = directions.gather(1, directions.abs().argmax(dim=1, keepdim=True))
    return directions * largest.sign()
