"""How much of the model's skill goes through the concepts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.concepts.base import ConceptExplainer
from interpreto.concepts.metrics.passes import check_explainer
from interpreto.model_wrapping.activations import ActivationGranularity, Aggregation
from interpreto.types import InferenceMode


@dataclass(frozen=True, slots=True)
class LossRecovery:
    """Cross-entropies, in nats a target.

    Args:
        clean: Of the model as it is.
        spliced: With each row replaced by its reconstruction.
        ablated: With each row replaced by zero.
    """

    clean: float
    spliced: float
    ablated: float

    @property
    def recovered(self) -> float:
        """`(ablated - spliced) / (ablated - clean)`: 1 is all of the model's skill, 0 what is left without the rows."""
        cost = self.ablated - self.clean
        return (self.ablated - self.spliced) / cost if cost else float("nan")


@final
@dataclass(frozen=True, eq=False)
class LossRecovered:
    """Cross-entropy with reconstructions spliced into the model, between zero ablation (0) and the model itself (1).

    Language models are scored on every token of the texts, classifiers on the class that the model itself predicts, or
    on the targets that are given. Only the rows of the granularity are replaced, so `"token"` leaves special tokens as
    they are; a row of several tokens moves all of them by what it changes.

    Cost: three forward passes a text, and for classifiers three more that look for the predicted class.

    Args:
        concept_explainer: Fitted concepts of a split model.
        activation_granularity: What one row belongs to; the same as in the fit.
        aggregation: How rows of several tokens become one.

    Reference: Karvonen et al. (2025), SAEBench, arXiv:2503.09532; Gao et al. (2025), section 5.1, arXiv:2406.04093.
    """

    concept_explainer: ConceptExplainer
    activation_granularity: ActivationGranularity | str = ActivationGranularity.TOKEN
    aggregation: Aggregation | str = Aggregation.MEAN

    higher_is_better: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_explainer("concept_explainer", self.concept_explainer)

    def __call__(self, inputs: Any, targets: Any = None) -> LossRecovery:
        """The three cross-entropies; their ratio is `recovered`.

        Args:
            inputs: Texts, as attribution methods take them.
            targets: What is scored, one entry per input as attribution methods take them (true labels, say); by default
                the predicted class, or every token of a text.

        Raises:
            InputError: Inputs or targets that cannot be scored, or no split model.
            NotFittedError: Nothing was learned yet.
        """
        explainer = self.concept_explainer
        split, point = explainer.split, explainer.point
        extraction = split.extraction(self.activation_granularity, self.aggregation)
        scorer = split.scorer(InferenceMode.LOG_SOFTMAX)
        if targets is None:
            texts = split.explained_texts(scorer, inputs, None)
        else:
            texts = split.explained().texts(scorer, split.explained().sources(inputs), targets)
        elements = [extraction.elements(text.sample, point.in_decoder) for text in texts]

        def loss(change: Callable[[Tensor], Tensor]) -> float:
            def edit(number: int, states: Float[Tensor, "l d"]) -> Float[Tensor, "l d"]:
                sample, own = texts[number].sample, elements[number]
                rows = extraction.rows(states, sample, own, point).float()
                moved = states.float().clone()
                for row, places in zip(change(rows) - rows, extraction.carriers(sample, own, point), strict=True):
                    moved[places] += row
                return moved

            return -float(torch.cat(scorer.edited_scores(texts, point, edit)).double().mean())

        def reconstructed(rows: Tensor) -> Tensor:
            return explainer.decode(explainer.encode(rows)).to(rows)

        return LossRecovery(loss(lambda rows: rows), loss(reconstructed), loss(torch.zeros_like))
