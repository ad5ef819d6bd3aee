"""Methods find again what was planted, to 1e-3."""

import pytest
import torch

from interpreto.concepts.models import (
    ConvexNMFConcepts,
    DictionaryLearningConcepts,
    ICAConcepts,
    KMeansConcepts,
    NMFConcepts,
    PCAConcepts,
    SparsePCAConcepts,
    SVDConcepts,
)
from tests.concepts.models import planted


@pytest.mark.parametrize("seed", range(3))
def test_pca(seed):
    rows, directions = planted.of_distinct_variances(400, 16, 5, seed)
    pca = PCAConcepts(None, nb_concepts=5)
    assert pca.fit(rows).explained_variance > 1 - 1e-6
    assert planted.worst_cosine(pca.dictionary, directions, sign_free=True) > 1 - 1e-6
    largest = pca.dictionary.gather(1, pca.dictionary.abs().argmax(dim=1, keepdim=True))
    assert (largest > 0).all()
    codes = pca.encode(rows).double()
    torch.testing.assert_close(codes.mean(dim=0), torch.zeros(5).double(), atol=1e-4, rtol=0)
    torch.testing.assert_close(codes.var(dim=0, correction=0), 4.0 ** -torch.arange(5).double(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_svd(seed):
    rows, directions = planted.of_distinct_variances(400, 16, 5, seed, mean=0.0)
    svd = SVDConcepts(None, nb_concepts=5)
    svd.fit(rows)
    assert planted.worst_cosine(svd.dictionary, directions, sign_free=True) > 1 - 1e-6


def test_svd_keeps_the_mean_and_pca_takes_it_off():
    rows, directions = planted.of_distinct_variances(400, 16, 5, 0, mean=30.0)
    svd, pca = SVDConcepts(None, nb_concepts=1), PCAConcepts(None, nb_concepts=1)
    svd.fit(rows)
    pca.fit(rows)
    assert planted.worst_cosine(svd.dictionary, torch.ones(1, 16)) > 0.999
    assert planted.worst_cosine(pca.dictionary, directions[:1], sign_free=True) > 1 - 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_ica(seed):
    rows, mixing = planted.of_independent_sources(10_000, 12, 4, seed)
    ica = ICAConcepts(None, nb_concepts=4)
    ica.fit(rows)
    assert planted.worst_cosine(ica.dictionary, mixing, sign_free=True) > 1 - 1e-3
    torch.testing.assert_close(ica.encode(rows).var(dim=0), torch.ones(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(ica.decode(ica.encode(rows)), rows, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("method", [NMFConcepts, ConvexNMFConcepts])
def test_parts(method, seed):
    rows, parts = planted.of_parts(400, 16, 4, seed)
    nmf = method(None, nb_concepts=4)
    nmf.fit(rows)
    assert planted.worst_cosine(nmf.dictionary, parts) > 1 - 1e-3
    assert (nmf.encode(rows) >= 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_k_means(seed):
    rows, centres = planted.of_clusters(300, 8, 5, seed)
    means = KMeansConcepts(None, nb_concepts=5, codes="one_hot")
    means.fit(rows)
    assert planted.worst_cosine(means.dictionary, centres) > 1 - 1e-3
    distances = torch.cdist(means.dictionary.double(), centres)
    assert distances.amin(dim=1).max() < 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_sparse_pca_finds_few_neurons(seed):
    rng = torch.Generator().manual_seed(seed)
    directions = torch.zeros(3, 12, dtype=torch.float64)
    directions[0, :3], directions[1, 3:7], directions[2, 7:9] = 1.0, 1.0, 1.0
    codes = torch.randn(500, 3, generator=rng, dtype=torch.float64) * torch.tensor([1.5, 1.0, 1.2])
    rows = (codes @ directions + 0.05 * torch.randn(500, 12, generator=rng)).float()
    sparse = SparsePCAConcepts(None, nb_concepts=3, seed=seed)
    sparse.fit(rows)
    assert planted.worst_cosine(sparse.dictionary, directions, sign_free=True) > 0.995
    assert ((sparse.dictionary != 0) == (sparse.dictionary.abs() > 0.05)).all()
    assert (sparse.dictionary != 0).sum() == 9
    scaled = SparsePCAConcepts(None, nb_concepts=3, seed=seed)
    scaled.fit(rows * 100)
    torch.testing.assert_close(scaled.dictionary, sparse.dictionary, atol=1e-4, rtol=0)


@pytest.mark.parametrize("seed", range(3))
def test_dictionary_learning(seed):
    rng = torch.Generator().manual_seed(seed)
    directions = torch.nn.functional.normalize(torch.randn(12, 16, generator=rng), dim=1)
    active = torch.rand(1500, 12, generator=rng).argsort(dim=1) < 2
    sizes = torch.randn(1500, 12, generator=rng).sign() * (1 + torch.rand(1500, 12, generator=rng))
    rows = (active * sizes) @ directions + 3.0
    learned = DictionaryLearningConcepts(None, nb_concepts=12, seed=seed)
    assert learned.fit(rows).l0 == pytest.approx(2, abs=0.3)
    assert planted.worst_cosine(learned.dictionary, directions, sign_free=True) > 1 - 1e-3
    if seed == 0:
        scaled = DictionaryLearningConcepts(None, nb_concepts=12, seed=seed)
        scaled.fit(100 * rows)
        torch.testing.assert_close(scaled.dictionary, learned.dictionary, atol=1e-3, rtol=0)
