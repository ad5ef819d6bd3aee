"""What factorisations with non-negative codes share: the turn of the codes."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.concepts.models.active_set import least_squares_codes
from interpreto.errors import InputError
from interpreto.model_wrapping import ActivationRows

BATCH = 1 << 13


class Codes:
    """The codes `Z` of all rows, solved anew on each dictionary from the codes on the last one.

    Args:
        rows: The activations `A`.
        nb_concepts: How many codes a row has.
        device: Where to solve.
    """

    def __init__(self, rows: ActivationRows, nb_concepts: int, device: torch.device) -> None:
        self._rows = rows
        self._device = device
        self._codes: list[Tensor] = []
        self._nb_concepts = nb_concepts

    def update(
        self, directions: Float[Tensor, "c d"]
    ) -> tuple[Float[Tensor, "c c"], Float[Tensor, "c d"], Float[Tensor, ""]]:
        """Solve for the codes.

        Returns:
            `Z^T Z`, `Z^T A`, and the mean squared error of `Z D`.
        """
        c, d = directions.shape
        gram, products = directions.new_zeros(c, c), directions.new_zeros(c, d)
        loss = directions.new_zeros(())
        last, self._codes = self._codes, []
        for number, batch in enumerate(self._rows.batches(BATCH)):
            x = batch.detach().to(self._device).double()
            codes = least_squares_codes(x, directions, start=last[number] if last else None)
            gram += codes.T @ codes
            products += codes.T @ x
            loss += (x - codes @ directions).square().sum()
            self._codes.append(codes)
        return gram, products, loss / (self._rows.n_rows * d)


def converged(losses: tuple[float, ...], tolerance: float) -> bool:
    """Whether the last step lowered the loss by less than this share."""
    return len(losses) > 1 and losses[-2] - losses[-1] <= tolerance * losses[-2]


def check_determined(nb_concepts: int, width: int) -> None:
    """Refuse more concepts than dimensions, which non-negative codes do not determine.

    Raises:
        InputError: There are more.
    """
    if nb_concepts > width:
        raise InputError(
            f"nb_concepts: expected at most the width {width}, as more directions with codes of 0 or more "
            f"are not determined, got {nb_concepts}; take DictionaryLearningConcepts or a sparse autoencoder"
        )
