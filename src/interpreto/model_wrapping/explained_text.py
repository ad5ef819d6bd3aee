"""The explained function of one text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interpreto.model_wrapping.readout import Readout
from interpreto.text import Element, Sample


@dataclass(frozen=True, eq=False)
class ExplainedText:
    """The explained function of one text: its elements, its targets, and what the model is given.

    Args:
        where: What to call it in an error, as `inputs[3]`.
        sample: The row of tokens.
        elements: What can be kept or removed.
        readout: What is read from the model's output, and the targets.
        untouched_read: What is read for the untouched text `(r,)`, where that is known already.
    """

    where: str
    sample: Sample
    elements: tuple[Element, ...]
    readout: Readout
    untouched_read: Float[Tensor, " r"] | None = None

    elements_are_text: ClassVar[bool] = True
    """Whether elements stand somewhere in the text."""

    def only(self, targets: Sequence[int]) -> ExplainedText:
        """The same text with some of its targets, given by their numbers."""
        return replace(self, readout=replace(self.readout, targets=tuple(self.readout.targets[t] for t in targets)))

    @cached_property
    def reads(self) -> Int[Tensor, "2 r"]:
        """Slot and column of each number that is read."""
        return torch.tensor(self.readout.reads, dtype=torch.long).view(-1, 2).T

    @cached_property
    def visible(self) -> Bool[Tensor, "t g"]:
        """Which elements each target sees; the others are written later."""
        return torch.tensor([[target.sees(element) for element in self.elements] for target in self.readout.targets])

    @property
    def places(self) -> range:
        """What elements are made of: the places of the tokens in the row."""
        return range(len(self.sample.tokens))

    @property
    def source_places(self) -> range:
        """Those that are there before anything is written."""
        return range(self.sample.source_length)

    @property
    def places_of_elements(self) -> list[list[int]]:
        """The places that each element is made of."""
        return [list(element.tokens) for element in self.elements]

    @cached_property
    def element_of(self) -> Tensor:
        """For each token the element that it belongs to, `-1` for fixed context: `(l,)`."""
        owner = torch.full((len(self.places),), -1)
        for k, own in enumerate(self.places_of_elements):
            owner[own] = k
        return owner

    def kept_tokens(self, keep: Bool[Tensor, "p g"]) -> Bool[Tensor, "p l"]:
        """Which tokens are kept when these elements are."""
        fixed = torch.ones(len(keep), 1, dtype=torch.bool)
        return torch.cat([keep, fixed], dim=1)[:, self.element_of]

    @cached_property
    def free_tokens(self) -> Bool[Tensor, "t l"]:
        """Which tokens may change for each target: its own tokens, and those after it, stand while it is scored."""
        free = (self.element_of >= 0).expand(len(self.readout.targets), -1).clone()
        for k, target in enumerate(self.readout.targets):
            if len(target.plus) > 1 and target.first is not None:
                free[k, target.first :] = False
        return free

    @cached_property
    def target_groups(self) -> list[list[int]]:
        """Targets for which the same tokens are free, together."""
        groups: dict[bytes, list[int]] = {}
        for k, free in enumerate(self.free_tokens):
            groups.setdefault(free.numpy().tobytes(), []).append(k)
        return list(groups.values())
