"""What the fitted sparse autoencoders share: a dictionary of unit rows, a bias, and the linear encoder of most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interpreto.concepts.concept_model import ConceptModel
from interpreto.concepts.sparse_autoencoders.sparse_codes import SparseCodes, through_chosen

Self = TypeVar("Self", bound="SparseAutoencoder")


@dataclass(frozen=True, eq=False)
class SparseAutoencoder(ConceptModel):
    """Few codes a row, decoded by `z D + b`.

    Args:
        decoder: `D`, rows of norm 1.
        bias: `b`, about where the activations lie.
    """

    decoder: Float[Tensor, "c d"]
    bias: Float[Tensor, " d"]

    in_units: ClassVar[tuple[str, ...]] = ("bias",)
    """Tensors that grow with the activations: biases and thresholds."""

    @property
    def dictionary(self) -> Float[Tensor, "c d"]:
        """The decoder's rows."""
        return self.decoder

    def decode(self, codes: Float[Tensor, "n c"]) -> Float[Tensor, "n d"]:
        """`z D + b`."""
        return codes @ self.decoder + self.bias

    def of_larger(self: Self, factor: float) -> Self:
        """The same autoencoder for activations `factor` times as large; its codes are `factor` times as large too."""
        return replace(self, **{name: getattr(self, name) * factor for name in self.in_units})


@dataclass(frozen=True, eq=False)
class LinearSparseAutoencoder(SparseAutoencoder):
    """An autoencoder whose codes come from `p = (x - b) W^T + b_enc`.

    Args:
        encoder: `W`, one row a concept.
        encoder_bias: `b_enc`.
    """

    encoder: Float[Tensor, "c d"]
    encoder_bias: Float[Tensor, " c"]

    in_units: ClassVar[tuple[str, ...]] = ("bias", "encoder_bias")

    def pre_activations(self, activations: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """`p`, before anything is set to 0."""
        return (activations - self.bias) @ self.encoder.T + self.encoder_bias

    def some_pre_activations(
        self, activations: Float[Tensor, "n d"], concepts: Int[Tensor, " m"]
    ) -> Float[Tensor, "n m"]:
        """`p` of these concepts alone."""
        encoder, encoder_bias = self.encoder.index_select(0, concepts), self.encoder_bias.index_select(0, concepts)
        return (activations - self.bias) @ encoder.T + encoder_bias

    def chosen(
        self, activations: Float[Tensor, "n d"], choose: Callable[[Float[Tensor, "n c"]], SparseCodes]
    ) -> SparseCodes:
        """`ReLU(p)` where chosen; the gradient flows through what is chosen and costs no more than that.

        Args:
            activations: The rows.
            choose: Chooses among the pre-activations.
        """
        with torch.no_grad():
            codes = choose(self.pre_activations(activations))
        return through_chosen(activations - self.bias, self.encoder, self.encoder_bias, codes)
