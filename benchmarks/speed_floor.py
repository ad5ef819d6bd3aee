"""The bare model on the distinct inputs that a method needs: what no way of running the method can be faster than.

Every input is run once, in the batch size that is fastest, without padding where lengths are equal, with the output
head only at the rows and columns that are read, and with parameters as constants. Nothing is tokenised, drawn or added
up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from speed_models import Subject
from torch import Tensor

BUDGETS = (256, 512, 1024, 2048, 4096, 8192)
"""Tokens a forward pass, of which the best is taken."""
ON_GPU = (16_384, 32_768, 65_536)
"""More of them."""


@dataclass(frozen=True, eq=False)
class Read:
    """What is read of each row: columns of one pooled row, or one column at each of several positions.

    Args:
        columns: Classes, or the token that is scored at each position.
        positions: Where a language model is read; the last positions need no input after them.
        log: Whether log-probabilities are read, for which all columns are needed.
    """

    columns: Tensor
    positions: Tensor | None = None
    log: bool = False


@dataclass(frozen=True, eq=False)
class Floor:
    """The bare model, with the head where it is read.

    Args:
        subject: The model.
        read: What is read of each row.
    """

    subject: Subject
    read: Read

    @cached_property
    def _weight(self) -> Tensor:
        with torch.inference_mode(False):  # gradients need it too
            return self.subject.head.weight.detach()[self.read.columns]

    def scores(self, mask: Tensor | None = None, **inputs: Tensor) -> Tensor:
        """What is read `(b, t)` of one batch."""
        options = {"use_cache": False} if self.subject.writes else {}
        output = self.subject.backbone(attention_mask=mask, **inputs, **options)
        if self.read.positions is None:
            self.subject.head_reads.append((len(output.pooler_output), len(self.read.columns)))
            bias = self.subject.head.bias[self.read.columns]
            return torch.nn.functional.linear(output.pooler_output, self._weight, bias)
        return self.of_hidden(output.last_hidden_state)

    def of_hidden(self, states: Tensor) -> Tensor:
        """What is read of a language model's last hidden states `(b, l, d)`."""
        subject, read = self.subject, self.read
        hidden = states[:, read.positions]
        if not read.log:
            subject.head_reads.append((hidden.shape[0] * hidden.shape[1], 1))
            return (hidden * self._weight).sum(dim=-1)
        logits = torch.nn.functional.linear(hidden, subject.head.weight).log_softmax(dim=-1)
        return logits.gather(-1, read.columns.expand(len(hidden), -1)[:, :, None])[:, :, 0]

    def forward(self, rows: Sequence[Tensor]) -> Callable[[], list[Tensor]]:
        """Scores of rows of ids `(l,)` or of embeddings `(l, d)`."""
        rows = sorted(rows, key=len)

        def run(batch: Sequence[Tensor]) -> Tensor:
            with torch.inference_mode():
                return self.scores(**padded(batch))

        return in_best_batches(rows, {"": run})

    def gradients(
        self, points: Sequence[Tensor], ends: Sequence[Tensor] = (), *, each: bool = True
    ) -> Callable[[], list[Any]]:
        """Gradients of what is read at points `(l, d)`, and scores at `ends`, which need no gradient.

        Args:
            points: Where.
            ends: Where the target scores alone are needed.
            each: Whether each read has a gradient of its own, or only their sum has.
        """

        def run(batch: Sequence[Tensor], batched: bool) -> Tensor:
            inputs = padded(batch)
            x = inputs["inputs_embeds"].requires_grad_()
            with constant(self.subject.model):
                scores = self.scores(**inputs).sum(dim=0)
                if not each or len(scores) == 1:
                    return torch.autograd.grad(scores.sum(), x)[0]
                if batched:
                    return torch.autograd.grad(scores, x, torch.eye(len(scores)).to(scores), is_grads_batched=True)[0]
                last = len(scores) - 1
                return torch.stack(
                    [torch.autograd.grad(score, x, retain_graph=k < last)[0] for k, score in enumerate(scores)]
                )

        ways: dict[str, Callable[[Sequence[Tensor]], Tensor]] = {"one by one": lambda batch: run(batch, False)}
        if each and len(self.read.columns) > 1:
            ways["together"] = lambda batch: run(batch, True)
        along = in_best_batches(sorted(points, key=len), ways)
        if not ends:
            return along
        at_ends = self.forward(ends)
        return lambda: [along(), at_ends()]


def cached_context(floor: Floor, rows: Sequence[Tensor], context: int) -> Callable[[], list[Tensor]]:
    """The same scores where all rows begin with the same tokens: those are run once, their keys and values shared."""
    from transformers import DynamicCache

    subject, read = floor.subject, floor.read
    if read.positions is None:
        raise ValueError("only for language models")
    own = Floor(subject, Read(read.columns, read.positions - context, read.log))

    def run(batch: Sequence[Tensor]) -> Tensor:
        with torch.inference_mode():
            prefix = batch[0][None, :context]
            cache = subject.backbone(input_ids=prefix, use_cache=True).past_key_values
            layers = [(layer.keys, layer.values) for layer in cache.layers]
            shared = DynamicCache()
            for k, (keys, values) in enumerate(layers):
                shared.update(keys.expand(len(batch), -1, -1, -1), values.expand(len(batch), -1, -1, -1), k)
            hidden = subject.backbone(
                input_ids=torch.stack([row[context:] for row in batch]), past_key_values=shared, use_cache=True
            ).last_hidden_state
            return own.of_hidden(hidden)

    return in_best_batches(rows, {"": run}, lambda row: len(row) - context)


def padded(batch: Sequence[Tensor]) -> dict[str, Tensor]:
    """A batch as the model's inputs; without a mask where nothing is padded."""
    name = "input_ids" if batch[0].dim() == 1 else "inputs_embeds"
    lengths = torch.tensor([len(row) for row in batch], device=batch[0].device)
    inputs = {name: torch.nn.utils.rnn.pad_sequence(list(batch), batch_first=True)}
    if int(lengths.min()) < int(lengths.max()):
        inputs["mask"] = (torch.arange(int(lengths.max()), device=lengths.device) < lengths[:, None]).long()
    return inputs


def _batches(rows: Sequence[Tensor], budget: int, size: Callable[[Tensor], int]) -> Iterator[Sequence[Tensor]]:
    """Rows, sorted by length, in batches of at most so many tokens, padding included."""
    start = 0
    while start < len(rows):
        stop = start + 1
        while stop < len(rows) and size(rows[stop]) * (stop + 1 - start) <= budget:
            stop += 1
        yield rows[start:stop]
        start = stop


def in_best_batches(
    rows: Sequence[Tensor], ways: dict[str, Callable[[Sequence[Tensor]], Tensor]], size: Callable[[Tensor], int] = len
) -> Callable[[], list[Tensor]]:
    """Run all rows in the number of tokens a batch, and the way, that need least time a token."""
    found: list[tuple[float, int, int, Callable[[Sequence[Tensor]], Tensor]]] = []
    for budget in BUDGETS + (ON_GPU if rows[0].is_cuda else ()):
        batches = list(_batches(rows, budget, size))
        sample = batches[len(batches) // 2]
        for run in ways.values():
            found.append((_seconds(run, sample) / sum(map(size, sample)), len(found), budget, run))
        if len(batches) == 1:
            break
    _, _, budget, run = min(found, key=lambda entry: entry[:2])
    best = list(_batches(rows, budget, size))
    return lambda: [run(batch) for batch in best]


def _seconds(run: Callable[[Sequence[Tensor]], Tensor], batch: Sequence[Tensor]) -> float:
    """The faster of two runs, or one that is slow."""
    taken = []
    for _ in range(2):
        start = time.perf_counter()
        run(batch)
        if batch[0].is_cuda:
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
        if taken[0] > 0.3:
            break
    return min(taken)


@contextmanager
def constant(model: Any) -> Iterator[None]:
    """Parameters are constants inside the block."""
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for parameter in learned:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)
