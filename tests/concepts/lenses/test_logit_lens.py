"""What the logit lens sees, against the model itself and against its own end written out."""

from __future__ import annotations

import json
import math

import pytest
import torch
from scipy.stats import entropy

from interpreto.concepts.lenses import LensResult, LogitLens
from interpreto.demo import load
from interpreto.errors import InputError, ModelError
from interpreto.model_wrapping import ModelWithSplitPoints
from interpreto.model_wrapping.unembedding import Unembedding
from tests.architectures import CAUSAL, CLASSES, MASKED, SEQ2SEQ, build, model_and_tokenizer
from tests.tiny import LINES, byte_bpe, language_model

MODELS = [
    ("gpt2", CAUSAL),
    ("llama", CAUSAL),
    ("gemma3", CAUSAL),
    ("mamba", CAUSAL),
    ("opt", CAUSAL),
    ("bart", SEQ2SEQ),
    ("t5", SEQ2SEQ),
    ("bert", MASKED),
    ("modernbert", MASKED),
]


def lens_of(name, task, **options):
    model, tokenizer = model_and_tokenizer(name, task)
    points = ["decoder.0", "decoder.1"] if task is SEQ2SEQ else [0, 1]
    return LogitLens(ModelWithSplitPoints(model, points, tokenizer=tokenizer), **options)


def own_answer(split, text, target=None):
    """Ids, and the model's own probabilities at each of them."""
    sample = split.samples([text], None if target is None else [target])[0]
    ids = torch.tensor([sample.ids])
    inputs = {"input_ids": ids}
    if target is not None:
        border = sample.source_length
        inputs = {"input_ids": ids[:, :border], "decoder_input_ids": ids[:, border:]}
    with torch.no_grad():
        logits = split.model(**inputs).logits[0].float()
    return ids[0, -len(logits) :], logits.softmax(dim=-1)


@pytest.mark.parametrize(("name", "task"), MODELS)
def test_after_the_last_block_it_is_the_model_itself(name, task):
    lens = lens_of(name, task, k=6)
    target = "it is a great day" if task is SEQ2SEQ else None
    (found,) = lens([LINES[0]], None if target is None else [target])
    ids, wanted = own_answer(lens.model_with_split_points, LINES[0], target)
    assert found.tokens.tolist() == ids.tolist()
    assert found.final.tolist() == wanted.argmax(dim=-1).tolist()
    torch.testing.assert_close(found.probabilities[-1], wanted.topk(6).values, atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(wanted.gather(1, found.top[-1]), wanted.topk(6).values, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(
        found.entropies[-1].double(), torch.tensor(entropy(wanted.T)).double(), atol=1e-4, rtol=1e-4
    )
    assert float(found.divergences[-1].max()) < 1e-5
    assert float(found.divergences[0].min()) > 1e-4
    assert found.final_ranks[-1].tolist() == [1] * len(ids)
    actual = ids if task is MASKED else torch.cat([ids[1:], torch.tensor([-1])])
    assert found.actual.tolist() == actual.tolist()
    for at, token in enumerate(actual.tolist()):
        if token < 0:
            assert found.actual_ranks[-1, at] == 0
            assert math.isnan(found.actual_probabilities[-1, at])
        else:
            own = wanted[at, token]
            torch.testing.assert_close(found.actual_probabilities[-1, at], own, atol=1e-5, rtol=1e-3)
            assert found.actual_ranks[-1, at] == int((wanted[at] > own).sum()) + 1


def test_before_it_is_the_end_written_out():
    model = language_model()
    split = ModelWithSplitPoints(model, [0, 1], tokenizer=byte_bpe())
    (found,) = LogitLens(split, k=9)(LINES[1])
    with torch.no_grad():
        hidden = model(split.tokenizer(LINES[1], return_tensors="pt").input_ids, output_hidden_states=True)
        lens = model.lm_head(model.transformer.ln_f(hidden.hidden_states[1]))[0].softmax(dim=-1)
        own = hidden.logits[0].softmax(dim=-1)
    torch.testing.assert_close(found.probabilities[0], lens.topk(9).values, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.entropies[0], torch.tensor(entropy(lens.T)).float(), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.divergences[0], torch.tensor(entropy(own.T, lens.T)).float(), atol=1e-4, rtol=1e-3)
    choice = own.argmax(dim=-1)
    torch.testing.assert_close(
        found.final_probabilities[0], lens.gather(1, choice[:, None])[:, 0], atol=1e-5, rtol=1e-4
    )
    ranks = (lens > lens.gather(1, choice[:, None])).sum(dim=1) + 1
    assert found.final_ranks[0].tolist() == ranks.tolist()


def test_only_some_layers_and_not_the_last():
    split = ModelWithSplitPoints(language_model(), 0, tokenizer=byte_bpe())
    (one,) = LogitLens(split)(LINES[0])
    (both,) = lens_on([1, 0])(LINES[0])
    assert one.layers == ("0",)
    assert both.layers == ("1", "0")
    torch.testing.assert_close(one.divergences[0], both.divergences[1])


def lens_on(points, **options):
    return LogitLens(ModelWithSplitPoints(language_model(), points, tokenizer=byte_bpe(), **options))


def test_batches_and_parts_change_nothing(monkeypatch):
    whole = lens_on([0, 1], batch_size=8)(LINES)
    monkeypatch.setattr("interpreto.model_wrapping.unembedding._NUMBERS_AT_ONCE", 1)
    monkeypatch.setattr("interpreto.concepts.lenses.reading._TEXTS_AT_ONCE", 2)
    single = lens_on([0, 1], batch_size=1)(LINES[::-1])[::-1]
    assert [result.number for result in whole] == list(range(len(LINES)))
    for one, other in zip(whole, single, strict=True):
        torch.testing.assert_close(one.probabilities, other.probabilities, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(one.divergences, other.divergences, atol=1e-5, rtol=1e-4)
        assert one.tokens.tolist() == other.tokens.tolist()


def test_logits_are_never_those_of_all_positions(monkeypatch):
    monkeypatch.setattr("interpreto.model_wrapping.unembedding._NUMBERS_AT_ONCE", 7 * len(byte_bpe()))
    seen = []
    logits = Unembedding.logits

    def counted(unembedding, states):
        seen.append(len(states))
        return logits(unembedding, states)

    monkeypatch.setattr(Unembedding, "logits", counted)
    lens_on([0, 1])(LINES)
    assert max(seen) == 6  # two positions of two layers and the model's own


def test_other_number_types_and_rows_without_a_token():
    """After the last block in bfloat16, with a vocabulary that has some rows to spare."""
    model = build("gpt2", CAUSAL).to(torch.bfloat16)
    model.resize_token_embeddings(len(byte_bpe()) + 16)
    with torch.no_grad():
        model.lm_head.weight[-1] = 3.0
        model.transformer.ln_f.bias.fill_(1.0)
    split = ModelWithSplitPoints(model, [0, 1], tokenizer=byte_bpe())
    (found,) = LogitLens(split)(LINES[0])
    _, wanted = own_answer(split, LINES[0])
    torch.testing.assert_close(found.probabilities[-1], wanted.topk(5).values, atol=5e-3, rtol=5e-2)
    assert found.final.tolist() == [len(byte_bpe()) + 15] * len(found.tokens)
    assert found.name(int(found.final[0])) == f"[{len(byte_bpe()) + 15}]"
    assert LensResult.from_json(found.to_json()).to_json() == found.to_json()


def test_masks_are_predicted_and_have_no_known_token():
    lens = lens_of("bert", MASKED)
    (found,) = lens(["the [MASK] is great"])
    place = found.tokens.tolist().index(lens.model_with_split_points.tokenizer.mask_token_id)
    assert found.actual[place] == -1
    assert (found.actual != -1).sum() == len(found.tokens) - 1
    assert found.task == "masked-lm"


def test_a_trained_model_makes_up_its_mind_layer_by_layer():
    model, tokenizer = load("stories")
    split = ModelWithSplitPoints(model, range(model.config.num_hidden_layers), tokenizer=tokenizer)
    (found,) = LogitLens(split)("Once upon a time, there was a little girl named Lily. She loved to play in the park.")
    means = found.divergences.mean(dim=1)
    assert bool((means[1:] < means[:-1]).all())
    at = [found.name(token) for token in found.tokens.tolist()].index("upon")
    assert found.top_tokens(-1, at)[0][0] == "a"
    assert found.top_tokens(found.layers[-1], at) == found.top_tokens(-1, at)
    assert not any(mark in name for name in found.names.values() for mark in ("Ġ", "▁"))


def test_the_model_is_untouched_also_after_an_exception():
    model = language_model().train()
    split = ModelWithSplitPoints(model, [0, 1], tokenizer=byte_bpe())
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def check():
        assert model.training
        assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
        assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())

    LogitLens(split)(LINES[:2])
    check()
    with torch.no_grad():
        kept = model.transformer.ln_f.weight.clone()
    forward, calls = model.lm_head.forward, []

    def failing(hidden):
        calls.append(0)
        if len(calls) > 2:
            raise RuntimeError("no more")
        return forward(hidden)

    model.lm_head.forward = failing
    with pytest.raises(RuntimeError, match="no more"):
        LogitLens(split)(LINES)
    del model.lm_head.forward
    assert torch.equal(kept, model.transformer.ln_f.weight)
    check()


def test_bad_input():
    with pytest.raises(InputError, match="k: expected a whole number"):
        LogitLens(lens_on([0]).model_with_split_points, k=0)
    with pytest.raises(InputError, match="k: expected at most"):
        LogitLens(lens_on([0]).model_with_split_points, k=10**6)(LINES[0])
    with pytest.raises(InputError, match=r"inputs"):
        lens_on([0])(3)
    with pytest.raises(InputError, match="residual stream, of width 32, got width 128"):
        lens_on("transformer.h.0.mlp.c_fc")(LINES[0])
    with pytest.raises(ModelError, match="vocabulary"):
        lens_of("bert", CLASSES)(LINES[0])
    model, tokenizer = model_and_tokenizer("t5", SEQ2SEQ)
    with pytest.raises(InputError, match=r"decoder\.0"):
        LogitLens(ModelWithSplitPoints(model, "encoder.0", tokenizer=tokenizer))(LINES[0])
    with pytest.raises(InputError, match="targets"):
        lens_of("t5", SEQ2SEQ)(LINES[0])


def test_results_are_data(tmp_path):
    (found,) = lens_on([0, 1])(["It is great, <b>unbelievably</b> so! 😀"])
    found.save(tmp_path / "lens.json")
    again = LensResult.load(tmp_path / "lens.json")
    assert again.to_json() == found.to_json()
    assert again.layers == found.layers
    assert torch.equal(again.top, found.top)
    torch.testing.assert_close(again.actual_probabilities, found.actual_probabilities, equal_nan=True)
    table = found.to_pandas()
    assert len(table) == 2 * len(found.tokens)
    assert table["top"][0] == found.top_tokens(0, 0)[0][0]
    assert len(found.text().split("\n")) == 3
    with pytest.raises(InputError, match="layer: expected one of"):
        found.top_tokens("9", 0)
    with pytest.raises(InputError, match="2 layers"):
        found.top_tokens(2, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "interpretations"),
        ("format", 9),
        ("top", [[1, 2]]),
        ("top", 3),
        ("entropies", [[0.0]]),
        ("entropies", [["much"]]),
        ("tokens", None),
        ("tokens", [-1, -1]),
        ("tokens", [1.5, 2.5]),
        ("final", [True, False]),
        ("names", []),
        ("names", [[1, 2]]),
        ("layers", [1, 2]),
        ("method", 5),
        ("settings", 3),
    ],
)
def test_files_of_something_else_are_refused(name, value):
    data = json.loads(lens_on([0, 1])("It is")[0].to_json())
    data[name] = value
    with pytest.raises(InputError, match="file: expected"):
        LensResult.from_json(json.dumps(data))
    del data[name]
    with pytest.raises(InputError, match="file: expected"):
        LensResult.from_json(json.dumps(data))


def test_no_json_and_no_file(tmp_path):
    with pytest.raises(InputError, match="file: expected the JSON of a lens"):
        LensResult.from_json("[")
    with pytest.raises(InputError, match="file: expected the JSON of a lens"):
        LensResult.from_json("[]")
    with pytest.raises(InputError, match=r"nothing\.json"):
        LensResult.load(tmp_path / "nothing.json")
