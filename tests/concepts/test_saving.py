"""Saved concepts: bit-equal when loaded, whole or refused."""

import json

import pytest
import torch

from interpreto.concepts import PCAConcepts
from interpreto.errors import InputError, NotFittedError, StoreError
from interpreto.model_wrapping import ModelWithSplitPoints
from tests.concepts.simple import RandomConcepts
from tests.tiny import LINES, classifier, wordpiece


class OtherConcepts(RandomConcepts):
    pass


@pytest.fixture
def split():
    return ModelWithSplitPoints(classifier(), [0, 1], tokenizer=wordpiece())


@pytest.fixture
def concepts(split):
    found = RandomConcepts(split, nb_concepts=4, split_point=-1, seed=3)
    found.fit(split.get_activations(LINES))
    return found


def test_loaded_concepts_are_the_same(concepts, split, tmp_path):
    folder = concepts.save(tmp_path / "a" / "b")
    rows = split.get_activations(LINES)
    for again in (RandomConcepts.load(folder, split), RandomConcepts.load(folder)):
        assert torch.equal(again.encode(rows["1"]), concepts.encode(rows["1"]))
        assert (again.nb_concepts, again.seed) == (4, 3)
        assert again.report == concepts.report
    assert torch.equal(RandomConcepts.load(folder, split).encode(rows), concepts.encode(rows))
    assert sorted(path.name for path in folder.iterdir()) == ["concept_model.safetensors", "concepts.json"]


def test_a_failed_save_keeps_what_was_there(concepts, tmp_path, monkeypatch):
    from interpreto.concepts import tensor_folder

    folder = concepts.save(tmp_path / "c")

    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tensor_folder, "save_file", full)
    with pytest.raises(StoreError, match="No space left"):
        concepts.save(folder)
    assert torch.equal(RandomConcepts.load(folder).dictionary, concepts.dictionary)
    assert not list(folder.glob("*.part"))


def test_what_cannot_be_loaded_is_refused(concepts, split, tmp_path):
    folder = concepts.save(tmp_path / "c")
    with pytest.raises(InputError, match="expected a folder with saved concepts"):
        RandomConcepts.load(tmp_path / "nothing")
    with pytest.raises(InputError, match="expected saved OtherConcepts, got RandomConcepts"):
        OtherConcepts.load(folder)
    with pytest.raises(InputError, match=r"split_point: expected one of \['0'\]"):
        RandomConcepts.load(folder, ModelWithSplitPoints(split.model, 0, tokenizer=wordpiece()))
    about = json.loads((folder / "concepts.json").read_text())
    (folder / "concepts.json").write_text(json.dumps({**about, "concept_model": "Elsewhere"}))
    with pytest.raises(InputError, match="got a saved Elsewhere"):
        RandomConcepts.load(folder)
    (folder / "concepts.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        RandomConcepts.load(folder)
    for key in ("options", "report", "split_point"):
        (folder / "concepts.json").write_text(json.dumps({name: v for name, v in about.items() if name != key}))
        with pytest.raises(InputError, match="damaged"):
            RandomConcepts.load(folder)
    (folder / "concepts.json").write_text(json.dumps({**about, "pair": "of another writing"}))
    with pytest.raises(InputError, match="was not written together with"):
        RandomConcepts.load(folder)
    concepts.save(folder)
    path = folder / "concept_model.safetensors"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(InputError, match="damaged"):
        RandomConcepts.load(folder)


def test_what_cannot_be_fitted_is_refused(split):
    concepts = RandomConcepts(split, nb_concepts=4)
    rows = split.get_activations(LINES)
    with pytest.raises(NotFittedError, match="call fit"):
        concepts.encode(rows["0"])
    with pytest.raises(InputError, match=r"pass one of \['0', '1'\]"):
        concepts.fit(rows)
    with pytest.raises(InputError, match="at least as many rows as concepts"):
        concepts.fit(rows["0"][:3])
    with pytest.raises(InputError, match="zeros in every row"):
        concepts.fit(torch.zeros(9, 5))
    broken = rows["0"].clone()
    broken[7, 0] = float("nan")
    with pytest.raises(InputError, match="NaN or infinity in row 7"):
        concepts.fit(broken)
    for wrong in (torch.ones(3), torch.ones(3, 3, dtype=torch.long), [[1.0]]):
        with pytest.raises(InputError, match=r"expected floats \(n, d\)"):
            concepts.fit(wrong)
    with pytest.raises(InputError, match="device: expected one that is there"):
        RandomConcepts(split, nb_concepts=2, device="nowhere")
    with pytest.raises(InputError, match="nb_concepts: expected a whole number"):
        RandomConcepts(split, nb_concepts=0)
    chosen = RandomConcepts(split, nb_concepts=4, split_point=0)
    chosen.fit(rows)
    with pytest.raises(InputError, match="width 32"):
        chosen.encode(torch.ones(3, 5))
    with pytest.raises(InputError, match=r"codes: expected \(n, 4\)"):
        chosen.decode(torch.ones(3, 5))


def test_what_was_learned_is_frozen():
    concepts = PCAConcepts(None, nb_concepts=2)
    concepts.fit(torch.randn(20, 5, requires_grad=True))
    assert not any(tensor.requires_grad for tensor in concepts.concept_model.tensors().values())


def test_tensors_are_saved_where_there_are_several_split_points(split, tmp_path):
    concepts = RandomConcepts(split, nb_concepts=2)
    concepts.fit(torch.randn(9, 32))
    assert torch.equal(RandomConcepts.load(concepts.save(tmp_path / "c"), split).dictionary, concepts.dictionary)


def test_a_failed_fit_keeps_what_was_learned(concepts, split):
    before = concepts.dictionary
    with pytest.raises(InputError):
        concepts.fit(torch.zeros(9, 32))
    assert torch.equal(concepts.dictionary, before)


def test_a_store_is_fitted_as_a_tensor_is(split, tmp_path):
    one, other = (RandomConcepts(split, nb_concepts=4, split_point=0) for _ in range(2))
    report = one.fit(split.get_activations(LINES))
    stored = other.fit(split.get_activations(LINES, store=tmp_path / "s"))
    assert report.explained_variance == pytest.approx(stored.explained_variance, abs=1e-4)
    assert (report.n_rows, report.l0) == (stored.n_rows, pytest.approx(stored.l0, abs=0.1))
