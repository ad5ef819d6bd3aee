"""Semi-NMF, Convex NMF and dictionary learning, held to slow loops and to the conditions of their minima."""

import numpy as np
import pytest
import torch
from scipy.optimize import nnls

from interpreto.concepts.models import ConvexNMFConcepts, DictionaryLearningConcepts, SemiNMFConcepts
from interpreto.concepts.models.clusters import centroids
from interpreto.model_wrapping import TensorRows
from tests.concepts.models import planted


def rows(n=60, d=6, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return (torch.rand(n, 4, generator=rng) ** 3) @ torch.randn(4, d, generator=rng) + 0.1 * torch.randn(
        n, d, generator=rng
    )


@pytest.mark.parametrize("method", [SemiNMFConcepts, ConvexNMFConcepts])
@pytest.mark.parametrize("seed", range(3))
def test_the_error_never_rises_and_is_that_of_the_codes(method, seed):
    x = rows(seed=seed)
    explainer = method(None, nb_concepts=3, tolerance=0.0, max_iterations=40)
    report = explainer.fit(x)
    losses = torch.tensor(report.losses)
    assert len(losses) > 3
    assert (losses.diff() <= 1e-7 * losses[:-1]).all()
    error = (x - explainer.decode(explainer.encode(x))).square().mean()
    assert float(error) == pytest.approx(report.losses[-1], rel=0.02)  # of the codes before the last directions


def test_semi_nmf_equals_a_slow_loop():
    x = rows()
    explainer = SemiNMFConcepts(None, nb_concepts=3, tolerance=0.0, max_iterations=6)
    report = explainer.fit(x)
    directions = centroids(TensorRows(x), 3, 1, 0).double().numpy()
    a = x.double().numpy()
    losses = []
    for _ in range(6):
        z = np.stack([nnls(directions.T, row)[0] for row in a])
        losses.append(((a - z @ directions) ** 2).mean())
        directions, last = np.linalg.lstsq(z, a, rcond=None)[0], directions
    np.testing.assert_allclose(report.losses, losses, rtol=2e-4)  # turns go on from each other's codes
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    assert last.shape == directions.shape
    np.testing.assert_allclose(explainer.dictionary.numpy(), directions, atol=2e-3)


def test_semi_nmf_lies_below_dings_multiplicative_updates():
    """The same start, and many updates of the paper's rule (its equation 10)."""
    x = rows(seed=1)
    explainer = SemiNMFConcepts(None, nb_concepts=3, tolerance=1e-8, max_iterations=300)
    report = explainer.fit(x)
    a = x.double().numpy()
    centres = centroids(TensorRows(x), 3, 1, 0).double().numpy()
    z = np.eye(3)[((a[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)] + 0.2
    for _ in range(300):
        d = np.linalg.lstsq(z, a, rcond=None)[0]
        cross, gram = a @ d.T, d @ d.T
        above, below = np.maximum(cross, 0), np.maximum(-cross, 0)
        z *= np.sqrt((above + z @ np.maximum(-gram, 0)) / (below + z @ np.maximum(gram, 0) + 1e-300))
    assert report.losses[-1] <= 1.02 * ((a - z @ d) ** 2).mean()


def test_convex_nmf_ends_where_no_row_would_help():
    """Each direction is the nearest point, in the cone of all rows, to where its codes pull it."""
    rng = torch.Generator().manual_seed(0)
    x = rows() + torch.randn(6, generator=rng)
    explainer = ConvexNMFConcepts(None, nb_concepts=3, tolerance=1e-10, max_iterations=1000)
    explainer.fit(x)
    a, d = x.double().numpy(), explainer.dictionary.double().numpy()
    z = explainer.encode(x).double().numpy()
    gram, products = z.T @ z, z.T @ a
    for k in range(3):
        target = d[k] + (products[k] - gram[k] @ d) / gram[k, k]
        weights, _ = nnls(a.T, target, maxiter=10_000)
        np.testing.assert_allclose(weights @ a, d[k], atol=0.01 * np.linalg.norm(d[k]))


def test_convex_nmf_is_made_of_weighted_means_of_rows():
    x = rows()
    explainer = ConvexNMFConcepts(None, nb_concepts=3)
    explainer.fit(x)
    one = np.concatenate([x.double().numpy(), np.ones((len(x), 1))], axis=1)
    for direction in explainer.dictionary.double().numpy():
        _, rest = nnls(one.T, np.append(direction, 1.0), maxiter=10_000)
        assert rest < 1e-6


def test_convex_nmf_lies_below_dings_multiplicative_updates():
    """The same data, and many updates of the paper's rules with their n x n matrix (its equations 13 and 14)."""
    x, _ = planted.of_parts(60, 8, 3, 0)
    explainer = ConvexNMFConcepts(None, nb_concepts=3)
    report = explainer.fit(x - 0.1)
    a = (x - 0.1).double().numpy()
    centres = centroids(TensorRows(x - 0.1), 3, 1, 0).double().numpy()
    z = np.eye(3)[((a[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)] + 0.2
    w = (z / z.sum(axis=0)).T
    kernel = a @ a.T
    above, below = np.maximum(kernel, 0), np.maximum(-kernel, 0)
    for _ in range(300):
        z *= np.sqrt((above @ w.T + z @ (w @ below @ w.T)) / (below @ w.T + z @ (w @ above @ w.T) + 1e-300))
        up, down = z.T @ above + z.T @ z @ w @ below, z.T @ below + z.T @ z @ w @ above
        w *= np.sqrt(up / (down + 1e-300))
    assert report.losses[-1] <= 1.02 * ((a - z @ w @ a) ** 2).mean()


@pytest.mark.parametrize("seed", range(3))
def test_the_loss_of_dictionary_learning_never_rises(seed):
    x = rows(seed=seed)
    explainer = DictionaryLearningConcepts(None, nb_concepts=8, seed=seed)
    report = explainer.fit(x)
    losses = torch.tensor(report.losses)
    assert (losses.diff() <= 1e-7 * losses[:-1]).all()
    codes, penalty = explainer.encode(x), float(explainer.concept_model.penalty)
    assert penalty == pytest.approx(0.1 * float((x - x.mean(dim=0)).square().sum(dim=1).mean().sqrt()), rel=1e-5)
    value = (x - explainer.decode(codes)).square().sum() + 2 * penalty * codes.abs().sum()
    assert float(value) / x.numel() == pytest.approx(report.losses[-1], rel=1e-3)
    assert (explainer.dictionary.norm(dim=1) <= 1 + 1e-5).all()


@pytest.mark.parametrize("method", [SemiNMFConcepts, ConvexNMFConcepts, DictionaryLearningConcepts])
def test_batches_change_nothing_but_rounding(method, monkeypatch):
    x = rows()
    whole = method(None, nb_concepts=3, max_iterations=5)
    whole.fit(x)
    monkeypatch.setattr("interpreto.concepts.models.alternating.BATCH", 17)
    if method is ConvexNMFConcepts:
        monkeypatch.setattr("interpreto.concepts.models.convex_nmf.BATCH", 17)
    parts = method(None, nb_concepts=3, max_iterations=5)
    parts.fit(x)
    torch.testing.assert_close(parts.dictionary, whole.dictionary, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("method", [SemiNMFConcepts, ConvexNMFConcepts])
def test_no_concept_stays_unused_while_something_is_left(method):
    """Many zero rows make a cluster at 0, whose direction nothing can use."""
    x, _ = planted.of_parts(200, 8, 3, 0)
    x[50:150] = 0.0
    explainer = method(None, nb_concepts=3)
    report = explainer.fit(x)
    assert report.dead_fraction == 0
    assert report.explained_variance > 0.99
