"""To shap and back; shap's own explainer of the same function and its own pictures."""

import sys
import warnings
from types import SimpleNamespace

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot
import numpy as np
import pytest
import torch

from interpreto import InputxGradient, KernelShap, Occlusion
from interpreto.attributions.exchange import from_shap, to_shap
from interpreto.attributions.metrics import Insertion
from interpreto.errors import InputError, MissingExtraError
from interpreto.types import InferenceMode
from tests.tiny import byte_bpe, classifier, language_model, wordpiece

with warnings.catch_warnings():  # of its colours, when it loads
    warnings.simplefilter("ignore")
    import shap

TEXTS = ["The quick fox.", "A sad day", "The lazy dog jumped over the fox"]


def explained(texts, targets=(0, 1, 2), method=KernelShap):
    model, tokenizer = classifier(), wordpiece()
    return method(model, tokenizer)(texts, [list(targets)] * len(texts))


def test_numbers_are_where_shap_looks():
    (result,) = explained(TEXTS[:1])
    given = to_shap(result)
    assert given.values.shape == (4, 3)
    assert "".join(given.data) == TEXTS[0]
    assert list(given.output_names) == list(result.target_names)
    assert np.array_equal(given.values.T, result.scores.numpy())
    np.testing.assert_allclose(given.base_values + given.values.sum(0), result.target_scores.numpy(), atol=1e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")
@pytest.mark.parametrize("count", [1, 3])
def test_pictures_of_shap(count, tmp_path):
    results = explained(TEXTS[:count])
    given = to_shap(results if count > 1 else results[0])
    page = shap.plots.text(given, display=False)
    assert all(word in page for word in ("quick", "LABEL_1"))
    one = given[:, "LABEL_1"] if count == 1 else given[2, :, "LABEL_1"]
    np.testing.assert_array_equal(one.values, results[-1].scores[1].numpy())
    shap.plots.bar(one, show=False)
    names = {label.get_text() for label in matplotlib.pyplot.gca().get_yticklabels()}
    matplotlib.pyplot.savefig(tmp_path / "bar.png")
    matplotlib.pyplot.close("all")
    assert any(str(piece).strip() in name for name in names for piece in one.data)
    assert (tmp_path / "bar.png").stat().st_size > 5000


def test_there_and_back():
    results = explained(TEXTS)
    for given in (to_shap(results), *map(to_shap, results)):
        back = from_shap(given, method="KernelShap")
        originals = results if len(back) > 1 else [r for r in results if r.sample.parts == back[0].sample.parts]
        for one, other in zip(back, originals, strict=True):
            assert one.sample.parts == other.sample.parts
            assert [(e.text, e.start, e.end) for e in one.elements] == [
                (e.text, e.start, e.end) for e in other.elements
            ]
            assert one.target_names == other.target_names
            assert torch.equal(one.scores, other.scores)
            torch.testing.assert_close(one.baseline_scores, other.baseline_scores)
            torch.testing.assert_close(one.gaps, torch.zeros(3), atol=1e-5, rtol=0)
            assert one.text(color=False)
            assert "quick" in one._repr_html_() or "quick" not in one.sample.parts[0]


@pytest.mark.filterwarnings("ignore")
def test_an_explanation_that_shap_made():
    model, tokenizer = classifier(), wordpiece()

    def logits(texts):
        with torch.no_grad():
            return np.stack([model(**tokenizer(str(t), return_tensors="pt")).logits[0].numpy() for t in texts])

    explainer = shap.Explainer(logits, shap.maskers.Text(r"\W+"), algorithm="permutation")
    given = explainer(["the quick fox", "a sad day is sad"], max_evals=60, silent=True)
    results = from_shap(given)
    assert [result.sample.parts[0] for result in results] == ["the quick fox", "a sad day is sad"]
    for result, values, base in zip(results, given.values, given.base_values, strict=True):
        assert result.target_names == tuple(given.output_names)
        np.testing.assert_allclose(result.scores.T.numpy(), values, rtol=1e-6)
        np.testing.assert_allclose(result.baseline_scores.numpy(), base, rtol=1e-6)
        np.testing.assert_allclose(result.target_scores.numpy(), logits([result.sample.parts[0]])[0], atol=1e-4)
    with pytest.raises(InputError, match=r"^attributions\[0\]: expected an explanation whose token ids are known"):
        Insertion(model, tokenizer)(results)


def test_the_space_of_the_scores_is_said():
    given = to_shap(explained(TEXTS[:2]))
    assert {result.inference_mode for result in from_shap(given)} == {InferenceMode.SOFTMAX}
    for mode in InferenceMode:
        for said in (mode, mode.value):
            assert {result.inference_mode for result in from_shap(given, inference_mode=said)} == {mode}
    with pytest.raises(InputError, match=r"^inference_mode: expected one of .'logits', .*, got 'odds'"):
        from_shap(given, inference_mode="odds")


def test_what_cannot_be_seen_is_zero():
    (result,) = InputxGradient(language_model(), byte_bpe())("The fox", " ran home")
    given = to_shap(result)
    unseen = result.scores.isnan().numpy().T
    assert unseen.any()
    assert (given.values[unseen] == 0).all()


def test_methods_without_base_values_still_add_up():
    (result,) = explained(TEXTS[:1], method=Occlusion)
    plain = to_shap(InputxGradient(classifier(), wordpiece())(TEXTS[0], 1)[0])
    assert np.isfinite(plain.base_values).all()
    assert to_shap(result).base_values.shape == (3,)


REFUSED = {
    "no explanation": (3, r"^explanation: expected a shap.Explanation of texts, got int without \['values', 'data'\]"),
    "no pieces": (
        SimpleNamespace(values=[1.0], data="text", base_values=0.0),
        "^explanation: expected texts in pieces as data, got 'text'",
    ),
    "numbers": (
        SimpleNamespace(values=[[1.0]], data=[[0.3]], base_values=[0.0]),
        r"^data: expected the pieces of one text, got \[0.3\]",
    ),
    "shape": (
        SimpleNamespace(values=[1.0, 2.0, 3.0], data=["a", "b"], base_values=0.0),
        r"^scores: expected one for each of 1 targets and 2 pieces of text, got shape \(1, 3\)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    given, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        from_shap(given)


def test_other_targets_are_refused():
    model, tokenizer = classifier(), wordpiece()
    results = Occlusion(model, tokenizer)(TEXTS[:2], [[0], [1]])
    with pytest.raises(
        InputError, match=r"^results\[1\]: expected the targets of the first result, \['LABEL_0'\], got"
    ):
        to_shap(results)


def test_without_shap(monkeypatch):
    (result,) = explained(TEXTS[:1])
    monkeypatch.setitem(sys.modules, "shap", None)
    with pytest.raises(MissingExtraError, match="needs the package 'shap'"):
        to_shap(result)
