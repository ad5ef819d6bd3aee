"""The auxiliary loss that brings dead concepts back."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interpreto.concepts.sparse_autoencoders.sparse_codes import largest


def auxiliary_loss(
    strengths: Float[Tensor, "n m"], decoder: Float[Tensor, "c d"], error: Float[Tensor, "n d"], dead: Int[Tensor, " m"]
) -> Float[Tensor, ""]:
    """Error of the dead concepts' own reconstruction of what the living ones miss, `|e - z_dead D|^2 / |e|^2`.

    The `min(d / 2, dead)` strongest of them reconstruct the error, which is a constant here, without the bias; the
    loss is scaled by `min(dead / (d / 2), 1)`. It costs nothing while none is dead.

    Args:
        strengths: Codes of the dead concepts, were they allowed.
        decoder: Directions of all concepts.
        error: Rows less their reconstruction.
        dead: Numbers of the dead concepts.

    Reference: Gao et al. (2025), Scaling and evaluating sparse autoencoders, appendix A.2, arXiv:2406.04093.
    """
    if len(dead) == 0:
        return error.new_zeros(())
    most, missed = max(1, error.shape[1] // 2), error.detach()
    codes = torch.relu(strengths)
    if len(dead) > most:
        least = largest(codes.detach(), most)[0].amin(dim=1, keepdim=True)
        codes = codes * (codes.detach() >= least)
    again = codes @ decoder.index_select(0, dead)
    share = (missed - again).square().sum() / missed.square().sum().clamp(min=1e-12)
    return share * min(len(dead) / most, 1.0)
