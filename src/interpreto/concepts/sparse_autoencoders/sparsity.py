"""Steering a training to the number of active concepts that was asked for."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.concepts.sparse_autoencoders.training import Training, in_cache
from interpreto.errors import InputError

_RATE, _DESCENT = 0.02, 0.5


def steered(training: Training, l0: Float[Tensor, ""], target: float) -> Float[Tensor, ""]:
    """The weight of the sparsity term, after it has been turned up or down.

    Where a row has more active concepts than wanted the weight grows a little every step, where fewer it shrinks:
    `log w += rate * clip(log(l0 / wanted), -1, 1)`. Wanted is a quarter of the concepts at first and goes down to the
    target over the first half of the training: a concept that is pressed before it has found its direction dies.
    The weight stays on the device, so no step waits for it.

    Args:
        training: Keeps the weight in its buffer `weight`.
        l0: Mean number of active concepts in a row of the batch.
        target: What it should be.
    """
    weight = training.buffers["weight"]
    ahead = max(0.0, 1 - training.step / (_DESCENT * training.n_steps))
    wanted = target * max(1.0, len(training.idle) / 4 / target) ** ahead
    with torch.no_grad():
        surplus = (l0.clamp(min=0.01 * target) / wanted).log().clamp(-1, 1)
        weight *= (surplus * _RATE * training.learning_rate).exp()
    return weight


def times_active(codes: Float[Tensor, "n c"]) -> Float[Tensor, " c"]:
    """In how many rows each concept is active.

    >>> times_active(torch.tensor([[1.0, 0.0], [2.0, 3.0]])).tolist()
    [2.0, 1.0]
    """
    counts = codes.new_zeros(codes.shape[1])
    for (some,) in in_cache(codes.detach()):
        counts += (some > 0).to(codes.dtype).sum(dim=0)
    return counts


def check_target_l0(target_l0: float, nb_concepts: int) -> None:
    """Refuse a number of active concepts that there cannot be.

    Raises:
        InputError: Not between 0 and the number of concepts.
    """
    if not 0 < target_l0 < nb_concepts:
        raise InputError(
            f"target_l0: expected more than 0 and fewer than the concepts ({nb_concepts}), got {target_l0}; "
            "it is the mean number of concepts in a row"
        )
