"""Attention rollout against products of the matrices that transformers itself hands out."""

import copy

import pytest
import torch

from interpreto import Contrast, InferenceMode, ModelWithSplitPoints, Occlusion
from interpreto.attributions.methods.attention_rollout import AttentionRollout, rollout
from interpreto.attributions.methods.attn_lrp import AttnLRP
from interpreto.concepts import NeuronsAsConcepts
from interpreto.concepts.bridges import InputToConcepts
from interpreto.errors import ModelError
from interpreto.model_wrapping.attention_maps import AttentionMap
from interpreto.types import Task
from tests.architectures import build, model_and_tokenizer
from tests.attributions.test_contract import fingerprint
from tests.tiny import (
    T5_HIDES_ATTENTION,
    byte_bpe,
    classifier,
    language_model,
    metaspace,
    sequence_to_sequence,
    wordpiece,
)

TEXT = "The quick brown fox jumps."


def handed_out(model, **inputs):
    """The output of a copy of the model that was set to hand out its attention."""
    other = copy.deepcopy(model)
    for module in other.modules():
        if hasattr(module, "config"):
            module.config._attn_implementation = "eager"  # Falcon has no other way
    with torch.no_grad():
        return other(**inputs, output_attentions=True, use_cache=False)


def half(weights):
    """A mean over heads, mixed with the residual connection."""
    mean = weights[0].double().mean(dim=0)
    return (mean + torch.eye(len(mean))) / 2


def product(layers):
    total = torch.eye(layers[0].shape[-1], dtype=torch.float64)
    for weights in layers:
        total = half(weights) @ total
    return total


def by_element(row, result):
    return torch.stack([row[list(element.tokens)].sum() for element in result.elements]).float()


def test_by_hand():
    first = torch.tensor([[1.0, 0.0], [0.25, 0.75]])
    second = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    found = rollout([AttentionMap(first, 0, 0), AttentionMap(second, 0, 0)])
    # (second + I) / 2 = [[1, 0], [1/4, 3/4]] times (first + I) / 2 = [[1, 0], [1/8, 7/8]]
    torch.testing.assert_close(found, torch.tensor([[1.0, 0.0], [0.25 + 0.75 / 8, 0.75 * 7 / 8]]))


def test_the_class_tokens_row_of_a_classifier():
    model, tokenizer = classifier(), wordpiece()
    (result,) = AttentionRollout(model, tokenizer)(TEXT, [[0, 2]])
    output = handed_out(model, input_ids=torch.tensor([result.sample.ids]))
    row = product(output.attentions)[0]
    assert row.sum().item() == pytest.approx(1)
    torch.testing.assert_close(result.scores, by_element(row, result).expand(2, -1), atol=1e-6, rtol=0)
    torch.testing.assert_close(result.target_scores, output.logits[0, [0, 2]], atol=1e-5, rtol=0)


@pytest.mark.parametrize("granularity", ["token", "word", "text"])
def test_the_row_before_each_token_that_is_written(granularity):
    """Equal to one pass over what each token sees; the mean of rows where a target has several."""
    model, tokenizer = language_model(), byte_bpe()
    (result,) = AttentionRollout(model, tokenizer, output_granularity=granularity)("What a great", " day for you")
    flow = product(handed_out(model, input_ids=torch.tensor([result.sample.ids])).attentions)
    for row, target in zip(result.scores, result.targets, strict=True):
        places = [result.readout.slots[result.readout.reads[read][0]] for read in target.plus]
        expected = by_element(flow[places].mean(dim=0), result)
        seen = row.isfinite()
        assert seen.tolist() == [element.tokens[0] < target.first for element in result.elements]
        torch.testing.assert_close(row[seen], expected[seen], atol=1e-6, rtol=0)
        if len(places) == 1:
            assert row[seen].sum().item() == pytest.approx(1)


def test_masks_words_and_answers_are_read_where_they_stand():
    for name, task, text, targets in [
        ("bert", Task.MASKED_LM, "The [MASK] fox.", None),
        ("distilbert", Task.TOKEN_CLASSIFICATION, TEXT, [[1, 3]]),
        ("bert", Task.QUESTION_ANSWERING, ("Who is sad?", "The lazy dog."), None),
    ]:
        model, tokenizer = model_and_tokenizer(name, task)
        (result,) = AttentionRollout(model, tokenizer)(text, targets)
        sample = result.sample
        kinds = torch.tensor([[token.type_id for token in sample.tokens]])
        more = {} if name == "distilbert" else {"token_type_ids": kinds}
        flow = product(handed_out(model, input_ids=torch.tensor([sample.ids]), **more).attentions)
        for row, target in zip(result.scores, result.targets, strict=True):
            slot, column = result.readout.reads[target.plus[0]]
            place = column if task is Task.QUESTION_ANSWERING else result.readout.slots[slot]
            torch.testing.assert_close(row, by_element(flow[place], result), atol=1e-6, rtol=0)


@pytest.mark.skipif(T5_HIDES_ATTENTION, reason="needs transformers 5.15")
def test_an_encoder_decoder_is_one_graph():
    """As products of matrices over source and output together."""
    model, tokenizer = sequence_to_sequence(), metaspace()
    (result,) = AttentionRollout(model, tokenizer)("The quick fox", " jumps over")
    ids, s = result.sample.ids, result.sample.source_length
    output = handed_out(model, input_ids=torch.tensor([ids[:s]]), decoder_input_ids=torch.tensor([ids[s:]]))
    total = torch.eye(len(ids), dtype=torch.float64)
    for weights in output.encoder_attentions:
        step = torch.eye(len(ids), dtype=torch.float64)
        step[:s, :s] = half(weights)
        total = step @ total
    for own, cross in zip(output.decoder_attentions, output.cross_attentions, strict=True):
        step = torch.eye(len(ids), dtype=torch.float64)
        step[s:, s:] = half(own)
        total = step @ total
        step = torch.eye(len(ids), dtype=torch.float64) / 2
        step[:s, :s] *= 2
        step[s:, :s] = cross[0].double().mean(dim=0) / 2
        total = step @ total
    torch.testing.assert_close(total.sum(dim=1), torch.ones(len(ids)).double())
    for row, target in zip(result.scores, result.targets, strict=True):
        expected = by_element(total[target.first - 1], result)
        torch.testing.assert_close(row[row.isfinite()], expected[row.isfinite()], atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama", "mistral", "gemma3", "falcon", "opt", "bart"])
def test_architectures_agree_with_what_transformers_hands_out(name):
    model, tokenizer = model_and_tokenizer(name, Task.CAUSAL_LM)
    (result,) = AttentionRollout(model, tokenizer)("The sad dog ran on", " the cat")
    flow = product(handed_out(model, input_ids=torch.tensor([result.sample.ids])).attentions)
    for row, target in zip(result.scores, result.targets, strict=True):
        expected = by_element(flow[target.first - 1], result)
        torch.testing.assert_close(row[row.isfinite()], expected[row.isfinite()], atol=1e-5, rtol=0)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_any_attention_is_written_out_for_one_pass_and_put_back(attention):
    model, tokenizer = build("bert", Task.CLASSIFICATION, attention=attention), wordpiece()
    before, calls = fingerprint(model, tokenizer), []
    handle = model.bert.register_forward_pre_hook(lambda *_: calls.append(model.config._attn_implementation))
    (result,) = AttentionRollout(model, tokenizer)(TEXT, 0)
    handle.remove()
    assert calls[-1] == "eager"
    assert model.config._attn_implementation == attention
    assert fingerprint(model, tokenizer) == before
    (expected,) = Occlusion(model, tokenizer)(TEXT, 0)
    torch.testing.assert_close(result.target_scores, expected.target_scores, atol=1e-5, rtol=0)
    handle = model.classifier.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        AttentionRollout(model, tokenizer)(TEXT, 0)
    handle.remove()
    assert model.config._attn_implementation == attention
    assert fingerprint(model, tokenizer) == before


def test_a_contrast_and_the_mode_change_no_share():
    model, tokenizer = classifier(), wordpiece()
    explainer = AttentionRollout(model, tokenizer)
    (plain,), (contrast,) = explainer(TEXT, 0), explainer(TEXT, Contrast(0, 2))
    torch.testing.assert_close(contrast.scores, plain.scores)
    assert contrast.target_scores != plain.target_scores
    (softmax,) = AttentionRollout(model, tokenizer, inference_mode=InferenceMode.SOFTMAX)(TEXT, 0)
    torch.testing.assert_close(softmax.scores, plain.scores)
    assert 0 < softmax.target_scores < 1


@pytest.mark.parametrize(
    ("name", "task", "message"),
    [
        ("mamba", Task.CAUSAL_LM, "expected attention weights of 2 layers, got those of 0 from this MambaFor"),
        ("deberta-v2", Task.CLASSIFICATION, "expected attention weights of 2 layers, got those of 0"),
        ("bart", Task.CLASSIFICATION, "of encoder-decoders one that writes, got BartFor"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_models_without_attention_to_roll_out(name, task, message):
    model, tokenizer = model_and_tokenizer(name, task)
    with pytest.raises(ModelError, match=message):
        AttentionRollout(model, tokenizer)("The sad dog", " ran" if task.generates else 0)


@pytest.mark.parametrize("method", [AttentionRollout, AttnLRP])
def test_concepts_are_no_answers_of_the_model(method):
    concepts = InputToConcepts(NeuronsAsConcepts(ModelWithSplitPoints(classifier(), 1, tokenizer=wordpiece())))
    with pytest.raises(ModelError, match=r"expected one whose own answers are explained.*, got InputToConcepts"):
        method(concepts)(TEXT, 0)
