"""Activations and gradients of concepts, against as much of the bare model as they need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from speed_floor import Floor, constant, in_best_batches, padded
from speed_models import Subject
from torch import Tensor, nn

from interpreto import ModelWithSplitPoints
from interpreto.concepts import PCAConcepts


class _Stop(Exception):  # noqa: N818  # no error: it ends a pass
    """Ends a forward pass."""


@contextmanager
def _at(block: nn.Module, look: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
    """Look at what a block answers, and put something in its place."""

    def hook(_module: nn.Module, _args: Any, output: Any) -> Any:
        answer = look(output if isinstance(output, Tensor) else output[0])
        return None if answer is None else answer if isinstance(output, Tensor) else (answer, *output[1:])

    handle = block.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _split_at(subject: Subject) -> int:
    return len(subject.blocks) // 2 - (len(subject.blocks) > 3)  # block 5 of 12


def activations(subject: Subject, texts: Sequence[str]) -> dict[str, Any]:
    """The output of a block, of every token."""
    number = _split_at(subject)
    split = ModelWithSplitPoints(subject.model, split_points=number, tokenizer=subject.tokenizer)

    def run(batch: Sequence[Tensor]) -> Tensor:
        caught = []

        def look(hidden: Tensor) -> None:
            caught.append(hidden)
            raise _Stop

        with torch.inference_mode(), _at(subject.blocks[number], look):
            try:
                subject.backbone(**padded(batch))
            except _Stop as stop:
                stop.__traceback__ = None
        return caught[0]

    return {
        "floor": in_best_batches([subject.ids(text) for text in texts], {"": run}),
        "ours": lambda: split.get_activations(texts, "token"),
    }


def concept_gradients(subject: Subject, texts: Sequence[str], floor: Floor) -> dict[str, Any]:
    """Gradients of two classes with respect to concepts: one forward pass, a backward pass each."""
    number = _split_at(subject)
    split = ModelWithSplitPoints(subject.model, split_points=number, tokenizer=subject.tokenizer)
    concepts = PCAConcepts(split, nb_concepts=20)
    concepts.fit(split.get_activations(texts, "token"))

    def run(batch: Sequence[Tensor]) -> Tensor:
        cut = []

        def look(hidden: Tensor) -> Tensor:
            cut.append(hidden.detach().requires_grad_())
            return cut[0]

        with constant(subject.model), _at(subject.blocks[number], look):
            totals = floor.scores(**padded(batch)).sum(dim=0)
            found = [torch.autograd.grad(t, cut, retain_graph=k + 1 < len(totals))[0] for k, t in enumerate(totals)]
        return torch.stack(found)

    return {
        "floor": in_best_batches([subject.ids(text) for text in texts], {"": run}),
        "ours": lambda: concepts.concept_output_gradient(texts, [0, 1], "token"),
    }
