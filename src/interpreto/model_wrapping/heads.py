"""The output head at the rows and columns that are read, and nowhere else.

With a vocabulary of 150,000 the head is most of a small model's cost, and nearly all that it says is read by nobody.
What follows the head (soft-capping, scaling, a bias) runs unchanged on what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any, TypeGuard

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import linear

from interpreto.model_wrapping.hooks import hooked

_LOGITS_AT_ONCE = 2**20  # that are kept at a time, where log-probabilities are made from all of them
_LOGITS_AT_ONCE_ON_GPU = 2**27

_LEAST = -1e30  # in place of minus infinity, whose differences are no numbers


@contextmanager
def head_at(head: nn.Module | None, positions: Int[Tensor, "b m"]) -> Iterator[list[int]]:
    """Let the output head see only the hidden states of the positions that are read.

    Yields:
        A list with one entry once the head's input has been narrowed; empty where the model has no such head.
    """
    narrowed: list[int] = []

    def narrow(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        hidden = args[0] if args else None
        if not isinstance(hidden, Tensor) or hidden.dim() != 3 or hidden.shape[0] != positions.shape[0]:
            return None
        narrowed.append(hidden.shape[1])
        return (at(hidden, positions), *args[1:])

    with hooked([head.register_forward_pre_hook(narrow)] if head is not None else []):
        yield narrowed


@contextmanager
def head_answering(
    head: nn.Linear, positions: Int[Tensor, "b m"], columns: Int[Tensor, " c"], *, normalised: bool
) -> Iterator[None]:
    """Let the output head answer with some columns only, at the positions that are read.

    Args:
        head: The head; inside the block its answer is `(b, m, c)`.
        positions: Where it is read.
        columns: Which of its columns.
        normalised: Whether to answer with log-probabilities in place of logits. No logits of the whole vocabulary are
            kept: their normaliser is summed up over a part of it at a time.
    """
    index = columns.to(head.weight.device)
    weight = head.weight[index]
    bias = None if head.bias is None else head.bias[index]

    def answer(hidden: Tensor) -> Tensor:
        values = linear(hidden, weight, bias)
        return values.float() - log_normaliser(hidden, head)[..., None] if normalised else values

    head.forward = answer  # type: ignore[method-assign, assignment]  # taken back below
    try:
        with head_at(head, positions):
            yield
    finally:
        del head.forward


class AfterHead(Enum):
    """What a model does with the head's answer before it gives it out."""

    NOTHING = 0
    EACH = 1
    """Something to each column by itself: soft-capping, scaling."""
    UNKNOWN = 2
    """Something that needs all columns; or the head is no plain linear layer."""


def after_head(head: nn.Module | None, run: Callable[[], Float[Tensor, "b l v"]]) -> AfterHead:
    """What follows a head, by one or two passes.

    Args:
        head: The head.
        run: A pass over a batch of one row; returns the logits.
    """
    if not is_plain(head):
        return AfterHead.UNKNOWN
    heard: list[Tensor] = []
    first = torch.zeros(1, 1, dtype=torch.long)
    listening = head.register_forward_hook(lambda _module, _args, answer: heard.append(answer))
    with hooked([listening]), head_at(head, first) as narrowed:
        logits = run()
    if len(narrowed) != 1 or heard[0].shape != logits.shape:
        return AfterHead.UNKNOWN
    if torch.equal(heard[0], logits):
        return AfterHead.NOTHING
    columns = torch.tensor([head.out_features - 1, 0, 1])
    try:
        with head_answering(head, first, columns, normalised=False):
            some = run()
    except (RuntimeError, ValueError, IndexError):
        return AfterHead.UNKNOWN
    same = some.shape == logits[..., :3].shape and torch.allclose(some, logits[..., columns], rtol=1e-3, atol=1e-5)
    return AfterHead.EACH if same else AfterHead.UNKNOWN


def is_plain(head: nn.Module | None) -> TypeGuard[nn.Linear]:
    """Whether a head is a plain linear layer, with its weights in place and nobody else's hand on it."""
    return (
        isinstance(head, nn.Linear)
        and type(head).forward is nn.Linear.forward
        and "forward" not in head.__dict__
        and not head._forward_hooks
        and not head._forward_pre_hooks
        and not head.weight.is_meta
        and head.out_features > 2
    )


def log_normaliser(hidden: Float[Tensor, "b m d"], head: nn.Linear) -> Float[Tensor, "b m"]:
    """`log sum_v exp(w_v . h + b_v)` over the vocabulary, in float32, a part of the vocabulary at a time.

    Differentiable in the hidden states: the gradient, the mean of the rows of the weight under the softmax, is made on
    the way, so that any number of targets costs two products with the weight and keeps no logits.
    """
    rows = hidden.flatten(0, 1)
    limit = _LOGITS_AT_ONCE_ON_GPU if rows.is_cuda else _LOGITS_AT_ONCE
    differentiable = torch.is_grad_enabled() and hidden.requires_grad
    with torch.no_grad():
        largest = torch.full((len(rows), 1), _LEAST, device=rows.device)
        total = torch.zeros_like(largest)  # of exponentials less the largest logit so far
        slope = torch.zeros(rows.shape if differentiable else (1, 1), device=rows.device)
        size = max(1, limit // len(rows))
        biases = [None] * head.out_features if head.bias is None else torch.split(head.bias, size)
        for weight, bias in zip(torch.split(head.weight, size), biases, strict=False):
            logits = linear(rows, weight, bias).float()
            larger = torch.maximum(largest, logits.amax(dim=-1, keepdim=True))
            shares, before = logits.sub_(larger).exp_(), (largest - larger).exp()
            total = total * before + shares.sum(dim=-1, keepdim=True)
            if differentiable:
                slope = slope * before + (shares.to(weight.dtype) @ weight).float()
            largest = larger
        found = (largest + total.log())[:, 0]
    if differentiable:
        found = found + ((rows - rows.detach()).float() * (slope / total)).sum(dim=-1)
    return found.view(hidden.shape[:2])


def at(values: Float[Tensor, "b l d"], positions: Int[Tensor, "b m"]) -> Float[Tensor, "b m d"]:
    """The values at some positions of each row."""
    return values.gather(1, positions.to(values.device)[:, :, None].expand(-1, -1, values.shape[-1]))
