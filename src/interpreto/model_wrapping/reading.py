"""Reading the model's answers to many rows of many texts: in which passes, and what they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interpreto.model_wrapping.beginnings import Beginning, Beginnings
from interpreto.model_wrapping.explained_text import ExplainedText
from interpreto.model_wrapping.forward import Forward, refuse_nan
from interpreto.model_wrapping.hooks import untouched
from interpreto.model_wrapping.prefixes import first_changes, pays, shared_batches
from interpreto.types import Removal


@dataclass(frozen=True, eq=False)
class Reading:
    """What is read of each text under each of its rows of kept tokens.

    Args:
        forward: How the model is run.
        texts: The texts.
        rows: The rows `(p, l)` of each.
        done: Is told how many rows are done.
    """

    forward: Forward
    texts: Sequence[ExplainedText]
    rows: Sequence[Bool[Tensor, "_ _"]]
    done: Callable[[int], object]

    @cached_property
    def found(self) -> list[Float[Tensor, "p r"]]:
        """What was read; NaN where it was not yet."""
        found = []
        for text, rows in zip(self.texts, self.rows, strict=True):
            read = torch.full((len(rows), len(text.readout.reads)), torch.nan)
            if text.untouched_read is not None:
                read[rows.all(dim=1)] = text.untouched_read
            found.append(read)
        return found

    @cached_property
    def _to_run(self) -> list[Bool[Tensor, " p"]]:
        """Which rows are still to be run."""
        known = [text.untouched_read is not None for text in self.texts]
        return [~(rows.all(dim=1) & known[k]) for k, rows in enumerate(self.rows)]

    def whole(self) -> list[int]:
        """The texts of which everything is read."""
        return [k for k, left in enumerate(self._to_run) if not left.any() and not self.found[k].isnan().any()]

    def run(self) -> None:
        """Run what must be run; texts one after another, short ones first.

        Raises:
            ModelError: The model fails, or answers with NaN.
        """
        self.forward.find_out()
        with untouched(self.forward.traits.model), torch.no_grad():
            for k in range(len(self.texts)):
                if self._shares(k) and self._run_shared(k):
                    self._to_run[k][:] = False
            for batch in self.forward.batches(self.texts, self.rows, self._to_run):
                self.forward.budget.in_halves(batch, self._run_plain)
                for k, p in batch:
                    self._to_run[k][p] = False
                self.done(len(batch))
        for text, read in zip(self.texts, self.found, strict=True):
            refuse_nan(read, text)

    def _run_plain(self, batch: Sequence[tuple[int, int]]) -> None:
        rows = self.forward.rows_to_read(self.texts, self.rows, batch)
        read = self.forward.read(rows, [self.texts[k] for k, _ in batch]).cpu()
        for (k, p), values in zip(batch, read, strict=True):
            self.found[k][p] = values[: self.found[k].shape[1]]

    # One text whose rows share their beginnings

    @cached_property
    def _beginnings(self) -> Beginnings:
        return Beginnings(self.forward)

    def _shares(self, k: int) -> bool:
        """Whether the text's rows may share their beginnings, and gain by it."""
        text = self.texts[k]
        starts = [start for start in self._starts(k) if start <= max(text.readout.slots)]
        return self._beginnings.may_serve(text) and pays(starts, len(text.sample.tokens), self.forward.budget)

    def _starts(self, k: int) -> list[int]:
        """From which place on each row must be run."""
        starts = first_changes(self.rows[k])
        if self.forward.filling.removal is Removal.DELETE:  # what is read may then stand before what was deleted
            starts = (starts - 1).clamp(min=0)
        return [int(start) for start in starts]

    def _run_shared(self, k: int) -> bool:
        """Run the untouched text, and of the other rows what comes after their first change; false if it cannot."""
        text, starts = self.texts[k], self._starts(k)
        untouched_row = self._beginnings.of(text)
        if untouched_row is None:
            return False
        self.found[k][:] = untouched_row.read.cpu()
        last = max(text.readout.slots)
        changed = [p for p, start in enumerate(starts) if start <= last]
        run = partial(self._run_later, k, untouched_row, starts)
        for batch in shared_batches([starts[p] for p in changed], len(text.sample.tokens), self.forward.budget):
            self.forward.budget.in_halves([changed[i] for i in batch], run)
            self.done(len(batch))
        self.done(len(starts) - len(changed))
        return True

    def _run_later(self, k: int, untouched_row: Beginning, starts: Sequence[int], batch: Sequence[int]) -> None:
        """Run some rows of a text from the first of their starts on."""
        text, start = self.texts[k], min(starts[p] for p in batch)
        rows = self.forward.rows_to_read(self.texts, self.rows, [(k, p) for p in batch])
        read = self.forward.read(rows, [text] * len(batch), untouched_row.past(start, len(batch))).cpu()
        later = torch.tensor(text.readout.slots)[text.reads[0]] >= start
        for p, values in zip(batch, read, strict=True):
            self.found[k][p, later] = values[later]
