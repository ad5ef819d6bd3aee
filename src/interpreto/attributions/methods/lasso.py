"""Sparse linear models of scores, and how well scores are foretold by them."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

_TOLERANCE = 1e-12  # of the duality gap, relative to the squared norm of the scores
_ROUNDS = 100_000
_ROUNDING = 1e-6  # what float32 makes of a constant, relative to its size


def lasso(keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"], penalty: float) -> Float[Tensor, "t g"]:
    """Sparse linear regression of scores on keep-vectors, with an intercept that is not penalised.

    Minimises `|f - b - Z phi|^2 / 2p + penalty std(f) sum_i std(z_i) |phi_i|` for each target: what is known as the
    LASSO on standardised columns, its penalty relative to the spread of the scores. Weights of elements that no row, or
    every row, keeps are 0. Solved in float64, by coordinate descent.
    """
    from sklearn.linear_model import Lasso  # not at the top: importing the package stays fast

    z, f = keep.double().numpy(), scores.double().numpy()
    of_elements, of_scores = z.std(axis=0), f.std(axis=0)
    moved = (of_elements > 0).nonzero()[0]
    varied = (of_scores > _ROUNDING * np.abs(f).max(axis=0)).nonzero()[0]
    weights = np.zeros((f.shape[1], z.shape[1]))
    if len(moved) and len(varied):
        columns = (z[:, moved] - z[:, moved].mean(axis=0)) / of_elements[moved]
        values = (f[:, varied] - f[:, varied].mean(axis=0)) / of_scores[varied]
        model = Lasso(alpha=penalty, fit_intercept=False, tol=_TOLERANCE, max_iter=_ROUNDS, random_state=0)
        found = model.fit(columns, values).coef_.reshape(len(varied), len(moved))
        weights[np.ix_(varied, moved)] = found * of_scores[varied, None] / of_elements[moved]
    return torch.from_numpy(weights)


def foretold(
    keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"], penalty: float, n_parts: int
) -> list[float | None]:
    """Of each target the rank correlation of its scores with what sparse models foretell that did not see them.

    The rows are dealt out to parts in turn, and those of each part are foretold from the rows of all others. What is
    compared leaves the intercepts out: that of the others is low where a part is high, whatever the weights say.

    Returns:
        Spearman's correlations: 0 where a model foretells no change, `None` where a score never changes.
    """
    parts = torch.arange(len(keep)) % n_parts
    centred = keep.double() - keep.double().mean(dim=0)
    guesses = torch.zeros_like(scores, dtype=torch.float64)
    for part in range(min(n_parts, len(keep))):
        out = parts == part
        guesses[out] = centred[out] @ lasso(keep[~out], scores[~out], penalty).T
    return [_rank_correlation(guess, score) for guess, score in zip(guesses.T, scores.double().T, strict=True)]


def _rank_correlation(guesses: Float[Tensor, " p"], scores: Float[Tensor, " p"]) -> float | None:
    from scipy.stats import rankdata

    if scores.std(correction=0) <= _ROUNDING * scores.abs().max():
        return None
    ranks = [rankdata(values.numpy()) for values in (guesses, scores)]
    if ranks[0].std() == 0:
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])
