"""Beginnings of causal rows: run once, remembered, and trusted only after a look at the numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.errors import InterpretoError
from interpreto.model_wrapping.batching import is_out_of_memory
from interpreto.model_wrapping.explained_text import ExplainedText
from interpreto.model_wrapping.forward import Forward, untouched_rows
from interpreto.model_wrapping.prefixes import KeysValues, Past, beginning
from interpreto.types import Task

_CLOSE = 1000  # units in the last place that a remembered beginning may change an answer by
_KNOWN = "beginnings"


@dataclass(frozen=True, eq=False)
class Beginning:
    """A text as a causal model remembers it.

    Args:
        layers: Keys and values of each layer, of the whole untouched row.
        read: What is read of it.
    """

    layers: list[KeysValues]
    read: Float[Tensor, " r"]

    def past(self, length: int, rows: int) -> Past | None:
        """What so many rows are given in place of their first tokens; nothing for none."""
        return beginning(self.layers, length, rows) if length else None


@dataclass(frozen=True, eq=False)
class Beginnings:
    """Whether a model can go on from remembered beginnings of rows, and what it remembers.

    Args:
        forward: How the model is run.
    """

    forward: Forward

    def may_serve(self, text: ExplainedText) -> bool:
        """Whether nothing that is known of the model speaks against it."""
        traits, task = self.forward.traits, self.forward.task
        causal = task is Task.CAUSAL_LM or (task is Task.CLASSIFICATION and traits.token_head is not None)
        wide = traits.window is None or traits.window >= len(text.sample.tokens)
        return causal and wide and traits.takes_past and bool(traits.found_out.get(_KNOWN, True))

    @property
    def known(self) -> bool:
        """Whether it was found out what the model can do."""
        return _KNOWN in self.forward.traits.found_out

    def of(self, text: ExplainedText) -> Beginning | None:
        """What the model remembers of the untouched text; nothing where it cannot go on from it.

        Found out once, on the first text that asks: going on from its middle must give the numbers of the whole row.
        """
        known = self.forward.traits.found_out
        row = self.forward.rows_to_read([text], untouched_rows([text]), [(0, 0)])
        past = Past()
        with torch.no_grad():
            try:
                found = Beginning([], self.forward.read(row, [text], past)[0])
                found.layers.extend(past.layers())
                if not self.known and bool(found.read.isfinite().all()):
                    slots = torch.tensor(text.readout.slots)[text.reads[0]]
                    middle = int(slots.max() + 1) // 2
                    again = self.forward.read(row, [text], found.past(middle, 1))[0]
                    known[_KNOWN] = _close(found.read[slots >= middle], again[slots >= middle], found.layers)
            except (InterpretoError, RuntimeError, AttributeError, TypeError, LookupError) as error:
                if is_out_of_memory(error) or is_out_of_memory(error.__cause__):
                    return None  # says nothing of the model
                known[_KNOWN] = False
        return found if known.get(_KNOWN) else None


def _close(one: Tensor, other: Tensor, layers: list[KeysValues]) -> bool:
    """Whether two answers are equal but for rounding."""
    slack = _CLOSE * torch.finfo(layers[0][0].dtype).eps
    return torch.allclose(one, other, rtol=slack, atol=slack * max(1.0, float(one.abs().max())))
