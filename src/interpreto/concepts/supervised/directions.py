"""The direction from what is not a concept to what is: the normal of a plane between two sets of rows."""

from __future__ import annotations

from enum import Enum

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interpreto.concepts.supervised.classifiers import Scaled, fitted_classifier, logistic, support_vectors, weights_of
from interpreto.errors import InputError


class CAVKind(str, Enum):
    """How the plane between a concept's rows and the others is found."""

    LOGISTIC = "logistic"
    """A logistic regression."""
    SVM = "svm"
    """A linear support vector machine, with squared hinge loss."""
    DIFFERENCE_OF_MEANS = "difference of means"
    """The plane that halves, at a right angle, the way from one mean to the other. No option, no iteration."""


def half_space(
    rows: Float[Tensor, "n d"], inside: Bool[Tensor, " n"], kind: CAVKind, strength: float = 1.0, seed: int = 0
) -> tuple[Float[Tensor, " d"], Float[Tensor, ""]]:
    """The unit normal `v` of a plane between two sets of rows, and its place `b`: `v x > b` is the concept's side.

    Args:
        rows: In float64.
        inside: Which rows have the concept.
        kind: How to find it.
        strength: How much the rows count against the penalty on the normal's length; rows are centred and brought to
            mean square 1 before.
        seed: Of the support vector machine's order of rows.

    Raises:
        InputError: All rows are the same, or the two sets cannot be told apart at all.

    >>> rows = torch.tensor([[0.0, 2.0], [0.0, 4.0], [6.0, 2.0], [6.0, 4.0]], dtype=torch.float64)
    >>> half_space(rows, torch.tensor([False, False, True, True]), CAVKind.DIFFERENCE_OF_MEANS)
    (tensor([1., 0.], dtype=torch.float64), tensor(3., dtype=torch.float64))
    """
    if kind is CAVKind.DIFFERENCE_OF_MEANS:
        one, other = rows[inside].mean(dim=0), rows[~inside].mean(dim=0)
        weights, constant = one - other, -(one - other) @ (one + other) / 2
    else:
        scaled = Scaled.of(rows)
        estimator = logistic(strength, seed) if kind is CAVKind.LOGISTIC else support_vectors(strength, seed)
        found, constants = weights_of(fitted_classifier(estimator, scaled(rows), inside), scaled)
        weights, constant = found[0], constants[0]
    length = torch.linalg.vector_norm(weights)
    if not bool(length > 0):
        raise InputError("activations: expected rows with the concept that differ from those without, got equal means")
    return weights / length, -constant / length
