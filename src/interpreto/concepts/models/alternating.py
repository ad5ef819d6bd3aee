"""What factorisations by turns share: the turn of the codes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interpreto.concepts.models.active_set import least_squares_codes
from interpreto.errors import InputError
from interpreto.model_wrapping import ActivationRows

BATCH = 1 << 13


@dataclass(frozen=True, eq=False)
class Turn:
    """What directions are learned from.

    Args:
        gram: `Z^T Z`.
        products: `Z^T A`.
        loss: Mean squared error of `Z D`, and for sparse codes the penalty, twice, over as many numbers.
        scale: Mean square of `A`.
        worst: Number of the row that is furthest from its reconstruction.
    """

    gram: Float[Tensor, "c c"]
    products: Float[Tensor, "c d"]
    loss: float
    scale: float
    worst: int

    @property
    def used(self) -> Bool[Tensor, " c"]:
        """Which concepts some row uses."""
        return self.gram.diagonal() > 0

    def unused(self) -> int | None:
        """A concept that no row uses, while there is something left to explain."""
        none = (~self.used).nonzero()[:, 0]
        return int(none[0]) if len(none) and not self.exact else None

    @property
    def exact(self) -> bool:
        """Whether nothing is left to explain."""
        return self.loss <= 1e-14 * self.scale

    def ends(self, last: Turn | None, tolerance: float) -> bool:
        """Whether this is exact, or hardly better than the last turn with all concepts used."""
        slow = last is not None and last.loss - self.loss <= tolerance * last.loss
        return self.exact or (slow and bool(self.used.all()))


class Codes:
    """The codes `Z` of all rows, solved anew on each dictionary from the codes on the last one.

    Args:
        rows: The activations `A`.
        device: Where to solve.
        mean: What is taken off the activations first.
        penalty: For signed sparse codes, the weight of their sizes; codes are non-negative without it.
        exact: Whether codes are solved for to the end, or only some steps on from those of the last turn.
    """

    def __init__(
        self,
        rows: ActivationRows,
        device: torch.device,
        *,
        mean: Tensor | float = 0.0,
        penalty: float | None = None,
        exact: bool = True,
    ) -> None:
        self._rows = rows
        self._device = device
        self._mean = mean
        self._penalty = 0.0 if penalty is None else penalty
        self._nonnegative = penalty is None
        self._exact = exact
        self._codes: list[Tensor] = []

    def solve(self, directions: Float[Tensor, "c d"]) -> Turn:
        """Solve for the codes."""
        c, d = directions.shape
        gram, products = directions.new_zeros(c, c), directions.new_zeros(c, d)
        last, self._codes = self._codes, []
        errors, scale, sizes = [], 0.0, 0.0
        for number, batch in enumerate(self._rows.batches(BATCH)):
            x = batch.detach().to(self._device).double() - self._mean
            codes = least_squares_codes(
                x,
                directions,
                penalty=self._penalty,
                nonnegative=self._nonnegative,
                start=last[number] if last else None,
                exact=self._exact,
            )
            gram += codes.T @ codes
            products += codes.T @ x
            errors.append((x - codes @ directions).square().sum(dim=1))
            sizes += float(codes.abs().sum())
            scale += float(x.square().sum())
            self._codes.append(codes)
        error = torch.cat(errors)
        numbers = self._rows.n_rows * d
        loss = (float(error.sum()) + 2 * self._penalty * sizes) / numbers
        return Turn(gram, products, loss, scale / numbers, int(error.argmax()))


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
