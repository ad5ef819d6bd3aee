"""What several gradient methods share."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from interpreto.errors import InputError, check_count


def reduce_width(
    values: Float[Tensor, "t l d"], embedding: Float[Tensor, "l d"], times_input: bool
) -> Float[Tensor, "t l"]:
    """One number a token: the L2 norm over the width, or the sum of the products with the embedding, with its sign."""
    return (values * embedding).sum(dim=-1) if times_input else values.norm(dim=-1)


def noise_scale(embedding: Float[Tensor, "l d"], noise: float) -> float:
    """Standard deviation of noise that is given relative to the range of the embedding's values."""
    return noise * float(embedding.max() - embedding.min())


def noisy_points(
    embedding: Float[Tensor, "l d"], noise: float, count: int, rng: Generator
) -> Iterator[tuple[Float[Tensor, "l d"], float]]:
    """The embedding with Gaussian noise, `count` times; `noise` is relative to the range of the embedding's values."""
    scale = noise_scale(embedding, noise)
    for _ in range(count):
        yield embedding + scale * torch.randn(embedding.shape, generator=rng).to(embedding), 1.0


def check_noise(noise: float, n_samples: int) -> None:
    """Refuse options that no noise can be drawn with.

    Raises:
        InputError: Negative noise, or no samples.
    """
    if noise < 0:
        raise InputError(f"noise: expected at least 0, got {noise}")
    check_count("n_samples", n_samples, 1)
