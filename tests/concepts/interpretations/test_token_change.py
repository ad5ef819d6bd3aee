"""Tokens that concepts move, against two passes and a hook written by hand."""

from __future__ import annotations

import pytest
import torch

from interpreto.concepts import KMeansConcepts, PCAConcepts, SemiNMFConcepts
from interpreto.concepts.interpretations.output_result import OutputReadings
from interpreto.concepts.interpretations.token_change import Changes, TokenChange
from interpreto.concepts.interpretations.vocab_proj import VocabProj
from interpreto.demo import load
from interpreto.errors import InputError, ModelError
from interpreto.model_wrapping import ModelWithSplitPoints
from interpreto.model_wrapping.unembedding import Unembedding
from tests.architectures import ARCHITECTURES, CAUSAL, CLASSES, MASKED, SEQ2SEQ, build, model_and_tokenizer
from tests.concepts.simple import RandomConcepts, RandomModel
from tests.tiny import LINES, byte_bpe, language_model

MODELS = [
    ("gpt2", CAUSAL),
    ("llama", CAUSAL),
    ("gemma3", CAUSAL),
    ("mamba", CAUSAL),
    ("bart", SEQ2SEQ),
    ("t5", SEQ2SEQ),
    ("bert", MASKED),
    ("albert", MASKED),
]


class SilentModel(RandomModel):
    """Concepts that are never active."""

    def encode(self, activations):
        return torch.zeros(len(activations), len(self.directions))


def concepts_of(model, tokenizer, point=0, nb_concepts=4, **options):
    split = ModelWithSplitPoints(model, point, tokenizer=tokenizer, **options)
    found = RandomConcepts(split, nb_concepts=nb_concepts)
    found.fit(torch.randn(20, 32))
    return found


def by_hand(concepts, text, concept, sign, strength, target=None):
    """The change of the mean logits, by two passes: a plain one, and one with a hook."""
    split, model = concepts.split, concepts.split.model
    point, calls, kept = split.split_points[0], [], []
    module = dict(model.named_modules())[point.path]
    direction = concepts.dictionary[concept]

    def hook(_module, _args, output):
        calls.append(0)
        if len(calls) - 1 != point.call:
            return None
        hidden = output if isinstance(output, torch.Tensor) else output[0]
        kept.append(hidden.clone())
        if len(kept) == 1:
            return None
        codes = concepts.concept_model.encode(hidden[0])
        scale = kept[0].norm(dim=-1).median() / direction.norm()
        wanted = codes.clone()
        wanted[:, concept] = sign * strength * scale
        error = hidden[0] - concepts.concept_model.decode(codes)
        new = (concepts.concept_model.decode(wanted) + error)[None]
        return new if isinstance(output, torch.Tensor) else (new, *output[1:])

    sample = split.samples([text], None if target is None else [target])[0]
    ids = torch.tensor([sample.ids])
    inputs = {"input_ids": ids}
    if split.traits.is_encoder_decoder:
        border = sample.source_length
        inputs = {"input_ids": ids[:, :border], "decoder_input_ids": ids[:, border:]}
    handle = module.register_forward_hook(hook)
    with torch.no_grad():
        clean = model(**inputs).logits[0].float().mean(dim=0)
        calls.clear()
        changed = model(**inputs).logits[0].float().mean(dim=0)
    handle.remove()
    return (changed - clean)[: len(split.tokenizer)]


@pytest.mark.parametrize(("name", "task"), MODELS)
def test_two_passes_and_a_hook(name, task):
    model, tokenizer = build(name, task), ARCHITECTURES[name].tokenizer()
    point = "decoder.0" if task is SEQ2SEQ else 0
    concepts = concepts_of(model, tokenizer, point)
    target = "it is a great day" if task is SEQ2SEQ else None
    targets = None if target is None else [target]
    found = TokenChange(concepts, k=7, strength=1.5).interpret([3, 1], [LINES[0]], targets=targets)
    assert list(found) == [3, 1]
    for concept, reading in found.items():
        for state, sign in (("amplified", 1), ("suppressed", -1)):
            change = by_hand(concepts, LINES[0], concept, sign, 1.5, target)
            for way, most in (("raised", True), ("lowered", False)):
                tokens = reading[f"{way} when {state}"]
                weights = torch.tensor([token.weight for token in tokens])
                torch.testing.assert_close(weights, change.topk(7, largest=most).values, atol=2e-4, rtol=1e-3)
                torch.testing.assert_close(weights, change[[t.id for t in tokens]], atol=2e-4, rtol=1e-3)
                assert all(token.error is None for token in tokens)


def test_concepts_of_an_encoder_that_a_decoder_looks_at():
    model, tokenizer = build("t5", SEQ2SEQ), ARCHITECTURES["t5"].tokenizer()
    concepts = concepts_of(model, tokenizer, "encoder.1")
    found = TokenChange(concepts, k=3).interpret([0], [LINES[0]])
    change = by_hand(concepts, LINES[0], 0, 1, 1.0)
    weights = torch.tensor([token.weight for token in found[0]["raised when amplified"]])
    torch.testing.assert_close(weights, change.topk(3).values, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("kind", [PCAConcepts, SemiNMFConcepts, KMeansConcepts])
def test_kinds_of_concepts_move_by_what_they_decode(kind):
    """By hand the changed codes are decoded; here only the concept's own direction is added."""
    split = ModelWithSplitPoints(language_model(), 0, tokenizer=byte_bpe())
    concepts = kind(split, nb_concepts=3)
    concepts.fit(split.get_activations(LINES))
    found = TokenChange(concepts, k=5, strength=0.7).interpret([1], [LINES[1]])
    for state, sign in (("amplified", 1), ("suppressed", -1)):
        change = by_hand(concepts, LINES[1], 1, sign, 0.7)
        weights = torch.tensor([token.weight for token in found[1][f"raised when {state}"]])
        torch.testing.assert_close(weights, change.topk(5).values, atol=2e-4, rtol=1e-3)


def test_mean_over_texts_and_its_standard_error():
    concepts = concepts_of(language_model(), byte_bpe())
    texts = LINES[:4]
    found = TokenChange(concepts, k=5, batch_size=3).interpret([2], texts)
    split = concepts.split
    norms = split.get_activations(texts, "all_tokens")["0"].norm(dim=1).median()
    changes = []
    for text in texts:
        own = split.get_activations([text], "all_tokens")["0"].norm(dim=1).median()
        changes.append(by_hand(concepts, text, 2, 1, float(norms / own)))
    changes = torch.stack(changes)
    mean, errors = changes.mean(dim=0), changes.std(dim=0) / 2
    for token in found[2]["raised when amplified"]:
        assert token.weight == pytest.approx(float(mean[token.id]), abs=2e-4)
        assert token.error == pytest.approx(float(errors[token.id]), abs=2e-4)
    assert [t.id for t in found[2]["raised when amplified"]] == mean.topk(5).indices.tolist()


def test_the_errors_say_how_far_means_of_other_texts_are():
    model, tokenizer = load("stories")
    split = ModelWithSplitPoints(model, -1, tokenizer=tokenizer)
    concepts = RandomConcepts(split, nb_concepts=2)
    texts = [f"{line} {k}" for k in range(6) for line in LINES]
    concepts.fit(split.get_activations(texts))
    found = TokenChange(concepts, k=3, nb_prompts=10, seed=0).interpret([0], texts)
    other = TokenChange(concepts, k=50, nb_prompts=10, seed=1).interpret([0], texts)
    known = {token.id: token for token in other[0]["raised when amplified"]}
    shared = [(t, known[t.id]) for t in found[0]["raised when amplified"] if t.id in known]
    assert shared
    for one, same in shared:
        assert abs(one.weight - same.weight) < 5 * (one.error**2 + same.error**2) ** 0.5 + 1e-6


def test_strength_0_takes_a_concept_out():
    concepts = concepts_of(language_model(), byte_bpe())
    samples = tuple(concepts.split.samples(LINES[:2]))
    changes = Changes(concepts, Unembedding(concepts.split.traits), samples, None)
    moved = changes.of([0], 0.0)
    assert torch.equal(moved[0], moved[1])  # +0 and -0
    found = moved[0, 0] @ concepts.split.model.lm_head.weight.detach().T
    wanted = by_hand(concepts, LINES[0], 0, 1, 0.0)
    assert float(wanted.abs().max()) > 0.01
    torch.testing.assert_close(found, wanted, atol=2e-4, rtol=1e-3)


def test_strength_0_does_nothing_at_all_where_a_concept_is_not_active():
    concepts = concepts_of(language_model(), byte_bpe())
    concepts._concept_model = SilentModel(concepts.dictionary)
    found = TokenChange(concepts, k=3, strength=0.0).interpret("all", LINES[:2])
    assert {token.weight for reading in found.values() for one in reading.lists for token in one.tokens} == {0.0}


def test_what_raises_is_ordered_and_opposite_of_what_lowers():
    concepts = concepts_of(language_model(), byte_bpe(), point=-1)
    found = TokenChange(concepts, k=20, strength=3.0).interpret("all", LINES)
    for reading in found.values():
        for one in reading.lists:
            weights = [token.weight for token in one.tokens]
            assert weights == sorted(weights, reverse=one.name.startswith("raised"))
        assert reading["raised when amplified"][0].weight > 0 > reading["lowered when amplified"][0].weight


def test_after_the_last_block_a_strong_concept_moves_the_tokens_of_its_projection():
    """With so large a strength the final norm sees nothing but the direction, as in the projection."""
    concepts = concepts_of(build("llama", CAUSAL), ARCHITECTURES["llama"].tokenizer(), point=-1)
    split = concepts.split
    projected = VocabProj(concepts, k=5).interpret()
    sample = split.samples([LINES[0]])
    changes = Changes(concepts, Unembedding(split.traits), tuple(sample), None)
    strong = changes.of([0, 1, 2, 3], 1e4)[:, 0]
    apart = (strong[0::2] - strong[1::2]) / 2  # what the text itself says cancels
    weight = split.model.lm_head.weight.detach()
    for concept, reading in projected.items():
        assert (apart[concept] @ weight.T).topk(5).indices.tolist() == [t.id for t in reading["raised"]]


def test_batches_order_and_neighbours_change_nothing(monkeypatch):
    model, tokenizer = language_model(), byte_bpe()
    wanted = TokenChange(concepts_of(model, tokenizer, batch_size=64), k=6).interpret("all", LINES)
    monkeypatch.setattr("interpreto.concepts.interpretations.token_change._KEPT", 700)
    found = TokenChange(concepts_of(model, tokenizer), k=6, batch_size=1).interpret([3, 2, 1, 0], LINES)
    for concept in range(4):
        for one, other in zip(found[concept].lists, wanted[concept].lists, strict=True):
            mine, theirs = ([token.weight for token in tokens.tokens] for tokens in (one, other))
            assert mine == pytest.approx(theirs, abs=1e-4)


def test_texts_are_chosen_by_the_seed():
    concepts = concepts_of(language_model(), byte_bpe())
    first = TokenChange(concepts, nb_prompts=2, seed=1).interpret([0], LINES)
    assert first.to_json() == TokenChange(concepts, nb_prompts=2, seed=1).interpret([0], LINES).to_json()
    others = {TokenChange(concepts, nb_prompts=2, seed=seed).interpret([0], LINES).to_json() for seed in range(4)}
    assert len(others) > 1
    assert first.settings["prompts_used"] == 2
    assert TokenChange(concepts).interpret([0], LINES[:3]).settings["prompts_used"] == 3
    assert OutputReadings.from_json(first.to_json()).readings == first.readings


def test_the_model_is_untouched_also_after_an_exception(monkeypatch):
    model = language_model().train()
    concepts = concepts_of(model, byte_bpe())
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def check():
        assert model.training
        assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
        assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())

    TokenChange(concepts).interpret([0], LINES[:2])
    check()
    block = model.transformer.h[1]
    forward, calls = block.forward, []

    def failing(*args, **options):
        calls.append(0)
        if len(calls) > 4:
            raise RuntimeError("no more")
        return forward(*args, **options)

    block.forward = failing
    with pytest.raises(ModelError, match="no more"):
        TokenChange(concepts, batch_size=1).interpret("all", LINES)
    del block.forward
    check()


def test_a_head_that_is_no_plain_layer_goes_through_its_logits():
    model = language_model()
    wanted = TokenChange(concepts_of(model, byte_bpe()), k=5).interpret([1], LINES[:2])
    weight = model.lm_head.weight
    model.lm_head = torch.nn.Sequential(model.lm_head)
    model.lm_head.weight = weight
    concepts = concepts_of(model, byte_bpe())
    assert not Unembedding(concepts.split.traits).is_linear
    found = TokenChange(concepts, k=5).interpret([1], LINES[:2])
    for one, other in zip(found[1].lists, wanted[1].lists, strict=True):
        assert [t.id for t in one.tokens] == [t.id for t in other.tokens]
        for mine, theirs in zip(one.tokens, other.tokens, strict=True):
            assert mine.weight == pytest.approx(theirs.weight, abs=1e-4)
            assert mine.error == pytest.approx(theirs.error, abs=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_models_on_another_device(device):
    wanted = concepts_of(language_model(), byte_bpe())
    found = concepts_of(language_model().to("cuda"), byte_bpe())
    found._concept_model = wanted.concept_model.to(device)
    for one, other in (
        (TokenChange(wanted).interpret("all", LINES), TokenChange(found).interpret("all", LINES)),
        (VocabProj(wanted).interpret(), VocabProj(found).interpret()),
    ):
        for concept, reading in one.items():
            for mine, theirs in zip(reading.lists, other[concept].lists, strict=True):
                weights = [[token.weight for token in tokens.tokens] for tokens in (mine, theirs)]
                assert weights[0] == pytest.approx(weights[1], abs=1e-3)


def test_bad_input():
    concepts = concepts_of(language_model(), byte_bpe())
    for name, value in {"k": 0, "nb_prompts": 0, "seed": -1, "batch_size": 0}.items():
        with pytest.raises(InputError, match=f"{name}: expected a whole number"):
            TokenChange(concepts, **{name: value})
    for strength in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="strength: expected a number, at least 0"):
            TokenChange(concepts, strength=strength)
    with pytest.raises(InputError, match="inputs: expected the texts"):
        TokenChange(concepts).interpret([0])
    with pytest.raises(InputError, match="numbers from 0 to 3, got 9"):
        TokenChange(concepts).interpret([9], LINES)
    with pytest.raises(ModelError, match="vocabulary"):
        TokenChange(concepts_of(*model_and_tokenizer("bert", CLASSES))).interpret([0], LINES)
    wide = RandomConcepts(concepts.split, nb_concepts=2)
    wide.fit(torch.randn(4, 9))
    with pytest.raises(InputError, match="width"):
        TokenChange(wide).interpret([0], LINES)
    with pytest.raises(ModelError, match="lower strength"):
        TokenChange(concepts, strength=1e38).interpret([0], LINES)


def test_dead_concepts_do_not_cost_the_others():
    found = concepts_of(*model_and_tokenizer("gpt2", CAUSAL))
    directions = found.dictionary.clone()
    directions[1] = 0
    found._concept_model = RandomModel(directions)
    alone = TokenChange(found, k=3).interpret([0], LINES)
    readings = TokenChange(found, k=3).interpret([0, 1], LINES)
    assert readings[0] == alone[0]
    assert all(token.weight == 0 for tokens in readings[1].lists for token in tokens.tokens)
