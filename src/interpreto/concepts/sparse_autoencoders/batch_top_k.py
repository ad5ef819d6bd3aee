"""Sparse autoencoder that shares out its codes over a batch."""

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
from interpreto.concepts.sparse_autoencoders.sparse_codes import SparseCodes, decoded, top_of_batch
from interpreto.concepts.sparse_autoencoders.start import Start
from interpreto.concepts.sparse_autoencoders.training import Training


@final
@dataclass(frozen=True, eq=False)
class BatchTopKSAE(LinearSparseAutoencoder):
    """Codes are `ReLU(p)` where it is above one threshold for all concepts, else 0.

    Args:
        threshold: About the smallest code that was kept while training.
    """

    threshold: Float[Tensor, ""]

    in_units: ClassVar[tuple[str, ...]] = ("bias", "encoder_bias", "threshold")

    def encode(self, activations: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """`p 1[p > threshold]`, whatever the other rows are; the gradient flows through `p`."""
        p = torch.relu(self.pre_activations(activations))
        return p * (p > self.threshold)


def chosen_of_batch(model: BatchTopKSAE, x: Float[Tensor, "n d"], k: int, training: Training) -> SparseCodes:
    """The `n k` largest codes of a batch; the threshold follows the smallest of them."""
    codes = model.chosen(x, lambda blocks: top_of_batch(blocks, len(x), k))
    training.saw(codes.columns, len(x))
    with torch.no_grad():
        training.buffers["threshold"].lerp_(codes.values.min(), threshold_rate(training))
    return codes


def threshold_rate(training: Training) -> float:
    """Weight of the newest value in the moving average of the threshold.

    1/1000, or more where a training is short, so that the average is of its last steps: the first value counts whole.
    """
    return max(1e-3, min(0.1, 20 / training.n_steps), 1 / (training.step + 1))


@final
@dataclass(eq=False, kw_only=True)
class BatchTopKSAEConcepts(SAEConcepts[BatchTopKSAE]):
    """Concepts of a sparse autoencoder that keeps the `n k` largest codes of a batch of `n` rows.

    Minimises `|x - z D - b|^2 / variance + aux_coefficient * auxiliary loss`. Rich rows get more concepts and plain
    ones fewer, `k` on average. Once fitted, a code is kept where it is above the mean of the smallest codes kept while
    training, so that encoding a row does not depend on its neighbours.

    Args:
        k: Concepts a row, on average.
        aux_coefficient: Weight of the auxiliary loss, with which dead concepts explain what the living ones miss.

    Reference: Bussmann, Leask and Nanda (2024), BatchTopK sparse autoencoders, arXiv:2412.06410.
    """

    k: int
    aux_coefficient: float = 1 / 32

    concept_model_kinds: ClassVar[tuple[type[ConceptModel], ...]] = (BatchTopKSAE,)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_k(self.k, self.nb_concepts)

    def start(self, start: Start, training: Training) -> Parameters:
        """Random directions."""
        training.buffers["threshold"] = start.middle.new_zeros(())
        return linear_start(start)

    def model(self, parameters: Parameters, training: Training) -> BatchTopKSAE:
        """The autoencoder of these parameters and the threshold."""
        return BatchTopKSAE(**parameters, threshold=training.buffers["threshold"])

    def loss(self, model: BatchTopKSAE, x: Float[Tensor, "n d"], training: Training) -> Float[Tensor, ""]:
        """Squared error and auxiliary loss."""
        codes = chosen_of_batch(model, x, self.k, training)
        error = x - model.bias - decoded(codes, model.decoder)
        dead = training.dead
        auxiliary = auxiliary_loss(model.some_pre_activations(x, dead), model.decoder, error, dead)
        return training.unexplained(error) + self.aux_coefficient * auxiliary
