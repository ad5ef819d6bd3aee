"""Functions whose right answers are known: set functions of the words of a text, and the shipped classifiers."""

from __future__ import annotations

from collections.abc import Callable
from math import factorial
from typing import Any

import numpy as np
import torch
from speed_models import Subject, word_tokenizer
from speed_peers import Case
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from interpreto.demo import load

EMOTIONS = [
    "I was scared of the dark and could not sleep",
    "we are so happy that you came to the party",
    "he shouted at me and I was furious all day",
    "my old dog died and I miss him very much",
    "the smell of that rotten food made me feel sick",
    "what a surprise, I never thought she would come",
]
TOPICS = [
    "The river flows through the valley into the lake.",
    "The band recorded its second album in the spring.",
    "The company makes software for banks and small shops.",
    "The school was founded by the church in the city.",
    "She played football for the club in the first league.",
    "The small village lies in the north of the district.",
]
STORIES = [
    ("Once upon a time, there was a", "little dog named Spot."),
    ("One day, a girl named Lily went to", "the park with her mom."),
    ("Tom was sad because his red ball was", "lost in the big tree."),
]


class Networks(PreTrainedModel):
    """One class a game: a random network with one hidden layer of which words are there."""

    config_class = PretrainedConfig

    def __init__(self, g: int, games: int, scale: float) -> None:
        super().__init__(PretrainedConfig(num_labels=games))
        rng = torch.Generator().manual_seed(0)
        self.g = g
        self.inner = scale * torch.randn(games, g, 16, generator=rng).double()
        self.bias = torch.randn(games, 1, 16, generator=rng).double()
        self.outer = torch.randn(games, 16, 1, generator=rng).double()
        self.embedding = nn.Embedding(50, 4)

    def get_input_embeddings(self) -> nn.Module:
        return self.embedding

    def forward(self, input_ids: Tensor) -> SequenceClassifierOutput:
        first = 5  # the special tokens come before the words
        there = (input_ids[:, :, None] == torch.arange(first, first + self.g)).any(dim=1).double()
        values = (there @ self.inner + self.bias).tanh() @ self.outer
        return SequenceClassifierOutput(logits=values[..., 0].T.float())


def networks(g: int, games: int, scale: float) -> Case:
    """All games at once: one text of g words, one class a game; the larger the scale, the more curved."""
    model = Networks(g, games, scale).eval()
    name = "networks" if scale < 1 else "curved networks"
    subject = Subject(name, model, word_tokenizer(50, True), model, [model], nn.Linear(1, games), writes=False)
    return Case(subject, " ".join(f"w{k}" for k in range(g)), targets=tuple(range(games)))


def shipped(name: Any) -> list[Case]:
    """A shipped model on a few short texts: the predicted class, or every token of a continuation."""
    model, tokenizer = load(name)
    any_model: Any = model
    writes = name == "stories"
    subject = Subject(name, model, tokenizer, model, [model], nn.Linear(1, 1), writes)
    if writes:
        return [Case(subject, text, output) for text, output in STORIES]
    cases = []
    for text in EMOTIONS if name == "emotion" else TOPICS:
        with torch.no_grad():
            found = int(any_model(subject.ids(text)[None]).logits.argmax())
        cases.append(Case(subject, text, targets=(found,)))
    return cases


def table(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Every keep-vector `(2^g, g)`, and the scores there `(2^g, t)`."""
    g = len(case.explained)
    codes = np.arange(2**g)
    keeps = ((codes[:, None] >> np.arange(g)) & 1).astype(float)
    return keeps, case.of_keeps(keeps)


def _with_and_without(keeps: np.ndarray, values: np.ndarray, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores with and without element i, and how many others are there."""
    without = np.flatnonzero(keeps[:, i] == 0)
    return values[without + 2**i], values[without], keeps[without].sum(axis=1).astype(int)


def shapley(keeps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Shapley values `(t, g)`: the mean of what an element adds, over all orders in which they can come."""
    g = keeps.shape[1]
    weights = np.array([factorial(size) * factorial(g - size - 1) / factorial(g) for size in range(g)])

    def one(i: int) -> np.ndarray:
        there, gone, sizes = _with_and_without(keeps, values, i)
        return np.asarray(weights[sizes] @ (there - gone))

    return np.stack([one(i) for i in range(g)], axis=1)


def rise(keeps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """`E[f | kept] - E[f]` with coins, `(t, g)`."""
    return np.asarray((values.T @ keeps) / (len(keeps) / 2) - values.mean(axis=0)[:, None])


def sobol_total(keeps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Total Sobol indices with coins, `(t, g)`."""

    def one(i: int) -> np.ndarray:
        there, gone, _ = _with_and_without(keeps, values, i)
        return np.asarray(((there - gone) ** 2).mean(axis=0) / 4)

    return np.stack([one(i) for i in range(keeps.shape[1])], axis=1) / values.var(axis=0)[:, None]


Truth = Callable[[np.ndarray, np.ndarray], np.ndarray]
TRUTHS: dict[str, Truth] = {"KernelShap": shapley, "Rise": rise, "Sobol": sobol_total}


def relative_error(found: np.ndarray, truth: np.ndarray) -> float:
    """The length of the error over that of the truth, each a mean over targets."""
    return float(np.linalg.norm(found - truth, axis=1).mean() / np.linalg.norm(truth, axis=1).mean())
