"""The codes of every token of a set of texts, some texts at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy import ndarray
from torch import Tensor

from interpreto.concepts.base import ConceptExplainer
from interpreto.concepts.interpretations.rows import RowsOfInputs
from interpreto.concepts.interpretations.texts import token_name
from interpreto.errors import InputError, check_count
from interpreto.model_wrapping import ActivationGranularity, Aggregation
from interpreto.text import Sample, split_inputs

_CODES_AT_ONCE, _MOST_ROWS = 1 << 20, 8192


@dataclass(frozen=True, eq=False)
class CodedTexts:
    """Some whole texts and the codes of their tokens.

    Args:
        numbers: The numbers of the texts.
        owners: For each row the text that it belongs to, as a place in `numbers`.
        places: For each row its token's place in the text's row of tokens.
        codes: The rows.
    """

    numbers: Int64[ndarray, " t"]
    owners: Int64[ndarray, " b"]
    places: Int64[ndarray, " b"]
    codes: Float[Tensor, "b c"]


@dataclass(frozen=True, eq=False)
class CodedInputs:
    """A set of texts, each token of which is coded; special tokens are not, as concepts are not of them.

    Args:
        explainer: Fitted concepts of a split model.
        inputs: Texts, as `get_activations` takes them.
        activations: Their activations at granularity `"token"`, in memory or in a store; by default the model is run.
        batch_size: Texts a forward pass.

    Raises:
        InputError: No texts, or concepts of tensors alone.
    """

    explainer: ConceptExplainer
    inputs: Any
    activations: Any = None
    batch_size: int | None = None

    def __post_init__(self) -> None:
        if self.batch_size is not None:
            check_count("batch_size", self.batch_size, 1)
        if not self.items:
            raise InputError("inputs: expected at least one text, got none")
        _ = self.explainer.split, self.explainer.concept_model

    @cached_property
    def items(self) -> Sequence[Any]:
        """The texts, one by one."""
        return split_inputs(self.inputs)

    def sample(self, number: int) -> Sample:
        """One text as the model reads it."""
        return self.explainer.split.samples([self.items[number]], None, number)[0]

    def blocks(self) -> Iterator[CodedTexts]:
        """All texts in order, as many at a time as memory is meant for; the codes are on the processor, in float32."""
        rows = RowsOfInputs(
            self.explainer,
            self.explainer.split,
            ActivationGranularity.TOKEN,
            Aggregation.MEAN,
            self.batch_size,
            self.items,
        )
        size = max(1, min(_MOST_ROWS, _CODES_AT_ONCE // self.explainer.concept_model.nb_concepts))
        extraction, in_decoder = rows.extraction, self.explainer.point.in_decoder
        for block in rows.read(size) if self.activations is None else rows.given(self.activations, size):
            numbers, owners = np.unique(block.sources[:, 0], return_inverse=True)
            first, last = int(numbers[0]), int(numbers[-1])
            samples = self.explainer.split.samples(self.items[first : last + 1], None, first)
            places = [
                element.tokens[0]
                for number in numbers.tolist()
                for element in extraction.elements(samples[number - first], in_decoder)
            ]
            with torch.no_grad():
                codes = self.explainer.encode(block.activations).float().cpu()
            yield CodedTexts(numbers.astype(np.int64), owners.astype(np.int64), np.array(places, np.int64), codes)

    def pieces(self, number: int) -> list[str]:
        """What each token of a text stands for: with the white space before it, or the name of a special token."""
        sample = self.sample(number)
        found, part, last = [], -1, 0
        for token in sample.tokens:
            if token.part != part:
                part, last = token.part, 0
            piece = "" if token.end <= token.start else sample.parts[part][last : token.end]
            found.append(piece or token_name(self.explainer.split.tokenizer, token.id))
            last = max(last, token.end)
        return found
