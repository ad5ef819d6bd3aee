"""Rows of activations at one split point, in memory or on disk: what concept models learn from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor


class ActivationRows(ABC):
    """Rows `(n, d)` that can be read whole, or in batches without loading them all."""

    @property
    @abstractmethod
    def n_rows(self) -> int:
        """How many rows there are."""

    @property
    @abstractmethod
    def width(self) -> int:
        """How many numbers a row has."""

    @abstractmethod
    def take(self, indices: Int[Tensor, " b"]) -> Float[Tensor, "b d"]:
        """These rows, in this order, as float32."""

    def all(self) -> Float[Tensor, "n d"]:
        """Every row, in order, as float32."""
        return self.take(torch.arange(self.n_rows))

    def batches(self, size: int, *, rng: Generator | None = None) -> Iterator[Float[Tensor, "_ d"]]:
        """Every row once, in batches of `size` (the last one may be shorter), as float32.

        Args:
            size: Rows a batch.
            rng: Shuffles the rows; without it they come in order.
        """
        order = torch.arange(self.n_rows) if rng is None else torch.randperm(self.n_rows, generator=rng)
        for start in range(0, self.n_rows, size):
            yield self.take(order[start : start + size])


@dataclass(frozen=True, eq=False)
class TensorRows(ActivationRows):
    """Rows that are in memory."""

    tensor: Float[Tensor, "n d"]

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return self.tensor.shape[0]

    @property
    def width(self) -> int:
        """How many numbers a row has."""
        return self.tensor.shape[1]

    def take(self, indices: Int[Tensor, " b"]) -> Float[Tensor, "b d"]:
        """These rows, in this order, as float32."""
        return self.tensor[indices.to(self.tensor.device)].float()

    def all(self) -> Float[Tensor, "n d"]:
        """Every row, in order, as float32."""
        return self.tensor.float()
