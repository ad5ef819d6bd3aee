"""What was finished is kept when an explanation is interrupted or fails; bars are shown where it takes long."""

import pytest
import torch

from interpreto import InputxGradient, IntegratedGradients, KernelShap, Occlusion, Rise, SmoothGrad
from interpreto.errors import ModelError
from interpreto.model_wrapping import scorer
from tests.tiny import classifier, wordpiece

TEXTS = ["the lazy dog is on the great library to it", "a cat", "he was sad", "we are to see what it is on the day"]
TARGETS = [0, 1, 2, 0]
METHODS = [
    (Occlusion, {}),
    (KernelShap, {"n_perturbations": 32}),
    (Rise, {"n_perturbations": 16, "tolerance": 1e-9, "max_perturbations": 64}),
    (InputxGradient, {}),
    (SmoothGrad, {"n_samples": 4}),
    (IntegratedGradients, {"n_steps": 2, "tolerance": 1e-9, "max_steps": 40}),
]


def stopped(explainer, model, error, after):
    """What is kept when the model stops after so many passes; nothing where it needs no more."""
    passes = []

    def stop(_module, _args):
        passes.append(1)
        if len(passes) > after:
            raise error("stop")

    handle = model.register_forward_pre_hook(stop)
    try:
        explainer(TEXTS, TARGETS)
    except (KeyboardInterrupt, ModelError) as end:
        return end
    finally:
        handle.remove()
    return None


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize(("method", "options"), METHODS)
def test_finished_texts_are_kept(method, options, error):
    model, tokenizer = classifier(), wordpiece()
    explainer = method(model, tokenizer, batch_size=1, **options)
    expected = explainer(TEXTS, TARGETS)
    kept = set()
    for after in (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233):
        end = stopped(explainer, model, error, after)
        if end is None:
            break
        for k, result in end.results.items():
            kept.add(k)
            assert result.sample == expected[k].sample
            if "tolerance_met" not in result.settings:  # else it may have been cut short between two rounds
                assert torch.equal(result.scores, expected[k].scores)
        if end.results and hasattr(end, "__notes__"):
            assert f"{len(end.results)} of 4 texts" in end.__notes__[-1]
    assert {1, 2} <= kept


def test_bars_are_shown_where_it_takes_long(monkeypatch, capsys):
    monkeypatch.setattr(scorer, "_SHOWN_AFTER", 0.0)
    for method, options in METHODS[:4]:
        for progress in (True, False):
            method(classifier(), wordpiece(), progress=progress, **(options | {"seed": 1}))(TEXTS[1], [0])
            assert ("explaining" in capsys.readouterr().err) is progress


def test_short_explanations_show_no_bar(capsys):
    Occlusion(classifier(), wordpiece())(TEXTS, [0, 1, 2, 0])
    assert "explaining" not in capsys.readouterr().err
