"""Sparse autoencoder that takes one concept after another out of what is left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.concepts.concept_model import ConceptModel
from interpreto.concepts.sparse_autoencoders.base import Parameters, SAEConcepts, check_k
from interpreto.concepts.sparse_autoencoders.sparse_autoencoder import SparseAutoencoder
from interpreto.concepts.sparse_autoencoders.start import Start
from interpreto.concepts.sparse_autoencoders.training import Training

_SMALL = 1e-6


@final
@dataclass(frozen=True, eq=False)
class MatchingPursuitSAE(SparseAutoencoder):
    """`k` times: the concept nearest to what is left of the row takes its share of it.

    `r = x - b`; then `i = argmax_j r . D_j`, `a = ReLU(r . D_i)`, `z_i += a`, `r -= a D_i`, until `|r| < 1e-6 |x - b|`.
    Files of others may ask for more stops; both look at what a turn has done, so the first turn is always made.

    Args:
        k: Turns at most.
        smallest_residual: A row stops once `|r|` is below this, in the units of the activations; 0: never.
        stop_on_repeat: Whether a row stops after a turn that brought no new concept: the concept was taken before, or
            nothing was left of it.
    """

    k: int
    smallest_residual: float = 0.0
    stop_on_repeat: bool = False

    in_units: ClassVar[tuple[str, ...]] = ("bias", "smallest_residual")

    def settings(self) -> dict[str, Any]:
        """The plain fields, without stops that were not asked for."""
        stops = {"smallest_residual": self.smallest_residual, "stop_on_repeat": self.stop_on_repeat}
        return {"k": self.k, **{name: value for name, value in stops.items() if value}}

    def encode(self, activations: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """The gradient flows through the products, not through the choice."""
        amounts, columns, _ = self.pursue(activations)
        return amounts.new_zeros(len(amounts), self.nb_concepts).scatter_add(1, columns, amounts)

    def pursue(self, activations: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "n k"], Tensor, Float[Tensor, "n d"]]:
        """What was taken at each turn, from which concept, and what is left in the end.

        There are fewer turns than `k` where every row has stopped before.
        """
        left = activations - self.bias
        small = _SMALL * left.detach().norm(dim=1)
        going = torch.ones_like(small, dtype=torch.bool)
        stops = self.stop_on_repeat or self.smallest_residual > 0
        taken = going.new_zeros(len(left), self.nb_concepts if self.stop_on_repeat else 0)
        amounts, columns = [], []
        for _ in range(self.k):
            with torch.no_grad():
                best = (left @ self.decoder.T).argmax(dim=1)
                going = going & (left.norm(dim=1) > small)
            direction = self.decoder.index_select(0, best)
            amount = torch.relu((left * direction).sum(dim=1)) * going
            left = left - amount[:, None] * direction
            amounts.append(amount)
            columns.append(best)
            if stops:
                going = going & (left.detach().norm(dim=1) >= self.smallest_residual)
                if self.stop_on_repeat:
                    going = going & (amount > 0) & ~taken.gather(1, best[:, None])[:, 0]
                    taken.scatter_(1, best[:, None], value=True)
                if not going.any():
                    break
        return torch.stack(amounts, dim=1), torch.stack(columns, dim=1), left


@final
@dataclass(eq=False, kw_only=True)
class MpSAEConcepts(SAEConcepts[MatchingPursuitSAE]):
    """Concepts of a matching pursuit: each concept is chosen for what the ones before it have left.

    Minimises `|r|^2 / variance`, where `r` is what is left of a row after `k` turns; one dictionary encodes and
    decodes. Concepts that resemble each other do not disturb each other as in a linear encoder; encoding costs `k`
    times as much.

    Args:
        k: Turns, so at most as many concepts a row.

    Reference: Costa et al. (2025), From flat to hierarchical: extracting sparse representations with matching pursuit,
    section 3, arXiv:2506.03093.
    """

    k: int

    concept_model_kinds: ClassVar[tuple[type[ConceptModel], ...]] = (MatchingPursuitSAE,)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_k(self.k, self.nb_concepts)

    def start(self, start: Start, training: Training) -> Parameters:
        """Random directions."""
        return {"decoder": start.directions.clone(), "bias": start.middle.clone()}

    def model(self, parameters: Parameters, training: Training) -> MatchingPursuitSAE:
        """The autoencoder of these parameters."""
        return MatchingPursuitSAE(decoder=parameters["decoder"], bias=parameters["bias"], k=self.k)

    def loss(self, model: MatchingPursuitSAE, x: Float[Tensor, "n d"], training: Training) -> Float[Tensor, ""]:
        """Squared norm of what is left."""
        _, columns, left = model.pursue(x)
        training.saw(columns.flatten(), len(x))
        return training.unexplained(left)
