"""Models that users changed, before or between calls: the numbers are those of the model as it is."""

from copy import deepcopy

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from interpreto import InputxGradient, Occlusion
from interpreto.attributions.base import AttributionExplainer
from interpreto.types import InferenceMode
from tests.architectures import CAUSAL, CLASSES, model_and_tokenizer
from tests.model_wrapping.plain import engine
from tests.tiny import byte_bpe

TEXT, TARGET = "The quick brown fox", " jumps over the dog"


def fresh(**changes):
    torch.manual_seed(0)
    tokenizer = byte_bpe()
    settings = {"vocab_size": len(tokenizer), "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2}
    return GPT2LMHeadModel(GPT2Config(**{**settings, **changes})).eval(), tokenizer


def log_probabilities(model, tokenizer):
    """Of the target, by a plain pass."""
    ids, output = tokenizer(TEXT)["input_ids"], tokenizer(TARGET)["input_ids"]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids + output])).logits[0].double()
    places = torch.arange(len(ids) - 1, len(ids) + len(output) - 1)
    return logits.log_softmax(dim=-1)[places, output].float()


@pytest.mark.parametrize("kind", ["answer", "input"])
def test_hooks_on_the_head_are_part_of_the_model(kind):
    model, tokenizer = fresh()

    def favour(_module, _args, answer):
        return answer + torch.linspace(0, 3, answer.shape[-1])

    def halve(_module, args):
        return (args[0] / 2,)

    explainer = Occlusion(model, tokenizer, inference_mode="log_softmax")
    explainer(TEXT, TARGET)  # what was found out of the head before does not hold any longer
    if kind == "answer":
        handle = model.lm_head.register_forward_hook(favour)
    else:
        handle = model.lm_head.register_forward_pre_hook(halve)
    (result,) = explainer(TEXT, TARGET)
    torch.testing.assert_close(result.target_scores, log_probabilities(model, tokenizer), atol=1e-5, rtol=1e-5)
    handle.remove()
    (result,) = explainer(TEXT, TARGET)
    torch.testing.assert_close(result.target_scores, log_probabilities(model, tokenizer), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", [Occlusion, InputxGradient])
def test_new_embeddings_between_two_calls(method):
    model, tokenizer = fresh()
    explainer: AttributionExplainer = method(model, tokenizer, inference_mode="log_softmax")
    explainer(TEXT, TARGET)
    model.resize_token_embeddings(len(tokenizer) + 24)
    with torch.no_grad():
        model.transformer.wte.weight.mul_(1.5)
    (result,) = explainer(TEXT, TARGET)
    torch.testing.assert_close(result.target_scores, log_probabilities(model, tokenizer), atol=1e-5, rtol=1e-5)
    (again,) = method(model, tokenizer, inference_mode="log_softmax")(TEXT, TARGET)
    assert torch.equal(result.scores.nan_to_num(), again.scores.nan_to_num())


def test_a_new_head_between_two_calls():
    shared, tokenizer = model_and_tokenizer("bert", CLASSES)
    model = deepcopy(shared)
    explainer = Occlusion(model, tokenizer)
    explainer("The quick brown fox", [[0, 1]])
    model.classifier = torch.nn.Linear(model.classifier.in_features, 5)
    model.config.num_labels = 5
    (result,) = explainer("The quick brown fox", [[0, 4]])
    with torch.no_grad():
        logits = model(**tokenizer("The quick brown fox", return_tensors="pt")).logits[0]
    torch.testing.assert_close(result.target_scores, logits[[0, 4]], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("strength", [1.0, 3e-3])
def test_language_models_that_look_ahead_are_found_out(strength):
    """However little: what a token says then depends on the tokens behind it, which no removal may take for granted."""
    model, tokenizer = fresh()
    for mode in (InferenceMode.LOGITS, InferenceMode.LOG_SOFTMAX):
        scorer, _ = engine(model, tokenizer, [TEXT], TARGET, mode=mode)
        assert scorer._forward.looks_back_only

    def mix(_module, _args, output):
        return output + strength * output.mean(dim=1, keepdim=True)

    model.transformer.h[0].mlp.register_forward_hook(mix)
    scorer, _ = engine(model, tokenizer, [TEXT], TARGET)
    assert not scorer._forward.looks_back_only


def test_recurrent_models_run_whole():
    """What they remember is no keys and values of every token."""
    model, tokenizer = model_and_tokenizer("mamba", CAUSAL)
    text = " ".join([TEXT] * 8)
    (result,) = Occlusion(model, tokenizer, batch_size=2)(text, " jumps")
    (plain,) = Occlusion(model, tokenizer, batch_size=64)(text, " jumps")
    torch.testing.assert_close(result.scores, plain.scores, atol=1e-5, rtol=1e-4, equal_nan=True)
