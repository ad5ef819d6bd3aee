"""Tokens that directions point to, against products written out."""

from __future__ import annotations

import json

import pytest
import torch

from interpreto.concepts import NeuronsAsConcepts
from interpreto.concepts.interpretations.output_result import OutputReading, OutputReadings, TokenList, TokenWeight
from interpreto.concepts.interpretations.vocab_proj import VocabProj
from interpreto.demo import load
from interpreto.errors import InputError, ModelError, NotFittedError
from interpreto.model_wrapping import ModelWithSplitPoints
from tests.architectures import ARCHITECTURES, CAUSAL, CLASSES, MASKED, SEQ2SEQ, build, model_and_tokenizer
from tests.concepts.simple import RandomConcepts
from tests.tiny import byte_bpe, language_model


def concepts_of(model, tokenizer, point=-1, nb_concepts=6):
    split = ModelWithSplitPoints(model, point, tokenizer=tokenizer)
    found = RandomConcepts(split, nb_concepts=nb_concepts)
    found.fit(torch.randn(100, 32))
    return found


BY_HAND = {
    ("gpt2", CAUSAL): lambda m, d: m.lm_head.weight @ m.transformer.ln_f(d).T,
    ("llama", CAUSAL): lambda m, d: m.lm_head.weight @ m.model.norm(d).T,
    ("gemma3", CAUSAL): lambda m, d: m.lm_head.weight @ m.model.norm(d).T,
    ("mamba", CAUSAL): lambda m, d: m.lm_head.weight @ m.backbone.norm_f(d).T,
    ("opt", CAUSAL): lambda m, d: m.lm_head.weight @ m.model.decoder.project_out(m.model.decoder.final_layer_norm(d)).T,
    ("t5", SEQ2SEQ): lambda m, d: m.lm_head.weight @ m.decoder.final_layer_norm(d).T,
    ("bart", SEQ2SEQ): lambda m, d: m.lm_head.weight @ d.T,
    ("bert", MASKED): lambda m, d: m.cls.predictions.decoder.weight @ m.cls.predictions.transform(d).T,
    ("modernbert", MASKED): lambda m, d: m.decoder.weight @ m.head(m.model.final_norm(d)).T,
}


@pytest.mark.parametrize(("name", "task"), BY_HAND)
def test_the_product_written_out(name, task):
    model, tokenizer = model_and_tokenizer(name, task)
    concepts = concepts_of(model, tokenizer, "decoder.-1" if task is SEQ2SEQ else -1)
    with torch.no_grad():
        scores = BY_HAND[name, task](model, concepts.dictionary).T[:, : len(tokenizer)]
    if name == "t5":  # which divides by the root of its width where it ties its embeddings
        scores = scores * (32**-0.5 if model.config.tie_word_embeddings else 1.0)
    found = VocabProj(concepts, k=8).interpret()
    for concept, reading in found.items():
        for kind, most in (("raised", True), ("lowered", False)):
            wanted = scores[concept].topk(8, largest=most).values
            weights = torch.tensor([token.weight for token in reading[kind]])
            torch.testing.assert_close(weights, wanted, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(scores[concept][[t.id for t in reading[kind]]], wanted, atol=1e-4, rtol=1e-4)


def test_without_the_final_norm():
    model = language_model()
    concepts = concepts_of(model, byte_bpe())
    found = VocabProj(concepts, k=4, final_norm=False).interpret([2])
    wanted = (concepts.dictionary[2] @ model.lm_head.weight.T).topk(4)
    assert [token.id for token in found[2]["raised"]] == wanted.indices.tolist()
    with pytest.raises(InputError, match=r"final_norm: .*\(16\).*got 32"):
        VocabProj(concepts_of(*model_and_tokenizer("opt", CAUSAL)), final_norm=False).interpret()


def test_pushing_a_direction_raises_the_tokens_that_are_named():
    """A model that hands its embeddings on to the head, with a head that is the identity on 32 tokens."""
    model = build("gpt2", CAUSAL)
    with torch.no_grad():
        for block in model.transformer.h:
            for part in (block.attn.c_proj, block.mlp.c_proj):
                part.weight.zero_()
                part.bias.zero_()
        model.lm_head.weight = torch.nn.Parameter(torch.zeros_like(model.lm_head.weight))
        model.lm_head.weight[:32] = torch.eye(32)
        model.transformer.ln_f.weight.fill_(1.0)
        model.transformer.ln_f.bias.zero_()
    split = ModelWithSplitPoints(model, 0, tokenizer=byte_bpe())
    found = VocabProj(NeuronsAsConcepts(split), k=1).interpret()
    block = model.transformer.h[0]
    ids = torch.tensor([[5, 6, 7]])
    for concept in range(32):
        assert found[concept]["raised"][0].id == concept
        direction = 1e3 * torch.eye(32)[concept]

        def push(_module, _args, output, direction=direction):
            return output + direction if isinstance(output, torch.Tensor) else (output[0] + direction, *output[1:])

        handle = block.register_forward_hook(push)
        with torch.no_grad():
            pushed = model(ids).logits
        handle.remove()
        assert pushed.argmax(dim=-1).unique().tolist() == [concept]


def test_tokens_are_readable_and_special_ones_named():
    model, tokenizer = load("stories")
    split = ModelWithSplitPoints(model, -1, tokenizer=tokenizer)
    concepts = RandomConcepts(split, nb_concepts=4)
    concepts.fit(split.get_activations(["Once upon a time there was a dog."]))
    texts = [
        token.text for r in VocabProj(concepts, k=50).interpret().values() for one in r.lists for token in one.tokens
    ]
    assert texts
    assert not any(mark in text for text in texts for mark in ("Ġ", "▁", "\n"))
    assert all(text.strip() == text and text for text in texts)


def test_batches_of_concepts_and_order_change_nothing(monkeypatch):
    concepts = concepts_of(language_model(), byte_bpe(), nb_concepts=9)
    whole = VocabProj(concepts).interpret()
    monkeypatch.setattr("interpreto.concepts.interpretations.vocab_proj._AT_ONCE", 2)
    monkeypatch.setattr("interpreto.model_wrapping.unembedding._ROWS", 2)
    monkeypatch.setattr("interpreto.model_wrapping.unembedding._NUMBERS_AT_ONCE", 100)
    parts = VocabProj(concepts).interpret([8, 3, 0])
    assert list(parts) == [8, 3, 0]
    for concept, reading in parts.items():
        for one, other in zip(reading.lists, whole[concept].lists, strict=True):
            mine, theirs = ([token.weight for token in found.tokens] for found in (one, other))
            assert mine == pytest.approx(theirs, abs=1e-5)


def test_no_table_of_concepts_and_tokens_is_kept(monkeypatch):
    """The largest tensor that is sorted has as many numbers as the limit says."""
    monkeypatch.setattr("interpreto.model_wrapping.unembedding._NUMBERS_AT_ONCE", 512)
    monkeypatch.setattr("interpreto.model_wrapping.unembedding._ROWS", 16)
    seen = []
    topk = torch.Tensor.topk

    def counted(tensor, *args, **options):
        seen.append(tensor.numel())
        return topk(tensor, *args, **options)

    monkeypatch.setattr(torch.Tensor, "topk", counted)
    VocabProj(concepts_of(language_model(), byte_bpe(), nb_concepts=64), k=5).interpret()
    assert max(seen) <= 512


def test_the_model_is_untouched():
    model = language_model().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    VocabProj(concepts_of(model, byte_bpe())).interpret()
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_bad_input():
    concepts = concepts_of(language_model(), byte_bpe())
    with pytest.raises(InputError, match="k: expected a whole number"):
        VocabProj(concepts, k=0)
    with pytest.raises(InputError, match="numbers from 0 to 5, got 6"):
        VocabProj(concepts).interpret(6)
    with pytest.raises(NotFittedError):
        VocabProj(RandomConcepts(concepts.split, nb_concepts=2)).interpret()
    with pytest.raises(ModelError, match="vocabulary"):
        VocabProj(concepts_of(*model_and_tokenizer("bert", CLASSES))).interpret()
    with pytest.raises(InputError, match=r"decoder\.0"):
        VocabProj(concepts_of(*model_and_tokenizer("t5", SEQ2SEQ), "encoder.0")).interpret()
    split = ModelWithSplitPoints(language_model(), "transformer.h.0.mlp.c_proj:input", tokenizer=byte_bpe())
    neurons = RandomConcepts(split, nb_concepts=2)
    neurons.fit(torch.randn(4, 128))
    with pytest.raises(InputError, match="residual stream, of width 32, got width 128"):
        VocabProj(neurons).interpret()


def test_results_are_data(tmp_path):
    found = VocabProj(concepts_of(language_model(), byte_bpe()), k=3).interpret([1, 4])
    found.save(tmp_path / "found.json")
    again = OutputReadings.load(tmp_path / "found.json")
    assert again.readings == found.readings
    assert again.settings == found.settings
    assert again.to_json() == found.to_json()
    table = found.to_pandas()
    assert len(table) == 2 * 2 * 3
    assert list(table.columns) == ["concept", "list", "rank", "text", "id", "weight", "error"]
    examples = found.as_interpretations()[4].examples
    assert [(e.text, e.activation) for e in examples] == [(t.text, t.weight) for t in found[4]["raised"]]
    assert "concept 4" in found.text()
    with pytest.raises(KeyError, match="there are"):
        found[0]
    with pytest.raises(KeyError, match="raised"):
        found[1]["up"]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("kind",), "interpretations"),
        (("format",), 2),
        (("readings", 0, "lists"), []),
        (("readings", 0, "lists", 0, "tokens", 0, 2), "much"),
        (("readings", 0, "lists", 0, "tokens", 0, 2), float("nan")),
        (("readings", 0, "lists", 0, "tokens", 0, 0), 5),
        (("readings", 0, "lists", 0, "tokens", 0), ["the", 1]),
        (("readings",), None),
        (("method",), 3),
    ],
)
def test_files_of_something_else_are_refused(place, value):
    one = OutputReadings((OutputReading(0, (TokenList("raised", (TokenWeight("the", 1, 0.5),)),)),), "VocabProj")
    data = json.loads(one.to_json())
    at = data
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = value
    with pytest.raises(InputError, match="file: expected"):
        OutputReadings.from_json(json.dumps(data))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.json"):
        OutputReadings.load(tmp_path / "nothing.json")


def test_architectures_have_a_product_each():
    assert {name for name, _ in BY_HAND} <= set(ARCHITECTURES)
