"""A concept method without mathematics, for tests of everything around the methods."""

from dataclasses import dataclass

import torch
from torch import Tensor

from interpreto.concepts.concept_model import ConceptModel
from interpreto.concepts.learned import LearnedConcepts


@dataclass(frozen=True, eq=False)
class RandomModel(ConceptModel):
    """Rectified similarities to random directions."""

    directions: Tensor

    def encode(self, activations):
        return torch.relu(activations @ self.directions.T)

    def decode(self, codes):
        return codes @ self.directions

    @property
    def dictionary(self):
        return self.directions


@dataclass(eq=False)
class RandomConcepts(LearnedConcepts):
    """Random directions; learns nothing."""

    concept_model_kinds = (RandomModel,)

    def learn(self, activations, log):
        rng = torch.Generator().manual_seed(self.seed)
        directions = torch.randn(self.nb_concepts, activations.width, generator=rng)
        return RandomModel(directions / directions.norm(dim=1, keepdim=True))
