"""The metrics against a plain loop over the model, and on explanations that are known to be right or useless."""

import re
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from interpreto import InputxGradient, KernelShap, Occlusion
from interpreto.attributions.metrics import Comprehensiveness, Deletion, Insertion, Sufficiency
from interpreto.errors import InputError
from tests.tiny import byte_bpe, classifier, language_model, wordpiece

TEXTS = ["The quick brown fox jumps over the lazy dog.", "What a sad, sad day."]
METRICS = [Comprehensiveness, Deletion, Insertion, Sufficiency]


def probability(model, ids, label):
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits.softmax(dim=-1)[0, label].item()


def masked(result, kept):
    """Ids of an explained text with all elements but these masked."""
    ids = result.sample.ids
    for k, element in enumerate(result.elements):
        for place in element.tokens if k not in kept else ():
            ids[place] = wordpiece().mask_token_id
    return ids


@pytest.mark.parametrize("metric", METRICS)
def test_equal_to_a_plain_loop(metric):
    model, tokenizer = classifier(), wordpiece()
    results = Occlusion(model, tokenizer)(TEXTS, targets=[1, 2])
    evaluation = metric(model, tokenizer)(results)
    for result, label, score in zip(results, [1, 2], evaluation.scores, strict=True):
        g = len(result.elements)
        order = sorted(range(g), key=lambda i: -result.scores[0, i].item())
        everything = set(range(g))
        whole = probability(model, masked(result, everything), label)
        if metric in (Deletion, Insertion):
            taken = [set(order[:k]) for k in range(g + 1)]
        else:
            taken = [set(order[: max(1, -(-int(share * 100) * g // 100))]) for share in (0.01, 0.05, 0.1, 0.2, 0.5)]
        kept = [everything - some if metric in (Deletion, Comprehensiveness) else some for some in taken]
        values = [probability(model, masked(result, some), label) for some in kept]
        if metric in (Deletion, Insertion):
            expected = sum((a + b) / 2 for a, b in pairwise(values)) / g
        else:
            expected = whole - sum(values) / len(values)
        assert score.item() == pytest.approx(expected, abs=1e-5)


def test_deletion_begins_and_insertion_ends_with_the_untouched_text():
    model, tokenizer = classifier(), wordpiece()
    results = KernelShap(model, tokenizer, inference_mode="softmax")(TEXTS)
    deletion, insertion = Deletion(model, tokenizer)(results), Insertion(model, tokenizer)(results)
    for result, down, up in zip(results, deletion.curves, insertion.curves, strict=True):
        torch.testing.assert_close(down[:, 0], result.target_scores, atol=1e-6, rtol=0)
        torch.testing.assert_close(up[:, -1], result.target_scores, atol=1e-6, rtol=0)
        torch.testing.assert_close(down[:, -1], up[:, 0], atol=1e-6, rtol=0)


@pytest.mark.parametrize("metric", METRICS)
def test_true_order_gains_and_its_reverse_loses(metric):
    model, tokenizer = classifier(), wordpiece()
    results = KernelShap(model, tokenizer, inference_mode="softmax")(TEXTS * 2, targets=[0, 1, 1, 2])
    reverse = [replace(result, scores=-result.scores) for result in results]
    true, false = metric(model, tokenizer, n_random=20)(results), metric(model, tokenizer, n_random=20)(reverse)
    assert true.gain > 0 > false.gain
    assert true.random_score == false.random_score


def test_generation_never_touches_what_comes_later():
    model, tokenizer = language_model(), byte_bpe()
    results = Occlusion(model, tokenizer).explain("The quick brown fox", " jumps over")
    evaluation = Deletion(model, tokenizer, inference_mode="logits")(results)
    (result,), (curve,) = results, evaluation.curves
    assert result.scores.isnan().any()
    for t in range(len(result.targets)):
        seen = result.scores[t].isfinite().nonzero()[:, 0].tolist()
        order = sorted(seen, key=lambda i: -result.scores[t, i].item())
        ids = torch.tensor([result.sample.ids])
        mask = torch.ones_like(ids)
        for step in range(len(order) + 1):
            removed = [place for i in order[:step] for place in result.elements[i].tokens]
            there, seen_mask = ids.clone(), mask.clone()
            there[0, removed] = tokenizer.eos_token_id
            seen_mask[0, removed] = 0
            seen_mask[0, 0] = 1
            with torch.no_grad():
                logits = model(input_ids=there, attention_mask=seen_mask).logits[0]
            place = result.targets[t].first
            assert curve[t, step].item() == pytest.approx(logits[place - 1, ids[0, place]].item(), abs=1e-4)


def test_same_seed_repeats_and_another_draws_other_orders():
    model, tokenizer = classifier(), wordpiece()
    results = Occlusion(model, tokenizer)(TEXTS)
    first, again, other = (Deletion(model, tokenizer, seed=seed)(results).random_score for seed in (0, 0, 1))
    assert first == again != other


def test_one_element_and_few_steps():
    model, tokenizer = classifier(), wordpiece()
    results = Occlusion(model, tokenizer)(["fox", TEXTS[0]])
    evaluation = Deletion(model, tokenizer, n_steps=4)(results)
    assert [curve.shape[1] for curve in evaluation.curves] == [2, 5]


def test_the_short_form_is_one_line():
    model, tokenizer = classifier(), wordpiece()
    results = Occlusion(model, tokenizer)(TEXTS)
    number = r"[+-]?\d\.\d{3}"
    form = rf"random order {number}, gain {number}"
    text = repr(Deletion(model, tokenizer)(results))
    assert re.fullmatch(rf"Evaluation\(Deletion of 2 texts: {number}, {form} ± {number}; lower is better\)", text)
    text = repr(Insertion(model, tokenizer)(results[0]))
    assert re.fullmatch(rf"Evaluation\(Insertion of 1 text: {number}, {form}; higher is better\)", text)


def test_loaded_results_are_evaluated_alike():
    model, tokenizer = classifier(), wordpiece()
    results = Occlusion(model, tokenizer)(TEXTS)
    loaded = [type(result).from_json(result.to_json()) for result in results]
    assert Insertion(model, tokenizer)(loaded).to_dict() == Insertion(model, tokenizer)(results).to_dict()


@pytest.mark.parametrize("metric", METRICS)
def test_elements_are_removed_as_in_the_explanation(metric):
    """Unless the user says otherwise; explanations of several kinds may come together."""
    model, tokenizer = classifier(), wordpiece()
    ways = ["delete", "attention", "[UNK]", None]
    results = [Occlusion(model, tokenizer, removal=way)(TEXTS[0], 1)[0] for way in ways]
    gradients = InputxGradient(model, tokenizer)(TEXTS[0], 1)[0]
    mixed = metric(model, tokenizer)([*results, gradients])
    for way, result, score in zip([*ways, "mask"], [*results, gradients], mixed.scores, strict=True):
        told = metric(model, tokenizer, removal=way)([result])
        torch.testing.assert_close(score, told.scores[0], atol=1e-5, rtol=0)
    kept = [replace(result, scores=results[0].scores) for result in results]
    figures = metric(model, tokenizer)(kept).scores
    assert len({round(figure.item(), 5) for figure in figures}) == len(ways)
    same = metric(model, tokenizer, removal="mask")(kept).scores
    assert len({round(figure.item(), 5) for figure in same}) == 1


def test_explanations_of_another_model():
    model, tokenizer = classifier(), wordpiece()
    written = Occlusion(language_model(), byte_bpe())("The quick fox", " ran")
    message = "expected an explanation of this {}, got one of another model, for {} on ids up to"
    with pytest.raises(InputError, match=r"^attributions\[0\]: " + message.format("BertFor.*", "causal-lm")):
        Deletion(model, tokenizer)(written)
    (result,) = Occlusion(model, tokenizer)(TEXTS[1], 2)
    with pytest.raises(InputError, match=r"^attributions\[0\]: " + message.format("GPT2LM.*", "classification")):
        Deletion(language_model(), byte_bpe())(result)
    smaller = classifier(n_classes=2)
    with pytest.raises(InputError, match=r"^attributions\[1\]: " + message.format("BertFor.*", "classification")):
        Deletion(smaller, tokenizer)([Occlusion(smaller, tokenizer)(TEXTS[1], 1)[0], result])
    sample = replace(result.sample, tokens=tuple(replace(token, id=token.id + 140) for token in result.sample.tokens))
    with pytest.raises(InputError, match=r"^attributions\[0\]: " + message.format("BertFor.*", "classification")):
        Deletion(model, tokenizer)(replace(result, sample=sample))
    foreign = replace(written[0], settings={"removal": "mask"})
    with pytest.raises(InputError, match=r"removal: 'mask' needs a tokenizer with a mask token"):
        Deletion(language_model(), byte_bpe())(foreign)


def test_bad_input():
    model, tokenizer = classifier(), wordpiece()
    with pytest.raises(InputError, match="expected explanations of one task, got"):
        Deletion(model, tokenizer)([])
    with pytest.raises(InputError, match="inference_mode: expected one of"):
        Deletion(model, tokenizer, inference_mode="probability")
    with pytest.raises(InputError, match="bins: expected shares"):
        Sufficiency(model, tokenizer, bins=(0.5, 1.5))
    with pytest.raises(InputError, match="a regression model has no probabilities"):
        Insertion(classifier(n_classes=1), tokenizer)(Occlusion(classifier(n_classes=1), tokenizer)("A sad day."))
    with pytest.raises(InputError, match="n_random"):
        Insertion(model, tokenizer, n_random=0)
