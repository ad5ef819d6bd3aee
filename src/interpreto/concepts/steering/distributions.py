"""What a model predicts next, and how far two predictions are apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.errors import InputError
from interpreto.model_wrapping import ModelWithSplitPoints
from interpreto.model_wrapping.explained_text import ExplainedText
from interpreto.model_wrapping.readout import Readout
from interpreto.model_wrapping.scorer import Scorer
from interpreto.text import Sample, Token
from interpreto.types import InferenceMode, Task

TASKS = (Task.CLASSIFICATION, Task.CAUSAL_LM, Task.SEQ2SEQ_LM)


def kl_divergence(clean: Float[Tensor, "*m v"], steered: Float[Tensor, "*m v"]) -> Float[Tensor, "*m"]:
    """`KL(clean || steered) = sum_v p(v) (log p(v) - log q(v))`, in nats, from two tables of log-probabilities.

    >>> p, q = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.25, 0.5, 0.25])
    >>> kl_divergence(p.log(), q.log())  # 0.5 log 2
    tensor(0.3466, dtype=torch.float64)
    """
    p, q = clean.double(), steered.double()
    terms = torch.where(p.isneginf(), 0.0, p.exp() * (p - q))  # what has no probability adds nothing
    return terms.sum(dim=-1).clamp(min=0.0)


@dataclass(frozen=True, eq=False)
class Predictions:
    """Runs a model for its predictions: the classes of a text, or its next token.

    Args:
        split: The model.

    Raises:
        InputError: A model that predicts neither, or classes that do not exclude each other.
    """

    split: ModelWithSplitPoints

    def __post_init__(self) -> None:
        config, task = self.split.traits.config, self.split.task
        if task not in TASKS:
            raise InputError(f"model: expected one that classifies texts or writes, got one for {task.value}")
        kind = getattr(config, "problem_type", None)
        alone = kind not in ("multi_label_classification", "regression") and config.num_labels > 1
        if task is Task.CLASSIFICATION and not alone:
            raise InputError("model: expected one that predicts one class of a text, got scores of another kind")

    @property
    def scorer(self) -> Scorer:
        """The engine."""
        return self.split.scorer(InferenceMode.LOG_SOFTMAX)

    def samples(self, inputs: Any) -> list[Sample]:
        """Texts as rows of tokens, ready for what comes next.

        Raises:
            InputError: A text that cannot be read, or none at all.
        """
        traits = self.split.traits
        sources = self.split.explained().sources(inputs)
        if not sources:
            raise InputError("texts: expected at least one, got none")
        if self.split.task is Task.SEQ2SEQ_LM:
            prefix = [Token(i, 0, 0, 0, fixed=True) for i in traits.decoder_prefix]
            return [source.with_output("", (), prefix) for source in sources]
        return sources

    def last(self, samples: Sequence[Sample]) -> Float[Tensor, "n v"]:
        """Log-probabilities of the classes of each text, or of the token after it."""
        pooled, traits = self.split.task is Task.CLASSIFICATION, self.split.traits
        slots = [traits.pooled_slot(sample) if pooled else len(sample.tokens) - 1 for sample in samples]
        texts = [_text(k, sample, (slot,)) for k, (sample, slot) in enumerate(zip(samples, slots, strict=True))]
        return torch.cat(self.scorer.look(texts)).log_softmax(dim=-1)

    def everywhere(self, sample: Sample, number: int) -> Float[Tensor, "m v"]:
        """Log-probabilities of every token of a text from the second on, from what stands before it."""
        return self.scorer.look([_text(number, sample, tuple(range(len(sample.tokens) - 1)))])[0].log_softmax(dim=-1)


def _text(number: int, sample: Sample, slots: tuple[int, ...]) -> ExplainedText:
    return ExplainedText(f"inputs[{number}]", sample, (), Readout(slots, (), ()))
