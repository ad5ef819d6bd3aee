"""Standard errors: the interval score +- 1.96 errors holds the converged value, over seeds, 90 to 98 % of the time.

Perturbation methods are tried on tables of all `2^g` scores, of trained models and of games, so that 120 seeds cost no
forward passes; gradient methods on a pool of gradients at noisy points.
"""

from functools import cache

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

import interpreto
from interpreto import GradientShap, KernelShap, Lime, Rise, SmoothGrad, Sobol, SquareGrad, VarGrad
from interpreto.attributions import PerturbationExplainer
from interpreto.attributions.certainty import jackknife, mean_errors, student
from interpreto.attributions.methods.designs import coins, even, holds_all
from interpreto.attributions.parts import IndependentParts, StratifiedParts
from interpreto.demo import load
from interpreto.model_wrapping import Moments
from tests.attributions.games import PLAYERS, GameModel, games, true_shapley_values
from tests.attributions.methods.test_sobol import true_indices
from tests.tiny import classifier, wordpiece

SEEDS = 120
TEXTS = {"emotion": "my dog is not angry but I feel lonely", "topic": "the team won the match in the last minute"}
WORLDS = [*TEXTS, "network"]
SAMPLED = [KernelShap, Lime, Rise, Sobol, SmoothGrad, SquareGrad, VarGrad, GradientShap]


def every(g):
    return torch.tensor([[code >> i & 1 for i in range(g)] for code in range(2**g)]).bool()


@cache
def table(world):
    """All scores `(2^g, 3)` of a world: of a trained model for a text of nine words, or of three games."""
    if world == "network":
        return torch.stack([games(9)[name](every(9)) for name in ("network", "pairwise", "network")], dim=1)[:, :2]
    model, tokenizer = load(world)
    found = []

    class Everything(PerturbationExplainer):
        def masks(self, n_elements, rng):
            return every(n_elements)

        def aggregate(self, keep, scores):
            found.append(scores.double())
            return torch.zeros(scores.shape[1], keep.shape[1])

    Everything(model, tokenizer)(TEXTS[world], torch.arange(3)[None])
    return found[0]


def looked_up(world, keep):
    return table(world)[(keep.long() * 2 ** torch.arange(keep.shape[1])).sum(dim=1)]


def converged(explainer, world):
    """What infinitely many draws would give, `(t, g)`, from the definition."""
    values = table(world)
    g = len(values).bit_length() - 1
    keep = every(g)
    columns = [lambda z, t=t: looked_up(world, z)[:, t] for t in range(values.shape[1])]
    if isinstance(explainer, Rise):
        p = explainer.keep_probability
        chance = torch.where(keep, p, 1 - p).double().prod(dim=1)[:, None]
        mean = (chance * values).sum(dim=0)
        return torch.stack([(chance * values)[keep[:, i]].sum(dim=0) / p - mean for i in range(g)], dim=1)
    if isinstance(explainer, KernelShap):
        return torch.stack([torch.from_numpy(true_shapley_values(column, g)) for column in columns])
    if isinstance(explainer, Sobol):
        return torch.stack([true_indices(column, g)[explainer.order] for column in columns])
    z = keep.double().numpy()
    count = np.array([0] + [1 / (g * np.sum(z.sum(axis=1) == g - k)) for k in range(1, g + 1)])
    chance = count[(g - z.sum(axis=1)).astype(int)]  # the number of removed elements is uniform on 1 to g
    weights = chance * np.exp(-(((1 - np.sqrt(z.mean(axis=1))) / explainer.kernel_width) ** 2))
    variance = np.average((z - np.average(z, axis=0, weights=weights)) ** 2, axis=0, weights=weights).mean()
    penalty = explainer.ridge * variance * weights.sum()
    return torch.from_numpy(Ridge(alpha=penalty).fit(z, values.numpy(), sample_weight=weights).coef_)


def estimates(explainer, world, seeds=SEEDS):
    """Scores and standard errors `(seeds, t, g)`."""
    g, found = len(table(world)).bit_length() - 1, []
    for seed in range(seeds):
        keep = explainer.masks(g, torch.Generator().manual_seed(seed))
        scores = looked_up(world, keep)
        found.append((explainer.aggregate(keep, scores).double(), explainer.std_errors(keep, scores).double()))
    return [torch.stack(values) for values in zip(*found, strict=True)]


CASES = {
    "KernelShap, 64": (KernelShap, {"n_perturbations": 64}),
    "KernelShap, 128": (KernelShap, {"n_perturbations": 128}),
    "Lime": (Lime, {}),
    "Lime, barely enough": (Lime, {"n_perturbations": 24}),
    "KernelShap, barely enough": (KernelShap, {"n_perturbations": 48}),
    "Rise": (Rise, {}),
    "Rise, 100": (Rise, {"n_perturbations": 100}),
    "Rise, keeping few": (Rise, {"keep_probability": 0.3}),
    "Sobol, total": (Sobol, {}),
    "Sobol, first": (Sobol, {"order": "first"}),
}


@pytest.mark.parametrize("case", list(CASES))
def test_intervals_hold_the_converged_value_as_often_as_they_say(case):
    method, options = CASES[case]
    explainer = method(GameModel(9), wordpiece(), **options)
    held = []
    for world in WORLDS:
        truth = converged(explainer, world)
        scores, errors = estimates(explainer, world)
        inside = (scores - truth).abs() <= 1.96 * errors + 1e-9
        held.append(inside.double().mean())
        actual = (scores - truth).square().mean(dim=0).sqrt()
        said = errors.square().mean(dim=0).sqrt()
        assert 0.8 <= (said / actual)[actual > 1e-6].median() <= 1.8
    print(case, [round(float(share), 3) for share in held])
    assert 0.90 <= torch.stack(held).mean() <= 0.98


def test_balanced_coins_leave_rise_less_than_half_of_the_error_of_independent_ones():
    explainer = Rise(GameModel(9), wordpiece())
    for world in WORLDS:
        truth = converged(explainer, world)
        balanced = (estimates(explainer, world, 40)[0] - truth).square().mean()
        independent = []
        for seed in range(40):
            keep = torch.rand(256, 9, generator=torch.Generator().manual_seed(seed)) < 0.5
            independent.append(explainer.aggregate(keep, looked_up(world, keep)) - truth)
        assert balanced <= 0.25 * torch.stack(independent).square().mean()


def test_lime_draws_elements_evenly_and_is_the_better_for_it():
    explainer = Lime(GameModel(9), wordpiece(), n_perturbations=100)
    for world in WORLDS:
        truth = converged(explainer, world)
        even_draws = (estimates(explainer, world, 60)[0] - truth).square().mean()
        independent = []
        for seed in range(60):
            rng = torch.Generator().manual_seed(seed)
            removed = torch.randint(1, 10, (100, 1), generator=rng)
            keep = torch.rand(100, 9, generator=rng).argsort(dim=1).argsort(dim=1) >= removed
            keep = torch.cat([torch.ones(1, 9).bool(), keep])
            independent.append(explainer.aggregate(keep, looked_up(world, keep)) - truth)
        assert even_draws <= 0.9 * torch.stack(independent).square().mean()


@pytest.mark.parametrize("method", [KernelShap, Rise])
def test_all_coalitions_leave_no_error(method):
    result = method(GameModel(7), wordpiece(), n_perturbations=128)(" ".join(PLAYERS[:7]), torch.arange(5)[None])[0]
    assert result.std_errors.abs().max() == 0


def test_too_few_draws_to_tell_have_infinite_errors():
    text = " ".join(PLAYERS[:8])
    assert Rise(GameModel(8), wordpiece(), n_perturbations=2)(text)[0].std_errors.isposinf().all()
    assert SmoothGrad(classifier(), wordpiece(), n_samples=2)("a sad day")[0].std_errors.isposinf().all()
    with pytest.warns(UserWarning, match="do not tell"):
        result = KernelShap(GameModel(8), wordpiece(), n_perturbations=6)(text)[0]
    assert result.std_errors.isposinf().all()
    with pytest.warns(UserWarning, match="do not tell"):
        assert Lime(GameModel(8), wordpiece(), n_perturbations=7)(text)[0].std_errors.isposinf().all()
    assert interpreto.Attribution.from_json(result.to_json()).std_errors.isposinf().all()


def test_as_many_pairs_as_unknowns_leave_no_residuals_to_go_by():
    """Nine elements: eight pairs solve for eight numbers, two more are too few to say how far off these are."""
    keep = KernelShap(GameModel(9), wordpiece(), n_perturbations=256).masks(9, torch.Generator())
    firsts = keep[: len(keep) // 2 : len(keep) // 24]
    for pairs in (8, 10):
        chosen = torch.cat([firsts[:pairs], ~firsts[:pairs]])
        errors = KernelShap(GameModel(9), wordpiece()).std_errors(chosen, looked_up("network", chosen))
        assert errors.isposinf().all()


def test_a_generation_has_errors_where_it_has_scores():
    from tests.tiny import byte_bpe, language_model

    for method in SAMPLED:
        (result,) = method(language_model(), byte_bpe())("What a great library", " is it great")
        assert torch.equal(result.std_errors.isnan(), result.scores.isnan())
        assert result.scores.isnan().any()
        assert (result.std_errors.nan_to_num() >= 0).all()
        again = interpreto.Attribution.from_json(result.to_json())
        assert torch.equal(again.std_errors.nan_to_num(), result.std_errors.nan_to_num())


def test_what_is_not_drawn_has_no_errors():
    drawn = {method.__name__ for method in SAMPLED} | {"Owen"}  # exact here, with errors of 0
    for name in set(interpreto.attributions.methods.__all__) - drawn:
        assert getattr(interpreto, name)(classifier(), wordpiece())("a sad day")[0].std_errors is None


@pytest.mark.parametrize(("rows", "columns"), [(2, 3), (32, 9), (64, 33), (256, 9), (1024, 9), (100, 9)])
def test_coins_balance_in_every_block_however_they_were_asked_for(rows, columns):
    whole = coins(torch.zeros(0, columns).bool(), rows, torch.Generator().manual_seed(1))
    assert torch.equal(whole[::2], ~whole[1::2])
    rng, grown = torch.Generator().manual_seed(1), torch.zeros(0, columns).bool()
    while len(grown) < rows:
        grown = torch.cat([grown, coins(grown, min(7, rows - len(grown)), rng)])
    assert torch.equal(grown, whole)
    block = 2 ** (columns - 1).bit_length() * 2
    for start in range(0, rows - block + 1, block):
        signs = whole[start : start + block].double() * 2 - 1
        triples = torch.einsum("ni,nj,nk->ijk", signs, signs, signs)
        assert torch.equal(signs.T @ signs, block * torch.eye(columns).double())
        assert triples.abs().sum() == block * (signs.sum(dim=0) != 0).sum() == 0
    if rows & (rows - 1) == 0:
        assert len(whole.unique(dim=0)) == min(rows, 2**columns)
        assert holds_all(whole) == (rows >= 2**columns)


def test_rounds_end_where_coins_balance():
    assert [even(55, 11), even(64, 12), even(64, 64), even(7, 1)] == [9, 8, 64, 1]


def test_errors_of_plain_means():
    """Of independent normal numbers, three in a mean, 95 % of intervals hold the truth: Student's factor at work."""
    drawn = torch.randn(3, 20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    held = (drawn.mean(dim=0).abs() <= 1.96 * mean_errors(drawn)).double().mean()
    assert held == pytest.approx(0.95, abs=0.005)
    whole, without = drawn.mean(dim=0), torch.stack([drawn[[1, 2]], drawn[[0, 2]], drawn[[0, 1]]]).mean(dim=1)
    torch.testing.assert_close(jackknife(whole, without, torch.ones(3)), mean_errors(drawn))
    assert student(1) == pytest.approx(12.706 / 1.96, rel=1e-3)


def test_the_jackknife_of_groups_of_different_sizes():
    drawn = torch.randn(12, 20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    groups = [range(0, 1), range(1, 3), range(3, 5), range(5, 8), range(8, 12)]
    without = [drawn[[i for i in range(12) if i not in group]].mean(dim=0) for group in groups]
    counts = torch.tensor([float(len(group)) for group in groups])
    errors = jackknife(drawn.mean(dim=0), torch.stack(without), counts) / student(4)
    assert errors.square().mean().sqrt() == pytest.approx(12**-0.5, rel=0.02)


@cache
def pool():
    """Gradients at 2 x 1500 opposite noisy points `(1500, 2, 1, l, d)` of a trained model, and the embedding."""
    model, tokenizer = load("emotion")
    ids = torch.tensor(tokenizer("I am so happy to see you")["input_ids"])
    embedding = model.get_input_embeddings()(ids).detach()
    noise = torch.randn(1500, *embedding.shape, generator=torch.Generator().manual_seed(3))
    noise *= 0.1 * (embedding.max() - embedding.min())
    noise[:, [0, -1]] = 0
    found = []
    for sign in (1, -1):
        points = (embedding + sign * noise).requires_grad_()
        found.append(torch.autograd.grad(model(inputs_embeds=points).logits[:, 1].sum(), points)[0][:, 1:-1])
    return torch.stack(found, dim=1)[:, :, None], embedding[1:-1]


def moments_of(points, labels=None):
    """Averages over points `(n, t, l, d)`."""
    parts = () if labels is None else [points[[k for k, x in enumerate(labels) if x == own]] for own in set(labels)]
    return Moments(
        points.mean(dim=0), points.square().mean(dim=0), torch.zeros(1), tuple(moments_of(part) for part in parts)
    )


@pytest.mark.parametrize("method", [SmoothGrad, SquareGrad, VarGrad])
@pytest.mark.parametrize("words", ["tokens", "words"])
def test_intervals_of_noisy_gradients(method, words):
    gradients, embedding = pool()
    explainer = method(classifier(), wordpiece())

    def scored(moments):
        return explainer.token_scores(moments, embedding)

    def grouped(tokens):
        return tokens if words == "tokens" else tokens.reshape(1, -1)[:, :6].view(1, 3, 2).sum(dim=2)

    truth, held, rng = grouped(scored(moments_of(gradients.flatten(0, 1)))), [], torch.Generator().manual_seed(0)
    scores, independent = [], []
    for _ in range(SEEDS):
        chosen = gradients[torch.randperm(len(gradients), generator=rng)[:10]].flatten(0, 1)
        parts = IndependentParts()
        parts.add(moments_of(chosen, parts.labels(20)), 20, scored)
        tokens = parts.token_scores(scored)
        scores.append(grouped(tokens))
        errors = explainer.steadied(grouped(tokens).double(), parts.std_errors(scored, grouped), 20)
        held.append(((grouped(tokens) - truth).abs() <= 1.96 * errors).double().mean())
        other = gradients[torch.randperm(len(gradients), generator=rng)[:20], 0]
        independent.append(grouped(scored(moments_of(other))))
    print(method.__name__, words, torch.stack(held).mean())
    assert 0.90 <= torch.stack(held).mean() <= 0.98
    if method is not VarGrad:  # each noise with its opposite leaves less error, and there is no bias to take away
        error = (torch.stack(scores) - truth).square().mean()
        assert error <= 0.7 * (torch.stack(independent) - truth).square().mean()
        assert (torch.stack(scores).mean(dim=0) - truth).square().mean() <= 0.05 * error


def test_intervals_of_strata():
    """A curve with a slope and noise, taken once in each of n equal parts."""
    scored, rng = (lambda moments: moments.mean[:, :, 0]), torch.Generator().manual_seed(0)
    for n, slope, noise in ((20, 5.0, 0.3), (60, 5.0, 0.3), (20, 5.0, 0.01)):
        held, errors, scores = [], [], []
        for _ in range(SEEDS):
            at = (torch.arange(n) + torch.rand(n, generator=rng)) / n
            values = slope * at + 0.5 * at**2 + noise * torch.randn(n, generator=rng)
            parts = StratifiedParts()
            parts.add(moments_of(values.double().view(n, 1, 1, 1), parts.labels(n)), n, scored)
            scores.append(float(parts.token_scores(scored)))
            errors.append(float(parts.std_errors(scored, lambda tokens: tokens)))
            held.append(abs(scores[-1] - slope / 2 - 0.5 / 3) <= 1.96 * errors[-1])
        assert 0.90 <= np.mean(held) <= 0.98
        assert 0.9 <= np.sqrt(np.mean(np.square(errors))) / np.std(scores) <= 1.4


@pytest.mark.parametrize("method", [SmoothGrad, SquareGrad, VarGrad, GradientShap])
def test_errors_of_results_are_the_spread_over_seeds(method):
    """Of words of several tokens too: errors of sums, not of independent tokens."""
    results = [method(classifier(), wordpiece(), seed=seed)("the quick brown fox", 1)[0] for seed in range(20)]
    scores, errors = (torch.stack([getattr(r, name) for r in results]) for name in ("scores", "std_errors"))
    ratio = errors.square().mean(dim=0).sqrt() / scores.std(dim=0)
    print(method.__name__, ratio)
    assert 0.75 <= ratio.median() <= (2.0 if method is VarGrad else 1.6)  # VarGrad's have a margin
    assert ((ratio >= 0.5) & (ratio <= 2.5)).all()


@pytest.mark.parametrize("method", [SmoothGrad, GradientShap])
def test_errors_of_other_reductions(method):
    model, tokenizer, text = classifier(), wordpiece(), "the quick brown fox"
    by_token = method(model, tokenizer, granularity="token")(text, 1)[0]
    results = {name: method(model, tokenizer, reduction=name)(text, 1)[0] for name in ("sum", "mean", "max")}
    for k, element in enumerate(results["sum"].elements):
        own = [token - 1 for token in element.tokens]
        largest = own[int(by_token.scores[0, own].abs().argmax())]
        sums = results["sum"].std_errors[0, k]
        torch.testing.assert_close(results["max"].std_errors[0, k], by_token.std_errors[0, largest])
        torch.testing.assert_close(results["mean"].std_errors[0, k], sums / len(own))
        assert sums <= by_token.std_errors[0, own].sum() * (1 + 1e-5)


def test_without_noise_there_is_no_error():
    for method in (SmoothGrad, SquareGrad):
        result = method(classifier(), wordpiece(), noise=0.0)("the quick brown fox", 1)[0]
        assert result.std_errors.max() <= 1e-6 * result.scores.max()
