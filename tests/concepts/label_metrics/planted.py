"""Concepts that are known words, texts made of words, and judges who know, guess or lie."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from interpreto.concepts.base import ConceptExplainer
from interpreto.concepts.concept_model import ConceptModel
from interpreto.demo import load
from interpreto.model_wrapping import ModelWithSplitPoints
from interpreto.model_wrapping.llm_interface import RecordedLLM

ANIMALS = {"dog": 1.0, "cat": 2.0, "bird": 3.0, "fish": 4.0, "bear": 5.0}
FILLERS = [
    "tree",
    "house",
    "park",
    "ball",
    "red",
    "big",
    "happy",
    "sad",
    "little",
    "went",
    "saw",
    "the",
    "a",
    "in",
    "day",
    "was",
    "and",
    "to",
    "played",
    "garden",
    "mom",
    "sun",
]
LABELS = {0: "animals"}


@dataclass(frozen=True, eq=False)
class WordModel(ConceptModel):
    """Codes are looked up by the token whose embedding a row is. 0: animals; 1: everything; 2: nothing; 3: minus 0."""

    embeddings: Tensor
    strengths: Tensor
    directions: Tensor

    def encode(self, activations):
        closest = activations @ self.embeddings.T - self.embeddings.square().sum(dim=1) / 2
        return self.strengths[closest.argmax(dim=1)]

    def decode(self, codes):
        return codes @ self.directions

    @property
    def dictionary(self):
        return self.directions


@dataclass(eq=False)
class WordConcepts(ConceptExplainer):
    """Concepts that are known from the start."""

    model: ConceptModel | None = None

    @property
    def concept_model(self):
        return self.model


@cache
def concepts():
    """Planted concepts at the embeddings of a small language model."""
    model, tokenizer = load("stories")
    split = ModelWithSplitPoints(model, "model.embed_tokens", tokenizer=tokenizer)
    embeddings = model.get_input_embeddings().weight.detach().clone()
    strengths = torch.zeros(len(embeddings), 4)
    for word, strength in ANIMALS.items():
        token = tokenizer(f" {word}", add_special_tokens=False)["input_ids"]
        assert len(token) == 1
        strengths[token[0], 0] = strength
    strengths[:, 1] = 1
    strengths[:, 3] = -strengths[:, 0]
    return WordConcepts(split, model=WordModel(embeddings, strengths, torch.eye(4, embeddings.shape[1])))


def sentence(rng, animal=None, length=12):
    words = [rng.choice(FILLERS) for _ in range(length)]
    if animal is not None:
        words[rng.randrange(length)] = animal
    return " ".join(["Once", *words])


def texts(count=240, seed=0):
    """Sentences, every third of them with an animal."""
    rng = random.Random(seed)
    return [sentence(rng, rng.choice(list(ANIMALS)) if k % 3 == 0 else None) for k in range(count)]


def question(chat):
    """The label and the texts that a prompt asks about."""
    lines = [json.loads(line) for line in chat[-1]["content"].split("\n")[:-1]]
    assert [line["number"] for line in lines[1:]] == list(range(1, len(lines)))
    return lines[0]["label"], [line["text"] for line in lines[1:]]


def has_animal(text, animals=tuple(ANIMALS)):
    return any(re.search(rf"\b{word}\b", text) for word in animals)


def marked(text):
    return " ".join(re.findall(r"<<(.*?)>>", text))


def judge(says, **options):
    """A language model that answers a list of texts one by one."""
    return RecordedLLM(lambda chat: json.dumps([says(text) for text in question(chat)[1]]), **options)


def guess(seed, answers=(0, 1)):
    rng = np.random.default_rng([seed, 99])
    return judge(lambda text: int(rng.choice(answers)))
