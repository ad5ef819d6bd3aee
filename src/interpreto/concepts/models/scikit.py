"""Running an estimator of scikit-learn, with its warnings in this library's words."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.errors import NotConvergedWarning, warn


def fitted(estimator: Any, rows: Float[Tensor, "n d"], advice: str) -> Any:
    """An estimator after its `fit`.

    Warns:
        NotConvergedWarning: It did not converge; what it found so far is kept.

    Args:
        estimator: Of scikit-learn.
        rows: What to fit.
        advice: What to do where it does not converge.
    """
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(rows.detach().cpu().numpy())
    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning):
            warn(f"{type(estimator).__name__} did not converge: {advice}", NotConvergedWarning)
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return estimator


def tensor(array: Any, device: torch.device) -> Tensor:
    """A numpy array of an estimator as float32."""
    return torch.as_tensor(array).to(device=device, dtype=torch.float32)
