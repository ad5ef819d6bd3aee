"""What the metrics of a concept space share: one pass over activations, codes and reconstructions, batch by batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from interpreto.concepts.base import ConceptExplainer
from interpreto.errors import InputError

_BATCH = 4096


def check_explainer(name: str, explainer: object) -> None:
    """Refuse what is no concept explainer.

    Raises:
        InputError: The message names the option.
    """
    if not isinstance(explainer, ConceptExplainer):
        raise InputError(f"{name}: expected fitted concepts such as PCAConcepts(...), got {type(explainer).__name__}")


@dataclass(frozen=True, slots=True)
class Pass:
    """One batch of rows.

    Args:
        activations: As the model has them `(n, d)`, in float64.
        codes: Of each row `(n, c)`.
        reconstructions: What the codes stand for `(n, d)`, in float64.
    """

    activations: Float[Tensor, "n d"]
    codes: Float[Tensor, "n c"]
    reconstructions: Float[Tensor, "n d"]


@dataclass(frozen=True, eq=False)
class ConceptMetric(ABC):
    """A figure of a fitted concept space on some activations. Memory does not grow with them.

    Args:
        concept_explainer: Fitted concepts.
    """

    concept_explainer: ConceptExplainer

    higher_is_better: ClassVar[bool]
    """Which way is better."""

    def __post_init__(self) -> None:
        check_explainer("concept_explainer", self.concept_explainer)

    @abstractmethod
    def __call__(self, activations: Any) -> float:
        """The figure.

        Args:
            activations: `(n, d)`, what `get_activations` gave, or a mapping like it.

        Raises:
            InputError: Activations of another width, none at all, or NaN.
            NotFittedError: Nothing was learned yet.
        """

    def _passes(self, activations: Any) -> Iterator[Pass]:
        explainer = self.concept_explainer
        model, rows = explainer.concept_model, explainer.rows(activations)
        if rows.n_rows == 0:
            raise InputError("activations: expected at least one row, got none")
        for batch in rows.batches(_BATCH):
            codes = explainer.encode(batch).detach()
            decoded = model.decode(codes).detach()
            yield Pass(batch.to(codes.device).double(), codes, decoded.double())
