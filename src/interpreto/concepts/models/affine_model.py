"""Concept models that are affine maps both ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from jaxtyping import Float
from torch import Tensor

from interpreto.concepts.concept_model import ConceptModel


@final
@dataclass(frozen=True, eq=False)
class AffineModel(ConceptModel):
    """Codes `z = (x - mean) E^T` and activations `z D + mean`.

    Args:
        mean: What is taken off before encoding and added after decoding.
        encoder: `E`, the directions that read the codes.
        decoder: `D`, the directions that the codes stand for.
    """

    mean: Float[Tensor, " d"]
    encoder: Float[Tensor, "c d"]
    decoder: Float[Tensor, "c d"]

    def encode(self, activations: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Products with the encoder's directions."""
        return (activations - self.mean) @ self.encoder.T

    def decode(self, codes: Float[Tensor, "n c"]) -> Float[Tensor, "n d"]:
        """The mean, and the sum of the directions by their codes."""
        return codes @ self.decoder + self.mean

    @property
    def dictionary(self) -> Float[Tensor, "c d"]:
        """The decoder's directions."""
        return self.decoder
