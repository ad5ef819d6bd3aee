"""Options, and what single methods refuse."""

import pytest
import torch

from interpreto.concepts.models import (
    ConvexNMFConcepts,
    DictionaryLearningConcepts,
    ICAConcepts,
    KMeansConcepts,
    NeuronsAsConcepts,
    NMFConcepts,
    PCAConcepts,
    SemiNMFConcepts,
    SparsePCAConcepts,
    SVDConcepts,
)
from interpreto.errors import InputError, NotFittedError
from interpreto.model_wrapping import ModelWithSplitPoints
from tests import tiny
from tests.concepts.models import planted


@pytest.mark.parametrize("method", [PCAConcepts, SVDConcepts, ICAConcepts])
def test_more_concepts_than_the_rank(method):
    rows, _ = planted.of_distinct_variances(50, 8, 3, 0, mean=0.0)
    with pytest.raises(InputError, match="nb_concepts: expected at most 3, the dimensions that the activations fill"):
        method(None, nb_concepts=4).fit(rows.double().float())
    with pytest.raises(InputError, match="nb_concepts: expected at most 8"):
        method(None, nb_concepts=9).fit(torch.randn(50, 8, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("method", [SparsePCAConcepts, NMFConcepts, SemiNMFConcepts, ConvexNMFConcepts])
def test_more_concepts_than_the_width(method):
    with pytest.raises(InputError, match="nb_concepts: expected at most the width 8"):
        method(None, nb_concepts=9).fit(torch.rand(50, 8, generator=torch.Generator().manual_seed(0)))


def test_more_clusters_than_different_rows():
    with pytest.raises(InputError, match="as many clusters as there are different rows"):
        KMeansConcepts(None, nb_concepts=3).fit(torch.eye(2).repeat(5, 1))


@pytest.mark.parametrize("method", [DictionaryLearningConcepts, SparsePCAConcepts])
def test_rows_that_are_all_equal(method):
    with pytest.raises(InputError, match="rows that differ"):
        method(None, nb_concepts=2).fit(torch.ones(9, 4))


def test_nmf_refuses_what_is_below_zero():
    rows, _ = planted.of_parts(100, 8, 3, 0)
    nmf = NMFConcepts(None, nb_concepts=3)
    with pytest.raises(InputError, match=r"expected none below 0, got -0\.5"):
        nmf.fit(rows - 0.5)
    nmf.fit(rows)
    with pytest.raises(InputError, match="relu='split'"):
        nmf.encode(rows - 0.5)


def test_split_keeps_what_clip_loses():
    rows, _ = planted.of_distinct_variances(200, 8, 2, 0, mean=0.0)
    split, clip = (NMFConcepts(None, nb_concepts=4, relu=relu) for relu in ("split", "clip"))
    assert split.fit(rows).explained_variance > 0.9
    assert clip.fit(rows).explained_variance < 0.7


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        (KMeansConcepts, {"codes": "hard"}, "codes: expected 'softmax'"),
        (KMeansConcepts, {"temperature": 0.0}, "temperature: expected above 0"),
        (KMeansConcepts, {"n_starts": 0}, "n_starts"),
        (ICAConcepts, {"contrast": "tanh"}, "contrast"),
        (ICAConcepts, {"max_iterations": 0}, "max_iterations"),
        (NMFConcepts, {"relu": "drop"}, "relu"),
        (NMFConcepts, {"max_iterations": 0}, "max_iterations"),
        (SparsePCAConcepts, {"sparsity": -1.0}, "sparsity"),
        (SparsePCAConcepts, {"max_iterations": 0}, "max_iterations"),
        (DictionaryLearningConcepts, {"sparsity": 0.0}, "sparsity"),
        (DictionaryLearningConcepts, {"max_iterations": 0}, "max_iterations"),
        (SemiNMFConcepts, {"max_iterations": 0}, "max_iterations"),
        (ConvexNMFConcepts, {"max_iterations": 0}, "max_iterations"),
    ],
)
def test_bad_options(method, options, message):
    with pytest.raises(InputError, match=message):
        method(None, nb_concepts=2, **options)


def test_a_sparsity_that_leaves_nothing():
    with pytest.raises(InputError, match="take a smaller one"):
        SparsePCAConcepts(None, nb_concepts=2, sparsity=100.0).fit(planted.of_clusters(50, 6, 2, 0)[0])


@pytest.mark.parametrize("method", [ICAConcepts, NMFConcepts])
def test_says_that_it_did_not_converge(method):
    rows, _ = planted.of_parts(100, 8, 4, 0)
    explainer = method(None, nb_concepts=4, max_iterations=1)
    with pytest.warns(RuntimeWarning, match="did not converge: 1 iterations; pass more max_iterations"):
        explainer.fit(rows)
    assert explainer.encode(rows).isfinite().all()


def test_large_data_goes_by_mini_batches(monkeypatch):
    monkeypatch.setattr("interpreto.concepts.models.clusters.MOST_AT_ONCE", 100)
    monkeypatch.setattr("interpreto.concepts.models.nmf._MOST_AT_ONCE", 100)
    rows, centres = planted.of_clusters(2000, 8, 4, 0)
    means = KMeansConcepts(None, nb_concepts=4)
    means.fit(rows)
    assert planted.worst_cosine(means.dictionary, centres) > 0.999
    rows, parts = planted.of_parts(2000, 12, 3, 0)
    nmf = NMFConcepts(None, nb_concepts=3)
    nmf.fit(rows)
    assert planted.worst_cosine(nmf.dictionary, parts) > 0.95


def test_codes_of_clusters():
    rows, centres = planted.of_clusters(200, 8, 4, 0)
    nearest = torch.cdist(rows.double(), centres).argmin(dim=1)
    for codes in ("softmax", "one_hot", "cosine"):
        means = KMeansConcepts(None, nb_concepts=4, codes=codes)
        means.fit(rows)
        found = means.encode(rows)
        assert (found >= 0).all()
        order = torch.cdist(means.dictionary.double(), centres).argmin(dim=1)
        assert (order[found.argmax(dim=1)] == nearest).all()
        if codes == "cosine":
            expected = torch.cosine_similarity(rows[:, None], means.dictionary[None], dim=2).clamp(min=0)
            torch.testing.assert_close(found, expected)
        else:
            torch.testing.assert_close(found.sum(dim=1), torch.ones(200))
    soft = KMeansConcepts(None, nb_concepts=4, temperature=2.0)
    soft.fit(rows)
    distances = torch.cdist(rows.double(), soft.dictionary.double()).square()
    torch.testing.assert_close(soft.encode(rows).double(), (-distances / 2).softmax(dim=1), atol=1e-4, rtol=0)


def test_the_temperature_reconstructs_no_worse_than_one_cluster_a_row():
    rows = torch.rand(300, 6, generator=torch.Generator().manual_seed(0))
    soft, hard = (KMeansConcepts(None, nb_concepts=5, codes=codes) for codes in ("softmax", "one_hot"))
    assert soft.fit(rows).explained_variance > hard.fit(rows).explained_variance


def test_neurons_take_the_width_of_the_split_point():
    split = ModelWithSplitPoints(tiny.classifier(), split_points=1, tokenizer=tiny.wordpiece())
    neurons = NeuronsAsConcepts(split)
    assert torch.equal(neurons.dictionary, torch.eye(32))
    assert neurons.concept_model.nb_concepts == 32
    activations = split.get_activations(["a dog", "the cat is sad"])
    assert torch.equal(neurons.encode(activations), activations["1"])
    assert torch.equal(neurons.decode(activations["1"]), activations["1"])


def test_neurons_without_a_model_take_the_width_of_the_first_activations():
    neurons = NeuronsAsConcepts(None)
    with pytest.raises(NotFittedError, match="width is not known"):
        neurons.decode(torch.zeros(2, 3))
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(neurons.encode(x), x)
    assert torch.equal(neurons.decode(x), x)
    with pytest.raises(InputError, match="width 3"):
        neurons.encode(torch.zeros(2, 5))
