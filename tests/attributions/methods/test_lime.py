"""LIME against scikit-learn's ridge regression on the same perturbations."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from interpreto import Lime
from interpreto.errors import InputError
from tests.attributions.games import PLAYERS, GameModel, games
from tests.attributions.plain import TEXT, plain_classifier
from tests.tiny import classifier, wordpiece


def fitted(keep, scores, kernel_width, penalty):
    """The same minimum with scikit-learn, whose penalty is relative neither to the weights nor to the variance."""
    cosine = keep.sum(axis=1) / (np.sqrt(keep.sum(axis=1)) * np.sqrt(keep.shape[1])).clip(1e-300)
    weights = np.exp(-((1 - cosine) ** 2) / kernel_width**2)
    assert weights.argmax() == 0
    assert keep[0].all()
    mean = np.average(keep, axis=0, weights=weights)
    variance = np.average((keep - mean) ** 2, axis=0, weights=weights).mean()
    return Ridge(alpha=penalty * variance * weights.sum()).fit(keep, scores, sample_weight=weights).coef_


@pytest.mark.filterwarnings("ignore:Lime. .* perturbations do not tell")
@pytest.mark.parametrize(
    ("n_perturbations", "kernel_width", "penalty"), [(None, 0.25, 1e-3), (64, 1.0, 0.1), (5, 0.5, 1e-3)]
)
def test_equal_to_scikit_learn(n_perturbations, kernel_width, penalty):
    plain = plain_classifier()
    explainer = Lime(
        classifier(), wordpiece(), n_perturbations=n_perturbations, kernel_width=kernel_width, ridge=penalty, seed=3
    )
    result = explainer(TEXT, torch.arange(3)[None])[0]
    keep = explainer.masks(len(plain.words), torch.Generator().manual_seed(3)).numpy()
    scores = plain.scores([plain.keeping(row, wordpiece().mask_token_id) for row in keep])
    expected = fitted(keep.astype(float), scores.double().numpy(), kernel_width, penalty)
    np.testing.assert_allclose(result.scores.numpy(), expected, atol=2e-5)


def test_finds_the_weights_of_a_linear_game():
    explainer = Lime(GameModel(12), wordpiece(), n_perturbations=500, ridge=1e-9)
    scores = explainer(" ".join(PLAYERS), torch.tensor([[0]]))[0].scores[0]
    truth = games(12)["linear"](torch.eye(12).bool()).float()
    torch.testing.assert_close(scores, truth, atol=1e-4, rtol=0)


@pytest.mark.parametrize("n_perturbations", [10, 1000])
def test_one_element_gets_the_whole_difference(n_perturbations):
    explainer = Lime(GameModel(1), wordpiece(), n_perturbations=n_perturbations)
    score = explainer(PLAYERS[0], torch.tensor([[0]]))[0].scores.item()
    alone, nothing = games(1)["linear"](torch.tensor([[True], [False]])).tolist()
    assert score == pytest.approx(alone - nothing, rel=2e-3)


def test_more_elements_than_perturbations_stay_small():
    explainer = Lime(GameModel(12), wordpiece(), n_perturbations=6)
    with pytest.warns(
        UserWarning, match=r"^Lime: 7 perturbations do not tell the 12 elements of inputs\[0\] apart, .*=48"
    ):
        result = explainer(" ".join(PLAYERS), torch.tensor([[0]]))[0]
    truth = games(12)["linear"](torch.eye(12).bool())
    assert result.scores.isfinite().all()
    assert result.scores.norm() <= 2 * truth.norm()


@pytest.mark.parametrize("g", [1, 2, 7, 40])
def test_removes_one_to_all_elements_each_number_as_often(g):
    keep = Lime(classifier(), wordpiece(), n_perturbations=4000).masks(g, torch.Generator().manual_seed(0))
    assert keep[0].all()
    removed = (~keep[1:]).sum(dim=1)
    counts = torch.bincount(removed, minlength=g + 1)
    assert counts[0] == 0
    assert ((counts[1:] - 4000 / g).abs() <= 4 * (4000 / g) ** 0.5).all()
    rates = (~keep[1:]).double().mean(dim=0)
    assert ((rates - (g + 1) / (2 * g)).abs() <= 4 * 0.5 / 4000**0.5).all()


@pytest.mark.parametrize("options", [{"n_perturbations": 0}, {"kernel_width": 0.0}, {"ridge": 0.0}])
def test_refuses_options_without_a_fit(options):
    with pytest.raises(InputError, match=next(iter(options))):
        Lime(classifier(), wordpiece(), **options)
