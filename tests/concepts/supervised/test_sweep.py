"""Sweeps: one pass, the same numbers as probes one by one, and files."""

import json

import pytest
import torch

from interpreto.concepts.supervised import Probe, ProbeSweep, sweep
from interpreto.errors import InputError, StoreError
from interpreto.model_wrapping import ModelWithSplitPoints
from tests.architectures import ARCHITECTURES, CAUSAL, build
from tests.concepts.supervised.planted import ANIMALS, BOOKS, assert_untouched, split_classifier, state_of
from tests.tiny import byte_bpe, language_model

TEXTS = ANIMALS + BOOKS
LABELS = ["animal"] * len(ANIMALS) + ["book"] * len(BOOKS)


@pytest.fixture(scope="module")
def found():
    return sweep(split_classifier(), "all", TEXTS, LABELS, kind=["logistic", "centroid"], n_controls=2)


def test_a_sweep_is_its_probes_one_by_one(found):
    split = split_classifier([0, 1])
    rows = split.get_activations(TEXTS, "cls_token")
    assert found.split_points == ("0", "1")
    assert found.kinds == ("logistic", "centroid")
    for row in found.rows:
        alone = Probe(kind=row.report.kind, n_controls=2).fit(rows[row.split_point], LABELS, groups=TEXTS, types=TEXTS)
        assert alone.report == row.report
    assert found.best().report.accuracy == max(row.report.accuracy for row in found.rows)
    assert [row.split_point for row in found.of_kind("centroid")] == ["0", "1"]
    assert found.n_texts == len(TEXTS)


def test_one_pass_a_text_and_an_untouched_model():
    split = split_classifier()
    before = state_of(split.model)
    calls = []
    handle = split.model.bert.embeddings.register_forward_hook(lambda *_: calls.append(0))
    sweep(ModelWithSplitPoints(split.model, 0, tokenizer=split.tokenizer, batch_size=64), "all", TEXTS, LABELS)
    handle.remove()
    assert len(calls) == 1
    assert_untouched(split.model, before)


def test_batches_order_and_neighbours_change_nothing(found):
    small = sweep(split_classifier(batch_size=3), "all", TEXTS, LABELS, kind=["logistic", "centroid"], n_controls=2)
    for one, other in zip(small.rows, found.rows, strict=True):
        assert one.report.accuracy == other.report.accuracy
        assert one.report.calibration.expected_error == pytest.approx(other.report.calibration.expected_error, abs=1e-3)
    assert sweep(split_classifier([1, 0]), None, TEXTS, LABELS, n_controls=2).rows[0] == found.rows[2]


def test_words_have_types_of_their_own():
    split = ModelWithSplitPoints(language_model(), 0, tokenizer=byte_bpe())
    texts = [f"{a} {b} {c}" for a in ("The", "the") for b in ("dog", "cat", "park") for c in ("ran", "sat", "said")]
    labels = [["article", "noun", "verb"]] * len(texts)
    report = (
        sweep(split, None, texts, labels, activation_granularity="word", n_controls=3, strength=100.0).rows[0].report
    )
    assert report.classes == ("article", "noun", "verb")
    assert (report.n_fit + report.n_held_out) == 3 * len(texts)
    assert report.accuracy > 0.9
    assert report.control_accuracy > 0.9  # 7 words: learned by heart, whatever they are called
    whole = sweep(split, None, texts, ["a", "b"] * 9, activation_granularity="sample").rows[0].report
    assert whole.n_fit + whole.n_held_out == len(texts)
    token = sweep(split, None, texts, ["a", "b"] * 9, activation_granularity="token").rows[0].report
    assert token.n_fit + token.n_held_out >= 3 * len(texts)


def test_equal_texts_do_not_leak():
    """Random labels of texts that come four times are learned by heart, if a text is on both sides."""
    texts = TEXTS * 4
    rng = torch.Generator().manual_seed(0)
    labels = (torch.rand(len(TEXTS), generator=rng) < 0.5).tolist() * 4
    report = sweep(split_classifier(), None, texts, labels, strength=1e4, n_controls=0).rows[0].report
    assert report.fit_accuracy > 0.95
    assert report.accuracy < 0.8
    assert report.std_error > 0.05  # of some 9 texts, not of some 38 rows


def test_encoder_decoders_are_read_on_their_encoder():
    from tests.architectures import SEQ2SEQ

    split = ModelWithSplitPoints(build("t5", SEQ2SEQ), "encoder.0", tokenizer=ARCHITECTURES["t5"].tokenizer())
    assert sweep(split, None, TEXTS, LABELS, activation_granularity="sample").split_points == ("encoder.0",)
    decoder = ModelWithSplitPoints(build("gpt2", CAUSAL), "*.h.*.mlp", tokenizer=ARCHITECTURES["gpt2"].tokenizer())
    assert len(sweep(decoder, None, TEXTS, LABELS).rows) == 2


def test_saved_and_loaded_is_the_same(found, tmp_path):
    assert ProbeSweep.from_json(found.to_json()) == found
    assert ProbeSweep.load(found.save(tmp_path / "sweep.json")) == found
    assert list(found.to_pandas()["split_point"]) == ["0", "0", "1", "1"]
    lines = str(found).splitlines()
    assert len(lines) == 5
    assert lines[0].split()[:3] == ["split_point", "kind", "accuracy"]
    assert f"{found.rows[0].report.accuracy:.3f}" in lines[1]


def test_what_cannot_be_loaded_is_refused(found, tmp_path):
    data = json.loads(found.to_json())
    row = data["rows"][0]
    for change in (
        {"kind": "other"},
        {"format": 2},
        {"rows": []},
        {"rows": [{"split_point": "0"}]},
        {"rows": [{**row, "report": {**row["report"], "accuracy": "high"}}]},
        {"rows": [{**row, "report": {**row["report"], "kind": "magic"}}]},
        {"granularity": "letter"},
    ):
        with pytest.raises(InputError, match="expected the JSON of a probe sweep"):
            ProbeSweep.from_json(json.dumps({**data, **change}))
    for text in ("", "[]", "{"):
        with pytest.raises(InputError, match="expected the JSON of a probe sweep"):
            ProbeSweep.from_json(text)
    with pytest.raises(InputError, match="expected a file of a probe sweep"):
        ProbeSweep.load(tmp_path / "nothing")
    with pytest.raises(StoreError, match="could not be written"):
        found.save(tmp_path / "no folder" / "sweep.json")


def test_what_cannot_be_swept_is_refused(found):
    split = split_classifier()
    for arguments, options, message in [
        ((split, None, TEXTS, LABELS[1:]), {}, r"labels: expected 38 \(one a text\), got 37"),
        ((split, 7, TEXTS, LABELS), {}, "split_points"),
        ((split, None, TEXTS, LABELS), {"kind": "magic"}, "kind"),
        ((split, None, TEXTS, LABELS), {"kind": []}, "at least one kind"),
        ((split, None, TEXTS, LABELS), {"activation_granularity": "letter"}, "granularity"),
        ((split, None, TEXTS[:3], ["a", "b", "b"]), {}, "some to hold out"),
    ]:
        with pytest.raises(InputError, match=message):
            sweep(*arguments, **options)
    with pytest.raises(InputError, match="those that were fitted"):
        found.of_kind("mlp")
