"""What several gradient methods share."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from interpreto.errors import InputError


def reduce_width(
    values: Float[Tensor, "t l d"], embedding: Float[Tensor, "l d"], times_input: bool
) -> Float[Tensor, "t l"]:
    """One number a token: the L2 norm over the width, or the sum of the products with the embedding, with its sign."""
    return (values * embedding).sum(dim=-1) if times_input else values.norm(dim=-1)


def noisy_points(
    embedding: Float[Tensor, "l d"], scale: float, count: int, rng: Generator
) -> Iterator[tuple[Float[Tensor, "l d"], float]]:
    """The embedding with Gaussian noise of this standard deviation, `count` times, each noise with its opposite."""
    for k in range(count):
        if k % 2 == 0:
            noise = scale * gaussian(embedding, rng)
        yield (embedding - noise if k % 2 else embedding + noise), 1.0


def gaussian(like: Float[Tensor, "l d"], rng: Generator) -> Float[Tensor, "l d"]:
    """Standard normal numbers; those of a token depend on its place alone, not on how many others there are."""
    own = Generator().manual_seed(int(torch.randint(2**62, (), generator=rng)))
    width = -(-like.shape[1] // 16) * 16  # torch draws 16 at once, and draws the last ones anew where they are fewer
    return torch.randn(len(like), width, generator=own)[:, : like.shape[1]].to(like)


def relative_errors(
    scores: Float[Tensor, "t g"], std_errors: Float[Tensor, "t g"]
) -> tuple[Float[Tensor, "t g"], Float[Tensor, "t 1"]]:
    """Squares of the relative errors of sizes: those of each element, and of each target's elements on average.

    All elements see the same noise, and their relative errors are alike; those from few draws are too small as often as
    one draw is missing that would be large, and the average over elements is so less often.
    """
    relative = (std_errors / scores.abs().clamp(min=torch.finfo(scores.dtype).tiny)).square()
    known = (scores > 0) & relative.isfinite()
    relative = torch.where(known, relative, 0.0)
    return relative, relative.sum(dim=1, keepdim=True) / known.sum(dim=1, keepdim=True).clamp(min=1)


def check_noise(noise: float) -> None:
    """Refuse noise that cannot be drawn.

    Raises:
        InputError: Negative noise.
    """
    if noise < 0:
        raise InputError(f"noise: expected at least 0, got {noise}")
