"""What the fitted sparse autoencoders share: a dictionary of unit rows, a bias, and the linear encoder of most."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
        decoder: `D`, rows of norm 1, or as long as a loaded file has them.
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
        rows, encoder_bias = self._centred(activations, self.encoder, self.encoder_bias)
        return (rows @ self.encoder.T).add_(encoder_bias)

    def some_pre_activations(
        self, activations: Float[Tensor, "n d"], concepts: Int[Tensor, " m"]
    ) -> Float[Tensor, "n m"]:
        """`p` of these concepts alone."""
        if len(concepts) == 0:  # spares the training a gradient that is 0 for all concepts
            return activations.new_zeros(len(activations), 0)
        encoder, encoder_bias = self.encoder.index_select(0, concepts), self.encoder_bias.index_select(0, concepts)
        rows, encoder_bias = self._centred(activations, encoder, encoder_bias)
        return (rows @ encoder.T).add_(encoder_bias)

    def blocks(self, activations: Float[Tensor, "n d"]) -> Iterator[Float[Tensor, "_ c"]]:
        """`p` of some rows at a time, so many that the memory of one block serves the next."""
        size = _BLOCK if activations.device.type == "cpu" else _LARGE_BLOCK
        return map(self.pre_activations, torch.split(activations, max(1, size // self.nb_concepts)))

    def chosen(
        self,
        activations: Float[Tensor, "n d"],
        choose: Callable[[Iterator[Float[Tensor, "_ c"]]], SparseCodes],
    ) -> SparseCodes:
        """`ReLU(p)` where chosen; the gradient flows through what is chosen and costs no more than that.

        Args:
            activations: The rows.
            choose: Chooses among the pre-activations, of which it gets some rows at a time.
        """
        with torch.no_grad():
            codes = choose(self.blocks(activations))
        rows, encoder_bias = self._centred(activations, self.encoder, self.encoder_bias)
        return through_chosen(rows, self.encoder, encoder_bias, codes)

    def _centred(
        self, activations: Float[Tensor, "n d"], encoder: Float[Tensor, "m d"], encoder_bias: Float[Tensor, " m"]
    ) -> tuple[Float[Tensor, "n d"], Float[Tensor, " m"]]:
        """`x - b`, and `b_enc`, through which `b` gets its gradient: rows are summed before the product, not after."""
        if torch.is_grad_enabled() and self.bias.requires_grad:
            encoder_bias = encoder_bias + encoder.detach() @ (self.bias.detach() - self.bias)
        return activations - self.bias.detach(), encoder_bias


_BLOCK = 7 << 20
"""Numbers in a block on a processor: larger memory is fetched from the system and given back every time."""
_LARGE_BLOCK = 1 << 28
