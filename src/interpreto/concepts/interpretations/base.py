"""What all interpretations share: finding the texts in which concepts are active."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from operator import index
from typing import Any

import numpy as np
import torch

from interpreto.concepts.base import ConceptExplainer
from interpreto.concepts.interpretations.result import Example, Interpretations
from interpreto.concepts.interpretations.rows import Block, RowsOfInputs
from interpreto.concepts.interpretations.strongest import Choice, Chosen, Order
from interpreto.concepts.interpretations.texts import Texts, texts_of
from interpreto.errors import InputError, check_count
from interpreto.model_wrapping import ActivationGranularity, Aggregation, ModelWithSplitPoints
from interpreto.model_wrapping.activations import choice
from interpreto.model_wrapping.targets import split_targets
from interpreto.text import split_inputs

_CODES_AT_ONCE, _MOST_ROWS = 1 << 20, 8192
_WHOLE = (ActivationGranularity.CLS_TOKEN, ActivationGranularity.SAMPLE)


@dataclass(frozen=True, eq=False)
class ConceptInterpreter(ABC):
    """Says what concepts mean.

    Args:
        concept_explainer: Fitted concepts of a split model.
        activation_granularity: What an example is: a token, a word, a sentence; for `CLS_TOKEN` and `SAMPLE` the whole
            input. The concepts should have been fitted on activations of the same.
        aggregation: How activations of several tokens become one, where they are computed here.
        k_examples: The most examples a concept; fewer where it is active in fewer distinct texts.
        k_context: How many elements before and after an example are shown with it.
        batch_size: Texts a forward pass, where activations are computed here; by default the split model's.

    Raises:
        InputError: An option out of range.
    """

    concept_explainer: ConceptExplainer
    _: KW_ONLY
    activation_granularity: ActivationGranularity | str = ActivationGranularity.TOKEN
    aggregation: Aggregation | str = Aggregation.MEAN
    k_examples: int = 5
    k_context: int = 0
    batch_size: int | None = None

    def __post_init__(self) -> None:
        explainer: Any = self.concept_explainer
        if not isinstance(explainer, ConceptExplainer):
            got = type(explainer).__name__
            raise InputError(f"concept_explainer: expected concepts such as SemiNMFConcepts(...), got {got}")
        granularity = choice("activation_granularity", self.activation_granularity, ActivationGranularity)
        object.__setattr__(self, "activation_granularity", granularity)
        object.__setattr__(self, "aggregation", choice("aggregation", self.aggregation, Aggregation))
        check_count("k_examples", self.k_examples, 1)
        check_count("k_context", self.k_context, 0)
        if self.batch_size is not None:
            check_count("batch_size", self.batch_size, 1)

    @abstractmethod
    def interpret(
        self, concepts_indices: Any = "all", inputs: Any = None, activations: Any = None, *, targets: Any = None
    ) -> Interpretations:
        """What concepts mean.

        Args:
            concepts_indices: `"all"`, the number of a concept, or several.
            inputs: Texts, as `get_activations` takes them.
            activations: Theirs, as `get_activations` gave them, a store, or a mapping with as many rows as the inputs
                have elements; computed where there are none, some texts at a time.
            targets: What a model that writes has written, where its tokens are wanted too.

        Raises:
            InputError: No such concept, no inputs, or activations that cannot be theirs.
            NotFittedError: Nothing was learned yet.
        """

    @property
    def split(self) -> ModelWithSplitPoints:
        """The split model.

        Raises:
            InputError: The concepts have none.
        """
        split = self.concept_explainer.model_with_split_points
        if split is None:
            raise InputError(
                "concept_explainer: expected concepts of a split model, whose texts can be shown, got some of tensors "
                "alone; pass model_with_split_points when they are made or loaded"
            )
        return split

    def concepts(self, concepts_indices: Any) -> list[int]:
        """The numbers of the concepts that are asked for, each once.

        Raises:
            InputError: No such concept.
        """
        count = self.concept_explainer.concept_model.nb_concepts
        if isinstance(concepts_indices, str) and concepts_indices == "all":
            return list(range(count))
        listed = isinstance(concepts_indices, Iterable) and getattr(concepts_indices, "ndim", 1) > 0
        try:
            if isinstance(concepts_indices, str):
                raise TypeError
            numbers = [index(number) for number in (concepts_indices if listed else [concepts_indices])]
        except TypeError:
            raise InputError(
                f"concepts_indices: expected 'all', a whole number or a list of them, got {concepts_indices!r:.80}"
            ) from None
        wrong = [number for number in numbers if not 0 <= number < count]
        if wrong:
            raise InputError(f"concepts_indices: expected numbers from 0 to {count - 1}, got {wrong[0]}")
        return list(dict.fromkeys(numbers))

    def of_inputs(self, inputs: Any, activations: Any, targets: Any, size: int) -> tuple[Iterator[Block], Texts]:
        """Rows in blocks of about `size`, and the texts that they come from.

        Raises:
            InputError: No inputs, or activations that cannot be theirs.
        """
        if inputs is None:
            raise InputError("inputs: expected the texts that concepts are shown by, got None")
        items = split_inputs(inputs)
        written = None if targets is None else split_targets(targets, len(items))
        granularity, aggregation = self._granularity, Aggregation(self.aggregation)
        rows = RowsOfInputs(
            self.concept_explainer, self.split, granularity, aggregation, self.batch_size, items, written
        )
        texts = texts_of(self.split, items, written, whole=granularity in _WHOLE)
        return rows.read(size) if activations is None else rows.given(activations, size), texts

    @property
    def block_size(self) -> int:
        """How many rows make a block: all codes of a block are in memory at once."""
        return max(1, min(_MOST_ROWS, _CODES_AT_ONCE // max(1, self.concept_explainer.concept_model.nb_concepts)))

    def chosen(
        self,
        concepts: Sequence[int],
        blocks: Iterator[Block],
        texts: Texts,
        *,
        k: int,
        order: Order = Order.STRONGEST,
        seed: int = 0,
    ) -> Chosen:
        """For each concept up to `k` rows with distinct texts, the strongest first."""
        found = Choice(len(concepts), k, order, 0 if texts.whole else self.k_context)
        first = 0
        with torch.no_grad():
            for block in blocks:
                codes = self.concept_explainer.encode(block.activations)[:, list(concepts)]
                sources = block.sources
                found.add(codes, sources, first, lambda rows, s=sources: texts.keys(s[rows], seed))  # type: ignore[misc]
                first += len(sources)
        return found.ranked()

    def examples(self, count: int, chosen: Chosen, texts: Texts) -> list[tuple[Example, ...]]:
        """Chosen rows as examples of the first, second, ... of `count` concepts."""
        made = [
            texts.example(source, activation, neighbours, around)
            for source, activation, neighbours, around in zip(
                chosen.sources, chosen.activations.tolist(), chosen.neighbours, chosen.around, strict=True
            )
        ]
        borders = np.searchsorted(chosen.concepts, np.arange(count + 1)).tolist()
        return [tuple(made[borders[k] : borders[k + 1]]) for k in range(count)]

    def settings(self) -> dict[str, Any]:
        """The options, as plain values."""
        return {
            "concepts": type(self.concept_explainer).__name__,
            "split_point": self.concept_explainer.split_point_name(),
            "activation_granularity": self._granularity.value,
            "aggregation": Aggregation(self.aggregation).value,
            "k_examples": self.k_examples,
            "k_context": self.k_context,
        }

    @property
    def _granularity(self) -> ActivationGranularity:
        return ActivationGranularity(self.activation_granularity)
