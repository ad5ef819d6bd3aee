"""What other tools read: values compared with codes computed at once, the same bytes twice, whatever the batches."""

import gzip
import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from interpreto.concepts import Interpretations, PCAConcepts, TopKSAEConcepts
from interpreto.concepts.files import coded, load_sae, neuronpedia, write_delphi, write_neuronpedia
from interpreto.concepts.interpretations.result import ConceptReading
from interpreto.errors import InputError, NotFittedError, StoreError
from interpreto.model_wrapping import ModelWithSplitPoints
from tests.concepts.files import writers
from tests.tiny import LINES, byte_bpe, classifier, language_model, wordpiece

TEXTS = [*LINES, "</script> \"quoted\" \\ 'x'", "emoji 😀 and é 日本語", "a\n\n  b\tc", *LINES[:2]]
NAMES = {"model_id": "gpt2-small", "layer": 1, "source_set": "res-x"}


@pytest.fixture(scope="module")
def concepts():
    split = ModelWithSplitPoints(language_model(), [0, 1], tokenizer=byte_bpe())
    found = TopKSAEConcepts(split, split_point=1, nb_concepts=70, k=3, n_steps=20, batch_size=32)
    found.fit(split.get_activations(LINES))
    return found


@pytest.fixture(scope="module")
def of_classifier():
    split = ModelWithSplitPoints(classifier(), 1, tokenizer=wordpiece())
    found = PCAConcepts(split, nb_concepts=5)
    found.fit(split.get_activations(TEXTS))
    return found


def lines(folder, kind):
    found = []
    for path in sorted((folder / kind).iterdir(), key=lambda path: int(path.name.split("-")[1].split(".")[0])):
        found += [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines()]
    return found


def all_codes(concepts, texts):
    """One text at a time: ids, and codes of every token, 0 for special ones."""
    split, found = concepts.split, []
    for text in texts:
        rows = split.get_activations([text])
        own = split.samples([text])[0]
        codes = torch.zeros(len(own.tokens), concepts.concept_model.nb_concepts)
        codes[[i for i, token in enumerate(own.tokens) if not token.fixed]] = concepts.encode(rows)
        found.append((own.ids, codes))
    return found


@pytest.mark.parametrize("name", ["concepts", "of_classifier"])
def test_neuronpedia(name, request, tmp_path):
    concepts = request.getfixturevalue(name)
    c = concepts.concept_model.nb_concepts
    readings = (ConceptReading(2, 'a "label"\n</script>', ()), ConceptReading(3, None, ()))
    labels = Interpretations(readings, "LLMLabels", {"llm": "some-model"})
    folder = write_neuronpedia(
        concepts, tmp_path / "a" / "b", TEXTS, **NAMES, interpretations=labels, k_activations=4, vectors=True
    )
    features, activations, explanations = (lines(folder, k) for k in ("features", "activations", "explanations"))
    expected = all_codes(concepts, TEXTS)
    assert [feature["index"] for feature in features] == [str(i) for i in range(c)]
    n_tokens = sum(len([t for t in concepts.split.samples([text])[0].tokens if not t.fixed]) for text in TEXTS)
    for i, feature in enumerate(features):
        values = torch.cat([codes[:, i] for _, codes in expected])
        assert feature["frac_nonzero"] == pytest.approx(int((values != 0).sum()) / n_tokens)
        assert feature["maxActApprox"] == pytest.approx(float(values.max()), abs=1e-4)
        assert (feature["modelId"], feature["layer"], feature["sourceSetName"]) == ("gpt2-small", "1-res-x", "res-x")
        np.testing.assert_array_equal(np.float32(feature["vector"]), concepts.dictionary[i].numpy())
    for i in range(c):
        own = [line for line in activations if line["index"] == str(i)]
        largest = [float(codes[:, i].max()) for _, codes in expected]
        ranked = sorted((n for n in range(len(TEXTS)) if largest[n] > 0), key=lambda n: -largest[n])[:4]
        np.testing.assert_allclose([line["maxValue"] for line in own], [largest[n] for n in ranked], atol=1e-4)
        for line in own:
            ids, codes = expected[int(line["dataIndex"])]
            assert len(line["tokens"]) == len(line["values"]) == len(ids)
            np.testing.assert_allclose(line["values"], codes[:, i], atol=1e-4)
            assert line["maxValue"] == max(line["values"]) == line["values"][line["maxValueTokenIndex"]]
            assert line["minValue"] == min(line["values"])
    assert any(line["maxValue"] > 0 for line in activations)
    assert [(line["index"], line["description"], line["typeName"]) for line in explanations] == [
        ("2", 'a "label"\n</script>', "LLMLabels")
    ]
    assert explanations[0]["explanationModelName"] == "some-model"
    for head in ("release", "model", "sourceset", "source"):
        assert json.loads((folder / f"{head}.jsonl").read_text())
    ids = [line["id"] for line in activations + explanations]
    assert len(set(ids)) == len(ids)


def test_tokens_put_together_are_the_text(concepts, of_classifier):
    for explainer, special in ((concepts, 0), (of_classifier, 1)):
        texts = coded.CodedInputs(explainer, TEXTS)
        for number, text in enumerate(TEXTS):
            pieces = texts.pieces(number)
            whole = "".join(pieces[special : len(pieces) - special])
            if "\ufffd" not in whole and text.isascii():
                assert whole.strip() == text.strip()
    assert coded.CodedInputs(of_classifier, TEXTS).pieces(0)[0] == "[CLS]"


def test_neuronpedia_of_a_language_model_tells_which_logits_move(concepts, tmp_path):
    folder = write_neuronpedia(concepts, tmp_path / "a", LINES[:1], **NAMES)
    head = concepts.split.model.get_output_embeddings().weight.detach()
    for i, feature in enumerate(lines(folder, "features")):
        logits = head @ concepts.dictionary[i]
        np.testing.assert_allclose(feature["pos_values"], logits.sort(descending=True).values[:10], atol=1e-4)
        np.testing.assert_allclose(feature["neg_values"], logits.sort().values[:10], atol=1e-4)
        assert feature["pos_str"][0] == byte_bpe().decode([int(logits.argmax())])
        assert sum(feature["logits_hist_data_bar_heights"]) == len(logits)


def bytes_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("write", [write_neuronpedia, write_delphi])
def test_the_same_bytes_however_it_is_read(write, concepts, tmp_path, monkeypatch):
    options = NAMES if write is write_neuronpedia else {}
    activations = concepts.split.get_activations(TEXTS)
    store = concepts.split.get_activations(TEXTS, store=tmp_path / "store")
    write(concepts, tmp_path / "a", TEXTS, activations=activations, **options)
    write(concepts, tmp_path / "b", TEXTS, activations=store, **options)
    write(concepts, tmp_path / "c", TEXTS, activations=activations["1"], **options)
    monkeypatch.setattr(coded, "_CODES_AT_ONCE", 70 * 12)
    monkeypatch.setattr(neuronpedia, "_AT_ONCE", 7)
    write(concepts, tmp_path / "d", TEXTS, activations=activations, **options)
    first = bytes_of(tmp_path / "a")
    assert first
    for other in "bcd":
        assert bytes_of(tmp_path / other) == first


def test_neuronpedia_in_batches(concepts, tmp_path, monkeypatch):
    whole = write_neuronpedia(concepts, tmp_path / "a", TEXTS, **NAMES)
    monkeypatch.setattr(neuronpedia, "_A_BATCH", 32)
    parts = write_neuronpedia(concepts, tmp_path / "b", TEXTS, **NAMES)
    assert sorted(path.name for path in (parts / "features").iterdir()) == [
        "batch-0.jsonl.gz", "batch-1.jsonl.gz", "batch-2.jsonl.gz"
    ]  # fmt: skip
    for kind in ("features", "activations", "explanations"):
        assert lines(parts, kind) == lines(whole, kind)


@pytest.mark.parametrize("name", ["concepts", "of_classifier"])
@pytest.mark.parametrize("n_splits", [1, 3])
def test_delphi(name, n_splits, request, tmp_path):
    concepts = request.getfixturevalue(name)
    c = concepts.concept_model.nb_concepts
    folder = write_delphi(concepts, tmp_path, TEXTS, n_splits=n_splits)
    assert folder == tmp_path / concepts.point.path
    expected = all_codes(concepts, TEXTS)
    files = sorted(folder.glob("*.safetensors"), key=lambda path: int(path.stem.split("_")[0]))
    edges = [tuple(map(int, path.stem.split("_"))) for path in files]
    assert (edges[0][0], edges[-1][1], len(edges)) == (0, c - 1, n_splits)
    assert all(after[0] == before[1] + 1 for before, after in pairwise(edges))
    longest = max(len(ids) for ids, _ in expected)
    rebuilt = np.zeros((len(TEXTS), longest, c), np.float32)
    for path, (first, _) in zip(files, edges, strict=True):
        found = load_file(path)
        assert found["locations"].dtype == np.uint16
        assert found["activations"].dtype == np.float16
        rows, places, latents = found["locations"].astype(int).T
        order = np.lexsort((latents, places, rows))
        assert (order == np.arange(len(order))).all()  # as torch.nonzero orders them
        rebuilt[rows, places, latents + first] = found["activations"]
        for row, (ids, _) in enumerate(expected):
            assert found["tokens"][row, : len(ids)].tolist() == ids
    for row, (ids, codes) in enumerate(expected):
        np.testing.assert_allclose(rebuilt[row, : len(ids)], codes.numpy(), rtol=1e-3, atol=1e-3)
        assert not rebuilt[row, len(ids) :].any()
    about = json.loads((folder / "config.json").read_text())
    assert about["ctx_len"] == longest
    assert sorted(path.name for path in folder.iterdir()) == sorted(["config.json", *(path.name for path in files)])


def test_delphi_of_codes_that_are_too_large_for_float16(concepts, tmp_path):
    weights, _ = writers.draw(0, c=48, d=32)
    weights["w_enc"] *= 1e6
    large = load_sae(writers.saelens(tmp_path / "a", weights, "standard"), concepts.split)
    found = load_file(write_delphi(large, tmp_path / "b", LINES[:1], n_splits=1) / "0_47.safetensors")
    assert found["activations"].dtype == np.float32
    assert np.isfinite(found["activations"]).all()


def test_what_cannot_be_exported(concepts, of_classifier, tmp_path):
    with pytest.raises(InputError, match="expected at least one text"):
        write_delphi(concepts, tmp_path, [])
    with pytest.raises(InputError, match="hookpoint: expected letters"):
        write_delphi(concepts, tmp_path, LINES, hookpoint="../x")
    with pytest.raises(InputError, match="n_splits: expected at most"):
        write_delphi(of_classifier, tmp_path, LINES, n_splits=6)
    with pytest.raises(InputError, match="as many as the 2 inputs have"):
        write_delphi(concepts, tmp_path, LINES[:2], activations=torch.zeros(3, 32))
    with pytest.raises(InputError, match="granularity"):
        write_delphi(concepts, tmp_path, LINES, activations=concepts.split.get_activations(LINES, "word"))
    for name, value in (("model_id", "../x"), ("layer", "a/b"), ("source_set", "")):
        with pytest.raises(InputError, match=f"{name}: expected letters"):
            write_neuronpedia(concepts, tmp_path / "x", LINES, **{**NAMES, name: value})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    with pytest.raises(InputError, match="expected an empty folder"):
        write_neuronpedia(concepts, tmp_path / "full", LINES, **NAMES)
    with pytest.raises(StoreError, match="could not be written"):
        write_delphi(concepts, tmp_path / "full" / "x", LINES)
    with pytest.raises(NotFittedError):
        write_delphi(TopKSAEConcepts(concepts.split, split_point=1, nb_concepts=4, k=2), tmp_path, LINES)
    alone = PCAConcepts(None, nb_concepts=2)
    alone.fit(torch.randn(9, 32))
    with pytest.raises(InputError, match="expected a split model"):
        write_delphi(alone, tmp_path, LINES)
    assert not (tmp_path / "x").exists()


def test_the_model_is_untouched(concepts, tmp_path):
    model = concepts.split.model
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    write_neuronpedia(concepts, tmp_path / "a", LINES, **NAMES)
    write_delphi(concepts, tmp_path / "b", LINES)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())
