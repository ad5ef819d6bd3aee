"""Infidelity on explanations whose figure is known, and against captum on the same sets."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from interpreto import KernelShap, ModelWithSplitPoints, Occlusion, Saliency
from interpreto.attributions.metrics.infidelity import Infidelity, random_sets
from interpreto.concepts import NeuronsAsConcepts
from interpreto.concepts.bridges import InputToConcepts
from interpreto.errors import InputError
from tests.attributions.games import PLAYERS, GameModel, games
from tests.tiny import byte_bpe, classifier, language_model, wordpiece

ALL_GAMES = torch.arange(5)[None]
TEXT = " ".join(PLAYERS[:8])


def every_set(g):
    return torch.tensor([[code >> i & 1 for i in range(g)] for code in range(1, 2**g)]).bool()


def expected(game, scores, g):
    """The expectation itself, over all sets with their probabilities."""
    removed = every_set(g)
    sizes = removed.sum(dim=1)
    weights = 1 / (g * torch.bincount(sizes, minlength=g + 1)[sizes].double())
    assert weights.sum().item() == pytest.approx(1)
    lost = game(torch.ones(1, g).bool()).double() - game(~removed).double()
    return float(weights @ (removed.double() @ scores.double() - lost).square())


def test_sets_have_every_number_of_elements_as_often():
    sets = random_sets(6, 12_000, torch.Generator().manual_seed(0))
    counts = torch.bincount(sets.sum(dim=1), minlength=7)
    assert counts[0] == 0
    assert ((counts[1:] - 2000).abs() <= 4 * 2000**0.5).all()
    assert ((sets.double().mean(dim=0) - 7 / 12).abs() <= 4 * 0.5 / 12_000**0.5).all()


def test_within_errors_of_the_expectation_and_zero_for_the_truth():
    model, tokenizer = GameModel(8), wordpiece()
    (result,) = KernelShap(model, tokenizer, n_perturbations=256)(TEXT, ALL_GAMES)
    figures = Infidelity(model, tokenizer, n_perturbations=2000)(result)
    for k, game in enumerate(games(8).values()):
        truth = expected(game, result.scores[k], 8)
        nothing = expected(game, torch.zeros(8), 8)
        assert abs(figures.scores[0][k] - truth) <= 4 * figures.std_errors[0][k] + 1e-9
        assert figures.references[0][k].item() == pytest.approx(nothing, rel=0.2, abs=1e-9)
    assert figures.scores[0][0] <= 1e-9  # a linear game, explained by its own weights
    assert figures.references[0][0] > 1
    assert figures.scores[0][4] == figures.references[0][4] == 0


def test_errors_are_true():
    """About 95 % of intervals hold the expectation."""
    model, tokenizer = GameModel(8), wordpiece()
    (result,) = Occlusion(model, tokenizer)(TEXT, 3)
    truth = expected(games(8)["network"], result.scores[0], 8)
    found = [Infidelity(model, tokenizer, seed=seed)(result) for seed in range(100)]
    inside = [abs(one.scores[0] - truth) <= 1.96 * one.std_errors[0] for one in found]
    assert 88 <= sum(inside) <= 99


@pytest.mark.parametrize("normalize", [False, True])
def test_equal_to_captum(normalize):
    """captum is given the same sets, of a function of which words are there."""
    from captum.metrics import infidelity

    model, tokenizer = GameModel(8), wordpiece()
    (result,) = Saliency(classifier(), tokenizer)(TEXT, 0)  # scores in no unit of the game
    result = replace(result, scores=result.scores, readout=Occlusion(model, tokenizer)(TEXT, 3)[0].readout)
    ours = Infidelity(model, tokenizer, n_perturbations=300, normalize=normalize)(result)
    sets = random_sets(8, 300, torch.Generator().manual_seed(0)).double()
    theirs = infidelity(
        lambda x: games(8)["network"](x > 0.5),
        lambda _x: (sets, 1 - sets),
        torch.ones(1, 8).double(),
        result.scores.double(),
        n_perturb_samples=300,
        normalize=normalize,
    )
    assert ours.scores[0].item() == pytest.approx(theirs.item(), rel=1e-4)


def test_generation_removes_only_what_a_target_sees():
    model, tokenizer = language_model(), byte_bpe()
    (result,) = Occlusion(model, tokenizer, removal="<|endoftext|>")("The quick brown fox", " jumps over")
    figures = Infidelity(model, tokenizer, n_perturbations=20)(result)
    ids = result.sample.ids
    for t, target in enumerate(result.targets):
        count = int(result.scores[t].isfinite().sum())
        sets = random_sets(count, 20, torch.Generator().manual_seed(0))
        squares, lost = [], []
        rows = [torch.zeros(count).bool(), *sets]
        values = []
        for row in rows:
            gone = [i for k in row.nonzero()[:, 0].tolist() for i in result.elements[k].tokens]
            given = torch.tensor([[0 if i in gone else token for i, token in enumerate(ids)]])
            with torch.no_grad():
                values.append(model(given).logits[0, target.first - 1, ids[target.first]].item())
        for row, value in zip(sets, values[1:], strict=True):
            lost.append(values[0] - value)
            squares.append((float(row.float() @ result.scores[t, :count]) - lost[-1]) ** 2)
        assert figures.scores[0][t].item() == pytest.approx(np.mean(squares), rel=1e-3)
        assert figures.references[0][t].item() == pytest.approx(np.mean(np.square(lost)), rel=1e-3)


def test_in_the_space_of_each_explanation_and_removed_as_in_it():
    model, tokenizer = classifier(), wordpiece()
    ways = [("logits", "mask"), ("softmax", "delete"), ("logits", None)]
    results = [Occlusion(model, tokenizer, inference_mode=m, removal=r)("A sad day.", 1)[0] for m, r in ways]
    together = Infidelity(model, tokenizer)(results)
    for result, figure in zip(results, together.scores, strict=True):
        torch.testing.assert_close(Infidelity(model, tokenizer)(result).scores[0], figure, atol=1e-6, rtol=1e-5)
    assert together.scores[0].item() != pytest.approx(together.scores[1].item(), rel=1e-3)
    loaded = [type(result).from_json(result.to_json()) for result in results]
    assert Infidelity(model, tokenizer)(loaded).to_dict() == together.to_dict()
    other = Infidelity(model, tokenizer, seed=1)(results)
    assert other.score != together.score
    assert Infidelity(model, tokenizer, removal="[UNK]")(results).score != together.score


def test_explanations_of_concepts():
    """The score is then a code; exact Shapley values say more of it than nothing does."""
    concepts = InputToConcepts(NeuronsAsConcepts(ModelWithSplitPoints(classifier(), 1, tokenizer=wordpiece())))
    results = KernelShap(concepts)(["A sad day.", "you are great"], [3, 5])
    figures = Infidelity(concepts)(results)
    assert all(0 < own < nothing for own, nothing in zip(figures.scores, figures.references, strict=True))
    with pytest.raises(InputError, match=r"attributions\[0\]: expected an explanation of"):
        Infidelity(classifier(), wordpiece())(results)


def test_the_short_form_is_one_line():
    model, tokenizer = classifier(), wordpiece()
    results = Occlusion(model, tokenizer)(["A sad day.", "you are great"])
    number = r"\d+\.\d{3}"
    form = rf"Measurement\(Infidelity of 2 texts: {number} ± {number}, saying nothing {number}; lower is better\)"
    assert re.fullmatch(form, repr(Infidelity(model, tokenizer)(results)))


def test_bad_input():
    model, tokenizer = classifier(), wordpiece()
    results = Occlusion(model, tokenizer)("A sad day.")
    with pytest.raises(InputError, match="expected explanations of one task, got"):
        Infidelity(model, tokenizer)([])
    with pytest.raises(
        InputError, match=r"attributions\[0\]: expected an explanation of this GPT2LM.*, got one of another"
    ):
        Infidelity(language_model(), byte_bpe())(results)
    for options in ({"n_perturbations": 0}, {"batch_size": 0}, {"seed": -1}):
        with pytest.raises(InputError, match=next(iter(options))):
            Infidelity(model, tokenizer, **options)
