"""What a contestant does to the model, counted in a run that is not timed; the same on every machine.

Forward tokens are counted at every block and divided by the number of blocks, so that a pass that stops half way counts
half. Head rows are the rows that are multiplied with the head's weight, head scores those times its columns that take
part. Floating point operations are torch's own count of matrix products, forward and backward. Peak memory is the most
bytes of tensors that live at once beyond the model, by torch's own account on a GPU.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from speed_models import Subject
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

FORMULAS: dict[Any, Callable[..., int]] = {
    **flop_registry,  # torch leaves out attention on processors
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop_count(
        q.shape, k.shape, v.shape
    ),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda g, q, k, v, *_, **__: (
        sdpa_backward_flop_count(g.shape, q.shape, k.shape, v.shape)
    ),
}
PRODUCTS = {torch.ops.aten.mm, torch.ops.aten.addmm}
CHOICES = {torch.ops.aten.index, torch.ops.aten.index_select}  # of some rows of the head's weight


@dataclass
class Counts:
    """Totals of one run."""

    calls: int = 0
    forward_tokens: float = 0
    head_rows: int = 0
    head_scores: int = 0
    gflop: float = 0
    peak_bytes: int = 0


class Ledger(TorchDispatchMode):
    """The most bytes of tensors that live at once, floating point operations, and products with the head's weight."""

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self.known = {_key(value) for value in [*subject.model.parameters(), *subject.model.buffers()]}
        self.head = {_key(subject.head.weight)}
        self.width = subject.head.in_features
        self.live = self.peak = self.flop = self.head_rows = self.head_scores = 0
        self.storages: dict[int, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket not in FORMULAS:
            with self:
                result = func.decompose(*args, **(kwargs or {}))
            if result is not NotImplemented:
                return result
        result = func(*args, **(kwargs or {}))
        formula = FORMULAS.get(func.overloadpacket)
        if formula is not None:
            self.flop += formula(*args, **(kwargs or {}), out_val=result)
        if func.overloadpacket in PRODUCTS:
            left, right = args[-2:]
            if _key(right) in self.head and left.shape[1] == right.shape[0] == self.width:
                self.head_rows += len(left)
                self.head_scores += len(left) * right.shape[1]
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self._add(value.untyped_storage())
                if func.overloadpacket in CHOICES and _key(args[0]) in self.head:
                    self.head.add(_key(value))
        return result

    def _add(self, storage: Any) -> None:
        key = storage._cdata
        if key in self.known or key in self.storages:
            return
        size = storage.nbytes()
        self.live += size
        self.peak = max(self.peak, self.live)
        self.storages[key] = weakref.ref(storage, lambda _: self._drop(key, size))

    def _drop(self, key: int, size: int) -> None:
        if self.storages.pop(key, None) is not None:
            self.live -= size
            self.head.discard(key)


def _key(value: Tensor) -> int:
    return int(value.untyped_storage()._cdata)


def counted(subject: Subject, run: Callable[[], object]) -> dict[str, Any]:
    """Run once and count."""
    counts = Counts()
    first = subject.blocks[0]

    def at_block(module: Any, args: Any, kwargs: Any) -> None:
        hidden = args[0] if args else kwargs["hidden_states"]
        counts.forward_tokens += hidden.shape[0] * hidden.shape[1] / len(subject.blocks)
        counts.calls += module is first

    handles = [block.register_forward_pre_hook(at_block, with_kwargs=True) for block in subject.blocks]
    ledger = Ledger(subject)
    subject.head_reads.clear()
    cuda = subject.device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    try:
        with ledger:
            run()
    finally:
        for handle in handles:
            handle.remove()
    counts.peak_bytes = torch.cuda.max_memory_allocated() - before if cuda else ledger.peak
    counts.gflop = ledger.flop / 1e9
    known = subject.head_reads
    counts.head_rows = ledger.head_rows + sum(rows for rows, _ in known)
    counts.head_scores = ledger.head_scores + sum(rows * columns for rows, columns in known)
    counts.forward_tokens = round(counts.forward_tokens)
    return asdict(counts)
