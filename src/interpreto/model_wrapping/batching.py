"""How much is run together: batches of so many tokens, halved where memory does not suffice."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from interpreto.errors import ModelError, warn
from interpreto.model_wrapping.traits import Traits

T = TypeVar("T")
_LOG = logging.getLogger(__name__)

# A pass of about a second on two cores; beyond it nothing gets faster, and texts of different lengths are padded more.
_WORK = 2e11  # operations
_TOKENS = (512, 4096)
_TOKENS_ON_GPU = (1024, 65536)
_SHARE_OF_MEMORY = 0.4
_FILLED = 512  # tokens of one backward pass that keep a processor busy; below it, targets share one
_FILLED_ON_GPU = 4096
# What a pass costs beside its tokens, in tokens: a fixed number, and more for small models, whose time goes in calls.
_FIXED, _PER_BLOCK, _MOST = 48, 2e7, 256
_FIXED_ON_GPU, _PER_BLOCK_ON_GPU = 512, 1e10


@dataclass(eq=False)
class Budget:
    """How many rows and tokens are run together. It shrinks where a batch does not fit the memory.

    Args:
        tokens: Tokens a batch, padding included; one row at least.
        rows: Rows a batch, by the user's own word, in place of the tokens.
        filled: Tokens of a backward pass above which targets no longer share one.
        overhead: What a pass costs beside its tokens, in tokens.
    """

    tokens: int
    rows: int | None = None
    filled: int = _FILLED
    overhead: int = 0
    _told: bool = field(default=False, init=False)

    @classmethod
    def of(cls, traits: Traits, rows: int | None = None) -> Budget:
        """A budget for a model: by measurements on processors, by what memory is free on a GPU.

        Not measured while it runs: the numbers would differ in the last place from run to run.

        Args:
            traits: The model.
            rows: Rows a batch, if the user says so.
        """
        size, blocks = traits.body_size, getattr(traits.config, "num_hidden_layers", 12)
        if traits.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(traits.device)
            least, most = _TOKENS_ON_GPU
            tokens = int(_SHARE_OF_MEMORY * free / _bytes_per_token(traits))
            overhead = int(_FIXED_ON_GPU + _PER_BLOCK_ON_GPU * blocks / size)
            return cls(_power_of_2(min(max(tokens, least), most)), rows, _FILLED_ON_GPU, overhead)
        least, most = _TOKENS
        tokens = int(_WORK / (2 * size))
        overhead = min(int(_FIXED + _PER_BLOCK * blocks / size), _MOST)
        return cls(_power_of_2(min(max(tokens, least), most)), rows, _FILLED, overhead)

    def rows_at_once(self, length: int) -> int:
        """How many rows of so many tokens are run together."""
        return self.rows or max(1, self.tokens // max(length, 1))

    def targets_at_once(self, tokens: int) -> int:
        """How many targets share a backward pass through a batch of so many tokens."""
        return max(1, self.filled // max(tokens, 1))

    def in_batches(self, items: Iterable[T], size: Callable[[T], tuple[int, int]]) -> Iterator[list[T]]:
        """Items, sorted by their kind and length, in batches; never more than a batch of them exists.

        A batch also ends where padding its rows for a longer one would cost more than another pass does.
        """
        batch: list[T] = []
        last, longest, padding = 0, 0, 0
        for item in items:
            kind, length = size(item)
            padding += (length - longest) * len(batch)
            full = len(batch) >= self.rows_at_once(length) or (self.rows is None and padding > self.overhead)
            if batch and (kind != last or full):
                yield batch
                batch, padding = [], 0
            batch.append(item)
            last, longest = kind, length
        if batch:
            yield batch

    def in_halves(self, batch: Sequence[T], work: Callable[[Sequence[T]], None]) -> None:
        """Do the work on a batch, or on halves of it where memory does not suffice; the user is told once.

        Args:
            batch: The rows.
            work: What is done with them; leaves nothing behind when it fails.

        Raises:
            ModelError: Memory does not suffice for a single row.
        """
        most = len(batch)
        waiting = [batch]
        while waiting:
            part = waiting.pop()
            if len(part) > most:
                waiting += [part[most:], part[:most]]
            elif not self._fits(part, work):
                most = len(part) // 2
                self._shrink(len(part), most)
                waiting.append(part)

    def _shrink(self, rows: int, half: int) -> None:
        """Run less at once from now on, and say so."""
        if self.rows is None:
            self.tokens = max(1, self.tokens // 2)
        else:
            self.rows = half
        _LOG.info("%d rows at once did not fit the memory, going on with %d and fewer", rows, half)
        if not self._told:
            warn(
                f"memory: {rows} rows at once did not fit, going on with {half} and fewer; batch_size={half} saves the "
                "time of the try"
            )
            self._told = True

    def _fits(self, part: Sequence[T], work: Callable[[Sequence[T]], None]) -> bool:
        """Do the work; false where memory did not suffice, whose leftovers are freed when this returns."""
        try:
            work(part)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(part) == 1:
                raise ModelError(
                    "memory: expected room for one row at least, got none; shorten the text, free memory, or load the "
                    f"model in a smaller number type ({error})"
                ) from error
        else:
            return True
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return False


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error says that memory did not suffice."""
    text = str(error)
    return isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)
    )


def _bytes_per_token(traits: Traits) -> float:
    """About what a token takes in a pass that keeps what its backward pass needs: every layer's answers."""
    width = getattr(traits.config, "hidden_size", 1024)
    return 3 * traits.body_size / width * traits.base.dtype.itemsize


def _power_of_2(number: int) -> int:
    return 1 << (number.bit_length() - 1)
