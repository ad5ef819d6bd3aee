"""What the rows of a causal model have in common at their beginning is run once.

Nothing that comes later changes what such a model makes of the beginning of a text. So a row whose first removed token
is the k-th one needs to be run from there on only, next to the keys and values that the untouched text has left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import DynamicCache

from interpreto.errors import ModelError
from interpreto.model_wrapping.batching import Budget

KeysValues = tuple[Float[Tensor, "1 _ l _"], Float[Tensor, "1 _ l _"]]

_REMEMBERED = 4  # remembered tokens that take as much memory as one that is run
_GAIN = 0.9  # sharing must promise at most this share of the plain way's cost


@dataclass(frozen=True, slots=True)
class Past:
    """What a model is given in place of the first tokens of its rows, and where it leaves what it makes of the others.

    Args:
        length: How many tokens.
        cache: The model's cache, which a pass adds to.
    """

    length: int = 0
    cache: DynamicCache = field(default_factory=DynamicCache)

    def layers(self) -> list[KeysValues]:
        """Keys and values of each layer.

        Raises:
            ModelError: The model remembers something else.
        """
        cache: Any = self.cache
        if hasattr(cache, "layers"):
            found = [(layer.keys, layer.values) for layer in cache.layers]
        else:  # before transformers 4.54
            found = list(zip(cache.key_cache, cache.value_cache, strict=True))
        plain = [isinstance(tensor, Tensor) and tensor.dim() == 4 for pair in found for tensor in pair]
        if not plain or not all(plain) or len({tensor.shape[2] for pair in found for tensor in pair}) != 1:
            raise ModelError("model: expected keys and values of every token from every layer, got something else")
        return found


def beginning(layers: Sequence[KeysValues], length: int, rows: int) -> Past:
    """The past of so many rows that begin alike, from keys and values of one row."""
    cache = DynamicCache()
    for number, pair in enumerate(layers):
        keys, values = (tensor[:, :, :length].expand(rows, -1, -1, -1) for tensor in pair)
        cache.update(keys, values, number)
    return Past(length, cache)


def first_changes(rows: Bool[Tensor, "p l"]) -> Int[Tensor, " p"]:
    """The first place of each row at which a token is removed; its length where none is."""
    length = rows.shape[1]
    return torch.where(rows.all(dim=1), length, (~rows).byte().argmax(dim=1))


def shared_batches(starts: Sequence[int], length: int, budget: Budget) -> list[list[int]]:
    """Rows in batches, each run from the first of its starts on; those that begin late come first.

    A batch ends where running its rows from an earlier start would cost more than another pass does.

    Args:
        starts: First place of each row that must be run.
        length: Of all rows.
        budget: How much is run together.
    """
    batches: list[list[int]] = []
    waste = 0  # tokens that rows of the newest batch are run for although they begin later
    for row in sorted(range(len(starts)), key=lambda row: -starts[row]):
        if batches:
            earlier = (starts[batches[-1][-1]] - starts[row]) * len(batches[-1])
            fits = len(batches[-1]) < budget.rows_at_once(row_size(length, starts[row]))
            if fits and waste + earlier <= budget.overhead:
                waste += earlier
                batches[-1].append(row)
                continue
        batches.append([row])
        waste = 0
    return batches


def row_size(length: int, remembered: int) -> int:
    """How many tokens a row counts for where its first ones are remembered: their keys and values take memory, too."""
    return length - remembered + remembered // _REMEMBERED


def pays(starts: Sequence[int], length: int, budget: Budget) -> bool:
    """Whether rows are run faster from their starts on than whole, by the tokens and the passes that each way takes."""
    if not starts:
        return False
    batches = shared_batches(starts, length, budget)
    tail = sum(len(batch) * (length - starts[batch[-1]]) for batch in batches)
    together = max(1, -(-len(starts) // budget.rows_at_once(length)))
    plain = len(starts) * length + together * budget.overhead
    return length + tail + (1 + len(batches)) * budget.overhead < _GAIN * plain
