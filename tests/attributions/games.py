"""Classifiers whose logits are set functions of which words are not removed, so that true answers are known."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import factorial

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from tests.tiny import wordpiece

PLAYERS = ["the", "dog", "is", "sad", "you", "are", "great", "we", "on", "cat", "library", "in"]
"""Words of one token each in the tokenizer of the tests."""

Game = Callable[[Tensor], Tensor]
"""From keep-vectors `(p, g)` to values `(p,)`."""


def games(g: int) -> dict[str, Game]:
    """Set functions of g players, from none to all interactions."""
    generator = torch.Generator().manual_seed(g)
    linear, pairs = torch.randn(g, generator=generator).double(), torch.randn(g, g, generator=generator).double()
    return {
        "linear": lambda z: z.double() @ linear,
        "pairwise": lambda z: z.double() @ linear + ((z.double() @ pairs) * z.double()).sum(dim=1),
        "and": lambda z: z.all(dim=1).double(),
        "network": network(g, seed=g),
        "constant": lambda z: torch.full((len(z),), 0.7),
    }


def network(g: int, seed: int, scale: float = 1.0) -> Game:
    """A random network with one hidden layer, the more curved the larger the scale."""
    generator = torch.Generator().manual_seed(seed)
    inner, bias = torch.randn(g, 16, generator=generator).double(), torch.randn(16, generator=generator).double()
    outer = torch.randn(16, generator=generator).double()
    return lambda z: (scale * z.double() @ inner + bias).tanh() @ outer


class GameModel(PreTrainedModel):
    """One class a game; the players are the first words of `PLAYERS`."""

    config_class = PretrainedConfig

    def __init__(self, g: int) -> None:
        super().__init__(PretrainedConfig(num_labels=5, id2label=dict(enumerate(games(g)))))
        self.embedding = nn.Embedding(len(wordpiece()), 4)
        self.players = torch.tensor(wordpiece().convert_tokens_to_ids(PLAYERS[:g]))
        self.games = list(games(g).values())

    def get_input_embeddings(self) -> nn.Module:
        return self.embedding

    def forward(self, input_ids: Tensor) -> SequenceClassifierOutput:
        present = (input_ids[:, :, None] == self.players).any(dim=1)
        return SequenceClassifierOutput(logits=torch.stack([game(present).float() for game in self.games], dim=1))


def shapley_values(value: Callable[[frozenset[int]], float], g: int) -> list[float]:
    """Shapley's own formula: the mean of what a player adds, over all orders in which players can come."""
    weights = [factorial(size) * factorial(g - size - 1) / factorial(g) for size in range(g)]
    found = []
    for i in range(g):
        others = [j for j in range(g) if j != i]
        subsets = [frozenset(s) for size in range(g) for s in combinations(others, size)]
        found.append(sum(weights[len(s)] * (value(s | {i}) - value(s)) for s in subsets))
    return found


def true_shapley_values(game: Game, g: int) -> np.ndarray:
    """Shapley values of a game, from the table of its values."""
    sets = [frozenset(i for i in range(g) if code >> i & 1) for code in range(2**g)]
    keep = torch.tensor([[i in chosen for i in range(g)] for chosen in sets])
    table = dict(zip(sets, game(keep).tolist(), strict=True))
    return np.array(shapley_values(table.__getitem__, g))
