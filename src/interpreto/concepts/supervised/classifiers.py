"""Linear classifiers of scikit-learn, on rows brought to one scale, with its warnings in this library's words."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interpreto.errors import InputError, NotConvergedWarning, warn


@dataclass(frozen=True, eq=False)
class Scaled:
    """Rows `(x - mean) / scale`, in float64: centred, and divided by one number, so that angles stay as they are.

    Args:
        mean: Of the rows.
        scale: The root of the mean square of what is left: a classifier's penalty does not depend on the model's units.
    """

    mean: Float[Tensor, " d"]
    scale: float

    @classmethod
    def of(cls, rows: Float[Tensor, "n d"]) -> Scaled:
        """The mean and scale of rows.

        Raises:
            InputError: All rows are the same.
        """
        mean = rows.mean(dim=0)
        scale = float((rows - mean).square().mean().sqrt())
        if scale <= 1e-12 * float(mean.abs().max()):
            raise InputError("activations: expected rows that differ, got the same in every row")
        return cls(mean, scale)

    def __call__(self, rows: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Rows on this scale."""
        return (rows - self.mean) / self.scale


def fitted_classifier(
    estimator: Any, rows: Float[Tensor, "n d"], classes: Int[Tensor, " n"] | Bool[Tensor, " n"]
) -> Any:
    """A classifier of scikit-learn after its `fit`.

    Warns:
        NotConvergedWarning: It did not converge; what it found so far is kept.
    """
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(rows.numpy(), classes.numpy())
    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning):
            warn(
                f"{type(estimator).__name__} did not converge: what it found is kept; take a smaller strength, "
                "or more rows",
                NotConvergedWarning,
            )
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return estimator


def logistic(strength: float, seed: int) -> Any:
    """A logistic regression with the penalty `|w|^2 / (2 strength)`."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, max_iter=5000, random_state=seed)


def support_vectors(strength: float, seed: int) -> Any:
    """A linear support vector machine with squared hinge loss and the penalty `|w|^2 / (2 strength)`."""
    from sklearn.svm import LinearSVC

    return LinearSVC(C=strength, dual="auto", max_iter=100_000, random_state=seed)


def weights_of(estimator: Any, scaled: Scaled) -> tuple[Float[Tensor, "c d"], Float[Tensor, " c"]]:
    """A linear classifier's weights and constants, for rows as they were before scaling."""
    weights = torch.as_tensor(np.atleast_2d(estimator.coef_)).double() / scaled.scale
    constants = torch.as_tensor(np.atleast_1d(estimator.intercept_)).double()
    return weights, constants - weights @ scaled.mean
