"""Every method runs on a classifier and on a language model."""

import pytest

import interpreto
from tests.tiny import byte_bpe, classifier, language_model, wordpiece

METHODS = [
    "GradientShap",
    "InputxGradient",
    "IntegratedGradients",
    "KernelShap",
    "Lime",
    "Occlusion",
    "Rise",
    "Saliency",
    "SmoothGrad",
    "Sobol",
    "SquareGrad",
    "VarGrad",
]


@pytest.mark.parametrize("name", METHODS)
def test_classification(name):
    explainer = getattr(interpreto, name)(classifier(), wordpiece())
    results = explainer(["The quick fox.", "A sad day"], targets=[[0, 1], [2, 0]])
    assert [tuple(result.scores.shape) for result in results] == [(2, 4), (2, 3)]
    assert all(bool(result.scores.isfinite().all()) for result in results)


@pytest.mark.parametrize("name", METHODS)
def test_generation(name):
    explainer = getattr(interpreto, name)(language_model(), byte_bpe())
    (result,) = explainer.explain("The quick brown fox", " jumps over")
    for k, target in enumerate(result.targets):
        seen = [element.tokens[0] < target.first for element in result.elements]
        assert result.scores[k].isfinite().tolist() == seen
