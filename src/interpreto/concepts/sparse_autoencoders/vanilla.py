"""Sparse autoencoder with an L1 penalty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.concepts.concept_model import ConceptModel
from interpreto.concepts.sparse_autoencoders.base import Parameters, SAEConcepts, linear_start
from interpreto.concepts.sparse_autoencoders.sparse_autoencoder import LinearSparseAutoencoder
from interpreto.concepts.sparse_autoencoders.sparsity import check_target_l0, steered, times_active
from interpreto.concepts.sparse_autoencoders.start import Start
from interpreto.concepts.sparse_autoencoders.training import Training


@final
@dataclass(frozen=True, eq=False)
class VanillaSAE(LinearSparseAutoencoder):
    """Codes are `ReLU(p)`."""

    def encode(self, activations: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """`ReLU(p)`."""
        return torch.relu_(self.pre_activations(activations))


@final
@dataclass(eq=False, kw_only=True)
class VanillaSAEConcepts(SAEConcepts[VanillaSAE]):
    """Concepts of a sparse autoencoder with an L1 penalty.

    Minimises `(|x - z D - b|^2 + w sum_i z_i |D_i|) / variance` with `z = ReLU(p)`, where `|D_i| = 1` and the weight
    `w` is steered so that `target_l0` concepts are active in a row. The penalty makes codes too small;
    `GatedSAEConcepts` and `JumpReLUSAEConcepts` do not have that fault.

    Args:
        target_l0: Mean number of concepts in a row.

    Reference: Bricken et al. (2023), Towards monosemanticity, transformer-circuits.pub/2023/monosemantic-features;
    Huben et al. (2024), Sparse autoencoders find highly interpretable features in language models, arXiv:2309.08600.
    """

    target_l0: float

    concept_model_kinds: ClassVar[tuple[type[ConceptModel], ...]] = (VanillaSAE,)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_target_l0(self.target_l0, self.nb_concepts)

    def start(self, start: Start, training: Training) -> Parameters:
        """Random directions."""
        training.buffers["weight"] = start.first_weight
        return linear_start(start)

    def model(self, parameters: Parameters, training: Training) -> VanillaSAE:
        """The autoencoder of these parameters."""
        return VanillaSAE(**parameters)

    def loss(self, model: VanillaSAE, x: Float[Tensor, "n d"], training: Training) -> Float[Tensor, ""]:
        """Squared error and weighted sum of the codes."""
        codes = model.encode(x)
        counts = times_active(codes)
        training.saw(counts > 0, len(x))
        weight = steered(training, counts.sum() / len(x), self.target_l0)
        return training.unexplained(x - model.decode(codes)) + weight * codes.sum() / len(x) / training.variance
