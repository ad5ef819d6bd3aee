"""What every method promises for every kind of explained function."""

import json
from functools import cache

import numpy as np
import pytest
import torch
from transformers import T5ForConditionalGeneration

import interpreto
from interpreto import Attribution, Contrast
from interpreto.attributions import methods
from tests.attributions.cases import cases
from tests.tiny import T5_HIDES_ATTENTION, byte_bpe, classifier, language_model, wordpiece

METHODS = methods.__all__
CHEAP = {
    "ContextCite": {"n_perturbations": 16, "granularity": "word", "output_granularity": "token"},
    "GradientShap": {"n_samples": 2},
    "IntegratedGradients": {"n_steps": 3, "tolerance": None},
    "KernelShap": {"n_perturbations": 6},
    "Lime": {"n_perturbations": 8},
    "Owen": {"n_perturbations": 6},
    "Rise": {"n_perturbations": 6},  # 8 are all there are of three words, whatever the seed
    "SmoothGrad": {"n_samples": 2},
    "Sobol": {"n_designs": 8},
    "SquareGrad": {"n_samples": 2},
    "VarGrad": {"n_samples": 2},
}
SAMPLED = {*CHEAP} - {"IntegratedGradients"}
ADDITIVE = {"DeepLift", "GradientShap", "IntegratedGradients", "KernelShap", "Owen"}
LINEAR_IN_THE_TARGET = ADDITIVE | {"AttnLRP", "InputxGradient", "Lime", "Occlusion", "Rise"}

pytestmark = pytest.mark.filterwarnings("ignore:.* perturbations do not tell")  # cheap ones are too few
every_method = pytest.mark.parametrize("name", METHODS)
every_case = pytest.mark.parametrize("kind", list(cases()))


def make(name, model, tokenizer, **options):
    if name == "AttentionRollout" and T5_HIDES_ATTENTION and isinstance(model, T5ForConditionalGeneration):
        pytest.skip("needs transformers 5.15")
    return getattr(interpreto, name)(model, tokenizer, **{**CHEAP.get(name, {}), **options})


def explain(name, kind, model=None, **options):
    case = cases()[kind]
    return make(name, model or case.model(), case.tokenizer(), **options)(case.inputs, case.targets)


@cache
def explained(name, kind):
    """With options left alone, computed once."""
    return explain(name, kind)


def same(first, second, tolerance=0.0):
    """Whether two lists of results have the same scores; a tolerance is relative to their largest."""
    for one, other in zip(first, second, strict=True):
        size = max(1.0, float(one.scores.nan_to_num().abs().max()))
        if not torch.allclose(one.scores, other.scores, atol=tolerance * size, rtol=0, equal_nan=True):
            return False
    return True


def fingerprint(model, tokenizer):
    """All that an explanation must leave as it was."""
    modules = dict(model.named_modules())
    hooks = ["_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"]
    generation = getattr(model, "generation_config", None)
    return {
        "weights": {key: value.numpy().tobytes() for key, value in model.state_dict().items()},
        "training": {key: module.training for key, module in modules.items()},
        "learned": {key: parameter.requires_grad for key, parameter in model.named_parameters()},
        "gradients": [key for key, parameter in model.named_parameters() if parameter.grad is not None],
        "hooks": {key: [list(getattr(module, hook)) for hook in hooks] for key, module in modules.items()},
        "attributes": {key: sorted(vars(module)) for key, module in modules.items()},
        "config": model.config.to_json_string(use_diff=False),
        "generation": None if generation is None else generation.to_json_string(use_diff=False),
        "tokenizer": tokenizer.backend_tokenizer.to_str(),
        "tokenizer's names": [tokenizer.special_tokens_map, tokenizer.padding_side, tokenizer.chat_template],
    }


def test_every_method_is_public():
    assert sorted(METHODS) == METHODS
    assert set(METHODS) <= set(interpreto.__all__)


@every_case
@every_method
def test_results_are_whole_and_nothing_is_left_behind(name, kind):
    case = cases()[kind]
    model, tokenizer = case.model(), case.tokenizer()
    before = fingerprint(model, tokenizer)
    results = explain(name, kind, model)
    assert fingerprint(model, tokenizer) == before
    assert [tuple(result.scores.shape) for result in results] == case.shapes
    for result in results:
        assert result.method == name
        assert len(result.elements) == result.scores.shape[1]
        assert len(result.targets) == result.scores.shape[0]
        assert result.scores.dtype is torch.float32
        for row, target in zip(result.scores, result.targets, strict=True):
            seen = [target.first is None or element.tokens[0] < target.first for element in result.elements]
            assert row.isfinite().tolist() == seen
        assert result.target_scores.isfinite().all()
        assert (result.gaps is not None) == (name in ADDITIVE)
        again = Attribution.from_json(result.to_json())
        assert again.to_json() == result.to_json()
        assert again.scores.numpy().tobytes() == result.scores.numpy().tobytes()
        for field in ("elements", "readout", "sample", "method", "task", "inference_mode", "settings"):
            assert getattr(again, field) == getattr(result, field)
        assert json.loads(result.to_json())["settings"]["seed"] == 0


@every_case
@every_method
def test_batches_and_neighbours_change_nothing(name, kind):
    case, results = cases()[kind], explained(name, kind)
    model = case.model()
    for batch_size in (1, 16):
        assert same(results, explain(name, kind, model, batch_size=batch_size), 1e-5)
    alone = make(name, model, case.tokenizer())(case.inputs[2:], None if case.targets is None else case.targets[2:])
    assert same(results[2:], alone, 1e-5)


@every_case
@every_method
def test_the_seed_decides_and_the_callers_random_state_does_not(name, kind):
    def states():
        return torch.get_rng_state().tolist(), str(np.random.get_state())  # beartype draws from the third, `random`

    results, model = explained(name, kind), cases()[kind].model()
    torch.manual_seed(2)
    before = states()
    again = explain(name, kind, model)
    assert states() == before
    assert same(results, again)
    assert same(results, explain(name, kind, model, seed=5)) == (name not in SAMPLED)


class Stop(Exception):  # noqa: N818  # no error of ours
    """Raised by a user's own hook."""


@every_case
@every_method
def test_an_exception_leaves_the_model_as_it_was(name, kind):
    case = cases()[kind]
    model, tokenizer = case.model().train(), case.tokenizer()
    for last in (2, 9):
        calls = []

        def stop(_module, _args, calls=calls, last=last):
            calls.append(1)
            if len(calls) == last:
                raise Stop

        tables = [module for module in model.modules() if isinstance(module, torch.nn.Embedding)]
        handles = [module.register_forward_pre_hook(stop) for module in tables]
        before = fingerprint(model, tokenizer)
        with pytest.raises(Stop):
            explain(name, kind, model, batch_size=1)
        assert fingerprint(model, tokenizer) == before
        for handle in handles:
            handle.remove()


@every_case
@every_method
def test_a_model_in_training_is_explained_in_evaluation_and_left_in_training(name, kind):
    case = cases()[kind]
    model, tokenizer = case.model(), case.tokenizer()
    model.train()
    model.get_input_embeddings().eval()
    next(model.parameters()).requires_grad_(False)
    before = fingerprint(model, tokenizer)
    assert same(explained(name, kind), explain(name, kind, model))
    assert fingerprint(model, tokenizer) == before


@pytest.mark.parametrize("name", sorted(LINEAR_IN_THE_TARGET))
def test_a_contrast_is_the_difference_of_two_attributions(name):
    explainer = make(name, classifier(), wordpiece())
    this, that, contrast = explainer("The quick brown fox.", [0, 2, Contrast(0, 2)])[0].scores
    torch.testing.assert_close(contrast, this - that, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", sorted(LINEAR_IN_THE_TARGET))
def test_a_contrast_of_outputs_is_the_difference_of_two_attributions(name):
    """Of one token, because what a second one sees would be another text."""
    explainer = make(name, language_model(), byte_bpe())
    prompt = "What a great"
    (this,), (that,) = explainer(prompt, " day"), explainer(prompt, " dog")
    (contrast,) = explainer(prompt, Contrast(" day", " dog"))
    torch.testing.assert_close(contrast.scores, this.scores - that.scores, atol=1e-5, rtol=1e-5)


@every_case
def test_integrated_gradients_are_complete(kind):
    tolerance = 1e-2 if kind == "seq2seq" else 1e-3  # T5 has ReLUs in every layer
    results = explain("IntegratedGradients", kind, n_steps=12, tolerance=tolerance)
    for result in results:
        allowed = tolerance * torch.maximum(
            (result.target_scores - result.baseline_scores).abs(), 0.1 * result.scores.nan_to_num().abs().sum(dim=1)
        )
        assert (result.gaps.abs() <= allowed + 1e-5).all()
        assert len(result.settings["steps"]) == len(result.targets)
    for batch_size in (1, 16):
        again = explain("IntegratedGradients", kind, n_steps=12, tolerance=tolerance, batch_size=batch_size)
        assert [result.settings["steps"] for result in again] == [result.settings["steps"] for result in results]
        assert same(results, again, 1e-5)


@every_case
def test_shapley_values_are_always_additive(kind):
    for result in explained("KernelShap", kind):
        assert result.gaps.abs().max() <= 1e-5 * max(1, result.target_scores.abs().max())


@pytest.mark.parametrize("name", ["Occlusion", "Saliency"])
def test_a_sampled_generation_repeats_and_leaves_the_callers_random_state(name):
    model, tokenizer = language_model(), byte_bpe()
    options = {"generation": {"do_sample": True, "max_new_tokens": 6}}
    torch.manual_seed(0)
    state = torch.get_rng_state()
    (first,), (second,) = (make(name, model, tokenizer, **options)("Once upon a") for _ in range(2))
    (other,) = make(name, model, tokenizer, seed=1, **options)("Once upon a")
    assert torch.equal(torch.get_rng_state(), state)
    assert first.sample == second.sample != other.sample
    assert same([first], [second])
