"""Sobol indices against a plain loop of Jansen's estimators, closed forms, and sums over all masks."""

import pytest
import torch

from interpreto import Sobol
from interpreto.attributions.methods.designs import coins
from interpreto.errors import InputError
from tests.attributions.games import PLAYERS, GameModel, games
from tests.attributions.plain import TEXT, plain_classifier
from tests.tiny import classifier, wordpiece

CLASSES = torch.arange(3)[None]


def designs(rows, g, seed):
    """`A` and `B`."""
    run = torch.zeros(0, 2 * g, dtype=torch.bool)
    return coins(run, rows, torch.Generator().manual_seed(seed), partners=True).chunk(2, dim=1)


def true_indices(game, g):
    """First and total indices from all `2^g` masks."""
    every = torch.tensor([[code >> i & 1 for i in range(g)] for code in range(2**g)]).bool()
    values = game(every).double()
    first, total = [], []
    for i in range(g):
        flipped = every.clone()
        flipped[:, i] = ~flipped[:, i]
        first.append(((values[every[:, i]].mean() - values[~every[:, i]].mean()) / 2) ** 2)
        total.append((values - game(flipped)).square().mean() / 4)
    return {
        "first": torch.stack(first) / values.var(correction=0),
        "total": torch.stack(total) / values.var(correction=0),
    }


@pytest.mark.parametrize("order", ["first", "total"])
def test_equal_to_a_plain_loop(order):
    plain = plain_classifier()
    g, n = len(plain.words), 8
    result = Sobol(classifier(), wordpiece(), order=order, n_designs=n, seed=2)(TEXT, CLASSES)[0]
    a, b = designs(n, g, seed=2)

    def scores(masks):
        return plain.scores([plain.keeping(row, wordpiece().mask_token_id) for row in masks.tolist()]).double()

    at_a, at_b = scores(a), scores(b)
    variance = torch.cat([at_a, at_b]).var(dim=0, correction=0)
    for i in range(g):
        total = torch.zeros(3).double()
        for k in range(n):
            mixed = a[k].clone()
            mixed[i] = b[k, i]
            total += (((at_a if order == "total" else at_b)[k] - scores(mixed[None])[0]) ** 2) / (2 * n)
        expected = total / variance if order == "total" else 1 - total / variance
        torch.testing.assert_close(result.scores[:, i].double(), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("order", ["first", "total"])
def test_closed_form_of_an_additive_game(order):
    weights = games(8)["linear"](torch.eye(8).bool())
    result = Sobol(GameModel(8), wordpiece(), order=order)(" ".join(PLAYERS[:8]), torch.tensor([[0]]))[0]
    torch.testing.assert_close(result.scores[0].double(), weights**2 / (weights**2).sum(), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("order", "bound"), [("first", 0.08), ("total", 0.03)])
@pytest.mark.parametrize("name", ["linear", "pairwise", "network"])
def test_comes_near_the_indices_of_games_with_interactions(name, order, bound):
    game, g, found = games(12)[name], 12, []
    explainer = Sobol(GameModel(g), wordpiece(), order=order, n_designs=128)
    for seed in range(20):
        keep = explainer.masks(g, torch.Generator().manual_seed(seed))
        found.append(explainer.aggregate(keep, game(keep)[:, None])[0])
    error = torch.stack(found) - true_indices(game, g)[order]
    print(name, order, error.square().mean().sqrt(), error.mean(dim=0).abs().max())
    assert error.square().mean().sqrt() <= bound
    assert error.mean(dim=0).abs().max() <= bound / 2


def test_a_constant_has_no_variance_to_share():
    for order in ("first", "total"):
        result = Sobol(GameModel(8), wordpiece(), order=order)(" ".join(PLAYERS[:8]), torch.tensor([[4]]))[0]
        assert result.scores.abs().max() == 0


@pytest.mark.parametrize(("rows", "g"), [(4, 1), (4, 5), (32, 8), (32, 30), (128, 12)])
def test_designs_are_balanced_and_no_two_columns_are_equal_within_a_copy(rows, g):
    columns = torch.cat(designs(rows, g, seed=0), dim=1).double() * 2 - 1
    correlation = (columns.T @ columns / rows).abs()
    assert (columns.sum(dim=0) == 0).all()
    assert (correlation[range(g), range(g, 2 * g)] == 0).all()  # an element's two columns
    if rows >= 4 * g:
        assert (correlation == torch.eye(2 * g)).all()
        triples = torch.einsum("ni,nj,nk->ijk", columns, columns, columns)
        i, j, k = (index.flatten() for index in torch.meshgrid(*[torch.arange(2 * g)] * 3, indexing="ij"))
        different = (i != j) & (j != k) & (i != k)
        assert (triples.flatten()[different] == 0).all()


@pytest.mark.parametrize("options", [{"n_designs": 2}, {"n_designs": 24}])
def test_refuses_options_without_a_design(options):
    with pytest.raises(InputError, match=next(iter(options))):
        Sobol(classifier(), wordpiece(), **options)
