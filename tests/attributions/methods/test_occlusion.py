"""Occlusion against captum's feature ablation, and against a plain loop."""

import torch
from captum.attr import FeatureAblation

from interpreto import Occlusion
from tests.attributions.plain import OUTPUT, PROMPT, TEXT, plain_classifier, plain_language_model
from tests.tiny import byte_bpe, classifier, language_model, wordpiece

CLASSES = torch.arange(3)[None]


def ablated(plain, groups, baseline):
    """captum's scores `(t, groups)`: each group of places is replaced by the baseline's id."""
    ids = torch.tensor([plain.ids])
    feature = torch.full_like(ids, len(groups))  # the rest is one more feature, left out below
    for k, places in enumerate(groups):
        feature[0, places] = k
    method = FeatureAblation(lambda rows: plain.scores(rows.tolist()))
    n_targets = plain.scores([plain.ids]).shape[1]
    found = [method.attribute(ids, baseline, target, feature_mask=feature) for target in range(n_targets)]
    return torch.stack([row[0, [places[0] for places in groups]] for row in found])


def test_tokens_equal_to_captum():
    plain = plain_classifier()
    result = Occlusion(classifier(), wordpiece(), granularity="token")(TEXT, CLASSES)[0]
    groups = [[i] for i in range(len(plain.ids)) if i not in plain.fixed]
    expected = ablated(plain, groups, wordpiece().mask_token_id)
    torch.testing.assert_close(result.scores, expected, atol=1e-5, rtol=0)


def test_words_equal_to_captum():
    plain = plain_classifier()
    assert max(len(word) for word in plain.words) > 1
    result = Occlusion(classifier(), wordpiece())(TEXT, CLASSES)[0]
    expected = ablated(plain, plain.words, wordpiece().mask_token_id)
    torch.testing.assert_close(result.scores, expected, atol=1e-5, rtol=0)


def test_generation_equal_to_captum():
    plain = plain_language_model()
    explainer = Occlusion(language_model(), byte_bpe(), granularity="token", removal="<|endoftext|>")
    (result,) = explainer.explain(PROMPT, OUTPUT)
    expected = ablated(plain, plain.words, 0)
    visible = result.scores.isfinite()
    torch.testing.assert_close(result.scores[visible], expected[visible], atol=1e-5, rtol=0)
    assert expected[~visible].abs().max() <= 1e-5


def test_deleted_words_are_gone():
    plain = plain_classifier()
    result = Occlusion(classifier(), wordpiece(), removal="delete")(TEXT, CLASSES)[0]
    for k, places in enumerate(plain.words):
        rest = [token for i, token in enumerate(plain.ids) if i not in places]
        expected = (plain.scores([plain.ids]) - plain.scores([rest]))[0]
        torch.testing.assert_close(result.scores[:, k], expected, atol=1e-5, rtol=0)


def test_words_hidden_from_attention():
    plain = plain_classifier()
    result = Occlusion(classifier(), wordpiece(), removal="attention")(TEXT, CLASSES)[0]
    for k, places in enumerate(plain.words):
        seen = torch.tensor([[int(i not in places) for i in range(len(plain.ids))]])
        with torch.no_grad():
            hidden = plain.model(torch.tensor([plain.ids]), attention_mask=seen).logits[0]
        torch.testing.assert_close(result.scores[:, k], plain.scores([plain.ids])[0] - hidden, atol=1e-5, rtol=0)
