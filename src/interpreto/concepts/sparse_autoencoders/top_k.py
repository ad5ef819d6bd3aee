"""Sparse autoencoder with the k largest codes of each row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.concepts.concept_model import ConceptModel
from interpreto.concepts.sparse_autoencoders.auxiliary import auxiliary_loss
from interpreto.concepts.sparse_autoencoders.base import Parameters, SAEConcepts, check_k, linear_start
from interpreto.concepts.sparse_autoencoders.sparse_autoencoder import LinearSparseAutoencoder
from interpreto.concepts.sparse_autoencoders.sparse_codes import decoded, largest, top_of_rows
from interpreto.concepts.sparse_autoencoders.start import Start
from interpreto.concepts.sparse_autoencoders.training import Training, in_cache


@final
@dataclass(frozen=True, eq=False)
class TopKSAE(LinearSparseAutoencoder):
    """Codes are the `k` largest of `ReLU(p)`, the others 0."""

    k: int

    def encode(self, activations: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """The `k` largest of each row; the gradient flows through them."""
        p = self.pre_activations(activations)
        values, columns = map(torch.cat, zip(*(largest(rows, self.k) for (rows,) in in_cache(p)), strict=True))
        codes = torch.zeros_like(p) if p.requires_grad else p.zero_()  # new memory takes longer than the choice
        return codes.scatter_(1, columns, torch.relu(values))


@final
@dataclass(eq=False, kw_only=True)
class TopKSAEConcepts(SAEConcepts[TopKSAE]):
    """Concepts of a sparse autoencoder that keeps the `k` largest codes of each row.

    Minimises `|x - z D - b|^2 / variance + aux_coefficient * auxiliary loss`, where the auxiliary loss has dead
    concepts explain what the living ones miss. The same number of concepts in every row, however rich it is;
    `BatchTopKSAEConcepts` lets rows differ.

    Args:
        k: Concepts a row.
        aux_coefficient: Weight of the auxiliary loss.

    Reference: Gao et al. (2025), Scaling and evaluating sparse autoencoders, section 2 and appendix A,
    arXiv:2406.04093.
    """

    k: int
    aux_coefficient: float = 1 / 32

    concept_model_kinds: ClassVar[tuple[type[ConceptModel], ...]] = (TopKSAE,)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_k(self.k, self.nb_concepts)

    def start(self, start: Start, training: Training) -> Parameters:
        """Random directions."""
        return linear_start(start)

    def model(self, parameters: Parameters, training: Training) -> TopKSAE:
        """The autoencoder of these parameters."""
        return TopKSAE(**parameters, k=self.k)

    def loss(self, model: TopKSAE, x: Float[Tensor, "n d"], training: Training) -> Float[Tensor, ""]:
        """Squared error and auxiliary loss."""
        codes = model.chosen(x, lambda blocks: top_of_rows(blocks, self.k))
        training.saw(codes.columns, len(x))
        error = x - model.bias - decoded(codes, model.decoder)
        dead = training.dead
        auxiliary = auxiliary_loss(model.some_pre_activations(x, dead), model.decoder, error, dead)
        return training.unexplained(error) + self.aux_coefficient * auxiliary
