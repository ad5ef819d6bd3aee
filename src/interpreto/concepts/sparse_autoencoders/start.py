"""Where a training starts: the scale of the activations, their middle, and first directions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  # what everyone calls it
from jaxtyping import Float, Int
from torch import Generator, Tensor

from interpreto.model_wrapping import ActivationRows

_MOST_ROWS, _PASS = 1 << 13, 1 << 14


@dataclass(frozen=True, eq=False)
class Start:
    """What is known of the activations before the training.

    Args:
        scale: What activations are multiplied by, so that their mean norm is `sqrt(d)`.
        kept: The rows to learn from.
        rows: Some random ones of them, scaled.
        middle: Their geometric median.
        variance: Their mean squared distance from their mean.
        directions: Random unit directions.
        seed: Seed of whatever else is random.
    """

    scale: float
    kept: Int[Tensor, " m"]
    rows: Float[Tensor, "n d"]
    middle: Float[Tensor, " d"]
    variance: float
    directions: Float[Tensor, "c d"]
    seed: int

    @property
    def first_weight(self) -> Float[Tensor, ""]:
        """A weight of sparsity terms to begin with: small beside the error, to be steered from there."""
        return self.middle.new_tensor(0.1)


def start_of(
    activations: ActivationRows, nb_concepts: int, *, outlier_norm: float | None, seed: int, device: torch.device
) -> Start:
    """Read the norms of all rows, and look closely at some thousand random ones."""
    rng = Generator().manual_seed(seed)
    norms = torch.cat([batch.norm(dim=1).cpu() for batch in activations.batches(_PASS)])
    median = float(norms.median())
    largest = float("inf") if outlier_norm is None or median == 0 else outlier_norm * median
    kept = (norms <= largest).nonzero()[:, 0]
    scale = float(activations.width**0.5 / norms[kept].double().mean())
    chosen = kept[torch.randperm(len(kept), generator=rng)[:_MOST_ROWS].sort().values]
    rows = activations.take(chosen).cpu() * scale
    variance = float((rows - rows.mean(dim=0)).square().sum(dim=1).mean())
    directions = F.normalize(torch.randn(nb_concepts, rows.shape[1], generator=rng))
    return Start(
        scale=scale,
        kept=kept,
        rows=rows.to(device),
        middle=geometric_median(rows).to(device),
        variance=max(variance, 1e-12),
        directions=directions.to(device),
        seed=seed,
    )


def geometric_median(rows: Float[Tensor, "n d"], *, n_steps: int = 50) -> Float[Tensor, " d"]:
    """The point with the smallest mean distance to the rows, by Weiszfeld's steps; outliers hardly move it.

    >>> [round(x, 3) for x in geometric_median(torch.tensor([[0.0], [1.0], [2.0], [3.0], [1000.0]])).tolist()]
    [2.0]
    """
    middle = rows.mean(dim=0)
    for _ in range(n_steps):
        nearness = 1 / (rows - middle).norm(dim=1).clamp(min=1e-6)
        middle = nearness @ rows / nearness.sum()
    return middle
