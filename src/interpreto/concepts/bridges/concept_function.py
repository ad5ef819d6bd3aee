"""What both bridges share: fitted concepts, their rows and their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

from interpreto.errors import InputError
from interpreto.model_wrapping import (
    ActivationGranularity,
    Aggregation,
    ExplainedFunction,
    ModelWithSplitPoints,
)
from interpreto.model_wrapping.activations import choice
from interpreto.model_wrapping.extraction import Extraction


@dataclass(frozen=True, eq=False)
class ConceptFunction(ExplainedFunction):
    """What both bridges share.

    Args:
        concept_explainer: Fitted concepts of a split model.
        granularity: What one row of hidden states belongs to; the same as in the fit.
        aggregation: How rows of several tokens become one; the same as in the fit.
        names: What to call concepts, by number: `Interpretations`, or texts.
    """

    concept_explainer: Any
    _: KW_ONLY
    granularity: ActivationGranularity | str = ActivationGranularity.TOKEN
    aggregation: Aggregation | str = Aggregation.MEAN
    names: Any = None

    def __post_init__(self) -> None:
        if not hasattr(self.concept_explainer, "concept_model"):
            raise InputError(
                "concept_explainer: expected fitted concepts of a split model, such as SemiNMFConcepts(split, ...), "
                f"got {type(self.concept_explainer).__name__}"
            )
        if self.names is not None and not isinstance(self.names, Mapping):
            raise InputError(
                f"names: expected Interpretations or names by the numbers of concepts, got {type(self.names).__name__}"
            )
        object.__setattr__(self, "granularity", choice("granularity", self.granularity, ActivationGranularity))
        object.__setattr__(self, "aggregation", choice("aggregation", self.aggregation, Aggregation))
        _ = self.concept_explainer.concept_model, self.split

    @property
    def split(self) -> ModelWithSplitPoints:
        """The split model."""
        split: ModelWithSplitPoints = self.concept_explainer.split
        return split

    @property
    def extraction(self) -> Extraction:
        """How rows are made."""
        return self.split.extraction(self.granularity, self.aggregation)

    def name(self, concept: int) -> str:
        """What to call a concept."""
        found = None if self.names is None else self.names.get(concept)
        return f"concept {concept}" if found is None else f"{getattr(found, 'name', found)} ({concept})"

    def settings(self) -> dict[str, Any]:
        """What is noted of it in results."""
        return self.identity()

    def identity(self) -> dict[str, Any]:
        """Those of its settings without which it is another function."""
        return {
            "concepts": type(self.concept_explainer).__name__,
            "split_point": self.concept_explainer.point.name,
            "activation_granularity": ActivationGranularity(self.granularity).value,
            "aggregation": Aggregation(self.aggregation).value,
            "concepts_fingerprint": self.concept_explainer.concept_model.fingerprint(),
        }

    def _check_width(self, width: int) -> None:
        known, name = self.concept_explainer.concept_model.width, self.concept_explainer.point.name
        if width != known:
            raise InputError(
                f"split point {name!r}: expected the width {known} that the concepts have, got {width}; fit them on "
                "this model's activations there"
            )
