"""Concepts by the tokens of the vocabulary that their direction points to."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from math import isfinite, nan
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.concepts.base import ConceptExplainer
from interpreto.concepts.interpretations.output_result import OutputReading, OutputReadings, TokenList, TokenWeight
from interpreto.concepts.interpretations.token_names import TokenNames
from interpreto.concepts.interpretations.top_k_inputs import TopKInputs
from interpreto.errors import InputError, check_count
from interpreto.model_wrapping.hooks import untouched
from interpreto.model_wrapping.unembedding import Unembedding


@final
@dataclass(frozen=True, eq=False)
class VocabProj:
    """The tokens that a concept's direction `D_i` raises and lowers: the largest and smallest of `W_U LN_f(D_i)`.

    `LN_f` is all that the model does between its last block and its output head, run by the model itself: the final
    norm, and BERT's transform, OPT's projection or T5's scaling where they stand there. The head's bias is left out: it
    is the same for all concepts. Reads the direct path from the split point to the output alone, without the blocks
    between them, so it says more about late layers than about early ones. No text is needed.

    Cost: one product with the head's weight, a part of the concepts and of the vocabulary at a time.

    Args:
        concept_explainer: Fitted concepts of a model with a vocabulary, on its residual stream.
        k: How many tokens to raise and to lower.
        final_norm: Whether what stands before the head is applied; without it `W_U D_i`, which ignores the norm's
            weights and, for a norm that centres, the part of the direction that is the same in all dimensions.

    Raises:
        InputError: An option out of range.

    Reference: Gur-Arieh et al. (2025), Enhancing automated interpretability with output-centric feature descriptions,
        section 3.1, arXiv:2501.08319; nostalgebraist (2020), Interpreting GPT: the logit lens.

    >>> from interpreto.concepts import NeuronsAsConcepts
    >>> from interpreto.demo import load
    >>> from interpreto.model_wrapping import ModelWithSplitPoints
    >>> model, tokenizer = load("stories")
    >>> concepts = NeuronsAsConcepts(ModelWithSplitPoints(model, split_points=-1, tokenizer=tokenizer))
    >>> VocabProj(concepts, k=3).interpret([0, 1])
    OutputReadings({0: 'new, big, real', 1: 'rode, ling, go'})
    """

    concept_explainer: ConceptExplainer
    _: KW_ONLY
    k: int = 50
    final_norm: bool = True

    def __post_init__(self) -> None:
        TopKInputs(self.concept_explainer)  # refuses what has no concepts
        check_count("k", self.k, 1)

    def interpret(self, concepts_indices: Any = "all") -> OutputReadings:
        """The tokens of concepts: lists `"raised"` and `"lowered"`.

        Args:
            concepts_indices: `"all"`, the number of a concept, or several.

        Raises:
            InputError: No such concept, or directions of another width than the residual stream.
            ModelError: A model without vocabulary.
            NotFittedError: Nothing was learned yet.
        """
        texts = TopKInputs(self.concept_explainer)
        concepts, split = texts.concepts(concepts_indices), texts.split
        unembedding = Unembedding(split.traits)
        directions = self.concept_explainer.dictionary.detach()[concepts]
        k = min(self.k, unembedding.nb_tokens)
        with untouched(split.model), torch.no_grad():
            values, ids, low, low_ids = unembedding.extremes(self._entering(unembedding, directions), k)
        names = TokenNames(split.tokenizer)
        readings = tuple(
            OutputReading(concept, (named(names, "raised", *most), named(names, "lowered", *least)))
            for concept, most, least in zip(
                concepts,
                zip(values.tolist(), ids.tolist(), strict=True),
                zip(low.tolist(), low_ids.tolist(), strict=True),
                strict=True,
            )
        )
        return OutputReadings(readings, type(self).__name__, self.settings())

    def _entering(self, unembedding: Unembedding, directions: Float[Tensor, "c d"]) -> Float[Tensor, "c e"]:
        """What enters the head in the place of hidden states."""
        unembedding.check(self.concept_explainer.point, directions.shape[1])
        if self.final_norm:
            return torch.cat([unembedding.normed(part) for part in torch.split(directions, _AT_ONCE)])
        if directions.shape[1] != unembedding.head.in_features:
            raise InputError(
                f"final_norm: expected directions as wide as the output head ({unembedding.head.in_features}) where "
                f"nothing stands between them, got {directions.shape[1]}; leave it True"
            )
        return directions.float()

    def settings(self) -> dict[str, Any]:
        """The options, as plain values."""
        return {
            "concepts": type(self.concept_explainer).__name__,
            "split_point": self.concept_explainer.split_point_name(),
            "k": self.k,
            "final_norm": self.final_norm,
        }


_AT_ONCE = 4096


def named(
    names: TokenNames,
    name: str,
    weights: list[float],
    ids: list[int],
    errors: list[float] | None = None,
) -> TokenList:
    """Tokens and their weights as a list with readable names."""
    known = [nan] * len(ids) if errors is None else errors
    return TokenList(
        name,
        tuple(
            TokenWeight(names(token), token, weight, error if isfinite(error) else None)
            for token, weight, error in zip(ids, weights, known, strict=True)
        ),
    )
