"""Sparse autoencoder whose directions are mixtures of data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
import torch.nn.functional as F  # noqa: N812  # what everyone calls it
from jaxtyping import Float
from torch import Generator, Tensor

from interpreto.concepts.concept_model import ConceptModel
from interpreto.concepts.sparse_autoencoders.auxiliary import auxiliary_loss
from interpreto.concepts.sparse_autoencoders.base import Parameters, SAEConcepts, check_k, linear_start
from interpreto.concepts.sparse_autoencoders.sparse_codes import decoded, top_of_rows
from interpreto.concepts.sparse_autoencoders.start import Start
from interpreto.concepts.sparse_autoencoders.top_k import TopKSAE
from interpreto.concepts.sparse_autoencoders.training import Training
from interpreto.errors import InputError, check_count


@final
@dataclass(eq=False, kw_only=True)
class ArchetypalSAEConcepts(SAEConcepts[TopKSAE]):
    """Concepts of an archetypal sparse autoencoder: each direction is a mixture of data, so seeds agree on them better.

    `D_i` is the direction of `sum_j w_ij C_j + free_i`, where `C` are k-means centroids of the activations around the
    bias, the weights `w_i` are at least 0 and sum to 1, and the free part is no longer than `relaxation` times the mean
    norm of a centroid. Codes and loss are those of `TopKSAEConcepts`. Directions may be any length here and are brought
    to norm 1, so that where centroids surround the bias on all sides every direction is within reach, and the
    centroids are a start and a pull, not a wall.

    Args:
        k: Concepts a row.
        n_points: Centroids; by default twice as many as concepts, where there are as many rows.
        relaxation: Largest norm of the free part, in mean norms of a centroid; 0 for mixtures of data alone.
        aux_coefficient: Weight of the auxiliary loss, with which dead concepts explain what the living ones miss.

    Reference: Fel et al. (2025), Archetypal SAE: adaptive and stable dictionary learning for concept extraction in
    large vision models, section 4, arXiv:2502.12892.
    """

    k: int
    n_points: int | None = None
    relaxation: float = 0.1
    aux_coefficient: float = 1 / 32

    concept_model_kinds: ClassVar[tuple[type[ConceptModel], ...]] = (TopKSAE,)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_k(self.k, self.nb_concepts)
        if self.n_points is not None:
            check_count("n_points", self.n_points, 1)
        if self.relaxation < 0:
            raise InputError(f"relaxation: expected a number at or above 0, got {self.relaxation}")

    def start(self, start: Start, training: Training) -> Parameters:
        """Each direction at a centroid of its own, as far as there are enough."""
        around = start.rows - start.middle
        points = centroids(around, min(self.n_points or 2 * self.nb_concepts, len(around)), seed=start.seed)
        training.buffers["points"] = points
        training.buffers["longest"] = self.relaxation * points.norm(dim=1).mean()
        weights = F.one_hot(torch.arange(self.nb_concepts, device=points.device) % len(points), len(points)).float()
        free = 1e-3 * points.norm(dim=1).mean() * start.directions * (self.relaxation > 0)
        directions = F.normalize(weights @ points + free)
        linear = linear_start(start)
        return {
            "weights": weights,
            "free": free,
            "bias": linear["bias"],
            "encoder": directions.clone(),
            "encoder_bias": linear["encoder_bias"],
        }

    def model(self, parameters: Parameters, training: Training) -> TopKSAE:
        """The autoencoder with the directions of the mixtures."""
        mixtures = parameters["weights"] @ training.buffers["points"] + parameters["free"]
        others = {name: parameters[name] for name in ("bias", "encoder", "encoder_bias")}
        return TopKSAE(decoder=F.normalize(mixtures), **others, k=self.k)

    def constrain(self, parameters: Parameters, training: Training) -> None:
        """Weights at least 0 with sum 1, and a short free part."""
        weights, free = parameters["weights"], parameters["free"]
        weights.clamp_(min=0)
        weights /= weights.sum(dim=1, keepdim=True).clamp(min=1e-12)
        free *= (training.buffers["longest"] / free.norm(dim=1, keepdim=True).clamp(min=1e-12)).clamp(max=1)

    def loss(self, model: TopKSAE, x: Float[Tensor, "n d"], training: Training) -> Float[Tensor, ""]:
        """Squared error and auxiliary loss."""
        codes = model.chosen(x, lambda blocks: top_of_rows(blocks, self.k))
        training.saw(codes.columns, len(x))
        error = x - model.bias - decoded(codes, model.decoder)
        dead = training.dead
        auxiliary = auxiliary_loss(model.some_pre_activations(x, dead), model.decoder, error, dead)
        return training.unexplained(error) + self.aux_coefficient * auxiliary


def centroids(rows: Float[Tensor, "n d"], n_points: int, *, seed: int, n_steps: int = 10) -> Float[Tensor, "m d"]:
    """Centres of `n_points` groups of rows, by Lloyd's steps from random rows."""
    rng = Generator().manual_seed(seed)
    points = rows[torch.randperm(len(rows), generator=rng)[:n_points].to(rows.device)].clone()
    for _ in range(n_steps):
        half = points.square().sum(dim=1) / 2
        nearest = torch.cat([(part @ points.T - half).argmax(dim=1) for part in torch.split(rows, 4096)])
        counts = torch.bincount(nearest, minlength=n_points)[:, None]
        sums = torch.zeros_like(points).index_add_(0, nearest, rows)
        points = torch.where(counts > 0, sums / counts.clamp(min=1), points)
    return points
