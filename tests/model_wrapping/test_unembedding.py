"""The end of a model by itself: the model's own logits, for every architecture that has a vocabulary."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from interpreto.errors import InputError, ModelError
from interpreto.model_wrapping import ModelWithSplitPoints, Traits
from interpreto.model_wrapping.unembedding import Unembedding
from tests.architectures import CAUSAL, CLASSES, MASKED, PAIRS, SEQ2SEQ, build, model_and_tokenizer
from tests.tiny import byte_bpe, language_model

WITH_VOCABULARY = [pair for pair in PAIRS if pair[1] in (CAUSAL, SEQ2SEQ, MASKED)]


@pytest.mark.parametrize(("name", "task"), WITH_VOCABULARY)
def test_logits_are_the_models_own(name, task):
    model, tokenizer = model_and_tokenizer(name, task)
    unembedding = Unembedding(Traits(model, tokenizer))
    module = dict(model.named_modules())[unembedding.point.path]
    ids = torch.arange(3, 10)[None]
    kept = []
    handle = module.register_forward_hook(
        lambda _module, _args, output: kept.append(output if isinstance(output, torch.Tensor) else output[0])
    )
    inputs = {"input_ids": ids} | ({"decoder_input_ids": ids.flip(1)} if task is SEQ2SEQ else {})
    with torch.no_grad():
        wanted = model(**inputs).logits[0].float()
        handle.remove()
        found = unembedding.logits(kept[-1].reshape(ids.shape[1], -1))
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("name", "task"), WITH_VOCABULARY)
def test_what_enters_the_head_makes_the_logits(name, task):
    model, tokenizer = model_and_tokenizer(name, task)
    unembedding = Unembedding(Traits(model, tokenizer))
    states = torch.randn(5, unembedding.width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        by_hand = unembedding.head(unembedding.normed(states))
        if unembedding.is_linear:
            torch.testing.assert_close(by_hand, unembedding.logits(states), atol=1e-4, rtol=1e-4)
        else:
            assert not torch.allclose(by_hand, unembedding.logits(states), atol=1e-3)


def test_only_what_follows_the_head_makes_it_nonlinear():
    nonlinear = {
        name for name, task in WITH_VOCABULARY if not Unembedding(Traits(*model_and_tokenizer(name, task))).is_linear
    }
    assert nonlinear == {"bart", "mbart", "gemma3"}


def test_extremes_are_those_of_the_whole_product(monkeypatch):
    monkeypatch.setattr("interpreto.model_wrapping.unembedding._NUMBERS_AT_ONCE", 64)
    monkeypatch.setattr("interpreto.model_wrapping.unembedding._ROWS", 3)
    unembedding = Unembedding(Traits(language_model(), byte_bpe()))
    vectors = torch.randn(7, 32, generator=torch.Generator().manual_seed(0))
    scores = (vectors @ unembedding.head.weight.T).detach()[:, : unembedding.nb_tokens]
    values, ids, low, low_ids = unembedding.extremes(vectors, 30)
    torch.testing.assert_close(values, scores.topk(30).values)
    torch.testing.assert_close(low, scores.topk(30, largest=False).values)
    torch.testing.assert_close(scores.gather(1, ids), values)
    torch.testing.assert_close(scores.gather(1, low_ids), low)
    assert all(len(set(row)) == 30 for row in ids.tolist())


def test_gradients_flow_to_the_states():
    unembedding = Unembedding(Traits(language_model(), byte_bpe()))
    states = torch.randn(2, 32, dtype=torch.float32, requires_grad=True)
    (gradient,) = torch.autograd.grad(unembedding.logits(states)[:, 5].sum(), states)
    norm, head = unembedding.traits.base.transformer.ln_f, unembedding.head
    again = states.detach().requires_grad_()
    (wanted,) = torch.autograd.grad(head(norm(again))[:, 5].sum(), again)
    torch.testing.assert_close(gradient, wanted)


def test_rows_of_the_head_without_a_token_are_left_out():
    model = language_model()
    model.resize_token_embeddings(len(byte_bpe()) + 24)
    with torch.no_grad():
        model.lm_head.weight[len(byte_bpe()) :] = 5.0
    unembedding = Unembedding(Traits(model, byte_bpe()))
    assert unembedding.nb_tokens == len(byte_bpe())
    _, ids, _, _ = unembedding.extremes(torch.ones(1, 32), 5)
    assert int(ids.max()) < len(byte_bpe())


def test_models_without_a_vocabulary_are_refused():
    with pytest.raises(ModelError, match="output head over a vocabulary"):
        Unembedding(Traits(*model_and_tokenizer("bert", CLASSES)))


def test_an_end_that_looks_at_other_tokens_is_refused():
    class Mixing(nn.Module):
        def __init__(self, norm):
            super().__init__()
            self.norm = norm

        def forward(self, hidden):
            return self.norm(hidden + hidden.cumsum(dim=1))

    model = copy.deepcopy(language_model())
    model.transformer.ln_f = Mixing(model.transformer.ln_f)
    with pytest.raises(ModelError, match="one token's hidden state at a time"):
        Unembedding(Traits(model, byte_bpe()))


def test_a_head_that_is_no_linear_layer_is_refused():
    model = build("gpt2", CAUSAL)
    model.lm_head = nn.Sequential(model.lm_head)
    model.lm_head.weight = model.lm_head[0].weight
    unembedding = Unembedding(Traits(model, byte_bpe()))
    assert unembedding.logits(torch.zeros(1, 32)).shape == (1, len(byte_bpe()))
    with pytest.raises(ModelError, match="plain linear layer"):
        _ = unembedding.head


def test_states_of_another_stream_are_refused():
    model, tokenizer = model_and_tokenizer("t5", SEQ2SEQ)
    split = ModelWithSplitPoints(model, ["encoder.0", "decoder.0"], tokenizer=tokenizer)
    unembedding = Unembedding(split.traits)
    unembedding.check(split.split_points[1], 32)
    with pytest.raises(InputError, match=r"decoder\.0"):
        unembedding.check(split.split_points[0], 32)
    with pytest.raises(InputError, match="width 32, got width 48"):
        unembedding.check(split.split_points[1], 48)
    with pytest.raises(ModelError, match="width 32"):
        unembedding.logits(torch.zeros(1, 7))
