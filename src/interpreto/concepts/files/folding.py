"""What others do around an autoencoder, folded into its tensors: biases that are not subtracted, scales, norms."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.concepts.sparse_autoencoders.sparse_autoencoder import SparseAutoencoder


@dataclass(frozen=True, eq=False, kw_only=True)
class SavedAutoencoder:
    """An autoencoder of a file, and what the file tells of it.

    Args:
        model: The autoencoder, with the codes that its own library computes.
        hook: Where its activations come from, in that library's words.
        l0: Mean number of concepts in a row.
        k: Concepts a row that it was trained for.
    """

    model: SparseAutoencoder
    hook: str | None = None
    l0: float | None = None
    k: int | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class FoldedParts:
    """Tensors of `p = (x - b) W^T`, `x_hat = z D + b`, and what to add to the biases of `p`.

    Args:
        encoder: `W`.
        decoder: `D`.
        bias: `b`.
        shift: What `p` lacks.
    """

    encoder: Float[Tensor, "c d"]
    decoder: Float[Tensor, "c d"]
    bias: Float[Tensor, " d"]
    shift: Float[Tensor, " c"]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Those that every type has, by the names of this library."""
        return {"encoder": self.encoder, "decoder": self.decoder, "bias": self.bias}


def folded(
    encoder: Float[Tensor, "c d"],
    decoder: Float[Tensor, "c d"],
    bias: Float[Tensor, " d"],
    *,
    subtracted: bool,
    scale_in: float = 1.0,
    scale_out: float | None = None,
) -> FoldedParts:
    """The same autoencoder, written as this library does: rows unscaled, the bias subtracted before encoding.

    `s x W^T = (x - b / s') (s W)^T + (s / s') b W^T`: an autoencoder that does not subtract its bias is one that does,
    whose encoder bias is larger. Codes stay what they were.

    Args:
        encoder: `W`.
        decoder: `D`.
        bias: `b`, in the units of the scaled rows.
        subtracted: Whether `b` is subtracted from the scaled rows before they are encoded.
        scale_in: `s`, with which rows are multiplied before they are encoded.
        scale_out: `s'`, by which reconstructions are divided; by default the same.
    """
    out = scale_in if scale_out is None else scale_out
    products = torch.cat([rows.double() @ bias.double() for rows in torch.split(encoder, _ROWS)])
    return FoldedParts(
        encoder=_times(encoder, scale_in),
        decoder=_times(decoder, 1 / out),
        bias=_times(bias, 1 / out),
        shift=(products * (scale_in / out - float(subtracted))).float(),
    )


def with_unit_norm(
    encoder: Float[Tensor, "c d"], encoder_bias: Float[Tensor, " c"], decoder: Float[Tensor, "c d"], scale: float
) -> dict[str, Tensor]:
    """Codes multiplied by `scale` times the norm of their direction, which is divided by it; 0 stays 0."""
    norms = scale * decoder.norm(dim=1)
    divisors = norms.where(norms > 0, norms.new_ones(()))
    return {
        "encoder": encoder * norms[:, None],
        "encoder_bias": encoder_bias * norms,
        "decoder": decoder / divisors[:, None],
    }


def _times(tensor: Float[Tensor, "*shape"], factor: float) -> Float[Tensor, "*shape"]:
    """A tensor, multiplied; no copy of a large one for nothing."""
    return tensor if factor == 1 else tensor * factor


_ROWS = 4096
