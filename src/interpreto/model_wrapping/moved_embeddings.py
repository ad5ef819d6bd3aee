"""Embeddings of tokens that are moved a little while the model runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from interpreto.model_wrapping.hooks import hooked, untouched
from interpreto.model_wrapping.traits import Traits

_LOOKED_AT = 8192  # embeddings whose spread stands for that of all
_MIXER = 0x9E3779B97F4A7C15  # an odd number, to tell the generators of neighbouring ids apart


def moves(ids: Sequence[int], width: int, size: float, seed: int) -> Float[Tensor, "k d"]:
    """By how much the embeddings of some ids are moved: numbers from -size to size, each as likely.

    That of an id depends on the seed and the id alone, not on the others.
    """
    found = []
    for token in ids:
        own = Generator().manual_seed((seed + token * _MIXER) % 2**63)
        found.append(size * (2 * torch.rand(width, generator=own) - 1))
    return torch.stack(found)


def spread_of_embeddings(traits: Traits) -> tuple[float, int]:
    """The standard deviation of the values of the model's embeddings, and how many values one has."""
    module: Any = traits.embeddings[0]
    with untouched(traits.model), torch.no_grad():
        looked_up = module(torch.arange(min(module.num_embeddings, _LOOKED_AT), device=traits.device))
    return float(looked_up.float().std()), int(looked_up.shape[1])


@contextmanager
def moved_embeddings(
    modules: Sequence[nn.Module], ids: Int[Tensor, " k"], moved: Float[Tensor, "k d"]
) -> Iterator[None]:
    """Let the embedding layers move what they look up for some ids; all other ids stay.

    Args:
        modules: The embedding layers of the model.
        ids: The ids, in rising order.
        moved: What is added to their embeddings.
    """

    def move(_module: nn.Module, args: tuple[Any, ...], looked_up: Tensor) -> Tensor | None:
        given = args[0]
        if given.dim() != 2:  # no row of a text: somebody looks at the vocabulary
            return None
        order = ids.to(given.device)
        index = torch.searchsorted(order, given.contiguous()).clamp(max=len(order) - 1)
        there = (order[index] == given)[..., None]
        return looked_up + torch.where(there, moved.to(looked_up)[index], 0.0)

    unique = list({id(module): module for module in modules}.values())
    with hooked([module.register_forward_hook(move) for module in unique]):
        yield
