"""Probes: against scikit-learn, on planted data, and against control tasks."""

import json
import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import NearestCentroid
from sklearn.neural_network import MLPClassifier
from sklearn.svm import LinearSVC

from interpreto.concepts.supervised import (
    Calibration,
    Probe,
    ProbeKind,
    ProbeModel,
    ProbeReport,
    calibration,
    control_labels,
)
from interpreto.concepts.supervised.labels import held_out_rows
from interpreto.concepts.supervised.scores import balanced_accuracy, share_with_error
from interpreto.errors import InputError
from interpreto.model_wrapping import TensorRows
from tests.concepts.supervised.planted import planted_rows

KINDS = [kind.value for kind in ProbeKind]


def scaled(rows, out):
    learned = rows[~out].double()
    return (rows.double() - learned.mean(dim=0)) / (learned - learned.mean(dim=0)).square().mean().sqrt()


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_planted_classes_are_read(kind, n_classes):
    rows, classes, _ = planted_rows(n=600, n_classes=n_classes, distance=5.0)
    fitted = Probe(kind=kind).fit(rows, classes)
    report = fitted.report
    assert report.accuracy > 0.97
    assert report.balanced_accuracy > 0.97
    assert report.majority == pytest.approx(1 / n_classes, abs=0.01)
    assert report.classes == tuple(range(n_classes))
    assert (report.n_fit, report.n_held_out) == (450, 150)
    out = held_out_rows(classes, 0.25, 0)
    right = torch.tensor(fitted.model.predict(rows)) == classes
    assert report.accuracy == float(right[out].double().mean())
    assert report.fit_accuracy == float(right[~out].double().mean())
    assert abs(report.control_accuracy - 1 / n_classes) < 0.15
    assert report.selectivity == report.accuracy - report.control_accuracy


PEERS = {
    "logistic": LogisticRegression(C=0.1, max_iter=5000),
    "svm": LinearSVC(C=0.1, max_iter=100_000, random_state=0),
    "linear": RidgeClassifier(alpha=10.0),
    "centroid": NearestCentroid(),
    "mlp": MLPClassifier((16,), alpha=10.0, solver="lbfgs", max_iter=10_000, random_state=0),
}


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kind", PEERS)
def test_predictions_are_those_of_scikit_learn(kind, n_classes):
    rows, classes, _ = planted_rows(n_classes=n_classes, distance=1.5)
    found = Probe(kind=kind, strength=0.1, hidden=16, n_controls=0).fit(rows, classes)
    out = held_out_rows(classes, 0.25, 0)
    x = scaled(rows, out).numpy()
    peer = PEERS[kind].fit(x[~out], classes[~out].numpy())
    assert found.model.predict(rows) == peer.predict(x).tolist()
    assert found.report.accuracy == pytest.approx(peer.score(x[out], classes[out].numpy()))
    if kind in ("logistic", "mlp"):
        wanted = torch.tensor(peer.predict_proba(x))
        torch.testing.assert_close(found.model.probabilities(rows), wanted, atol=1e-6, rtol=1e-5)
    if kind == "linear" and n_classes == 2:
        wanted = torch.tensor((peer.decision_function(x) + 1) / 2)
        torch.testing.assert_close(found.model.scores(rows)[:, 1], wanted, atol=1e-3, rtol=1e-3)


def test_centroid_probabilities_are_those_of_round_clouds():
    rows, classes, directions = planted_rows(n=20_000, distance=2.0)
    model = Probe(kind="centroid", n_controls=0).fit(rows, classes).model
    density = -(rows[:, None] - 3.0 - 2.0 * directions).square().sum(dim=2) / 2
    torch.testing.assert_close(model.probabilities(rows).float(), density.softmax(dim=1), atol=0.05, rtol=0)


def test_the_difference_of_means_knows_where_to_cut():
    """Of classes of different sizes the nearest centroid is not the best guess."""
    rng = torch.Generator().manual_seed(0)
    rows = torch.randn(4000, 3, generator=rng)
    classes = (torch.rand(4000, generator=rng) < 0.05).long()
    rows[:, 0] += 1.5 * classes
    kinds = ("difference of means", "centroid")
    by_mean, by_centroid = (Probe(kind=kind, n_controls=0).fit(rows, classes) for kind in kinds)
    weights = by_mean.model.weights[0]
    learned = ~held_out_rows(classes, 0.25, 0)
    difference = (rows[learned & (classes == 1)].mean(dim=0) - rows[learned & (classes == 0)].mean(dim=0)).double()
    lead = weights[1] - weights[0]
    assert float(torch.nn.functional.cosine_similarity(lead, difference, dim=0)) == pytest.approx(1, abs=1e-6)
    assert by_mean.report.accuracy >= by_mean.report.majority - 0.01 > by_centroid.report.accuracy
    assert by_centroid.report.balanced_accuracy > by_mean.report.balanced_accuracy
    assert by_mean.report.calibration.expected_error < by_centroid.report.calibration.expected_error


def test_curved_borders_need_the_hidden_layer():
    rng = torch.Generator().manual_seed(0)
    rows = torch.randn(800, 4, generator=rng)
    classes = ((rows[:, 0] * rows[:, 1]) > 0).long()
    accuracy = {kind: Probe(kind=kind, n_controls=0).fit(rows, classes).report.accuracy for kind in ("logistic", "mlp")}
    assert accuracy["mlp"] > 0.9
    assert accuracy["logistic"] < 0.65


def test_a_probe_that_learns_words_by_heart_is_not_selective():
    """40 words with a vector each: any labelling of words can be read from them, the true one no better."""
    rng = torch.Generator().manual_seed(0)
    words = torch.arange(2000) % 40
    vectors = torch.randn(40, 64, generator=rng)
    rows = vectors[words] + 0.1 * torch.randn(2000, 64, generator=rng)
    tags = (torch.rand(40, generator=rng) < 0.5).long()[words]
    by_heart = Probe(n_controls=3).fit(rows, tags, types=words).report
    assert by_heart.accuracy > 0.99
    assert by_heart.control_accuracy > 0.99
    assert abs(by_heart.selectivity) < 0.01
    # With a direction for the tag, and words that a penalised probe cannot tell, the same accuracy is selective.
    told = torch.randn(2000, 4, generator=rng) + 6 * tags[:, None] * torch.tensor([1.0, 0, 0, 0])
    selective = Probe(n_controls=3).fit(told, tags, types=words).report
    assert selective.accuracy > 0.98
    assert selective.selectivity > 0.3
    assert selective.control_std_error > 0
    assert selective.control_fit_accuracy < 0.75
    assert Probe(n_controls=0).fit(told, tags).report.selectivity is None


def test_control_labels_belong_to_types_and_are_as_frequent_as_the_true_ones():
    classes = (torch.arange(30_000) % 10 == 0).long()
    types = torch.arange(30_000) // 3
    drawn = control_labels(classes, types, 0)
    assert torch.equal(drawn.view(-1, 3)[:, 0], drawn.view(-1, 3)[:, 2])
    assert abs(float(drawn.double().mean()) - 0.1) < 4 * (0.09 / 10_000) ** 0.5
    assert torch.equal(drawn, control_labels(classes, types, 0))
    assert not torch.equal(drawn, control_labels(classes, types, 1))


def test_calibration_by_hand():
    probabilities = torch.tensor([[0.95, 0.05], [0.95, 0.05], [0.15, 0.85], [0.55, 0.45], [0.25, 0.75]]).double()
    found = calibration(probabilities, torch.tensor([0, 1, 1, 1, 1]), n_bins=5)
    assert found.counts == (0, 0, 1, 1, 3)
    assert found.accuracies == (None, None, 0.0, 1.0, pytest.approx(2 / 3))
    assert found.confidences == (None, None, pytest.approx(0.55), pytest.approx(0.75), pytest.approx(2.75 / 3))
    assert found.expected_error == pytest.approx((0.55 + 0.25 + abs(2.75 - 2)) / 5)
    assert found.largest_error == pytest.approx(0.55)
    assert Calibration.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    sure = calibration(torch.tensor([[1.0, 0.0], [0.5, 0.5]]), torch.tensor([0, 0]), n_bins=10)
    assert sure.counts == (0, 0, 0, 0, 1, 0, 0, 0, 0, 1)
    with pytest.raises(InputError, match="n_bins"):
        calibration(probabilities, torch.zeros(5, dtype=torch.long), 0)


def test_true_probabilities_are_calibrated_and_boasting_is_not():
    rng = torch.Generator().manual_seed(0)
    p = torch.rand(20_000, generator=rng).double()
    classes = (torch.rand(20_000, generator=rng) < p).long()
    assert calibration(torch.stack([1 - p, p], dim=1), classes).expected_error < 0.02
    boast = (p > 0.5).double()
    found = calibration(torch.stack([1 - boast, boast], dim=1), classes)
    assert found.expected_error == pytest.approx(0.25, abs=0.02)


def test_standard_errors_count_texts_not_tokens():
    values = torch.tensor([1.0, 1.0, 0.0, 1.0])
    assert share_with_error(values) == (0.75, pytest.approx(float(values.std()) / 2))
    many = values.repeat_interleave(50)
    assert share_with_error(many, torch.arange(200) // 50)[1] == pytest.approx(share_with_error(values)[1])
    assert math.isnan(share_with_error(values, torch.zeros(4, dtype=torch.long))[1])
    assert balanced_accuracy(torch.tensor([True, False, True]), torch.tensor([0, 0, 5])) == 0.75


def test_the_standard_error_is_the_spread_over_draws():
    """Accuracy of one fixed rule on many fresh sets, against what one of them says of itself."""
    rng = torch.Generator().manual_seed(0)
    sets = [(torch.rand(200, generator=rng) < 0.8).double() for _ in range(400)]
    means = torch.tensor([float(values.mean()) for values in sets])
    errors = torch.tensor([share_with_error(values)[1] for values in sets])
    assert float(errors.mean()) == pytest.approx(float(means.std()), rel=0.1)


def test_labels_and_rows_of_every_kind():
    rows, classes, _ = planted_rows(n=80)
    one = Probe().fit(rows, classes == 1)
    other = Probe().fit(TensorRows(rows), np.array(["n", "y"])[classes.numpy()])
    assert other.report.accuracy == one.report.accuracy
    assert one.model.predict(rows[:2]) == [False, True]
    assert other.model.predict(rows[:2]) == ["n", "y"]
    half = Probe().fit(rows.bfloat16(), classes)
    assert half.model.probabilities(rows.bfloat16()).sum(dim=1).allclose(torch.ones(80).double())
    grouped = Probe().fit(rows, classes, groups=[f"text {k // 2}" for k in range(80)], types=torch.arange(80) % 7)
    assert grouped.report.n_held_out % 2 == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_repeats_to_the_bit(kind):
    rows, classes, _ = planted_rows(n=120, distance=1.0)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    one, other = (Probe(kind=kind, seed=3).fit(rows, classes) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    assert one.report == other.report
    assert all(torch.equal(a, b) for a, b in zip(one.model.weights, other.model.weights, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded_is_the_same_to_the_bit(kind, tmp_path):
    rows, classes, _ = planted_rows(n=90, n_classes=3)
    fitted = Probe(kind=kind).fit(rows, [["a", "b", "c"][k] for k in classes])
    again = ProbeModel.load(fitted.model.save(tmp_path / "probe.safetensors"))
    assert torch.equal(again.scores(rows), fitted.model.scores(rows))
    assert (again.classes, again.link) == (fitted.model.classes, fitted.model.link)
    report = ProbeReport.from_dict(json.loads(json.dumps(fitted.report.to_dict())))
    assert report == fitted.report
    assert kind in str(report)


def test_what_cannot_be_loaded_is_refused(tmp_path):
    rows, classes, _ = planted_rows(n=40)
    fitted = Probe().fit(rows, classes)
    path = fitted.model.save(tmp_path / "probe.safetensors")
    whole = path.read_bytes()
    for broken in (whole[:-9], b"", whole.replace(b"softmax", b"hardmax"), whole.replace(b"[0, 1]", b"[null]")):
        path.write_bytes(broken)
        with pytest.raises(InputError, match="expected a saved probe"):
            ProbeModel.load(path)
    with pytest.raises(InputError, match="expected a saved probe"):
        ProbeModel.load(tmp_path / "nothing")
    data = fitted.report.to_dict()
    for change in ({"kind": "magic"}, {"accuracy": None}, {"extra": 1}, {"n_fit": "x"}, {"classes": [None]}):
        with pytest.raises((ValueError, TypeError)):
            ProbeReport.from_dict({**data, **change})


def test_what_cannot_be_probed_is_refused():
    rows, classes, _ = planted_rows(n=40)
    for options, message in [
        ({"kind": "magic"}, "kind: expected one of"),
        ({"strength": -1.0}, "strength"),
        ({"held_out": 0.0}, "held_out"),
        ({"n_controls": -1}, "n_controls"),
        ({"hidden": 0}, "hidden"),
        ({"n_bins": 0}, "n_bins"),
        ({"seed": -1}, "seed"),
    ]:
        with pytest.raises(InputError, match=message):
            Probe(**options)
    broken = rows.clone()
    broken[3, 0] = torch.nan
    for wrong, labels, options, message in [
        (broken, classes, {}, "NaN or infinity in row 3"),
        (rows, classes[1:], {}, r"labels: expected 40 \(one a row\), got 39"),
        (rows, [1] * 40, {}, "at least two different"),
        (rows, [1] + [0] * 39, {}, "some to hold out"),
        (rows, classes, {"groups": [1] * 3}, "groups: expected 40"),
        (rows, classes, {"types": [1] * 3}, "types: expected 40"),
        (rows, classes, {"groups": [1] * 40}, "some to hold out"),
        ({"0": rows}, classes, {}, "pass one split point's"),
        (torch.zeros(40, 3), classes, {}, "rows that differ"),
    ]:
        with pytest.raises(InputError, match=message):
            Probe().fit(wrong, labels, **options)
    fitted = Probe(kind="svm").fit(rows, classes)
    assert fitted.report.calibration is None
    with pytest.raises(InputError, match="has none"):
        fitted.model.probabilities(rows)
    with pytest.raises(InputError, match=r"expected \(n, 8\)"):
        fitted.model.predict(rows[:, :3])
