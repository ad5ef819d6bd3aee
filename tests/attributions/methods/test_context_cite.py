"""ContextCite on planted sparse functions, against coordinate descent written out and the conditions of the optimum."""

import math

import pytest
import torch
from scipy.stats import spearmanr
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from interpreto.attributions.methods.context_cite import ContextCite
from interpreto.attributions.methods.lasso import foretold, lasso
from interpreto.errors import InputError
from tests.attributions.games import PLAYERS, GameModel, games
from tests.tiny import byte_bpe, language_model, wordpiece

PROMPT = "We are great. The dog is lazy. He ran home. What a sad day.\nOnce upon a time"


def coins(p, g, seed=0):
    return torch.rand(p, g, generator=torch.Generator().manual_seed(seed)) < 0.5


def planted(g, places, seed=0):
    """A sparse linear function of g elements, and its weights."""
    weights = torch.zeros(g, dtype=torch.float64)
    weights[places] = 1 + torch.randn(len(places), generator=torch.Generator().manual_seed(seed)).double().abs()
    weights[places[::2]] *= -1
    return lambda z: 3 + z.double() @ weights, weights


def plain_lasso(keep, scores, penalty, rounds=400):
    """Coordinate descent with soft thresholds, one weight after another."""
    z, f = keep.double(), scores.double()
    spread, size = z.std(dim=0, correction=0), f.std(correction=0)
    x, y = (z - z.mean(dim=0)) / spread, (f - f.mean()) / size
    weights = torch.zeros(z.shape[1], dtype=torch.float64)
    for _ in range(rounds):
        for i in range(len(weights)):
            pull = (x[:, i] @ (y - x @ weights + x[:, i] * weights[i])) / len(y)
            weights[i] = pull.sign() * (pull.abs() - penalty).clamp(min=0)
    return weights * size / spread


@pytest.mark.parametrize(("p", "g", "penalty"), [(64, 10, 0.01), (32, 12, 0.2), (20, 30, 0.3)])
def test_equal_to_coordinate_descent_written_out(p, g, penalty):
    keep, scores = coins(p, g), torch.randn(p, 2, generator=torch.Generator().manual_seed(1))
    found = lasso(keep, scores, penalty)
    for weights, column in zip(found, scores.T, strict=True):
        torch.testing.assert_close(weights, plain_lasso(keep, column, penalty), atol=1e-6, rtol=0)


def test_few_of_many_elements_are_found_with_fewer_ablations_than_elements():
    """A planted function of 5 of 200 elements, from 64 ablations: its support, and the weights as the penalty falls."""
    places = [3, 41, 77, 120, 199]
    function, truth = planted(200, places)
    keep = coins(64, 200)
    scores = function(keep)[:, None]
    spread = scores.std(correction=0)
    for penalty in (0.05, 0.01, 1e-5):
        (found,) = lasso(keep, scores, penalty)
        assert set(found.abs().topk(5).indices.tolist()) == set(places)
        assert (found - truth).abs().max() <= 20 * penalty * spread
    torch.testing.assert_close(found, truth, atol=1e-3, rtol=0)
    assert foretold(keep, scores, 0.01, 8)[0] >= 0.95


@pytest.mark.parametrize("penalty", [0.1, 0.01, 1e-6])
def test_the_weights_of_a_linear_game_up_to_the_penalty(penalty):
    """All 12 elements matter; what the penalty takes away is bounded, and nothing is left of it where it is small."""
    explainer = ContextCite(
        GameModel(12), wordpiece(), granularity="word", inference_mode="logits", penalty=penalty, n_perturbations=128
    )
    (result,) = explainer(" ".join(PLAYERS), 0)
    truth = games(12)["linear"](torch.eye(12).bool()).float()
    values = games(12)["linear"](coins(4096, 12))
    assert (result.scores[0] - truth).abs().max() <= 6 * penalty * values.std() + 1e-4
    assert result.settings["linear_datamodeling_scores"][0] >= (0.9 if penalty == 0.1 else 0.99)
    assert result.std_errors is None


class OddsModel(PreTrainedModel):
    """Two classes, whose log-odds are a sparse linear function of which words are there."""

    config_class = PretrainedConfig

    def __init__(self):
        super().__init__(PretrainedConfig(num_labels=2))
        self.embedding = nn.Embedding(len(wordpiece()), 4)
        self.players = torch.tensor(wordpiece().convert_tokens_to_ids(PLAYERS))

    def get_input_embeddings(self):
        return self.embedding

    def forward(self, input_ids):
        present = (input_ids[:, :, None] == self.players).any(dim=1)
        value = planted(12, [2, 7, 9])[0](present).float() - 3
        return SequenceClassifierOutput(logits=torch.stack([value + 5, torch.full_like(value, 5.0)], dim=1))


def test_fits_log_odds():
    explainer = ContextCite(OddsModel(), wordpiece(), granularity="word", penalty=1e-6)
    (result,) = explainer(" ".join(PLAYERS), [[0, 1]])
    truth = planted(12, [2, 7, 9])[1].float()
    torch.testing.assert_close(result.scores, torch.stack([truth, -truth]), atol=1e-3, rtol=0)
    assert set(result.scores[0].abs().topk(3).indices.tolist()) == {2, 7, 9}
    everything = planted(12, [2, 7, 9])[0](torch.ones(1, 12)).item() - 3
    assert result.target_scores[0].item() == pytest.approx(-math.log1p(math.exp(-everything)), abs=1e-5)


def test_the_whole_answer_from_the_sentences_before_it():
    """Equal to the surrogate of what the model itself says to each ablation, as the probability of the whole answer."""
    model, tokenizer = language_model(), byte_bpe()
    explainer = ContextCite(model, tokenizer, n_perturbations=32, removal="<|endoftext|>")
    (result,) = explainer(PROMPT, ", there was a dog")
    assert result.scores.shape == (1, 5)
    assert [element.text for element in result.elements][1] == " The dog is lazy."
    ids, start = result.sample.ids, result.sample.output_start
    keep, scores = explainer.masks(5, torch.Generator().manual_seed(0)), []
    for row in keep:
        gone = [i for element, kept in zip(result.elements, row, strict=True) if not kept for i in element.tokens]
        with torch.no_grad():
            logits = (
                model(torch.tensor([[0 if i in gone else token for i, token in enumerate(ids)]])).logits[0].double()
            )
        log_p = sum(logits[i - 1].log_softmax(dim=0)[ids[i]] for i in range(start, len(ids)))
        scores.append(log_p - torch.log(-torch.expm1(log_p)))
    expected = lasso(keep, torch.stack(scores)[:, None], explainer.penalty)
    torch.testing.assert_close(result.scores.double(), expected, atol=1e-4, rtol=0)


def test_scores_of_ablations_are_foretold_as_well_as_those_of_fresh_ones():
    """The reported correlation, from 64 ablations, is about that with 2,000 others; for noise it is about 0."""
    game = games(12)["network"]
    keep, fresh = coins(64, 12), coins(2000, 12, seed=5)
    found = [foretold(coins(64, 12, seed), game(coins(64, 12, seed))[:, None], 0.01, 8)[0] for seed in range(20)]
    weights = lasso(keep, game(keep)[:, None], 0.01)[0]
    true = spearmanr(fresh.double() @ weights, game(fresh)).statistic
    assert 0.3 < true < 0.99
    assert sum(found) / 20 == pytest.approx(true, abs=0.12)
    noise = [
        foretold(coins(64, 12, seed), torch.randn(64, 1, generator=torch.Generator().manual_seed(seed)), 0.01, 8)[0]
        for seed in range(20)
    ]
    assert abs(sum(noise)) / 20 <= 0.12


def test_each_sentence_of_the_answer_sees_what_is_before_it():
    explainer = ContextCite(language_model(), byte_bpe(), output_granularity="sentence", n_perturbations=16)
    (result,) = explainer(PROMPT, ", he ran. We are sad.")
    assert result.scores.shape == (2, 6)
    assert result.scores.isfinite().tolist() == [[True] * 5 + [False], [True] * 6]
    assert len(result.settings["linear_datamodeling_scores"]) == 2


def test_a_constant_score_has_no_weights_and_no_correlation():
    explainer = ContextCite(GameModel(4), wordpiece(), granularity="word", inference_mode="logits")
    (result,) = explainer(" ".join(PLAYERS[:4]), 4)
    assert result.scores.tolist() == [[0.0] * 4]
    assert result.settings["linear_datamodeling_scores"] == [None]


@pytest.mark.parametrize("options", [{"n_perturbations": 1}, {"penalty": 0.0}, {"keep_probability": 1.0}])
def test_refuses_options_without_a_fit(options):
    with pytest.raises(InputError, match=next(iter(options))):
        ContextCite(language_model(), byte_bpe(), **options)
