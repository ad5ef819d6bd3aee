"""Metrics of concept spaces against their definitions, the slow obvious way."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import wasserstein_distance

from interpreto.concepts import ICAConcepts, PCAConcepts, metrics
from interpreto.errors import InputError, NotFittedError
from interpreto.model_wrapping import ModelWithSplitPoints
from tests.architectures import ARCHITECTURES, SEQ2SEQ, build
from tests.concepts.simple import RandomConcepts, RandomModel
from tests.tiny import LINES, byte_bpe, classifier, language_model, wordpiece

PURE = [metrics.MSE, metrics.RelativeError, metrics.ExplainedVariance, metrics.FID, metrics.Wasserstein]
COUNTS = [metrics.Sparsity, metrics.SparsityRatio, metrics.DeadFraction]


def fitted(nb_concepts=5, width=8, seed=0):
    concepts = RandomConcepts(None, nb_concepts=nb_concepts, seed=seed)
    concepts.fit(torch.randn(10, width))
    return concepts


def identity(width, split=None):
    """Concepts that keep everything: each direction and its opposite."""
    concepts = RandomConcepts(split, nb_concepts=2 * width)
    concepts.fit(torch.ones(2 * width, width))
    concepts._concept_model = RandomModel(torch.cat([torch.eye(width), -torch.eye(width)]))
    return concepts


@pytest.fixture(scope="module")
def rows():
    return torch.randn(300, 8, generator=torch.Generator().manual_seed(3)) + 0.5


def test_figures_are_their_definitions(rows):
    concepts = fitted()
    codes = concepts.encode(rows)
    x, y = rows.double(), concepts.decode(codes).double()
    assert metrics.MSE(concepts)(rows) == pytest.approx(float(((x - y) ** 2).sum()) / (300 * 8))
    assert metrics.RelativeError(concepts)(rows) == pytest.approx(float(np.linalg.norm(x - y) / np.linalg.norm(x)))
    spread = float(((x - x.mean(dim=0)) ** 2).sum())
    assert metrics.ExplainedVariance(concepts)(rows) == pytest.approx(1 - float(((x - y) ** 2).sum()) / spread)
    assert metrics.Sparsity(concepts)(rows) == pytest.approx(float((codes > 0).sum()) / 300)
    assert metrics.SparsityRatio(concepts)(rows) == pytest.approx(float((codes > 0).float().mean()))
    s1, s2 = np.cov(x.numpy().T), np.cov(y.numpy().T)
    means = ((x.mean(dim=0) - y.mean(dim=0)) ** 2).sum()
    wanted = float(means) + np.trace(s1 + s2 - 2 * sqrtm(s1 @ s2).real)
    assert metrics.FID(concepts)(rows) == pytest.approx(wanted, rel=1e-6)
    wanted = np.mean([wasserstein_distance(x[:, d], y[:, d]) for d in range(8)])
    assert metrics.Wasserstein(concepts)(rows) == pytest.approx(wanted)


def test_pure_functions_are_the_classes(rows):
    concepts = fitted()
    y = concepts.decode(concepts.encode(rows))
    assert metrics.mean_squared_error(rows, y) == pytest.approx(metrics.MSE(concepts)(rows), rel=1e-5)
    assert metrics.relative_error(rows, y) == pytest.approx(metrics.RelativeError(concepts)(rows), rel=1e-5)
    assert metrics.explained_variance(rows, y) == pytest.approx(metrics.ExplainedVariance(concepts)(rows), rel=1e-4)
    assert metrics.active_concepts(concepts.encode(rows)) == pytest.approx(metrics.Sparsity(concepts)(rows))


@pytest.mark.parametrize("metric", [*PURE, *COUNTS], ids=lambda metric: metric.__name__)
def test_repeated_data_change_nothing(metric, rows):
    concepts = fitted()
    once, twice = metric(concepts)(rows), metric(concepts)(torch.cat([rows] * 30))
    assert once == pytest.approx(twice, rel=1e-2 if metric is metrics.FID else 1e-6)  # a covariance divides by n - 1


def test_perfect_concepts_are_perfect(rows):
    concepts = identity(8)
    figures = [metric(concepts)(rows) for metric in PURE]
    assert figures == pytest.approx([0, 0, 1, 0, 0], abs=1e-6)
    assert metrics.Sparsity(concepts)(rows) == 8
    assert metrics.SparsityRatio(concepts)(rows) == 0.5
    assert metrics.DeadFraction(concepts)(rows.abs() + 1) == 0.5
    assert metrics.Sparsity(concepts, threshold=1e9)(rows) == 0


def test_the_mean_explains_nothing(rows):
    concepts = fitted()
    concepts._concept_model = RandomModel(torch.zeros(5, 8))
    centred = rows - rows.mean(dim=0)
    assert metrics.ExplainedVariance(concepts)(centred) == pytest.approx(0, abs=1e-6)
    assert metrics.RelativeError(concepts)(rows) == 1


def test_stability_finds_the_matching():
    torch.manual_seed(0)
    base = torch.randn(20, 12, dtype=torch.float64)
    order = torch.randperm(20)
    assert metrics.matched_cosines(base, base[order] * 3).min() == pytest.approx(1)
    flipped = base[order] * torch.where(torch.rand(20, 1) < 0.5, -1.0, 1.0)
    assert metrics.matched_cosines(base, flipped, sign_free=True).min() == pytest.approx(1)
    assert metrics.matched_cosines(base, flipped).mean() < 0.9
    assert len(metrics.matched_cosines(base, base[:7])) == 7
    unit = base / base.norm(dim=1, keepdim=True)
    few, cosines = 6, unit[:6] @ unit[10:16].T
    from itertools import permutations

    best = max(sum(float(cosines[i, p[i]]) for i in range(few)) for p in permutations(range(few)))
    assert float(metrics.matched_cosines(base[:6], base[10:16]).sum()) == pytest.approx(best)


@pytest.mark.parametrize("method", [PCAConcepts, ICAConcepts])
def test_stability_is_sign_free_where_codes_have_a_sign(method):
    fits = [method(None, nb_concepts=3) for _ in range(2)]
    for one in fits:
        one.fit(torch.rand(200, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([5.0, 4, 3, 2, 1]))
    model = fits[1].concept_model
    fits[1]._concept_model = replace(model, encoder=-model.encoder, decoder=-model.decoder)
    assert metrics.Stability(fits)() == pytest.approx(1)
    assert metrics.Stability(fits, sign_free=False)() < 0.5


def test_stability_of_fits():
    same, other = [fitted(seed=0), fitted(seed=0)], [fitted(seed=0), fitted(seed=1), fitted(seed=2)]
    assert metrics.Stability(same)() == pytest.approx(1)
    pairs = [(0, 1), (0, 2), (1, 2)]
    wanted = np.mean(
        [float(metrics.matched_cosines(other[a].dictionary, other[b].dictionary).mean()) for a, b in pairs]
    )
    assert metrics.Stability(other)() == pytest.approx(wanted)
    assert metrics.Stability(other, sign_free=True)() > wanted
    with pytest.raises(InputError, match="at least two fits"):
        metrics.Stability(same[:1])()
    with pytest.raises(InputError, match="one width"):
        metrics.Stability([fitted(), fitted(width=9)])()


@pytest.mark.parametrize("granularity", ["token", "word", "sample"])
@pytest.mark.parametrize("kind", ["causal", "classes", "seq2seq"])
def test_loss_recovered_is_one_for_perfect_concepts(kind, granularity):
    targets = None
    if kind == "causal":
        split = ModelWithSplitPoints(language_model(), 0, tokenizer=byte_bpe())
    elif kind == "classes":
        split = ModelWithSplitPoints(classifier(), 0, tokenizer=wordpiece())
    else:
        split = ModelWithSplitPoints(build("t5", SEQ2SEQ), "encoder.0", tokenizer=ARCHITECTURES["t5"].tokenizer())
        targets = ["dog"] * len(LINES)
    found = metrics.LossRecovered(identity(32, split), granularity)(LINES, targets)
    assert found.recovered == pytest.approx(1, abs=1e-3)
    assert found.clean == pytest.approx(found.spliced, abs=1e-4)
    assert found.ablated != pytest.approx(found.clean, abs=1e-3)


def test_loss_recovered_by_hand():
    model, tokenizer = language_model(), byte_bpe()
    split = ModelWithSplitPoints(model, 0, tokenizer=tokenizer)
    concepts = RandomConcepts(split, nb_concepts=9)
    concepts.fit(torch.randn(20, 32))
    found = metrics.LossRecovered(concepts)(LINES)

    def loss(change):
        handle = model.transformer.h[0].register_forward_hook(
            lambda m, a, out: change(out) if isinstance(out, torch.Tensor) else (change(out[0]), *out[1:])
        )
        losses = []
        for line in LINES:
            ids = tokenizer(line, return_tensors="pt")["input_ids"]
            with torch.no_grad():
                logits = model(ids).logits[0, :-1].log_softmax(dim=-1)
            losses += (-logits[range(len(logits)), ids[0, 1:]]).tolist()
        handle.remove()
        return np.mean(losses)

    spliced = loss(lambda h: concepts.decode(concepts.encode(h[0]))[None])
    assert found.clean == pytest.approx(loss(lambda h: h), rel=1e-5)
    assert found.spliced == pytest.approx(spliced, rel=1e-5)
    assert found.ablated == pytest.approx(loss(torch.zeros_like), rel=1e-5)
    assert found.recovered == pytest.approx((found.ablated - spliced) / (found.ablated - found.clean), rel=1e-4)


def test_true_labels_are_one_a_text():
    model, tokenizer = classifier(), wordpiece()
    split = ModelWithSplitPoints(model, 0, tokenizer=tokenizer)
    labels = [0, 1, 2, 1, 0]
    with torch.no_grad():
        logits = torch.cat([model(**tokenizer(line, return_tensors="pt")).logits for line in LINES])
    wanted = float(torch.nn.functional.cross_entropy(logits, torch.tensor(labels)))
    for given in (labels, torch.tensor(labels), [[label] for label in labels]):
        assert metrics.LossRecovered(identity(32, split))(LINES, given).clean == pytest.approx(wanted, rel=1e-5)


def test_bad_input_is_refused(rows):
    with pytest.raises(NotFittedError):
        metrics.MSE(RandomConcepts(None, nb_concepts=2))(rows)
    with pytest.raises(InputError, match="width"):
        metrics.MSE(fitted())(rows[:, :4])
    with pytest.raises(InputError, match="at least one row"):
        metrics.MSE(fitted())(rows[:0])
    with pytest.raises(InputError, match="NaN"):
        metrics.MSE(fitted())(rows / 0)
    with pytest.raises(InputError, match="at least two rows"):
        metrics.FID(fitted())(rows[:1])
    with pytest.raises(InputError, match="threshold"):
        metrics.Sparsity(fitted(), threshold=-1.0)
    with pytest.raises(InputError, match="split model"):
        metrics.LossRecovered(fitted())(LINES)
