"""The figures of a dose response: the target, fluency, and the rest."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.concepts.steering.distributions import Predictions, kl_divergence
from interpreto.concepts.steering.response import Effect
from interpreto.errors import InputError, check_count
from interpreto.model_wrapping.explained_text import ExplainedText
from interpreto.model_wrapping.generation import check_settings, generate
from interpreto.model_wrapping.targets import class_targets
from interpreto.text import Sample
from interpreto.types import Task

Figures = dict[str, Float[Tensor, " n"]]
"""By name, one number a text; of perplexities their logarithms."""

_PERPLEXITY = "perplexity"


def effect_of(name: str, values: Float[Tensor, " n"]) -> Effect:
    """Mean and standard error over texts; of a perplexity from its logarithms, its error to first order.

    >>> effect_of("kl", torch.tensor([1.0, 3.0]))
    Effect(mean=2.0, std_error=1.0, n_texts=2)
    """
    values = values.double()
    n = len(values)
    mean = float(values.mean())
    error = float(values.std(correction=1)) / math.sqrt(n) if n > 1 else math.inf
    if name.endswith(_PERPLEXITY):
        mean = math.exp(mean)
        error *= mean
    return Effect(mean, error, n)


@dataclass(frozen=True, eq=False)
class Measurement:
    """Measures a model as it is, and under each of several interventions.

    Args:
        predictions: The model.
        texts: Texts to classify, or prompts.
        other_texts: Texts that have nothing to do with the target, or none.
        target: A class, or words.
        generation: Settings for `model.generate`.
        n_samples: Continuations of each prompt.
        seed: Seed of what is drawn.

    Raises:
        InputError: What cannot be measured.
    """

    predictions: Predictions
    texts: Any
    other_texts: Any
    target: Any
    generation: dict[str, Any] | None
    n_samples: int
    seed: int

    def __post_init__(self) -> None:
        check_count("n_samples", self.n_samples, 1)
        check_count("seed", self.seed, 0)
        if self.predictions.split.task is Task.SEQ2SEQ_LM:
            raise InputError("model: expected a classifier or a causal language model, got an encoder-decoder")
        if self._classifies and (self.generation is not None or self.n_samples != 1):
            raise InputError("generation: expected none, and one sample, for a classifier writes nothing")
        check_settings(self._generation)
        _ = self.target_names, self._samples, self._others

    @property
    def settings(self) -> dict[str, Any]:
        """The options, as plain values."""
        if self._classifies:
            return {}
        options = {name: value if _is_plain(value) else repr(value) for name, value in self._generation.items()}
        return {"generation": options, "n_samples": self.n_samples, "seed": self.seed}

    @cached_property
    def target_names(self) -> tuple[str, ...]:
        """The class, or the words."""
        traits = self.predictions.split.traits
        if self._classifies:
            if isinstance(self.target, (list, tuple)):
                raise InputError(f"target: expected one class, got {self.target!r:.60}")
            (found,) = class_targets(traits, self.target, traits.config.num_labels, "target")
            if found.minus:
                raise InputError("target: expected a class, got a contrast of two")
            return (found.name,)
        words = [self.target] if isinstance(self.target, str) else self.target
        if not isinstance(words, (list, tuple)) or not words or not all(_is_word(word) for word in words):
            raise InputError(f"target: expected words such as ['dog', 'cat'], got {self.target!r:.60}")
        return tuple(words)

    def effects(self, interventions: Sequence[AbstractContextManager[Any]]) -> list[dict[str, Effect]]:
        """The figures of the clean model, then under each intervention."""
        settings: list[AbstractContextManager[Any]] = [nullcontext(), *interventions]
        found = self._of_classes(settings) if self._classifies else self._of_text(settings)
        return [{name: effect_of(name, values) for name, values in figures.items()} for figures in found]

    @property
    def _classifies(self) -> bool:
        return self.predictions.split.task is Task.CLASSIFICATION

    @property
    def _generation(self) -> dict[str, Any]:
        return {"do_sample": True, "max_new_tokens": 20} if self.generation is None else self.generation

    @cached_property
    def _samples(self) -> list[Sample]:
        return self.predictions.samples(self.texts)

    @cached_property
    def _others(self) -> list[Sample]:
        found = [] if self.other_texts is None else self.predictions.samples(self.other_texts)
        for k, sample in enumerate(found):
            if len(sample.tokens) < 2 and not self._classifies:
                raise InputError(f"other_texts[{k}]: expected at least two tokens, got {sample.parts[0]!r:.60}")
        return found

    def _of_classes(self, settings: Sequence[AbstractContextManager[Any]]) -> list[Figures]:
        traits = self.predictions.split.traits
        (target,) = class_targets(traits, self.target, traits.config.num_labels, "target")
        found: list[Figures] = []
        clean = torch.empty(0)
        for number, setting in enumerate(settings):
            with setting:
                of_texts = self.predictions.last(self._samples)
                of_others = self.predictions.last(self._others) if self._others else None
            figures = {"target_probability": of_texts[:, target.plus[0]].exp()}
            if of_others is not None:
                clean = clean if number else of_others
                figures["agreement"] = (of_others.argmax(dim=1) == clean.argmax(dim=1)).float()
                figures["kl"] = kl_divergence(clean, of_others)
            found.append(figures)
        return found

    def _of_text(self, settings: Sequence[AbstractContextManager[Any]]) -> list[Figures]:
        found: list[Figures] = []
        written: list[list[list[list[int]]]] = []
        for setting in settings:
            with setting:
                found.append({"target_log_probability": self._target_log_probabilities()})
                written.append([self._written(k) for k in range(len(self._samples))])
        for figures, rows in zip(found, written, strict=True):
            figures["target_rate"] = torch.tensor([self._rate(k, own) for k, own in enumerate(rows)])
            figures[f"generated_{_PERPLEXITY}"] = self._losses(rows)
        if self._others:
            self._add_others(found, settings)
        return found

    def _add_others(self, found: list[Figures], settings: Sequence[AbstractContextManager[Any]]) -> None:
        """One text at a time, whose clean predictions are kept while the others are made."""
        for figures in found:
            figures[f"held_out_{_PERPLEXITY}"] = torch.zeros(len(self._others))
            figures["kl"] = torch.zeros(len(self._others))
        for k, sample in enumerate(self._others):
            clean = torch.empty(0)
            for number, (figures, setting) in enumerate(zip(found, settings, strict=True)):
                with setting:
                    predicted = self.predictions.everywhere(sample, k)
                clean = clean if number else predicted
                own = predicted.gather(1, torch.tensor(sample.ids[1:])[:, None])
                figures[f"held_out_{_PERPLEXITY}"][k] = -own.double().mean()
                figures["kl"][k] = kl_divergence(clean, predicted).mean()

    def _target_log_probabilities(self) -> Float[Tensor, " n"]:
        """Log-probability of each word right after each text, averaged over the words."""
        words = [word if sample.parts[-1][-1:].isspace() else f" {word}" for sample, word in self._pairs]
        found = self._log_probabilities([sample for sample, _ in self._pairs], words)
        return found[:, 0].view(len(self._samples), -1).mean(dim=1)

    @property
    def _pairs(self) -> list[tuple[Sample, str]]:
        return [(sample, word) for sample in self._samples for word in self.target_names]

    def _written(self, number: int) -> list[list[int]]:
        """Prompts and their continuations, with the same random numbers for every prompt and every intervention."""
        traits, source = self.predictions.split.traits, self._samples[number].ids
        return [
            generate(
                traits,
                source,
                joined=True,
                options=self._generation,
                seed=self.seed + draw,
                where=f"texts[{number}]",
            )
            for draw in range(self.n_samples)
        ]

    def _rate(self, number: int, rows: Sequence[list[int]]) -> float:
        """The share of target words among the words that were written."""
        tokenizer, start = self.predictions.split.tokenizer, len(self._samples[number].ids)
        texts = tokenizer.batch_decode([row[start:] for row in rows], skip_special_tokens=True)
        words = [word.lower() for text in texts for word in _WORD.findall(text)]
        wanted = {word.lower() for word in self.target_names}
        return sum(word in wanted for word in words) / len(words) if words else 0.0

    def _losses(self, written: Sequence[Sequence[list[int]]]) -> Float[Tensor, " n"]:
        """Mean loss a token of what was written, under the clean model."""
        sources = [sample for sample, rows in zip(self._samples, written, strict=True) for _ in rows]
        found = self._log_probabilities(sources, [row for rows in written for row in rows])
        totals = found.view(len(self._samples), self.n_samples, 2).sum(dim=1)
        return -totals[:, 0] / totals[:, 1]

    def _log_probabilities(self, sources: Sequence[Sample], outputs: Sequence[Any]) -> Float[Tensor, "k 2"]:
        """Log-probability of each output after its source, and its number of tokens."""
        split, scorer = self.predictions.split, self.predictions.scorer
        texts: list[ExplainedText] = split.explained().texts(scorer, sources, list(outputs))
        keeps = [torch.ones(1, len(text.elements), dtype=torch.bool) for text in texts]
        scores = scorer.scores(texts, keeps)
        rows = zip(scores, texts, strict=True)
        return torch.tensor([[float(own.double().sum()), len(text.readout.slots)] for own, text in rows]).double()


_WORD = re.compile(r"\w+(?:['’]\w+)*")


def _is_word(word: Any) -> bool:
    return isinstance(word, str) and _WORD.fullmatch(word) is not None


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))
