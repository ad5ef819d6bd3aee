"""Sparse autoencoder whose codes jump from 0 to a threshold of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.concepts.concept_model import ConceptModel
from interpreto.concepts.sparse_autoencoders.auxiliary import auxiliary_loss
from interpreto.concepts.sparse_autoencoders.base import Parameters, SAEConcepts, linear_start
from interpreto.concepts.sparse_autoencoders.sparse_autoencoder import LinearSparseAutoencoder
from interpreto.concepts.sparse_autoencoders.sparsity import check_target_l0, steered
from interpreto.concepts.sparse_autoencoders.start import Start
from interpreto.concepts.sparse_autoencoders.training import Training, in_cache
from interpreto.errors import InputError


@final
@dataclass(frozen=True, eq=False)
class JumpReLUSAE(LinearSparseAutoencoder):
    """Codes are `p` where it is above the concept's threshold, else 0.

    Args:
        threshold: `theta >= 0`, one a concept.
    """

    threshold: Float[Tensor, " c"]

    in_units: ClassVar[tuple[str, ...]] = ("bias", "encoder_bias", "threshold")

    def encode(self, activations: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """`p 1[p > theta]`; the gradient flows through `p`."""
        p = self.pre_activations(activations)
        return p * (p > self.threshold)


def jump_relu(
    p: Float[Tensor, "n c"], threshold: Float[Tensor, " c"], width: float
) -> tuple[Float[Tensor, "n c"], Float[Tensor, " c"]]:
    """`p 1[p > theta]`, and in how many rows it is not 0, with gradients for theta where there are none.

    With `K` that is 1 on (-1/2, 1/2) and 0 elsewhere, they are `-(theta / eps) K((p - theta) / eps)` for a code and
    `-(1 / eps) K((p - theta) / eps)` for the count; the count has none for `p`.

    Args:
        p: Pre-activations.
        threshold: `theta`.
        width: `eps`.
    """
    codes, counts = _JumpReLU.apply(p, threshold, width)  # type: ignore[no-untyped-call]  # torch's own lack
    return codes, counts


class _JumpReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, p: Tensor, threshold: Tensor, width: float) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(p, threshold)
        ctx.width = width
        codes, counts = torch.empty_like(p), torch.zeros_like(threshold)
        for some, out in in_cache(p, codes):
            active = (some > threshold).to(p.dtype)
            counts += active.sum(dim=0)
            torch.mul(some, active, out=out)
        return codes, counts

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, Tensor, None]:
        (p, threshold), (to_codes, to_counts) = ctx.saved_tensors, gradients
        to_p, of_codes, of_counts = torch.empty_like(p), torch.zeros_like(threshold), torch.zeros_like(threshold)
        for some, ahead, out in in_cache(p, to_codes, to_p):
            near = ((some - threshold).abs_() < ctx.width / 2).to(p.dtype)
            of_counts += near.sum(dim=0)
            of_codes += near.mul_(ahead).sum(dim=0)
            torch.mul(ahead, some > threshold, out=out)
        return to_p, -(threshold * of_codes + to_counts * of_counts) / ctx.width, None


@final
@dataclass(eq=False, kw_only=True)
class JumpReLUSAEConcepts(SAEConcepts[JumpReLUSAE]):
    """Concepts of a sparse autoencoder whose codes jump from 0 to a learned threshold, penalised by their number.

    Minimises `(|x - z D - b|^2 + w L0) / variance + aux_coefficient * auxiliary loss` with `z = p 1[p > theta]`, where
    `w` is steered so that `target_l0` concepts are active in a row. Thresholds learn by straight-through gradients:
    from rows where `p` is within half a bandwidth of theta.

    Args:
        target_l0: Mean number of concepts in a row.
        bandwidth: `eps`, in units of `sqrt(d / target_l0)`, about the size of a code while training.
        aux_coefficient: Weight of the auxiliary loss, with which dead concepts explain what the living ones miss.

    Reference: Rajamanoharan et al. (2024), Jumping ahead: improving reconstruction fidelity with JumpReLU sparse
    autoencoders, section 3, arXiv:2407.14435.
    """

    target_l0: float
    bandwidth: float = 0.1
    aux_coefficient: float = 1 / 32

    concept_model_kinds: ClassVar[tuple[type[ConceptModel], ...]] = (JumpReLUSAE,)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_target_l0(self.target_l0, self.nb_concepts)
        if not self.bandwidth > 0:
            raise InputError(f"bandwidth: expected a number above 0, got {self.bandwidth}")

    def start(self, start: Start, training: Training) -> Parameters:
        """Random directions."""
        training.buffers["weight"] = start.first_weight
        width = self._width(start.rows)
        return {**linear_start(start), "threshold": start.middle.new_full((self.nb_concepts,), width)}

    def model(self, parameters: Parameters, training: Training) -> JumpReLUSAE:
        """The autoencoder of these parameters."""
        return JumpReLUSAE(**parameters)

    def constrain(self, parameters: Parameters, training: Training) -> None:
        """Thresholds stay at or above 0."""
        parameters["threshold"].clamp_(min=0)

    def loss(self, model: JumpReLUSAE, x: Float[Tensor, "n d"], training: Training) -> Float[Tensor, ""]:
        """Squared error, weighted number of active concepts, and auxiliary loss."""
        p, width = model.pre_activations(x), self._width(x)
        codes, counts = jump_relu(p, model.threshold, width)
        error, l0 = x - model.decode(codes), counts.sum() / len(x)
        training.saw(counts.detach() > 0, len(x))
        weight = steered(training, l0.detach(), self.target_l0)
        dead = training.dead
        auxiliary = auxiliary_loss(model.some_pre_activations(x, dead), model.decoder, error, dead)
        return training.unexplained(error) + weight * l0 / training.variance + self.aux_coefficient * auxiliary

    def _width(self, x: Float[Tensor, "n d"]) -> float:
        return float(self.bandwidth * (x.shape[1] / self.target_l0) ** 0.5)
