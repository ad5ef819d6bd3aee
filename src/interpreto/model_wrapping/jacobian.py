"""Gradients of several targets from one forward pass."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.model_wrapping.batching import Budget, is_out_of_memory


def gradients_of(
    scores: Sequence[Float[Tensor, " _"]], inputs: Sequence[Float[Tensor, "*_"]], budget: Budget
) -> Iterator[list[Tensor | None]]:
    """Gradients of each row's target scores, a few targets at a time.

    The k-th targets of all rows are differentiated together: rows do not see each other. Several targets share a
    backward pass, by a batched vector-Jacobian product, where a row of the batch is too little to fill the processor.

    Args:
        scores: The target scores `(t,)` of each row; rows may have different numbers of them.
        inputs: What they are differentiated by, each with one row a row of the batch.
        budget: How many tokens are worth a pass.

    Yields:
        One tensor `(k, *shape)` an input, of the next k targets: 0 for rows with fewer targets. Nothing in its place
        where no score is made from the input.
    """
    most = max(len(score) for score in scores)
    padded = torch.stack([torch.nn.functional.pad(score, (0, most - len(score))) for score in scores])
    sums = padded.sum(dim=0)
    tokens = sum(tensor.numel() // tensor.shape[-1] for tensor in inputs)
    if not sums.requires_grad:
        yield [None] * len(inputs)
        return
    passes = -(-most // budget.targets_at_once(tokens))
    for chunk in torch.tensor_split(torch.arange(most), passes):
        found = _batched(sums[chunk], inputs) if len(chunk) > 1 else None
        yield found or _one_by_one(sums[chunk], inputs)


def _batched(sums: Float[Tensor, " k"], inputs: Sequence[Tensor]) -> list[Tensor | None] | None:
    """All at once; nothing where an operation of the model cannot."""
    directions = torch.eye(len(sums), dtype=sums.dtype, device=sums.device)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = torch.autograd.grad(
                sums, inputs, directions, retain_graph=True, allow_unused=True, is_grads_batched=True
            )
    except (RuntimeError, Warning) as error:
        if is_out_of_memory(error):
            raise
        return None
    return list(found)


def _one_by_one(sums: Float[Tensor, " k"], inputs: Sequence[Tensor]) -> list[Tensor | None]:
    rows = [torch.autograd.grad(total, inputs, retain_graph=True, allow_unused=True) for total in sums]
    return [None if of_input[0] is None else torch.stack(of_input) for of_input in zip(*rows, strict=True)]
