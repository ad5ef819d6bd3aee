"""Rows of activations: what they belong to, where they come from, and that neighbours change nothing."""

import copy

import pytest
import torch

from interpreto.errors import InputError, ModelError
from interpreto.model_wrapping import ModelWithSplitPoints
from tests.architectures import ARCHITECTURES, CLASSES, LABELS, build, shared_model
from tests.tiny import LINES, byte_bpe, classifier, language_model, wordpiece

TEXTS = [*LINES, "Spot! Unbelievable cats.", "dog"]


def hidden(split, text, layer):
    with torch.no_grad():
        return split.model(**split.tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states[
            layer + 1
        ][0]


@pytest.fixture(scope="module")
def split():
    return ModelWithSplitPoints(classifier(), [0, 1], tokenizer=wordpiece())


@pytest.mark.parametrize("granularity", ["cls_token", "all_tokens", "token", "word", "sentence", "sample"])
@pytest.mark.parametrize("aggregation", ["mean", "max", "first", "last"])
def test_rows_are_aggregated_by_hand(split, granularity, aggregation):
    reduce = {
        "mean": lambda rows: rows.mean(dim=0),
        "max": lambda rows: rows.max(dim=0).values,
        "first": lambda rows: rows[0],
        "last": lambda rows: rows[-1],
    }[aggregation]
    text = "Spot! Unbelievable cats. He ran."
    offsets = split.tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    cuts = {
        "cls_token": [[0]],
        "all_tokens": [[i] for i in range(len(offsets))],
        "token": [[i] for i in range(1, len(offsets) - 1)],
        "sample": [range(1, len(offsets) - 1)],
        "sentence": [
            [i for i, (start, end) in enumerate(offsets) if start < end and low <= start < high]
            for low, high in ((0, 5), (5, 24), (24, 40))
        ],
        "word": [
            [i for i, (start, end) in enumerate(offsets) if start < end and low <= start < high]
            for low, high in ((0, 4), (4, 5), (6, 18), (19, 23), (23, 24), (25, 27), (28, 31), (31, 32))
        ],
    }[granularity]
    states = hidden(split, text, 1)
    found = split.get_activations([text], granularity, aggregation=aggregation)
    torch.testing.assert_close(found["1"], torch.stack([reduce(states[list(c)]) for c in cuts]), atol=1e-5, rtol=1e-5)


def test_rows_know_their_text_and_span(split):
    found = split.get_activations(TEXTS, "word")
    words = [TEXTS[which][start:end].strip() for which, _, start, end in map(found.sources["0"].span, range(8))]
    assert words == ["The", "quick", "brown", "fox", "jumps", "over", "the", "lazy"]
    assert found.sources["0"].inputs.unique().tolist() == list(range(len(TEXTS)))
    assert len(found.sources["1"]) == len(found["1"]) == len(found["0"])
    tokens = split.get_activations(TEXTS[-1:], "all_tokens").sources["0"]
    assert tokens.table[:, 4].tolist() == split.tokenizer(TEXTS[-1])["input_ids"]


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama", "opt", "roberta", "mamba", "t5"])
def test_batches_order_and_padding_side_change_nothing(name):
    task = CLASSES if CLASSES in ARCHITECTURES[name].tasks else ARCHITECTURES[name].tasks[0]
    tokenizer = copy.deepcopy(ARCHITECTURES[name].tokenizer())
    point = "encoder.0" if name == "t5" else 0
    wanted = None
    for side in ("right", "left"):
        tokenizer.padding_side = side
        for size in (1, 3, None):
            split = ModelWithSplitPoints(shared_model(name, task), point, tokenizer=tokenizer, batch_size=size)
            rows = next(iter(split.get_activations(TEXTS, "word").values()))
            wanted = rows if wanted is None else wanted
            torch.testing.assert_close(rows, wanted, atol=1e-5, rtol=1e-5)
    backwards = split.get_activations(TEXTS[::-1], "word")
    name = split.split_points[0].name
    parts = [backwards[name][backwards.sources[name].inputs == k] for k in reversed(range(len(TEXTS)))]
    torch.testing.assert_close(torch.cat(parts), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_the_class_token_of_a_decoder_is_where_its_head_reads(name):
    model, tokenizer = shared_model(name, CLASSES), ARCHITECTURES[name].tokenizer()
    split = ModelWithSplitPoints(model, -1, tokenizer=tokenizer)
    found = split.get_activations(TEXTS, "cls_token", include_predicted_classes=True)
    norm = {"gpt2": "transformer.ln_f", "llama": "model.norm"}[name]
    with torch.no_grad():
        logits = model.score(dict(model.named_modules())[norm](found["1"]))
        for text, row, predicted in zip(TEXTS, logits, found["predictions"], strict=True):
            plain = model(**tokenizer(text, return_tensors="pt", return_token_type_ids=False)).logits[0]
            torch.testing.assert_close(row, plain, atol=1e-5, rtol=1e-5)
            assert int(predicted) == int(plain.argmax())


def test_predictions_have_one_entry_a_row(split):
    found = split.get_activations(TEXTS, "token", include_predicted_classes=True)
    assert set(found) == {"0", "1", "predictions"}
    assert found["predictions"].shape == found["0"].shape[:1]
    subset = {name: values[found["predictions"] == 0] for name, values in found.items()}
    assert len(subset["0"]) == len(subset["predictions"])


def test_the_number_type_is_the_models():
    model = classifier().to(torch.bfloat16)
    split = ModelWithSplitPoints(model, 0, tokenizer=wordpiece())
    rows = split.get_activations(TEXTS, "sentence")["0"]
    wide = ModelWithSplitPoints(classifier(), 0, tokenizer=wordpiece()).get_activations(TEXTS, "sentence")["0"]
    assert rows.dtype == torch.bfloat16
    torch.testing.assert_close(rows.float(), wide, atol=0.1, rtol=0.1)


def test_model_and_tokenizer_are_untouched(split):
    model = split.model
    model.train()
    before = {name: values.clone() for name, values in model.state_dict().items()}
    backend = split.tokenizer.backend_tokenizer.to_str()
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()]  # transformers has its own
    split.get_activations(TEXTS, "word", include_predicted_classes=True)
    assert model.training
    assert all(torch.equal(values, before[name]) for name, values in model.state_dict().items())
    assert hooks == [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()]
    assert split.tokenizer.backend_tokenizer.to_str() == backend
    model.eval()


def test_no_hook_is_left_after_an_error():
    model = classifier()
    with torch.no_grad():
        model.bert.encoder.layer[0].output.dense.weight[0, 0] = float("nan")
    split = ModelWithSplitPoints(model, 0, tokenizer=wordpiece())
    with pytest.raises(ModelError, match="got NaN"):
        split.get_activations(TEXTS)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_bad_input_is_refused(split):
    with pytest.raises(InputError, match=r"inputs\[1\]: expected a text, got an empty one"):
        split.get_activations(["dog", ""])
    with pytest.raises(InputError, match=r"inputs\[1\]: expected at most the 64 tokens"):
        split.get_activations(["dog", "dog " * 70])
    with pytest.raises(InputError, match="granularity: expected one of"):
        split.get_activations(TEXTS, "paragraph")
    with pytest.raises(InputError, match="aggregation: expected one of"):
        split.get_activations(TEXTS, "word", aggregation="median")
    with pytest.raises(InputError, match="a model that does not write"):
        split.get_activations(TEXTS, targets=TEXTS)
    with pytest.raises(KeyError, match="there are"):
        split.get_activations(TEXTS)["5"]
    with pytest.raises(InputError, match="batch_size"):
        ModelWithSplitPoints(classifier(), 0, tokenizer=wordpiece(), batch_size=0)


@pytest.mark.parametrize(
    "changes", [{"num_labels": 1}, {"problem_type": "regression"}, {"problem_type": "multi_label_classification"}]
)
def test_models_that_do_not_predict_one_class_are_refused(changes):
    split = ModelWithSplitPoints(build("bert", CLASSES, **changes), 0, tokenizer=wordpiece())
    with pytest.raises(InputError, match="predicts one class of a text"):
        split.get_activations(TEXTS, include_predicted_classes=True)


@pytest.mark.parametrize("task", [LABELS])
def test_models_without_classes_of_texts_predict_none(task):
    split = ModelWithSplitPoints(shared_model("bert", task), 0, tokenizer=wordpiece())
    with pytest.raises(InputError, match="predicts no class"):
        split.get_activations(TEXTS, include_predicted_classes=True)


def test_longer_texts_are_cut_on_demand():
    split = ModelWithSplitPoints(classifier(), 0, tokenizer=wordpiece(), truncation=True)
    with pytest.warns(UserWarning, match="cut from 72 to the 64"):
        assert len(split.get_activations(["dog " * 70], "all_tokens")["0"]) == 64


def test_a_language_models_own_output_gets_rows_too():
    split = ModelWithSplitPoints(language_model(), 0, tokenizer=byte_bpe())
    alone = split.get_activations(["Once upon a time"], "token")["0"]
    both = split.get_activations(["Once upon a time"], "token", targets=[", there was"])
    torch.testing.assert_close(both["0"][: len(alone)], alone, atol=1e-5, rtol=1e-5)
    assert both.sources["0"].table[-1, 1] == 1
    assert len(both["0"]) > len(alone)
