"""The auxiliary loss that brings dead concepts back."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interpreto.concepts.sparse_autoencoders.sparse_autoencoder import LinearSparseAutoencoder
from interpreto.concepts.sparse_autoencoders.sparse_codes import decoded, top_of_rows


def auxiliary_loss(
    model: LinearSparseAutoencoder,
    x: Float[Tensor, "n d"],
    error: Float[Tensor, "n d"],
    dead: Int[Tensor, " m"],
) -> Float[Tensor, ""]:
    """Error of the dead concepts' own reconstruction of what the living ones miss, `|e - z_dead D|^2 / |e|^2`.

    The `min(d / 2, dead)` strongest of them reconstruct the error, which is a constant here, without the bias; the
    loss is scaled by `min(dead / (d / 2), 1)`. It costs nothing while none is dead.

    Reference: Gao et al. (2025), Scaling and evaluating sparse autoencoders, appendix A.2, arXiv:2406.04093.
    """
    if len(dead) == 0:
        return x.new_zeros(())
    most = max(1, x.shape[1] // 2)
    missed = error.detach()
    encoder, decoder = model.encoder.index_select(0, dead), model.decoder.index_select(0, dead)
    pre = (x - model.bias) @ encoder.T + model.encoder_bias.index_select(0, dead)
    again = decoded(top_of_rows(torch.relu(pre), min(most, len(dead))), decoder)
    share = (missed - again).square().sum() / missed.square().sum().clamp(min=1e-12)
    return share * min(len(dead) / most, 1.0)
