"""Rows of numbers as short text: a page that holds a million of them opens at once and reads only the rows it shows."""

from __future__ import annotations

from base64 import b64encode

import numpy as np
from jaxtyping import Float
from torch import Tensor

_HALF = 0x80  # of what the fourth byte can hold, so that cutting it off rounds


def packed(values: Float[Tensor, "r k"]) -> list[str]:
    """Each row in base64, three bytes a number: the upper ones of its float32, which hold five digits that count.

    What is no number at the end of a row is left out.

    >>> import torch
    >>> packed(torch.tensor([[1.0, -0.5, float("nan")], [0.0, float("nan"), 2.0]]))
    ['P4AAvwAA', 'AAAAf8AAQAAA']
    """
    rows = values.detach().cpu().numpy().astype(np.float32)
    bits = np.where(np.isnan(rows), np.float32(np.nan), rows).view(np.uint32)
    whole = ((bits + np.uint32(_HALF)) >> np.uint32(8)).astype(">u4").view(np.uint8).reshape(*rows.shape, 4)[..., 1:]
    known = ~np.isnan(rows)
    ends = (
        np.where(known.any(axis=1), rows.shape[1] - known[:, ::-1].argmax(axis=1), 0) if rows.size else [0] * len(rows)
    )
    return [b64encode(row[:end].tobytes()).decode() for row, end in zip(whole, ends, strict=True)]
