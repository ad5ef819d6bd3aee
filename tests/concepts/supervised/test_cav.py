"""Concept activation vectors: against scikit-learn, planted directions, and every contract of concept explainers."""

import json

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from interpreto.concepts import TopKInputs
from interpreto.concepts.metrics import MSE
from interpreto.concepts.supervised import CAVConcepts, CAVKind
from interpreto.concepts.supervised.labels import held_out_rows
from interpreto.errors import InputError, NotFittedError
from interpreto.model_wrapping import TensorRows
from tests.concepts.supervised.planted import ANIMALS, BOOKS, assert_untouched, planted_rows, split_classifier, state_of

KINDS = [kind.value for kind in CAVKind]


@pytest.mark.parametrize("kind", KINDS)
def test_planted_directions_are_found(kind):
    rows, classes, directions = planted_rows(n=4000)
    concepts = CAVConcepts(None, kind=kind)
    report = concepts.fit(rows, classes == 1)
    wanted = torch.nn.functional.normalize(directions[1] - directions[0], dim=0)
    assert float(concepts.dictionary[0] @ wanted) > (
        0.96 if kind == "svm" else 0.98
    )  # it looks only at rows near the plane
    torch.testing.assert_close(concepts.dictionary.norm(dim=1), torch.ones(1))
    assert report.accuracies[0] == pytest.approx(0.9977, abs=0.005)  # of two such clouds, Phi(4 / sqrt 2)
    assert (report.n_fit, report.n_held_out) == ((3000,), (1000,))
    assert report.majorities == (0.5,)


@pytest.mark.parametrize(("kind", "peer"), [("logistic", LogisticRegression), ("svm", LinearSVC)])
def test_vectors_are_those_of_scikit_learn(kind, peer):
    rows, classes, _ = planted_rows(distance=1.0)
    concepts = CAVConcepts(None, kind=kind, strength=0.1)
    report = concepts.fit(rows, classes == 1)
    out = held_out_rows(classes, 0.25, 0)
    learned = rows[~out].double()
    centred = learned - learned.mean(dim=0)
    scale = centred.square().mean().sqrt()
    estimator = peer(C=0.1, max_iter=100_000, **({"random_state": 0} if peer is LinearSVC else {}))
    estimator.fit((centred / scale).numpy(), classes[~out].numpy())
    wanted = torch.tensor(estimator.coef_[0])
    torch.testing.assert_close(concepts.dictionary[0].double(), wanted / wanted.norm(), atol=2e-3, rtol=0)
    x = ((rows[out] - learned.mean(dim=0)) / scale).numpy()
    distances = estimator.decision_function(x) / np.linalg.norm(estimator.coef_) * float(scale)
    np.testing.assert_allclose(concepts.encode(rows[out])[:, 0].numpy(), distances, atol=5e-3)
    assert report.accuracies[0] == pytest.approx(estimator.score(x, classes[out].numpy()), abs=0.02)


def test_difference_of_means_is_what_its_name_says():
    rows, classes, _ = planted_rows()
    concepts = CAVConcepts(None, kind="difference of means")
    concepts.fit(rows, (classes == 1).tolist())
    out = held_out_rows(classes, 0.25, 0)
    one, other = rows[~out & (classes == 1)].mean(dim=0), rows[~out & (classes == 0)].mean(dim=0)
    torch.testing.assert_close(concepts.dictionary[0], torch.nn.functional.normalize(one - other, dim=0))
    ends = concepts.encode(torch.stack([one, other, (one + other) / 2]))[:, 0]
    half = float((one - other).norm()) / 2
    torch.testing.assert_close(ends, torch.tensor([half, -half, 0.0]), atol=1e-4, rtol=1e-4)


def test_codes_are_signed_distances_and_directions_come_back():
    rows, classes, _ = planted_rows(n_classes=3)
    concepts = CAVConcepts(None)
    concepts.fit(rows, classes)
    model = concepts.concept_model
    codes = concepts.encode(rows)
    torch.testing.assert_close(codes, rows @ concepts.dictionary.T - model.places)
    assert (codes.argmax(dim=1) == classes).double().mean() > 0.95
    torch.testing.assert_close(concepts.decode(concepts.encode(model.mean[None]))[0], model.mean)
    for k in range(3):
        more = concepts.decode(codes + torch.eye(3)[k]) - concepts.decode(codes)
        torch.testing.assert_close(more, concepts.dictionary[k].expand(len(rows), -1), atol=1e-5, rtol=1e-5)
    alone = CAVConcepts(None)
    alone.fit(rows, classes == 0)
    mean, v = alone.concept_model.mean, alone.dictionary[0]
    projected = mean + ((rows - mean) @ v)[:, None] * v
    torch.testing.assert_close(alone.decode(alone.encode(rows)), projected, atol=1e-4, rtol=1e-4)


def test_labels_of_every_kind_mean_the_same():
    rows, classes, _ = planted_rows(n_classes=3)
    by_number, by_name, by_table = (CAVConcepts(None) for _ in range(3))
    report = by_number.fit(rows, classes, names=["a", "b", "c"])
    assert by_name.fit(rows, [["a", "b", "c"][k] for k in classes]) == report
    assert torch.equal(by_name.dictionary, by_number.dictionary)
    found = by_table.fit(rows, torch.nn.functional.one_hot(classes).bool())
    assert found.names == ("0", "1", "2")
    assert torch.equal(by_table.dictionary, by_number.dictionary)
    assert by_number.fit({"3": TensorRows(rows)}, classes.numpy(), names=["a", "b", "c"]) == report
    assert list(report.to_pandas()["name"]) == ["a", "b", "c"]
    assert str(report).count("held-out accuracy") == 3


def test_what_is_not_there_is_not_told():
    rows, _, _ = planted_rows(n=2000)
    labels = torch.rand(2000, generator=torch.Generator().manual_seed(5)) < 0.5
    report = CAVConcepts(None).fit(rows, labels)
    assert abs(report.accuracies[0] - 0.5) < 3 * report.std_errors[0]
    assert report.std_errors[0] == pytest.approx(0.5 / 500**0.5, rel=0.01)


def test_equal_texts_and_groups_stay_on_one_side():
    rows, classes, _ = planted_rows(n=40)
    groups = torch.arange(40) // 4
    out = held_out_rows(classes, 0.25, 0, groups=groups)
    assert all(len(set(out[groups == g].tolist())) == 1 for g in range(10))
    assert 0 < int(out.sum()) < 40
    report = CAVConcepts(None).fit(rows, classes == 1, groups=groups)
    assert report.n_held_out == (int(out.sum()),)


def test_a_model_and_two_lists_of_texts_make_a_concept():
    split = split_classifier([0, 1])
    before = state_of(split.model)
    concepts = CAVConcepts(split, split_point=0)
    report = concepts.fit_examples(ANIMALS, BOOKS, name="animals")
    assert report.names == ("animals",)
    assert report.accuracies[0] > 0.8
    by_label = CAVConcepts(split, split_point=0)
    by_label.fit_texts(ANIMALS + BOOKS, [True] * len(ANIMALS) + [False] * len(BOOKS))
    assert torch.equal(by_label.dictionary, concepts.dictionary)
    rows = split.get_activations(ANIMALS + BOOKS, "cls_token")
    by_rows = CAVConcepts(split, split_point=0)
    by_rows.fit(rows, [True] * len(ANIMALS) + [False] * len(BOOKS))
    torch.testing.assert_close(by_rows.dictionary, concepts.dictionary, atol=1e-5, rtol=1e-4)
    assert_untouched(split.model, before)


def test_rows_of_tokens_are_held_out_by_text():
    split = split_classifier()
    concepts = CAVConcepts(split)
    labels = [True] * len(ANIMALS) + [False] * len(BOOKS)
    report = concepts.fit_texts(ANIMALS + BOOKS, labels, activation_granularity="token")
    counts = torch.bincount(split.get_activations(ANIMALS + BOOKS, "token").sources["0"].inputs)
    out = held_out_rows(torch.tensor(labels).long(), 0.25, 0)
    assert report.n_held_out == (int(counts[out].sum()),)
    words = [[word.startswith("d") for word in ("The", "dog", "ran")], [False, True]]
    by_row = concepts.fit_texts(["The dog ran", "A dog"] * 1, words, activation_granularity="word", names=["dog"])
    assert by_row.n_fit[0] + by_row.n_held_out[0] == 5


def test_importance_gradients_and_pictures_work_on_vectors():
    split = split_classifier()
    concepts = CAVConcepts(split)
    concepts.fit_texts(ANIMALS + BOOKS, ["animal"] * len(ANIMALS) + ["book"] * len(BOOKS))
    texts = ANIMALS[:3]
    gradients = concepts.concept_output_gradient(texts, [0, 2], "cls_token")
    assert [tuple(one.shape) for one in gradients] == [(2, 1, 2)] * 3
    neurons = torch.stack(
        [one[:, 0] for one in type_of_neurons(split).concept_output_gradient(texts, [0, 2], "cls_token")]
    )
    found = torch.stack([one[:, 0] for one in gradients])
    torch.testing.assert_close(found, neurons @ concepts.dictionary.T, atol=1e-5, rtol=1e-4)
    assert concepts.importance(texts, [0, 2], "cls_token").signed.shape == (2, 2)
    assert concepts.local_importance(texts, [0], "cls_token")[0].weights.shape == (1, 1, 2)
    rows = split.get_activations(texts, "cls_token")
    assert MSE(concepts)(rows) > 0
    reader = TopKInputs(concept_explainer=concepts, activation_granularity="cls_token")
    assert list(reader.interpret("all", texts, rows)) == [0, 1]


def type_of_neurons(split):
    from interpreto.concepts import NeuronsAsConcepts

    return NeuronsAsConcepts(split)


def test_saved_and_loaded_is_the_same_to_the_bit(tmp_path):
    split = split_classifier([0, 1])
    concepts = CAVConcepts(split, split_point=-1, kind="svm", strength=0.5, held_out=0.3, seed=4)
    concepts.fit_examples(ANIMALS, BOOKS)
    folder = concepts.save(tmp_path / "cav")
    assert sorted(path.name for path in folder.iterdir()) == ["concept_model.safetensors", "concepts.json"]
    rows = split.get_activations(ANIMALS, "cls_token")
    for again in (CAVConcepts.load(folder, split), CAVConcepts.load(folder)):
        assert torch.equal(again.encode(rows["1"]), concepts.encode(rows))
        assert torch.equal(again.decode(again.encode(rows["1"])), concepts.decode(concepts.encode(rows)))
        assert again.report == concepts.report
        assert (again.kind, again.strength, again.held_out, again.seed) == (CAVKind.SVM, 0.5, 0.3, 4)
    assert CAVConcepts.load(folder, split).point.name == "1"
    with pytest.raises(InputError, match="split_point"):
        CAVConcepts.load(folder, split_classifier(0))
    about = json.loads((folder / "concepts.json").read_text())
    for key in ("options", "report", "split_point"):
        (folder / "concepts.json").write_text(json.dumps({name: v for name, v in about.items() if name != key}))
        with pytest.raises(InputError, match="damaged"):
            CAVConcepts.load(folder)
    (folder / "concepts.json").write_text(json.dumps({**about, "explainer": "PCAConcepts"}))
    with pytest.raises(InputError, match="expected saved CAVConcepts"):
        CAVConcepts.load(folder)
    with pytest.raises(InputError, match="expected a folder with saved concepts"):
        CAVConcepts.load(tmp_path / "nothing")


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_repeats_to_the_bit(kind):
    rows, classes, _ = planted_rows(distance=1.0)
    state = torch.get_rng_state()
    one, other, third = (CAVConcepts(None, kind=kind, seed=seed) for seed in (1, 1, 2))
    assert one.fit(rows, classes == 1) == other.fit(rows, classes == 1)
    third.fit(rows, classes == 1)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one.dictionary, other.dictionary)
    assert not torch.equal(one.dictionary, third.dictionary)


def test_what_cannot_be_learned_is_refused():
    rows, classes, _ = planted_rows(n=20)
    for options, message in [
        ({"kind": "magic"}, "kind: expected one of"),
        ({"strength": 0.0}, "strength: expected a number above 0"),
        ({"held_out": 1.0}, "held_out: expected a share"),
        ({"seed": -1}, "seed: expected a whole number"),
    ]:
        with pytest.raises(InputError, match=message):
            CAVConcepts(None, **options)
    concepts = CAVConcepts(None)
    with pytest.raises(NotFittedError, match="call fit"):
        concepts.encode(rows)
    broken = rows.clone()
    broken[7, 1] = torch.nan
    for wrong, labels, message in [
        (broken, classes == 1, "NaN or infinity in row 7"),
        (rows, classes[:-1], r"labels: expected 20 \(one a row\), got 19"),
        (rows, torch.rand(20), r"labels\[0\]: expected a text"),
        (rows, [True] * 20, "at least two different"),
        (rows, [True] + [False] * 19, "some to hold out"),
        (rows, ["a", 1] * 10, "labels of one type"),
        (rows, "abc", "one a row"),
        (rows, torch.zeros(20, 2), "truth values"),
        (torch.ones(20, 4), classes == 1, "rows that differ"),
        (rows[0], classes == 1, r"floats \(n, d\)"),
    ]:
        with pytest.raises(InputError, match=message):
            concepts.fit(wrong, labels)
    with pytest.raises(InputError, match="names: expected 1 texts"):
        concepts.fit(rows, classes == 1, names=["a", "b"])
    with pytest.raises(InputError, match="expected a split model"):
        concepts.fit_examples(ANIMALS, BOOKS)
    split = split_classifier([0, 1])
    with pytest.raises(InputError, match="split_point: expected a choice"):
        CAVConcepts(split).fit_examples(ANIMALS, BOOKS)
    with pytest.raises(InputError, match="one a text"):
        CAVConcepts(split, split_point=0).fit_texts(ANIMALS, [True])
    with pytest.raises(InputError, match=r"labels\[1\]: expected"):
        CAVConcepts(split, split_point=0).fit_texts(
            ["A dog", "A cat"], [[True, False], [True]], activation_granularity="word"
        )
    with pytest.raises(InputError, match="got both"):
        CAVConcepts(split, split_point=0).fit_texts(["A dog", "A cat"], [[True, False], True])


def test_a_failed_fit_loses_nothing():
    rows, classes, _ = planted_rows()
    concepts = CAVConcepts(None)
    concepts.fit(rows, classes == 1)
    before, report = concepts.dictionary, concepts.report
    with pytest.raises(InputError):
        concepts.fit(torch.ones(400, 8), classes == 1)
    assert torch.equal(concepts.dictionary, before)
    assert concepts.report is report
