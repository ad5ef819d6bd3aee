"""What metrics that compare numbers, not orders, share: their result, and the way back from explanations to texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.attributions.result import Attribution
from interpreto.errors import InputError
from interpreto.model_wrapping import Engine, ExplainedFunction, ExplainedText, Scorer, Traits
from interpreto.types import InferenceMode, Task


@dataclass(frozen=True, eq=False)
class Measurement:
    """A metric on some explanations.

    Args:
        metric: Name of the metric.
        higher_is_better: Whether a higher figure says that the explanations are better.
        scores: Per text, the figure of each target `(t,)`.
        std_errors: Per text, the standard errors of the figures over draws `(t,)`; `None` for a metric without.
        references: Per text, the figures of explanations that say 0 of every element `(t,)`; `None` likewise.
    """

    metric: str
    higher_is_better: bool
    scores: tuple[Float[Tensor, " _"], ...]
    std_errors: tuple[Float[Tensor, " _"], ...] | None = None
    references: tuple[Float[Tensor, " _"], ...] | None = None

    @property
    def score(self) -> float:
        """Mean over texts of the mean over targets."""
        return _mean(self.scores)

    @property
    def reference(self) -> float | None:
        """The same for explanations that say 0 of every element."""
        return None if self.references is None else _mean(self.references)

    @property
    def score_std_error(self) -> float:
        """Standard error of the score over texts; NaN for a single text."""
        means = torch.stack([score.mean() for score in self.scores])
        return float(means.std() / len(means) ** 0.5)

    def __repr__(self) -> str:
        """One line: the figure, that of saying nothing, and which is better."""
        n, error = len(self.scores), f" ± {self.score_std_error:.3f}" if len(self.scores) > 1 else ""
        nothing = "" if self.reference is None else f", saying nothing {self.reference:.3f}"
        return (
            f"Measurement({self.metric} of {n} text{'s' * (n != 1)}: {self.score:.3f}{error}{nothing}; "
            f"{'higher' if self.higher_is_better else 'lower'} is better)"
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "metric": self.metric,
            "higher_is_better": self.higher_is_better,
            "score": self.score,
            "score_std_error": None if len(self.scores) < 2 else self.score_std_error,
            "reference": self.reference,
            "n_texts": len(self.scores),
        }


def _mean(figures: Sequence[Float[Tensor, " _"]]) -> float:
    return float(torch.stack([figure.mean() for figure in figures]).mean())


def scorer_of(model: Any, traits: Traits, task: Task, engine: Engine) -> Scorer:
    """The engine for a model's own answers, or for a function inside of it."""
    return model.scorer(engine) if isinstance(model, ExplainedFunction) else engine.scorer(traits, task)


def explained_again(
    model: Any, traits: Traits, attributions: Attribution | Sequence[Attribution]
) -> tuple[Task, list[Attribution], list[ExplainedText]]:
    """The task of explanations, the explanations as a list, and their texts as they were explained.

    Args:
        model: What was explained.
        traits: What the engine knows of it.
        attributions: Explanations.

    Raises:
        InputError: No explanations, explanations of different tasks, or of another model.
    """
    given = [attributions] if isinstance(attributions, Attribution) else list(attributions)
    for k, attribution in enumerate(given):
        if not isinstance(attribution, Attribution):
            raise InputError(f"attributions[{k}]: expected a result of an explainer, got {type(attribution).__name__}")
        if min(attribution.sample.ids) < 0:
            raise InputError(
                f"attributions[{k}]: expected an explanation whose token ids are known, got one of "
                f"{attribution.method} that came from another tool without them; explain the text here"
            )
    tasks = sorted({attribution.task.value for attribution in given})
    if len(tasks) != 1:
        raise InputError(f"attributions: expected explanations of one task, got {tasks}")
    task = Task(tasks[0])
    texts = [ExplainedText(f"attributions[{k}]", a.sample, a.elements, a.readout) for k, a in enumerate(given)]
    if isinstance(model, ExplainedFunction):
        scorer = model.scorer(Engine(InferenceMode.LOGITS))
        own = scorer.task
        _check_settings(model, given)
        texts = model.again(scorer, texts) if own is task else texts
    else:
        own = traits.recognise(given[0].sample.ids) if _knows(traits, given[0]) else task
    for k, attribution in enumerate(given):
        of_concepts = "concepts_fingerprint" in attribution.settings and not isinstance(model, ExplainedFunction)
        if of_concepts or own is not task or not _knows(traits, attribution):
            what = (
                "concepts: pass the function that was explained"
                if of_concepts
                else (
                    f"another model, for {task.value} on ids up to {max(attribution.sample.ids)}; pass the model that "
                    "was explained"
                )
            )
            raise InputError(
                f"attributions[{k}]: expected an explanation of this {type(traits.base).__name__}, got one of {what}"
            )
    return task, given, texts


def _check_settings(function: ExplainedFunction, given: Sequence[Attribution]) -> None:
    """Refuse explanations of another function.

    Raises:
        InputError: The message names the first thing that differs.
    """
    for k, attribution in enumerate(given):
        for name, value in function.identity().items():
            if attribution.settings.get(name) != value:
                raise InputError(
                    f"attributions[{k}]: expected an explanation of this {type(function).__name__} with "
                    f"{name}={value!r}, got {attribution.settings.get(name)!r}; pass the function that was explained"
                )


def _knows(traits: Traits, attribution: Attribution) -> bool:
    """Whether the model has an embedding for every id, and an output for all that is read."""
    known = getattr(traits.embeddings[0], "num_embeddings", None)
    classes = attribution.task in (Task.CLASSIFICATION, Task.TOKEN_CLASSIFICATION)
    outputs = traits.config.num_labels if classes else known
    if attribution.task is Task.CONCEPTS:  # a column is a concept, which what was explained looks at itself
        outputs = None
    if attribution.task is Task.QUESTION_ANSWERING:  # places of the text are read
        outputs = len(attribution.sample.tokens)
    highest = max(column for _, column in attribution.readout.reads)
    limits = ((max(attribution.sample.ids), known), (highest, outputs))
    return all(limit is None or value < limit for value, limit in limits)
