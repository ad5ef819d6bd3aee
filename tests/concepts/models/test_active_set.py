"""The solver of codes, against scipy and scikit-learn row by row."""

import numpy as np
import pytest
import torch
from scipy.optimize import nnls
from sklearn.linear_model import Lasso

from interpreto.concepts.models.active_set import least_squares_codes


def problem(n, c, d, *, positive, seed=0):
    rng = torch.Generator().manual_seed(seed)
    dictionary = torch.randn(c, d, generator=rng, dtype=torch.float64) * (1 + torch.arange(c))[:, None]
    dictionary = dictionary.abs() if positive else dictionary
    codes = torch.randn(n, c, generator=rng, dtype=torch.float64)
    return codes @ dictionary + torch.randn(n, d, generator=rng, dtype=torch.float64), dictionary


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize(("c", "d"), [(1, 4), (6, 6), (12, 20), (20, 24)])
def test_equals_scipy_row_by_row(c, d, positive):
    rows, dictionary = problem(60, c, d, positive=positive)
    rows[0], rows[1] = 0.0, -dictionary.abs().sum(dim=0)
    codes = least_squares_codes(rows, dictionary)
    expected = np.stack([nnls(dictionary.T.numpy(), row.numpy())[0] for row in rows])
    np.testing.assert_allclose(codes.numpy(), expected, atol=1e-6, rtol=1e-6)
    assert ((codes.numpy() > 0) == (expected > 0)).all()


@pytest.mark.parametrize(("c", "d"), [(6, 6), (12, 20), (20, 8)])
def test_lasso_equals_scikit_learn_row_by_row(c, d):
    rows, dictionary = problem(30, c, d, positive=False)
    penalty = 0.1 * float((rows @ dictionary.T).abs().amax(dim=1).mean())
    codes = least_squares_codes(rows, dictionary, penalty=penalty, nonnegative=False)
    lasso = Lasso(alpha=penalty / d, fit_intercept=False, tol=1e-13, max_iter=1_000_000)
    expected = np.stack([lasso.fit(dictionary.T.numpy(), row.numpy()).coef_.copy() for row in rows])
    np.testing.assert_allclose(codes.numpy(), expected, atol=1e-5)
    assert ((codes > 0) | (codes < 0)).any()
    assert (codes == 0).any()


def test_obeys_the_conditions_of_the_minimum_where_directions_depend_on_each_other():
    rows, dictionary = problem(40, 10, 6, positive=True)
    dictionary[3], dictionary[4] = dictionary[2], 0.0
    codes = least_squares_codes(rows, dictionary)
    slope = (rows - codes @ dictionary) @ dictionary.T
    scale = float((rows @ dictionary.T).abs().max())
    assert (codes >= 0).all()
    assert (codes[:, 4] == 0).all()
    assert float(slope.max()) < 1e-6 * scale
    assert float((slope * (codes > 0)).abs().max()) < 1e-6 * scale


def test_a_start_changes_nothing():
    rows, dictionary = problem(50, 12, 20, positive=True)
    codes = least_squares_codes(rows, dictionary)
    for start in (codes, torch.zeros_like(codes), torch.rand(50, 12, generator=torch.Generator().manual_seed(1))):
        torch.testing.assert_close(least_squares_codes(rows, dictionary, start=start), codes, atol=1e-10, rtol=1e-8)


def test_gradients_of_rows_and_dictionary():
    rows, dictionary = problem(5, 4, 6, positive=True)
    assert torch.autograd.gradcheck(least_squares_codes, (rows.requires_grad_(), dictionary.requires_grad_()))


def test_chunks_and_number_types(monkeypatch):
    rows, dictionary = problem(30, 4, 6, positive=True)
    codes = least_squares_codes(rows, dictionary)
    monkeypatch.setattr("interpreto.concepts.models.active_set._NUMBERS", 64)
    torch.testing.assert_close(least_squares_codes(rows, dictionary), codes)
    single = least_squares_codes(rows.float(), dictionary.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), codes, atol=1e-4, rtol=1e-4)
