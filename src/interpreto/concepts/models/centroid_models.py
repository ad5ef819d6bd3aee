"""Concept models whose concepts are points: the nearer a row, the larger its code."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from interpreto.concepts.concept_model import ConceptModel


@dataclass(frozen=True, eq=False)
class CentroidModel(ConceptModel, ABC):
    """Activations `z C` of codes on centroids.

    Args:
        centroids: `C`, the centres of the clusters.
    """

    centroids: Float[Tensor, "c d"]

    def decode(self, codes: Float[Tensor, "n c"]) -> Float[Tensor, "n d"]:
        """The sum of the centroids by their codes."""
        return codes @ self.centroids

    @property
    def dictionary(self) -> Float[Tensor, "c d"]:
        """The centroids."""
        return self.centroids

    def nearness(self, activations: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Minus the squared distance to each centroid, up to a number that is the same for the whole row."""
        middle = self.centroids.mean(dim=0)
        centred = self.centroids - middle
        return 2 * (activations - middle) @ centred.T - centred.square().sum(dim=1)


@final
@dataclass(frozen=True, eq=False)
class NearestCentroid(CentroidModel):
    """1 for the nearest centroid, 0 for all others."""

    encodes_differentiably: ClassVar[bool] = False

    def encode(self, activations: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """One 1 a row."""
        return one_hot(self.nearness(activations).argmax(dim=1), self.nb_concepts).to(activations)


@final
@dataclass(frozen=True, eq=False)
class SoftCentroids(CentroidModel):
    """Codes `softmax_k(-|x - C_k|^2 / temperature)`.

    Args:
        temperature: In squared units of the activations; the smaller, the nearer to one 1 a row.
    """

    temperature: Float[Tensor, ""]

    def encode(self, activations: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Shares that sum to 1."""
        return (self.nearness(activations) / self.temperature).softmax(dim=1)


@final
@dataclass(frozen=True, eq=False)
class CosineCentroids(CentroidModel):
    """Codes `max(0, cos(x, C_k))`."""

    def encode(self, activations: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Cosines, those below 0 as 0."""
        return torch.relu(normalize(activations, dim=1) @ normalize(self.centroids, dim=1).T)
