"""Owen values against their definition, over all orders that keep groups together, against theorems, against shap."""

from itertools import permutations, product

import numpy as np
import pytest
import torch

from interpreto import KernelShap, Segments
from interpreto.attributions.methods.hierarchy import Group, chains, hierarchy, n_coalitions, owen_shares
from interpreto.attributions.methods.owen import Owen
from interpreto.errors import InputError
from interpreto.text import encode_source, find_elements
from interpreto.types import Granularity
from tests.attributions.games import PLAYERS, GameModel, games, network, true_shapley_values
from tests.tiny import byte_bpe, classifier, language_model, wordpiece

TREES = {
    "flat": Group((0, 1, 2, 3)),
    "pairs": Group((Group((0, 1)), Group((2, 3)))),
    "uneven": Group((Group((0, 1, 2)), 3, Group((4, 5)))),
    "deep": Group((Group((Group((0, 1)), 2)), Group((3, Group((4, 5)))))),
}


def orders(group):
    """All orders of its elements in which the members of each group follow each other."""
    found = []
    for turn in permutations(group.members):
        inner = [[[member]] if isinstance(member, int) else orders(member) for member in turn]
        found += [[i for part in parts for i in part] for parts in product(*inner)]
    return found


def owen_values(game, tree):
    """The definition: the mean, over those orders, of what an element adds when it comes."""
    g = len(tree.elements)
    every = torch.tensor([[code >> i & 1 for i in range(g)] for code in range(2**g)]).bool()
    table, values = game(every).tolist(), np.zeros(g)
    possible = orders(tree)
    for order in possible:
        before = 0
        for i in order:
            values[i] += table[before | 1 << i] - table[before]
            before |= 1 << i
    return values / len(possible)


def exact(game, tree):
    keep, shares = owen_shares(tree)
    return (shares @ game(keep).double()).numpy()


@pytest.mark.parametrize("name", ["linear", "pairwise", "and", "network"])
@pytest.mark.parametrize("shape", TREES)
def test_equal_to_the_definition_over_all_orders(shape, name):
    tree = TREES[shape]
    game = games(len(tree.elements))[name]
    keep, _ = owen_shares(tree)
    assert len(keep) == len({tuple(row) for row in keep.tolist()}) == n_coalitions(tree)
    np.testing.assert_allclose(exact(game, tree), owen_values(game, tree), atol=1e-12)


@pytest.mark.parametrize("shape", TREES)
def test_theorems(shape):
    """Efficiency; Shapley values of a game without groups and of an additive one; null players count for nothing."""
    tree = TREES[shape]
    g = len(tree.elements)
    for name, game in games(g).items():
        whole, nothing = game(torch.tensor([[True], [False]]).expand(-1, g)).tolist()
        assert exact(game, tree).sum() == pytest.approx(whole - nothing, abs=1e-9)
        if name == "linear" or shape == "flat":
            np.testing.assert_allclose(exact(game, tree), true_shapley_values(game, g), atol=1e-9)
    values = exact(lambda z: network(g - 1, 1)(z[:, 1:]), tree)
    assert values[0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("shape", ["pairs", "uneven", "deep"])
def test_a_group_gets_its_value_in_the_game_of_the_groups(shape):
    """At each level: the values of its elements add up to its Shapley value where its siblings play as wholes."""
    tree = TREES[shape]
    game = games(len(tree.elements))["network"]
    values = exact(game, tree)
    parts = [[m] if isinstance(m, int) else m.elements for m in tree.members]

    def quotient(z):
        keep = torch.zeros(len(z), len(tree.elements), dtype=torch.bool)
        for k, part in enumerate(parts):
            keep[:, part] = z[:, k : k + 1]
        return game(keep)

    expected = true_shapley_values(quotient, len(parts))
    np.testing.assert_allclose([values[part].sum() for part in parts], expected, atol=1e-9)
    if shape == "deep":  # the pair (0, 1) in its sentence: the Owen value of the game with the pair as one player
        merged = Group((Group((0, 1)), Group((2, Group((3, 4))))))
        apart = torch.tensor([0, 0, 1, 2, 3, 4])
        smaller = exact(lambda z: game(z[:, apart]), merged)
        assert values[[0, 1]].sum() == pytest.approx(smaller[0])


@pytest.mark.filterwarnings("ignore")  # shap's own
def test_equal_to_shap_on_a_binary_tree():
    """Where each group has two members, shap's partition explainer has the same definition."""
    import shap

    tree = Group((Group((Group((0, 1)), Group((2, 3)))), Group((Group((4, 5)), Group((6, 7))))))
    clustering = np.array(
        [
            [0, 1, 0.1, 2],
            [2, 3, 0.1, 2],
            [4, 5, 0.1, 2],
            [6, 7, 0.1, 2],
            [8, 9, 0.5, 4],
            [10, 11, 0.5, 4],
            [12, 13, 1, 8],
        ]
    )
    for name in ("pairwise", "network"):
        game = games(8)[name]
        masker = shap.maskers.Partition(np.zeros((1, 8)), clustering=clustering)
        explainer = shap.PartitionExplainer(lambda x, game=game: game(torch.from_numpy(x) > 0.5).numpy(), masker)
        theirs = explainer(np.ones((1, 8)), max_evals=10_000, silent=True).values[0]
        np.testing.assert_allclose(exact(game, tree), theirs, atol=1e-6)


def test_sampled_orders_are_unbiased_and_their_errors_are_true():
    """Means over seeds are within 3 standard errors of the truth, and 90 to 98 % of intervals hold it."""
    tree = Group((Group((0, 1, 2)), Group((3, 4, 5, 6)), Group((7, 8))))
    explainer = Owen(GameModel(9), wordpiece())
    for game in (games(9)["network"], network(9, 3, scale=2.0)):
        truth, found, inside = exact(game, tree), [], []
        for seed in range(200):
            keep = chains(tree, 12, torch.Generator().manual_seed(seed))
            scores = game(keep)[:, None]
            values, errors = explainer.aggregate(keep, scores)[0], explainer.std_errors(keep, scores)[0]
            found.append(values.numpy())
            inside.append((np.abs(values.numpy() - truth) <= 1.96 * errors.numpy()).mean())
        bias = (np.mean(found, axis=0) - truth) / (np.std(found, axis=0) / 200**0.5)
        assert np.abs(bias).max() <= 3.5
        assert 0.9 <= np.mean(inside) <= 0.98


def test_chains_keep_groups_together():
    tree = TREES["deep"]
    keep = chains(tree, 30, torch.Generator().manual_seed(0)).view(60, 7, 6)
    assert (keep.sum(dim=2) == torch.arange(7)).all()
    seen = {tuple((rows[1:] ^ rows[:-1]).byte().argmax(dim=1).tolist()) for rows in keep}
    assert seen <= {tuple(order) for order in orders(tree)}
    assert len(seen) > 10
    assert torch.equal(keep[0::2], ~keep[1::2].flip(1))


def tree_of(text, granularity, tokenizer=None):
    sample = encode_source(tokenizer or wordpiece(), text, where="inputs[0]")
    elements = find_elements(sample, Granularity(granularity))
    return hierarchy(sample, elements, Granularity(granularity)), [element.text.strip() for element in elements]


def test_the_tree_of_a_text():
    tree, names = tree_of("we ran. a sad day", "word")
    assert names == ["we", "ran", ".", "a", "sad", "day"]
    assert tree == Group((Group((0, 1, 2)), Group((3, 4, 5))))
    assert tree_of("we ran. a sad day", "sentence")[0] == Group((0, 1))
    tree, names = tree_of("we jumps. you", "token")  # "ran" and "jumps" are spelled
    assert names == ["we", "jump", "s", ".", "you"]
    assert tree == Group((Group((0, Group((1, 2)), 3)), 4))
    tree, _ = tree_of(("we are sad. you are", "a dog"), "word")
    assert tree == Group((Group((Group((0, 1, 2, 3)), Group((4, 5)))), Group((6, 7))))
    assert tree_of(Segments("we are sad. you are", ((0, 6), (6, 15), (15, 19))), "word")[0] == Group((0, 1, 2))
    assert tree_of("we ran", "all_tokens")[0].members[0] == 0


def test_equal_to_the_definition_on_a_trained_kind_of_model():
    model, tokenizer = classifier(), wordpiece()
    (result,) = Owen(model, tokenizer)("we are sad. what a day", targets=1)
    assert result.settings["exact"]
    assert (result.std_errors == 0).all()
    tree = Group((Group((0, 1, 2, 3)), Group((4, 5, 6))))
    ids = tokenizer("we are sad. what a day")["input_ids"]
    assert len(ids) == 9

    def game(keep):
        rows = torch.tensor(ids).repeat(len(keep), 1)
        rows[:, 1:-1] = torch.where(keep, rows[:, 1:-1], tokenizer.mask_token_id)
        with torch.no_grad():
            return model(rows).logits[:, 1].double()

    np.testing.assert_allclose(result.scores[0].numpy(), owen_values(game, tree), atol=1e-5)
    shapley = KernelShap(model, tokenizer, n_perturbations=128)("we are sad. what a day", targets=1)[0]
    assert (result.scores - shapley.scores).abs().max() > 1e-3


@pytest.mark.parametrize("n_perturbations", [2, 40, 200])
def test_always_additive(n_perturbations):
    explainer = Owen(GameModel(12), wordpiece(), n_perturbations=n_perturbations)
    (result,) = explainer(" ".join(PLAYERS), torch.arange(5)[None])
    assert not result.settings["exact"]
    assert result.gaps.abs().max() <= 1e-5 * result.target_scores.abs().max()
    assert result.std_errors.isinf().all() == (n_perturbations < 44)


def test_generation_is_the_game_of_what_each_target_sees():
    """Elements that are written after a target change nothing for it; drawn orders agree with all of them."""
    model, tokenizer = language_model(), byte_bpe()
    explainer = Owen(model, tokenizer, removal="<|endoftext|>")
    (both,) = explainer("We are sad. You", " play in")
    (first,) = explainer("We are sad. You", " play")
    assert both.settings["exact"]
    g = first.scores.shape[1]
    assert both.scores.shape[1] == g + 1
    torch.testing.assert_close(both.scores[0, :g], first.scores[0], atol=1e-5, rtol=0)
    assert both.scores[0, g:].isnan().all()
    (drawn,) = Owen(model, tokenizer, removal="<|endoftext|>", n_perturbations=60)("We are sad. You", " play in")
    assert not drawn.settings["exact"]
    assert torch.equal(drawn.scores.isnan(), both.scores.isnan())
    away = (drawn.scores - both.scores).abs() - 4 * drawn.std_errors
    assert away.nan_to_num(nan=-1.0).max() <= 1e-5


def test_refuses_a_budget_without_the_two_ends():
    with pytest.raises(InputError, match="n_perturbations"):
        Owen(GameModel(8), wordpiece(), n_perturbations=1)
