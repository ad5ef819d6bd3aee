"""Concept models that encode by least squares on a fixed dictionary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.concepts.concept_model import ConceptModel
from interpreto.concepts.models.active_set import least_squares_codes
from interpreto.errors import InputError


@final
@dataclass(frozen=True, eq=False)
class NonnegativeModel(ConceptModel):
    """Codes `argmin_{z >= 0} |x - z D|^2`, solved for each row to the end.

    Args:
        decoder: `D`, the directions.
    """

    decoder: Float[Tensor, "c d"]

    def encode(self, activations: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """The nearest combinations without negative codes."""
        return least_squares_codes(activations, self.decoder)

    def decode(self, codes: Float[Tensor, "n c"]) -> Float[Tensor, "n d"]:
        """The sum of the directions by their codes."""
        return codes @ self.decoder

    @property
    def dictionary(self) -> Float[Tensor, "c d"]:
        """The directions."""
        return self.decoder


@final
@dataclass(frozen=True, eq=False)
class SplitModel(ConceptModel):
    """Codes `argmin_{z >= 0} |[max(x, 0), max(-x, 0)] - z [P, N]|^2`, and activations `z (P - N)`.

    Args:
        positive: `P`, what concepts have above 0.
        negative: `N`, what they have below 0, as positive numbers.
    """

    positive: Float[Tensor, "c d"]
    negative: Float[Tensor, "c d"]

    def encode(self, activations: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """The nearest combinations without negative codes, of both sides at once."""
        return least_squares_codes(sides(activations), torch.cat([self.positive, self.negative], dim=1))

    def decode(self, codes: Float[Tensor, "n c"]) -> Float[Tensor, "n d"]:
        """The sum of the directions by their codes."""
        return codes @ self.dictionary

    @property
    def dictionary(self) -> Float[Tensor, "c d"]:
        """What concepts have above 0, less what they have below."""
        return self.positive - self.negative


@final
@dataclass(frozen=True, eq=False)
class RectifiedModel(ConceptModel):
    """Codes `argmin_{z >= 0} |x - z D|^2` of activations without numbers below 0.

    Args:
        decoder: `D`, the parts, without numbers below 0.
        clip: Whether numbers below 0 are taken for 0; refused otherwise.
    """

    decoder: Float[Tensor, "c d"]
    clip: bool

    def encode(self, activations: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """The nearest combinations without negative codes.

        Raises:
            InputError: Activations below 0, unless they are clipped.
        """
        return least_squares_codes(without_negatives(activations, clip=self.clip), self.decoder)

    def decode(self, codes: Float[Tensor, "n c"]) -> Float[Tensor, "n d"]:
        """The sum of the parts by their codes."""
        return codes @ self.decoder

    @property
    def dictionary(self) -> Float[Tensor, "c d"]:
        """The parts."""
        return self.decoder


def without_negatives(activations: Float[Tensor, "n d"], *, clip: bool) -> Float[Tensor, "n d"]:
    """Activations whose numbers below 0 are clipped, or refused.

    Raises:
        InputError: Numbers below 0 that are not to be clipped.
    """
    if clip:
        return activations.clamp(min=0)
    if bool((activations < 0).any()):
        raise InputError(
            f"activations: expected none below 0, got {float(activations.min()):.4g}; split where a ReLU has passed, "
            "pass relu='clip' (drops them) or relu='split' (keeps them), or take SemiNMFConcepts"
        )
    return activations


def sides(activations: Float[Tensor, "n d"]) -> Float[Tensor, "n e"]:
    """`[max(x, 0), max(-x, 0)]`, without numbers below 0 and twice as wide."""
    return torch.cat([activations.clamp(min=0), (-activations).clamp(min=0)], dim=1)


@final
@dataclass(frozen=True, eq=False)
class LassoModel(ConceptModel):
    """Codes `argmin_z 1/2 |x - mean - z D|^2 + penalty |z|_1`, solved for each row to the end.

    Args:
        mean: What is taken off before encoding and added after decoding.
        decoder: `D`, the directions.
        penalty: Weight of the codes' sizes, in squared units of the activations.
    """

    mean: Float[Tensor, " d"]
    decoder: Float[Tensor, "c d"]
    penalty: Float[Tensor, ""]

    def encode(self, activations: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """The sparse codes."""
        return least_squares_codes(activations - self.mean, self.decoder, penalty=self.penalty, nonnegative=False)

    def decode(self, codes: Float[Tensor, "n c"]) -> Float[Tensor, "n d"]:
        """The mean, and the sum of the directions by their codes."""
        return codes @ self.decoder + self.mean

    @property
    def dictionary(self) -> Float[Tensor, "c d"]:
        """The directions."""
        return self.decoder
