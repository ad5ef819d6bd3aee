"""Scores and gradients of the tiny models, straight from transformers and autograd, with nothing of ours between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from tests.tiny import byte_bpe, classifier, language_model, wordpiece

TEXT = "The quick brown fox jumps over the lazy dog."
PROMPT, OUTPUT = "What a great library", " is it great"


@dataclass(frozen=True)
class Plain:
    """A function of one row of ids, with several outputs.

    Args:
        model: The model.
        ids: The row.
        fixed: Places of special tokens.
        read: From the model's logits to the targets' scores `(b, t)`.
        words: Places of the tokens of each word.
        source: How many tokens were there before anything was written.
    """

    model: PreTrainedModel
    ids: list[int]
    fixed: list[int]
    read: Callable[[Tensor], Tensor]
    words: list[list[int]]
    source: int

    def scores(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Scores `(b, t)` of rows of one length."""
        with torch.no_grad():
            return self.read(self.model(input_ids=torch.tensor([list(row) for row in rows])).logits)

    def without(self, places: Sequence[int], filler: int) -> list[int]:
        """The row with another id at these places."""
        return [filler if i in places else token for i, token in enumerate(self.ids)]

    def keeping(self, keep: Sequence[bool], filler: int) -> list[int]:
        """The row with another id in place of the words that are not kept."""
        hidden = [i for word, kept in zip(self.words, keep, strict=True) if not kept for i in word]
        return self.without(hidden, filler)

    def embed(self, ids: Sequence[int]) -> Tensor:
        return self.model.get_input_embeddings()(torch.tensor(ids)).detach()

    def gradient(self, embedding: Tensor, target: int) -> Tensor:
        """Gradient `(l, d)` of one target's score at an embedding `(l, d)`."""
        point = embedding.clone().requires_grad_()
        score = self.read(self.model(inputs_embeds=point[None]).logits)[0, target]
        return torch.autograd.grad(score, point)[0]

    def noise(self, generator: torch.Generator) -> Tensor:
        """Standard Gaussian noise on all tokens but special ones; each draw has a generator of its own."""
        own = torch.Generator().manual_seed(int(torch.randint(2**62, (), generator=generator)))
        drawn = torch.randn(len(self.ids), self.embed([0]).shape[1], generator=own)
        drawn[self.fixed] = 0
        return drawn

    @property
    def spread(self) -> float:
        """The range of the values of the embeddings of what was there."""
        found = self.embed(self.ids[: self.source])
        return float(found.max() - found.min())

    def by_word(self, tokens: Tensor) -> Tensor:
        """Sums over the tokens of words, special tokens left out."""
        return torch.stack([tokens[..., places].sum(dim=-1) for places in self.words], dim=-1)


def plain_classifier() -> Plain:
    encoded = wordpiece()(TEXT)
    ids, owners = encoded["input_ids"], encoded.word_ids()
    words = [
        [i for i, owner in enumerate(owners) if owner == k] for k in range(max(o for o in owners if o is not None))
    ]
    words.append([i for i, owner in enumerate(owners) if owner == len(words)])
    fixed = [i for i, owner in enumerate(owners) if owner is None]
    return Plain(classifier(), ids, fixed, lambda logits: logits, words, len(ids))


def plain_language_model() -> Plain:
    """The scores of the output's tokens, each read one place before it; words are of one token here."""
    prompt, output = (byte_bpe()(text)["input_ids"] for text in (PROMPT, OUTPUT))
    ids = prompt + output
    places = range(len(prompt), len(ids))
    return Plain(
        language_model(),
        ids,
        [],
        lambda logits: torch.stack([logits[:, place - 1, ids[place]] for place in places], dim=1),
        [[i] for i in range(len(ids) - 1)],
        len(prompt),
    )
