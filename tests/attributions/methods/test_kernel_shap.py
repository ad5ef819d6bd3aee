"""KernelSHAP against Shapley's formula, summed over all coalitions, and against shap at equal cost."""

from functools import cache

import numpy as np
import pytest
import torch

from interpreto import KernelShap
from interpreto.attributions.methods.kernel_shap import coalitions
from interpreto.errors import InputError
from tests.attributions.games import PLAYERS, GameModel, games, network, shapley_values, true_shapley_values
from tests.tiny import byte_bpe, classifier, language_model, wordpiece

ALL_GAMES = torch.arange(5)[None]


def estimate(explainer, game, g, seed):
    """The method's own design and solution on a game, without a model."""
    keep = explainer.masks(g, torch.Generator().manual_seed(seed))
    assert len(keep) <= explainer.n_perturbations
    return explainer.aggregate(keep, game(keep)[:, None])[0].numpy()


def test_equal_to_shapley_values_when_all_coalitions_fit():
    result = KernelShap(GameModel(8), wordpiece(), n_perturbations=256)(" ".join(PLAYERS[:8]), ALL_GAMES)[0]
    assert result.target_names == tuple(games(8))
    for scores, game in zip(result.scores.numpy(), games(8).values(), strict=True):
        truth = true_shapley_values(game, 8)
        assert np.abs(scores - truth).max() <= 1e-5 * max(np.abs(truth).max(), 1e-3)


def test_equal_to_shapley_values_of_a_trained_kind_of_model():
    model, tokenizer = classifier(), wordpiece()
    text = "what a sad day for you"
    result = KernelShap(model, tokenizer)(text, targets=1)[0]
    ids = tokenizer(text)["input_ids"]
    g = len(result.elements)
    spans = [element.tokens for element in result.elements]

    def value(kept):
        row = list(ids)
        for k in set(range(g)) - kept:
            for place in spans[k]:
                row[place] = tokenizer.mask_token_id
        with torch.no_grad():
            return model(torch.tensor([row])).logits[0, 1].item()

    value = cache(value)
    torch.testing.assert_close(result.scores[0], torch.tensor(shapley_values(value, g)), atol=1e-5, rtol=0)


def test_generation_is_the_game_of_what_each_target_sees():
    model, tokenizer = language_model(), byte_bpe()
    explainer = KernelShap(model, tokenizer, granularity="token", removal="<|endoftext|>", n_perturbations=2**6)
    (result,) = explainer.explain(" you are sad", " and great day")
    row = result.sample.ids
    for k, target in enumerate(result.targets):
        seen = [e.tokens[0] for e in result.elements if e.tokens[0] < target.first]
        assert [len(e.tokens) for e in result.elements] == [1] * len(result.elements)

        def value(kept, first=target.first, seen=seen):
            ids = [0 if i in seen and seen.index(i) not in kept else token for i, token in enumerate(row[:first])]
            with torch.no_grad():
                return model(torch.tensor([ids])).logits[0, -1, row[first]].item()

        truth = torch.tensor(shapley_values(cache(value), len(seen)))
        torch.testing.assert_close(result.scores[k, : len(seen)], truth, atol=1e-5, rtol=0)
        assert result.scores[k, len(seen) :].isnan().all()


@pytest.mark.filterwarnings("ignore:KernelShap. .* perturbations do not tell")
@pytest.mark.parametrize("n_perturbations", [2, 3, 9, 20, 64, 255, 256])
def test_always_additive(n_perturbations):
    explainer = KernelShap(GameModel(8), wordpiece(), n_perturbations=n_perturbations)
    result = explainer(" ".join(PLAYERS[:8]), ALL_GAMES)[0]
    assert result.gaps.abs().max() <= 1e-5 * result.target_scores.abs().max()


@pytest.mark.parametrize("g", [1, 2, 3, 4, 5, 8, 13, 40])
@pytest.mark.parametrize("budget", [0, 1, 2, 7, 30, 64, 255])
def test_coalitions_are_distinct_and_paired(g, budget):
    keep = coalitions(g, budget, torch.Generator().manual_seed(1))
    rows = {tuple(row) for row in keep.tolist()}
    assert len(rows) == len(keep) == min(budget // 2 * 2, 2**g - 2)
    assert all(tuple(not kept for kept in row) in rows for row in rows)
    assert not any(all(row) or not any(row) for row in rows)


@pytest.mark.parametrize(
    ("name", "bounds"), [("pairwise", (1e-9, 1e-9, 1e-9)), ("and", (0.2, 0.08, 0.06)), ("network", (0.08, 0.05, 0.03))]
)
def test_sampling_is_unbiased_and_gets_better_with_the_budget(name, bounds):
    """Pairs of complements leave no error where only two elements interact at a time."""
    game, seeds, errors = games(12)[name], 20, []
    truth = true_shapley_values(game, 12)
    for budget, bound in zip((256, 512, 1024), bounds, strict=True):
        explainer = KernelShap(GameModel(12), wordpiece(), n_perturbations=budget)
        found = np.array([estimate(explainer, game, 12, seed) for seed in range(seeds)])
        errors.append(np.sqrt(((found - truth) ** 2).mean()) / np.sqrt((truth**2).mean()))
        standard_error = found.std(axis=0, ddof=1) / np.sqrt(seeds)
        biases = (found.mean(axis=0) - truth) / (standard_error + 1e-9)
        assert np.sqrt((biases**2).mean()) <= 1.5  # in standard errors; 1 is expected where there is no bias
        assert errors[-1] <= bound
    assert errors[0] > errors[1] > errors[2] or max(errors) < 1e-9


@pytest.mark.filterwarnings("ignore")  # shap's own
def test_never_worse_than_shap_at_64_calls():
    """shap does not count the full and the empty coalition, so it is given 62."""
    import shap

    nothing, everything, ratios = np.zeros((1, 10)), np.ones((1, 10)), []
    explainer = KernelShap(GameModel(10), wordpiece(), n_perturbations=64)
    for game in [games(10)["network"], *(network(10, seed, scale) for seed in range(3) for scale in (0.4, 1.0))]:
        truth, errors = true_shapley_values(game, 10), []
        kernel = shap.KernelExplainer(lambda z, game=game: game(torch.from_numpy(z) > 0.5).numpy(), nothing)
        for seed in range(20):
            np.random.seed(seed)
            theirs = kernel.shap_values(everything, nsamples=62, l1_reg=False, silent=True)[0]
            ours = estimate(explainer, game, 10, seed)
            errors.append([np.linalg.norm(found - truth) for found in (ours, theirs)])
        ours, theirs = np.mean(errors, axis=0) / np.linalg.norm(truth)
        assert ours <= theirs
        ratios.append(ours / theirs)
    assert np.mean(ratios) <= 0.85


@pytest.mark.parametrize("g", [1, 2, 5, 12])
def test_too_few_perturbations_are_told_of_with_a_number_that_is_enough(g):
    texts = [" ".join(PLAYERS[:g]), PLAYERS[0]]
    few = KernelShap(GameModel(12), wordpiece(), n_perturbations=max(2, 2 * g - 2))
    if g == 1:
        assert few(texts)[0].scores.isfinite().all()
        return
    message = rf"KernelShap: {max(2, 2 * g - 2)} perturbations do not tell the {g} elements of inputs\[0\] apart, .*"
    with pytest.warns(UserWarning, match=message + rf"pass n_perturbations={max(16, 4 * g)} or more") as caught:
        few(texts)
    assert len(caught) == 1
    enough = KernelShap(GameModel(12), wordpiece(), n_perturbations=max(16, 4 * g))
    truth = games(12)["linear"](torch.eye(12).bool()).float()
    torch.testing.assert_close(enough(texts, [0, 0])[0].scores[0], truth[:g], atol=1e-4, rtol=0)


def test_refuses_a_budget_without_the_two_ends():
    with pytest.raises(InputError, match="n_perturbations"):
        KernelShap(GameModel(8), wordpiece(), n_perturbations=1)
