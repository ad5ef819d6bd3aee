"""RISE against a plain loop, and against the expectation over all masks."""

import pytest
import torch

from interpreto import Rise
from interpreto.errors import InputError
from tests.attributions.games import PLAYERS, GameModel, games
from tests.attributions.plain import TEXT, plain_classifier
from tests.tiny import classifier, wordpiece


@pytest.mark.parametrize("keep_probability", [0.5, 0.2])
def test_equal_to_a_plain_loop(keep_probability):
    plain = plain_classifier()
    explainer = Rise(classifier(), wordpiece(), n_perturbations=40, keep_probability=keep_probability, seed=5)
    result = explainer(TEXT, torch.arange(3)[None])[0]
    masks = explainer.masks(len(plain.words), torch.Generator().manual_seed(5)).tolist()
    scores = plain.scores([plain.keeping(mask, wordpiece().mask_token_id) for mask in masks]).double()
    for i in range(len(plain.words)):
        kept = [score for score, mask in zip(scores, masks, strict=True) if mask[i]]
        expected = sum(kept) / len(kept) - sum(scores) / len(scores)
        torch.testing.assert_close(result.scores[:, i].double(), expected, atol=1e-5, rtol=0)


def test_comes_near_the_expectation():
    game, p = games(8)["network"], 0.3
    every = torch.tensor([[code >> i & 1 for i in range(8)] for code in range(256)]).bool()
    chance = torch.where(every, p, 1 - p).double().prod(dim=1)
    values = game(every)
    mean = (chance * values).sum()
    truth = torch.stack([(chance * values)[every[:, i]].sum() / p - mean for i in range(8)])
    explainer = Rise(GameModel(8), wordpiece(), n_perturbations=20_000, keep_probability=p)
    result = explainer(" ".join(PLAYERS[:8]), torch.tensor([[3]]))[0]
    spread = float((chance * (values - mean) ** 2).sum().sqrt())
    assert (result.scores[0] - truth).abs().max() <= 4 * spread / (20_000 * p) ** 0.5


def test_an_element_that_is_never_kept_gets_zero():
    explainer = Rise(GameModel(8), wordpiece(), n_perturbations=1, keep_probability=0.5)
    keep = explainer.masks(8, torch.Generator().manual_seed(0))
    scores = explainer(" ".join(PLAYERS[:8]), torch.tensor([[0]]))[0].scores[0]
    assert not keep.all()
    assert scores.abs().max() == 0


@pytest.mark.parametrize("options", [{"n_perturbations": 0}, {"keep_probability": 0.0}, {"keep_probability": 1.0}])
def test_refuses_options_without_an_estimate(options):
    with pytest.raises(InputError, match=next(iter(options))):
        Rise(classifier(), wordpiece(), **options)
