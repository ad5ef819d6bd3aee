"""Tolerances: more is drawn until scores are known well enough, and no more than that."""

import re
import warnings
from itertools import pairwise

import pytest
import torch

from interpreto import (
    GradientShap,
    InputxGradient,
    IntegratedGradients,
    KernelShap,
    Lime,
    Rise,
    Saliency,
    SmoothGrad,
    Sobol,
    SquareGrad,
    VarGrad,
)
from interpreto.attributions.certainty import excess
from interpreto.attributions.methods.kernel_shap import coalitions
from interpreto.errors import InputError
from interpreto.model_wrapping import Scorer
from tests.attributions.games import PLAYERS, GameModel, games, true_shapley_values
from tests.attributions.test_certainty import looked_up
from tests.tiny import byte_bpe, classifier, language_model, wordpiece

PERTURBING = {
    KernelShap: {"n_perturbations": 32, "tolerance": 0.1},
    Lime: {"n_perturbations": 60, "tolerance": 0.1},
    Rise: {"n_perturbations": 64, "tolerance": 0.08},
    Sobol: {"n_designs": 16, "tolerance": 0.2},
}
SAMPLING = {method: {"n_samples": 20, "tolerance": 0.1} for method in (SmoothGrad, SquareGrad, VarGrad, GradientShap)}
SAMPLING[VarGrad]["tolerance"] = 0.3
SAMPLING[GradientShap]["tolerance"] = 0.05
EVERY = PERTURBING | SAMPLING
TEXTS = [" ".join(PLAYERS), " ".join(PLAYERS[3:6]), " ".join(PLAYERS[:9])]


def make(method, model=None, **options):
    return method(model or classifier(), wordpiece(), **{**EVERY[method], **options})


def used(result):
    return next(value for name, value in result.settings.items() if name.endswith("_used"))


@pytest.mark.parametrize("method", list(EVERY))
def test_results_are_known_to_the_tolerance_and_say_so(method):
    explainer = make(method)
    first = explainer.n_designs if method is Sobol else getattr(explainer, "n_perturbations", 20)
    results = explainer(TEXTS, [1, 1, 1])
    assert used(results[0]) > first
    for result in results:
        assert result.settings["tolerance_met"] is True
        assert result.std_errors.max() <= explainer.tolerance * result.scores.abs().max() * (1 + 1e-6)
    assert "tolerance_met" not in make(method, tolerance=None)(TEXTS[1], 1)[0].settings


@pytest.mark.parametrize("method", list(EVERY))
def test_neighbours_order_and_seeds(method):
    """Each text stops by itself, wherever it stands, and the same seed gives the same again."""
    explainer = make(method)
    results = explainer(TEXTS, [1, 1, 1])
    assert len({used(result) for result in results}) > 1
    backwards = explainer(TEXTS[::-1], [1, 1, 1])[::-1]
    alone = explainer(TEXTS[0], 1) + results[1:]
    for others, exact in ((explainer(TEXTS, [1, 1, 1]), True), (backwards, False), (alone, False)):
        for one, other in zip(results, others, strict=True):
            assert used(one) == used(other)
            for name in ("scores", "std_errors"):
                mine, theirs = getattr(one, name), getattr(other, name)
                size = float(one.scores.abs().max())
                torch.testing.assert_close(mine, theirs, atol=0 if exact else 1e-4 * size, rtol=0)


@pytest.mark.parametrize("method", list(PERTURBING))
def test_no_more_than_a_fifth_above_what_is_needed(method):
    """The round before the last one was not enough, and the last one is at most a fifth larger, give or take a pair."""
    for seed in range(10):
        explainer = make(method, GameModel(9), seed=seed)
        rng, counts = torch.Generator().manual_seed(seed), []
        keep = explainer.masks(9, rng)
        while True:
            scores = looked_up("topic", keep)[:, :1]
            counts.append(explainer.drawn(keep))
            found = explainer.aggregate(keep, scores), explainer.std_errors(keep, scores)
            missing = excess(*found, explainer.tolerance, scores.abs().amax(dim=0))
            if missing <= 1:
                break
            more = explainer.next_count(counts[-1], missing) - counts[-1]
            keep = torch.cat([keep, explainer.more_masks(keep, more, rng)])
        assert len(counts) > 1
        assert counts[-1] <= 1.2 * counts[-2] + 2
        assert all(later <= 2 * sooner for sooner, later in pairwise(counts))


@pytest.mark.parametrize("method", list(PERTURBING))
def test_only_new_inputs_are_run_and_texts_are_asked_for_together(method, monkeypatch):
    model, rows, calls = GameModel(9), [], []
    forward, scores = model.forward, Scorer.scores

    def counted(input_ids, **kwargs):
        rows.extend(tuple(row) for row in input_ids.tolist())
        return forward(input_ids)

    def called(self, texts, keeps, finished=None):
        calls.append(len(texts))
        return scores(self, texts, keeps, finished)

    explainer = make(method, model, tolerance=0.01 if method is Rise else 0.08)
    explainer(PLAYERS[0])  # the engine looks at the head once
    monkeypatch.setattr(model, "forward", counted)
    monkeypatch.setattr(Scorer, "scores", called)
    results = explainer([" ".join(PLAYERS[:9]), " ".join(PLAYERS[4:8])], [3, 3])
    assert len(rows) == len(set(rows))
    assert len(rows) <= 2**9 + 2**4
    assert calls[0] == 2
    assert calls == sorted(calls, reverse=True)
    assert len(calls) > 1
    assert all(result.settings["tolerance_met"] for result in results)


@pytest.mark.parametrize("method", list(EVERY))
def test_where_the_budget_ends_there_is_one_warning(method):
    name = "designs" if method is Sobol else "samples" if method in SAMPLING else "perturbations"
    first = 16 if method is Sobol else 64
    explainer = make(method, tolerance=1e-5, **{f"n_{name}": first, f"max_{name}": first + 5})
    with pytest.warns(UserWarning, match=rf"^{method.__name__}: \d of 3 texts are not known to a tolerance of 1e-05 "):
        results = explainer(TEXTS, [1, 1, 1])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        explainer(TEXTS, [1, 1, 1])
    (warning,) = caught
    assert re.search(
        rf"after {first + 5} {name}; least known is inputs\[\d\], .* raise max_{name} or tol", str(warning)
    )
    assert results[0].settings["tolerance_met"] is False
    assert first <= used(results[0]) <= first + 5
    assert results[0].settings[f"max_{name}"] == first + 5


@pytest.mark.parametrize("method", list(EVERY))
@pytest.mark.parametrize("tolerance", [0.0, -0.1, float("nan")])
def test_refuses_a_tolerance_that_cannot_be_met(method, tolerance):
    with pytest.raises(InputError, match=r"^tolerance: expected above 0"):
        make(method, tolerance=tolerance)


@pytest.mark.parametrize("method", list(EVERY))
def test_refuses_a_limit_below_where_it_starts(method):
    name = "designs" if method is Sobol else "samples" if method in SAMPLING else "perturbations"
    options = {f"n_{name}": 16, f"max_{name}": 15}
    with pytest.raises(InputError, match=rf"^max_{name}: expected a whole number, at least 16, got 15"):
        make(method, **options)
    make(method, **{**options, "tolerance": None})  # of no effect


def test_kernel_shap_ends_with_all_coalitions_and_no_error():
    explainer = make(KernelShap, GameModel(8), tolerance=1e-7)
    result = explainer(" ".join(PLAYERS[:8]), torch.tensor([[3]]))[0]
    assert used(result) == 256
    assert result.settings["tolerance_met"]
    assert result.std_errors.max() == 0
    truth = torch.from_numpy(true_shapley_values(games(8)["network"], 8)).float()
    torch.testing.assert_close(result.scores[0], truth, atol=1e-5, rtol=0)


@pytest.mark.parametrize("g", [3, 8, 12])
def test_coalitions_that_grow_are_as_many_of_each_size_as_at_once(g):
    rng = torch.Generator().manual_seed(1)
    grown = coalitions(g, 10, rng)
    for budget in (14, 40, 41, 100, 254, 600):
        grown = torch.cat([grown, coalitions(g, budget, rng, run=grown)])
        assert len(grown.unique(dim=0)) == len(grown) == min(budget // 2 * 2, 2**g - 2)
        assert torch.equal(grown[::2], ~grown[1::2])
        once = coalitions(g, budget, torch.Generator().manual_seed(0))
        counts = [torch.bincount(keep.sum(dim=1), minlength=g + 1) for keep in (grown, once)]
        assert (counts[0] - counts[1]).abs().max() <= 2


def test_a_constant_is_known_at_once():
    for method in PERTURBING:
        result = make(method, GameModel(9), tolerance=1e-3)(" ".join(PLAYERS[:9]), torch.tensor([[4]]))[0]
        assert result.settings["tolerance_met"]


def test_generations_are_known_to_the_tolerance_target_by_target():
    for method in (KernelShap, SmoothGrad):
        explainer = method(language_model(), byte_bpe(), **EVERY[method])
        (result,) = explainer("What a great library", " is it great")
        largest = result.scores.nan_to_num().abs().amax(dim=1)
        assert (result.std_errors.nan_to_num().amax(dim=1) <= 0.1 * largest * (1 + 1e-6)).all()


@pytest.mark.parametrize(
    ("method", "options", "given", "asked"),
    [
        (Saliency, {}, 1, 1),
        (InputxGradient, {}, 1, 1),
        (SmoothGrad, {"n_samples": 4}, 5, 5),
        (IntegratedGradients, {"n_steps": 4, "tolerance": None}, 6, 6),
        (GradientShap, {"n_samples": 4}, 6, 6),
    ],
)
def test_rows_that_gradients_cost(method, options, given, asked):
    """With a target: the points, and the ends that are not among them. Without: the answer is read once, for all."""
    model, rows = classifier(), []
    handle = model.register_forward_pre_hook(lambda _model, args, kwargs: rows.append(1), with_kwargs=True)
    explainer = method(model, wordpiece(), batch_size=1, **options)
    explainer("a sad day")  # the engine looks at the head once
    for targets, expected in (([[1]], given), (None, asked)):
        rows.clear()
        explainer("a sad day", targets)
        extra = 1 if targets is None and method in (Saliency, InputxGradient) else 0
        assert len(rows) == expected + extra
    handle.remove()
