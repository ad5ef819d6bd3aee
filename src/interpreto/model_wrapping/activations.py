"""Activations at split points: rows of numbers that know which text, and which stretch of it, they come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interpreto.errors import InputError
from interpreto.text import Element, Sample, find_elements
from interpreto.types import Granularity


class ActivationGranularity(str, Enum):
    """What one row of activations belongs to."""

    CLS_TOKEN = "cls_token"
    """The token that a classification head reads: the first one, or for decoders the last that is not padding."""
    ALL_TOKENS = "all_tokens"
    """Every token, special tokens included."""
    TOKEN = "token"
    """Every token of the text; special and chat-template tokens are left out."""
    WORD = "word"
    """Words; their tokens are aggregated."""
    SENTENCE = "sentence"
    """Sentences; their tokens are aggregated."""
    SAMPLE = "sample"
    """The whole text; its tokens, without special ones, are aggregated."""


class Aggregation(str, Enum):
    """How rows of several tokens become one."""

    MEAN = "mean"
    MAX = "max"
    FIRST = "first"
    LAST = "last"


Option = TypeVar("Option", bound=Enum)


@dataclass(frozen=True, eq=False)
class RowSources:
    """Where each row comes from.

    Args:
        table: Columns: number of the input, which of its texts, first character, one past the last, and the id of the
            token where the row is one token, else -1.
    """

    table: Int[Tensor, "n 5"]

    @property
    def inputs(self) -> Int[Tensor, " n"]:
        """For each row the number of its input."""
        return self.table[:, 0]

    def __len__(self) -> int:
        return len(self.table)

    def span(self, row: int) -> tuple[int, int, int, int]:
        """Input, text of it, first character, one past the last."""
        which, part, start, end = self.table[row, :4].tolist()
        return which, part, start, end


@dataclass(frozen=True, eq=False, repr=False)
class Activations(Mapping[str, Tensor]):
    """Activations by split point, `(n, d)` each, and `"predictions"` `(n,)` where they were asked for.

    Args:
        tensors: By name.
        sources: By split point, where each row comes from. Points in the decoder of an encoder-decoder have rows of the
            output, all others of the source.
        granularity: What a row belongs to.
    """

    tensors: dict[str, Tensor]
    sources: dict[str, RowSources]
    granularity: ActivationGranularity

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.tensors:
            raise KeyError(f"{name!r}; there are {list(self.tensors)}")
        return self.tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name!r}: {tuple(tensor.shape)}" for name, tensor in self.tensors.items())
        return f"Activations({{{shapes}}}, granularity={self.granularity.value!r})"


def row_elements(
    sample: Sample, granularity: ActivationGranularity, cls_place: int, *, places: range
) -> tuple[Element, ...]:
    """The stretches of a text that rows belong to, in order.

    Args:
        sample: The row of tokens.
        granularity: What a stretch is.
        cls_place: The token that a classification head reads.
        places: The part of the row that is wanted: source, output, or both.
    """
    tokens = sample.tokens

    def of_token(i: int) -> Element:
        token = tokens[i]
        return Element(sample.parts[token.part][token.start : token.end], token.part, token.start, token.end, (i,))

    if granularity is ActivationGranularity.CLS_TOKEN:
        return (of_token(cls_place),)
    if granularity is ActivationGranularity.ALL_TOKENS:
        return tuple(of_token(i) for i in places)
    own = [i for i in places if not tokens[i].fixed]
    if granularity is ActivationGranularity.TOKEN:
        return tuple(of_token(i) for i in own)
    if granularity is ActivationGranularity.SAMPLE:
        first, last = tokens[own[0]], tokens[own[-1]]
        end = last.end if last.part == first.part else len(sample.parts[first.part])
        text = sample.parts[first.part]
        return (Element(text[first.start : end], first.part, first.start, end, tuple(own)),)
    found = find_elements(sample, Granularity(granularity.value))
    return tuple(element for element in found if element.tokens[0] in places)


def source_table(number: int, sample: Sample, elements: Sequence[Element]) -> Int[Tensor, "g 5"]:
    """Where the rows of one text come from, as `RowSources` keeps it."""
    rows = [
        [number, e.part, e.start, e.end, sample.tokens[e.tokens[0]].id if len(e.tokens) == 1 else -1] for e in elements
    ]
    return torch.tensor(rows, dtype=torch.int32).reshape(-1, 5)


def aggregate(
    hidden: Float[Tensor, "l d"], elements: Sequence[Element], aggregation: Aggregation
) -> Float[Tensor, "g d"]:
    """One row an element, from the rows of its tokens."""
    if aggregation is Aggregation.LAST:
        return hidden[[element.tokens[-1] for element in elements]]
    if aggregation is Aggregation.FIRST or all(len(element.tokens) == 1 for element in elements):
        return hidden[[element.tokens[0] for element in elements]]
    index: Int[Tensor, " k"] = torch.tensor([i for e in elements for i in e.tokens], device=hidden.device)
    owner = torch.tensor([k for k, e in enumerate(elements) for _ in e.tokens], device=hidden.device)
    start = torch.zeros(len(elements), hidden.shape[1], dtype=hidden.dtype, device=hidden.device)
    how = "amax" if aggregation is Aggregation.MAX else "mean"
    return start.scatter_reduce(0, owner[:, None].expand(-1, hidden.shape[1]), hidden[index], how, include_self=False)


def choice(name: str, value: object, kind: type[Option]) -> Option:
    """A named option.

    Raises:
        InputError: No such name; the message lists those there are.
    """
    try:
        return kind(value)
    except ValueError:
        raise InputError(f"{name}: expected one of {[member.value for member in kind]}, got {value!r}") from None
