"""The same numbers as scikit-learn, whose own fit or transform is run here on its own terms."""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from sklearn import cluster, decomposition

from interpreto.concepts.models import (
    ICAConcepts,
    KMeansConcepts,
    NMFConcepts,
    PCAConcepts,
    SparsePCAConcepts,
    SVDConcepts,
)
from tests.concepts.models import planted


def rows(n=300, d=10, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=rng) @ torch.randn(d, d, generator=rng) + 2.0


def test_pca(monkeypatch):
    monkeypatch.setattr("interpreto.concepts.models.second_moments._BATCH", 64)  # streamed
    ours = PCAConcepts(None, nb_concepts=4)
    ours.fit(rows())
    theirs = decomposition.PCA(4).fit(rows().double().numpy())
    sign = np.sign((ours.dictionary.numpy() * theirs.components_).sum(axis=1))
    np.testing.assert_allclose(ours.dictionary.numpy(), sign[:, None] * theirs.components_, atol=1e-5)
    np.testing.assert_allclose(ours.encode(rows()).numpy(), sign * theirs.transform(rows().double().numpy()), atol=1e-4)


def test_svd():
    ours = SVDConcepts(None, nb_concepts=4)
    ours.fit(rows())
    theirs = decomposition.TruncatedSVD(4, algorithm="arpack", random_state=0).fit(rows().double().numpy())
    sign = np.sign((ours.dictionary.numpy() * theirs.components_).sum(axis=1))
    np.testing.assert_allclose(ours.dictionary.numpy(), sign[:, None] * theirs.components_, atol=1e-5)


@pytest.mark.parametrize("contrast", ["logcosh", "exp", "cube"])
def test_ica(contrast):
    x, _ = planted.of_independent_sources(5000, 8, 4, 0)
    ours = ICAConcepts(None, nb_concepts=4, contrast=contrast, tolerance=1e-9)
    ours.fit(x)
    theirs = decomposition.FastICA(4, whiten="unit-variance", fun=contrast, tol=1e-9, max_iter=1000, random_state=0)
    codes = theirs.fit_transform(x.double().numpy())
    match = codes.T @ ours.encode(x).double().numpy() / len(x)
    left, right = linear_sum_assignment(-np.abs(match))
    np.testing.assert_allclose(np.abs(match[left, right]), 1.0, atol=1e-3)
    sign = np.sign(match[left, right])
    mixing = theirs.mixing_.T[left] * sign[:, None]
    np.testing.assert_allclose(ours.dictionary.numpy()[right], mixing, atol=2e-3 * np.abs(mixing).max())


def test_k_means():
    x, _ = planted.of_clusters(300, 8, 5, 0)
    ours = KMeansConcepts(None, nb_concepts=5, codes="one_hot")
    ours.fit(x)
    theirs = cluster.KMeans(5, n_init=10, random_state=0).fit(x.numpy())
    np.testing.assert_allclose(ours.dictionary.numpy(), theirs.cluster_centers_, atol=1e-5)
    assert (ours.encode(x).argmax(dim=1).numpy() == theirs.predict(x.numpy())).all()


@pytest.mark.parametrize("relu", ["error", "clip", "split"])
def test_nmf(relu):
    x, _ = planted.of_parts(200, 12, 3, 0)
    x = x if relu == "error" else x - 0.2
    seen = {"error": x, "clip": x.clamp(min=0), "split": torch.cat([x.clamp(min=0), (-x).clamp(min=0)], dim=1)}[relu]
    ours = NMFConcepts(None, nb_concepts=3, relu=relu, max_iterations=3000, tolerance=1e-7)
    ours.fit(x)
    theirs = decomposition.NMF(3, init="nndsvda", tol=1e-7, max_iter=3000, random_state=0)
    weights = theirs.fit_transform(seen.numpy())
    lengths = np.linalg.norm(theirs.components_, axis=1)
    parts = theirs.components_ / lengths[:, None]
    expected = parts[:, :12] - parts[:, 12:] if relu == "split" else parts
    np.testing.assert_allclose(ours.dictionary.numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(ours.encode(x).numpy(), weights * lengths, atol=0.02)
    np.testing.assert_allclose(ours.decode(ours.encode(x)).numpy(), ours.encode(x).numpy() @ expected, atol=1e-5)


def test_sparse_pca_encodes_as_scikit_learn():
    x = rows()
    ours = SparsePCAConcepts(None, nb_concepts=3)
    ours.fit(x)
    scaled = ((x - x.mean(dim=0)) / (x - x.mean(dim=0)).square().sum(dim=0).mean().sqrt()).double().numpy()
    theirs = decomposition.SparsePCA(3, alpha=0.1, ridge_alpha=1e-6, tol=1e-6, random_state=0).fit(scaled)
    sign = np.sign((ours.dictionary.numpy() * theirs.components_).sum(axis=1))
    np.testing.assert_allclose(ours.dictionary.numpy(), sign[:, None] * theirs.components_, atol=1e-4)
    codes = ours.encode(x).numpy() * sign
    np.testing.assert_allclose(codes, theirs.transform((x - x.mean(dim=0)).double().numpy()), atol=1e-3)
