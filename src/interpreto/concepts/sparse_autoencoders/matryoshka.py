"""Sparse autoencoder whose first concepts must do without the later ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, final

from jaxtyping import Float
from torch import Tensor

from interpreto.concepts.concept_model import ConceptModel
from interpreto.concepts.sparse_autoencoders.auxiliary import auxiliary_loss
from interpreto.concepts.sparse_autoencoders.base import Parameters, SAEConcepts, check_k, linear_start
from interpreto.concepts.sparse_autoencoders.batch_top_k import BatchTopKSAE, chosen_of_batch
from interpreto.concepts.sparse_autoencoders.sparse_codes import SparseCodes, decoded
from interpreto.concepts.sparse_autoencoders.start import Start
from interpreto.concepts.sparse_autoencoders.training import Training
from interpreto.errors import InputError


@final
@dataclass(eq=False, kw_only=True)
class MatryoshkaSAEConcepts(SAEConcepts[BatchTopKSAE]):
    """Concepts of nested sparse autoencoders: the first concepts reconstruct alone, then with the next ones, and so on.

    Minimises the mean over prefixes of the dictionary of `|x - z_prefix D_prefix - b|^2 / variance`, plus
    `aux_coefficient * auxiliary loss`, with the codes of `BatchTopKSAEConcepts`. The first concepts become general and
    are not hollowed out by special ones; the price is a somewhat larger error of the whole.

    Args:
        k: Concepts a row, on average.
        prefixes: Shares of the dictionary, growing, the last one 1.
        aux_coefficient: Weight of the auxiliary loss, with which dead concepts explain what the living ones miss.

    Reference: Bussmann et al. (2025), Learning multi-level features with Matryoshka sparse autoencoders,
    arXiv:2503.17547.
    """

    k: int
    prefixes: Sequence[float] = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
    aux_coefficient: float = 1 / 32

    concept_model_kinds: ClassVar[tuple[type[ConceptModel], ...]] = (BatchTopKSAE,)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_k(self.k, self.nb_concepts)
        self.prefixes = tuple(self.prefixes)
        edges = (0.0, *self.prefixes)
        if edges[-1] != 1 or any(low >= high for low, high in pairwise(edges)):
            raise InputError(f"prefixes: expected growing shares of the dictionary up to 1, got {self.prefixes}")

    def start(self, start: Start, training: Training) -> Parameters:
        """Random directions."""
        training.buffers["threshold"] = start.middle.new_zeros(())
        return linear_start(start)

    def model(self, parameters: Parameters, training: Training) -> BatchTopKSAE:
        """The autoencoder of these parameters and the threshold."""
        return BatchTopKSAE(**parameters, threshold=training.buffers["threshold"])

    def loss(self, model: BatchTopKSAE, x: Float[Tensor, "n d"], training: Training) -> Float[Tensor, ""]:
        """Mean squared error of the prefixes, and auxiliary loss."""
        codes = chosen_of_batch(model, x, self.k, training)
        error, first, total = x - model.bias, 0, x.new_zeros(())
        for last in self.sizes:
            inside = (codes.columns >= first) & (codes.columns < last)
            error = error - decoded(SparseCodes(codes.values * inside, codes.columns, codes.starts), model.decoder)
            total, first = total + training.unexplained(error), last
        dead = training.dead
        auxiliary = auxiliary_loss(model.some_pre_activations(x, dead), model.decoder, error, dead)
        return total / len(self.sizes) + self.aux_coefficient * auxiliary

    @property
    def sizes(self) -> list[int]:
        """How many concepts each prefix has."""
        return sorted({max(1, round(share * self.nb_concepts)) for share in self.prefixes})
