"""Sparse autoencoder with a gate that decides which concepts are there, apart from how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.concepts.concept_model import ConceptModel
from interpreto.concepts.sparse_autoencoders.auxiliary import auxiliary_loss
from interpreto.concepts.sparse_autoencoders.base import Parameters, SAEConcepts, linear_start
from interpreto.concepts.sparse_autoencoders.sparse_autoencoder import SparseAutoencoder
from interpreto.concepts.sparse_autoencoders.sparsity import check_target_l0, steered, times_active
from interpreto.concepts.sparse_autoencoders.start import Start
from interpreto.concepts.sparse_autoencoders.training import Training


@final
@dataclass(frozen=True, eq=False)
class GatedSAE(SparseAutoencoder):
    """Codes are `1[gate > 0] ReLU(magnitude)`, both linear in `p = (x - b) W^T`.

    Args:
        encoder: `W`, shared by both.
        gate_bias: `gate = p + gate_bias`.
        magnitude_bias: `magnitude = exp(log_magnitude) p + magnitude_bias`.
        log_magnitude: The logarithm of the factor.
    """

    encoder: Float[Tensor, "c d"]
    gate_bias: Float[Tensor, " c"]
    magnitude_bias: Float[Tensor, " c"]
    log_magnitude: Float[Tensor, " c"]

    in_units: ClassVar[tuple[str, ...]] = ("bias", "gate_bias", "magnitude_bias")

    def encode(self, activations: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Magnitudes where the gate is open; the gradient flows through them."""
        return self.gates_and_codes(activations)[1]

    def gates_and_codes(self, activations: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "n c"], Float[Tensor, "n c"]]:
        """Gates before the step, and codes."""
        p = (activations - self.bias) @ self.encoder.T
        gates = p + self.gate_bias
        return gates, torch.relu(p * self.log_magnitude.exp() + self.magnitude_bias) * (gates > 0)


@final
@dataclass(eq=False, kw_only=True)
class GatedSAEConcepts(SAEConcepts[GatedSAE]):
    """Concepts of a gated sparse autoencoder: the penalty shapes the gates only, so that codes are not made too small.

    Minimises `(|x - z D - b|^2 + w sum_i ReLU(gate_i) |D_i| + |x - ReLU(gate) D' - b'|^2) / variance`, where `D'` and
    `b'` are constants, `|D_i| = 1`, and `w` is steered so that `target_l0` concepts are active in a row; plus
    `aux_coefficient * auxiliary loss`.

    Args:
        target_l0: Mean number of concepts in a row.
        aux_coefficient: Weight of the auxiliary loss, with which dead concepts explain what the living ones miss.

    Reference: Rajamanoharan et al. (2024), Improving dictionary learning with gated sparse autoencoders, section 3,
    arXiv:2404.16014.
    """

    target_l0: float
    aux_coefficient: float = 1 / 32

    concept_model_kinds: ClassVar[tuple[type[ConceptModel], ...]] = (GatedSAE,)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_target_l0(self.target_l0, self.nb_concepts)

    def start(self, start: Start, training: Training) -> Parameters:
        """Random directions, and gates and magnitudes that are the same."""
        training.buffers["weight"] = start.first_weight
        biases = {name: start.middle.new_zeros(self.nb_concepts) for name in _PER_CONCEPT}
        linear = linear_start(start)
        return {**{name: linear[name] for name in ("decoder", "bias", "encoder")}, **biases}

    def model(self, parameters: Parameters, training: Training) -> GatedSAE:
        """The autoencoder of these parameters."""
        return GatedSAE(**parameters)

    def loss(self, model: GatedSAE, x: Float[Tensor, "n d"], training: Training) -> Float[Tensor, ""]:
        """Squared error, weighted sum of the gates, error of what the gates alone reconstruct, auxiliary loss."""
        gates, codes = model.gates_and_codes(x)
        counts = times_active(codes)
        training.saw(counts > 0, len(x))
        weight = steered(training, counts.sum() / len(x), self.target_l0)
        opened = torch.relu(gates)
        of_gates = x - opened @ model.decoder.detach() - model.bias.detach()
        error, dead = x - model.decode(codes), training.dead
        products = (x - model.bias) @ model.encoder.index_select(0, dead).T
        # A dead gate may be shut in every row: relative to the mean, some rows always pull at its direction.
        auxiliary = auxiliary_loss(products - products.mean(dim=0), model.decoder, error, dead)
        return (
            training.unexplained(error)
            + weight * opened.sum() / len(x) / training.variance
            + training.unexplained(of_gates)
            + self.aux_coefficient * auxiliary
        )


_PER_CONCEPT = ("gate_bias", "magnitude_bias", "log_magnitude")
