"""Neurons as they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.concepts.base import ConceptExplainer
from interpreto.concepts.concept_model import ConceptModel
from interpreto.errors import NotFittedError


@final
@dataclass(frozen=True, eq=False)
class IdentityModel(ConceptModel):
    """Codes are the activations.

    Args:
        axes: The identity matrix.
    """

    axes: Float[Tensor, "d d"]

    def encode(self, activations: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """The activations."""
        return activations

    def decode(self, codes: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """The codes."""
        return codes

    @property
    def dictionary(self) -> Float[Tensor, "d d"]:
        """One axis per neuron."""
        return self.axes


@final
@dataclass(eq=False)
class NeuronsAsConcepts(ConceptExplainer):
    """Each neuron is a concept: `z = x`. The baseline that every learned concept should beat.

    Nothing is learned, so there is nothing to fit or save: the width is that of the split point, or without a split
    model that of the first activations. Cost: none. Neurons mean most where a non-linearity acts on each of them (the
    input of an MLP's last projection), least in a residual stream, whose axes are arbitrary.

    Reference: Dalvi et al. (2019), What is one grain of sand in the desert? Analyzing individual neurons in deep NLP
    models, arXiv:1812.09355.

    >>> NeuronsAsConcepts(None).encode(torch.tensor([[1.0, -2.0]]))
    tensor([[ 1., -2.]])
    """

    _model: IdentityModel | None = field(default=None, init=False, repr=False)

    @property
    def concept_model(self) -> ConceptModel:
        """The identity.

        Raises:
            NotFittedError: Neither a split model nor activations to take the width from.
        """
        if self._model is None:
            split_model = self.model_with_split_points
            if split_model is None:
                raise NotFittedError(
                    "NeuronsAsConcepts: the width is not known yet; call encode(activations), or pass a split model"
                )
            traits = split_model.traits
            output = ["a"] if traits.is_encoder_decoder and traits.base.can_generate() else None
            rows = self.rows(split_model.get_activations(["a"], "all_tokens", targets=output))
            self._model = IdentityModel(torch.eye(rows.width, device=traits.device))
        return self._model

    def encode(self, activations: Any) -> Float[Tensor, "n d"]:
        """The activations themselves."""
        if self._model is None and self.model_with_split_points is None:
            rows = self.rows(activations)
            self._model = IdentityModel(torch.eye(rows.width, device=rows.take(torch.arange(1)).device))
        return super().encode(activations)
