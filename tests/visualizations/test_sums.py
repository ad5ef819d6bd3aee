"""Words, sentences and answers as sums of tokens: which go together, and for which methods that is true."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import interpreto
from interpreto.attributions import methods
from interpreto.attributions.result import Attribution
from interpreto.types import InferenceMode
from interpreto.visualizations.sums import gaps_to_tell, is_linear, levels, unit
from tests.attributions.test_contract import LINEAR_IN_THE_TARGET
from tests.tiny import byte_bpe, classifier, language_model, wordpiece
from tests.visualizations.handmade import make_classification, make_generation

PROMPT, OUTPUT = "What a great", " day, this is unbelievable. Yes!"


def told(result: Attribution) -> dict[str, list[str]]:
    return {level.label: [one.name for one in level.sums] for level in levels(result)}


@pytest.fixture(scope="module")
def tokens() -> Attribution:
    return interpreto.Occlusion(language_model(), byte_bpe())(PROMPT, OUTPUT)[0]


@pytest.mark.parametrize("granularity", ["word", "sentence", "text"])
def test_tokens_are_summed_to_what_the_library_calls_words_and_sentences(tokens: Attribution, granularity: str) -> None:
    """The same targets come out as where they are explained, with the same scores for what all of them see."""
    coarse = interpreto.Occlusion(language_model(), byte_bpe(), output_granularity=granularity)(PROMPT, OUTPUT)[0]
    (level,) = (one for one in levels(tokens) if one.label == {"text": "answer"}.get(granularity, granularity))
    assert [one.name.strip() for one in level.sums] == [name.strip() for name in coarse.target_names]
    for k, one in enumerate(level.sums):
        summed = tokens.scores[one.first : one.end].nansum(dim=0)[: coarse.scores.shape[1]]
        seen = ~coarse.scores[k].isnan()
        torch.testing.assert_close(summed[seen], coarse.scores[k][seen], atol=1e-4, rtol=1e-4)
        assert tokens.target_scores is not None
        assert coarse.target_scores is not None
        total = tokens.target_scores[one.first : one.end].sum()
        torch.testing.assert_close(total, coarse.target_scores[k], atol=1e-4, rtol=1e-4)


def test_each_target_is_in_one_sum(tokens: Attribution) -> None:
    assert len(levels(tokens)) == 3
    for level in levels(tokens):
        members = [t for one in level.sums for t in range(one.first, one.end)]
        assert members == list(range(len(tokens.targets)))


def test_levels_that_join_nothing_are_left_out() -> None:
    assert told(make_generation("Say", " yes it is. No.")) == {
        "sentence": [" yes it is.", " No."],
        "answer": [" yes it is. No."],
    }
    assert list(told(make_generation("Say", " yes"))) == []


def test_only_sums_of_logits_and_of_log_probabilities_are_scores(tokens: Attribution) -> None:
    for mode, known in ((InferenceMode.LOGITS, 3), (InferenceMode.LOG_SOFTMAX, 3), (InferenceMode.SOFTMAX, 0)):
        assert len(levels(replace(tokens, inference_mode=mode))) == known


@pytest.mark.parametrize("name", methods.__all__)
def test_linear_methods_are_those_of_the_contract(name: str) -> None:
    result = replace(make_generation(), method=name)
    assert is_linear(result) == (name in LINEAR_IN_THE_TARGET)
    assert not is_linear(replace(result, settings={"reduction": "max"}))


@pytest.mark.parametrize("name", ["Saliency", "SmoothGrad", "SquareGrad", "VarGrad"])
def test_gradients_times_input_are_sums_where_they_are_said_to_be(name: str) -> None:
    options = {} if name == "Saliency" else {"n_samples": 4}
    explainer = getattr(interpreto, name)(classifier(), wordpiece(), input_x_gradient=True, **options)
    (result,) = explainer("The quick brown fox.", [0, 2, interpreto.Contrast(0, 2)])
    this, that, contrast = result.scores
    assert is_linear(result) == torch.allclose(contrast, this - that, atol=1e-5, rtol=1e-5)
    assert not is_linear(replace(result, settings={**result.settings, "input_x_gradient": False}))


def test_unknown_methods_and_targets_of_no_place_are_not_summed(generation: Attribution) -> None:
    assert levels(replace(generation, method="Mine")) == ()
    assert levels(make_classification()) == ()
    first, *others = generation.readout.targets
    contrast = replace(generation.readout, targets=(replace(first, minus=(0,)), *others))
    assert levels(replace(generation, readout=contrast)) == ()


def test_a_target_is_called_what_it_is(generation: Attribution) -> None:
    for given, expected in (("all_tokens", "token"), ("word", "word"), ("text", "answer")):
        assert unit(replace(generation, settings={"output_granularity": given})) == expected


def test_rounding_is_no_gap():
    result = make_classification()
    zero = replace(result, baseline_scores=result.target_scores - result.scores.sum(dim=1) - 1e-7)
    assert zero.gaps.abs().max() > 0
    assert gaps_to_tell(zero).tolist() == [0.0] * len(zero.targets)
    torch.testing.assert_close(gaps_to_tell(result), result.gaps)
    assert gaps_to_tell(replace(result, baseline_scores=None)) is None
