"""What the faithfulness metrics share: hide or show elements in the order of their scores, and look at the model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor
from transformers import PreTrainedTokenizerBase

from interpreto.attributions.metrics.measurement import explained_again, scorer_of
from interpreto.attributions.result import Attribution
from interpreto.errors import InputError, check_count
from interpreto.model_wrapping import (
    Engine,
    Explainable,
    ExplainedFunction,
    ExplainedText,
    Traits,
    as_explained,
    traits_of,
)
from interpreto.types import InferenceMode, Removal, Task


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A faithfulness metric on some explanations, beside the same metric for elements in random order.

    Args:
        metric: Name of the metric.
        higher_is_better: Whether a higher figure says that the explanations are more faithful.
        scores: Per text, the figure of each target `(t,)`.
        random_scores: Per text, the mean figure of each target over random orders `(t,)`.
        curves: Per text, the model's scores after each step `(t, s)`; NaN where a target has fewer steps.
    """

    metric: str
    higher_is_better: bool
    scores: tuple[Float[Tensor, " _"], ...]
    random_scores: tuple[Float[Tensor, " _"], ...]
    curves: tuple[Float[Tensor, "_ _"], ...]

    @property
    def score(self) -> float:
        """Mean over texts of the mean over targets."""
        return float(torch.stack([score.mean() for score in self.scores]).mean())

    @property
    def random_score(self) -> float:
        """The same for random orders: what an explanation that knows nothing gets."""
        return float(torch.stack([score.mean() for score in self.random_scores]).mean())

    @property
    def gain(self) -> float:
        """How much better than random, in units of the metric; above 0 is better whatever the metric."""
        gain = self.score - self.random_score
        return gain if self.higher_is_better else -gain

    @property
    def gain_std_error(self) -> float:
        """Standard error of the gain over texts; NaN for a single text."""
        pairs = zip(self.scores, self.random_scores, strict=True)
        gains = torch.stack([(score - random).mean() for score, random in pairs])
        return float(gains.std() / len(gains) ** 0.5)

    def __repr__(self) -> str:
        """One line: the figure, that of random order, and which is better."""
        n, error = len(self.scores), f" ± {self.gain_std_error:.3f}" if len(self.scores) > 1 else ""
        return (
            f"Evaluation({self.metric} of {n} text{'s' * (n != 1)}: {self.score:.3f}, random order "
            f"{self.random_score:.3f}, gain {self.gain:+.3f}{error}; "
            f"{'higher' if self.higher_is_better else 'lower'} is better)"
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain values, without the curves."""
        return {
            "metric": self.metric,
            "higher_is_better": self.higher_is_better,
            "score": self.score,
            "random_score": self.random_score,
            "gain": self.gain,
            "gain_std_error": None if len(self.scores) < 2 else self.gain_std_error,
            "n_texts": len(self.scores),
        }


@dataclass(frozen=True, eq=False)
class FaithfulnessMetric(ABC):
    """Asks the model, not a person, whether the elements with high scores are those that matter.

    Elements that are written after a target (NaN scores) are never touched, and neither is the target itself.

    Args:
        model: The explained model, or what else was explained: fitted concepts, or a function such as
            `ConceptsToOutput`.
        tokenizer: Its tokenizer; pipelines, custom models and concepts know it already.
        inference_mode: The space of the figures; by default probabilities, as in the papers, and codes as they are.
        removal: How a removed element looks, see `PerturbationExplainer`; by default as in the explanation, or the
            default for the tokenizer where the method removes nothing.
        n_random: Random orders that the figure is compared with.
        batch_size: Rows a forward pass; changes nothing but speed.
        seed: Seed of the random orders.
    """

    model: Explainable
    tokenizer: PreTrainedTokenizerBase | None = None
    _: KW_ONLY
    inference_mode: InferenceMode | str | None = None
    removal: Removal | str | None = None
    n_random: int = 5
    batch_size: int | None = None
    seed: int = 0

    higher_is_better: ClassVar[bool]

    def __post_init__(self) -> None:
        for name, value in zip(("model", "tokenizer"), as_explained(self.model, self.tokenizer), strict=True):
            object.__setattr__(self, name, value)
        if self.inference_mode is None:
            raw = isinstance(self.model, ExplainedFunction) and not self.model.has_probabilities
            object.__setattr__(self, "inference_mode", InferenceMode.LOGITS if raw else InferenceMode.SOFTMAX)
        if self.inference_mode not in list(InferenceMode):
            names = [mode.value for mode in InferenceMode]
            raise InputError(f"inference_mode: expected one of {names}, got {self.inference_mode!r}")
        check_count("n_random", self.n_random, 1)
        if self.batch_size is not None:
            check_count("batch_size", self.batch_size, 1)

    @abstractmethod
    def steps(self, n_elements: int) -> list[int]:
        """How many elements are taken at each step, for a target that sees so many."""

    @abstractmethod
    def masks(self, taken: Bool[Tensor, "s g"]) -> Bool[Tensor, "s g"]:
        """Which elements are kept at each step, from those that are taken."""

    @abstractmethod
    def figure(self, curve: Float[Tensor, " s"], untouched: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """The figure, from the model's scores at the steps and for the untouched text."""

    def __call__(self, attributions: Attribution | Sequence[Attribution]) -> Evaluation:
        """Evaluate explanations, of any method and of any task, fresh or loaded from files.

        Raises:
            InputError: No explanations, explanations of different tasks, or of another model.
        """
        task, attributions, texts = explained_again(self.model, self._traits, attributions)
        orders = [self._orders(attribution) for attribution in attributions]
        keeps = []
        for text, found in zip(texts, orders, strict=True):
            rows = [self._masks(order, len(text.elements)) for target in found for order in target]
            keeps.append(torch.cat([torch.ones(1, len(text.elements), dtype=torch.bool), *rows]))
        scores, random_scores, curves = [], [], []
        for found, values in zip(orders, self._values(task, attributions, texts, keeps), strict=True):
            figures, drawn, lines, start = [], [], [], 1
            for t, target in enumerate(found):
                own = []
                for order in target:
                    stop = start + len(self.steps(len(order)))
                    own.append(values[start:stop, t])
                    start = stop
                all_figures = [self.figure(curve, values[0, t]) for curve in own]
                figures.append(all_figures[0])
                drawn.append(torch.stack(all_figures[1:]).mean())
                lines.append(own[0])
            scores.append(torch.stack(figures))
            random_scores.append(torch.stack(drawn))
            curves.append(torch.nn.utils.rnn.pad_sequence(lines, batch_first=True, padding_value=float("nan")))
        return Evaluation(
            type(self).__name__, self.higher_is_better, tuple(scores), tuple(random_scores), tuple(curves)
        )

    def _values(
        self,
        task: Task,
        attributions: Sequence[Attribution],
        texts: Sequence[ExplainedText],
        keeps: Sequence[Bool[Tensor, "_ _"]],
    ) -> list[Float[Tensor, "_ _"]]:
        """Target scores, with elements removed as in each explanation, or as the user says."""
        removals = [self.removal or attribution.settings.get("removal") for attribution in attributions]
        found: dict[int, Tensor] = {}
        for removal in dict.fromkeys(removals):
            engine = Engine(InferenceMode(self.inference_mode), removal, self.batch_size)
            scorer = scorer_of(self.model, self._traits, task, engine)
            own = [k for k, other in enumerate(removals) if other == removal]
            scores = scorer.scores([texts[k] for k in own], [keeps[k] for k in own])
            found.update(zip(own, scores, strict=True))
        return [found[k] for k in range(len(texts))]

    def _orders(self, attribution: Attribution) -> list[list[Tensor]]:
        """Per target: its elements by falling score, then in random orders."""
        rng = Generator().manual_seed(self.seed)
        orders = []
        for scores in attribution.scores:
            seen = scores.isfinite().nonzero()[:, 0]
            if not len(seen):
                raise InputError("attributions: expected at least one element with a score for each target, got none")
            by_score = seen[scores[seen].argsort(descending=True, stable=True)]
            random = [seen[torch.randperm(len(seen), generator=rng)] for _ in range(self.n_random)]
            orders.append([by_score, *random])
        return orders

    def _masks(self, order: Tensor, n_elements: int) -> Bool[Tensor, "s g"]:
        rank = torch.full((n_elements,), n_elements)  # elements that are not in the order are never taken
        rank[order] = torch.arange(len(order))
        taken = rank < torch.tensor(self.steps(len(order)))[:, None]
        keep = self.masks(taken)
        keep[:, rank == n_elements] = True
        return keep

    @cached_property
    def _traits(self) -> Traits:
        return traits_of(self.model, self.tokenizer)


def area(curve: Float[Tensor, " s"]) -> Float[Tensor, ""]:
    """Area under a curve whose points are evenly spaced over [0, 1], by the trapezoid rule.

    >>> float(area(torch.tensor([1.0, 0.5, 0.0])))
    0.5
    """
    return torch.trapezoid(curve) / (len(curve) - 1)


def even_steps(n_elements: int, n_steps: int) -> list[int]:
    """0 to n_elements in at most n_steps even steps.

    >>> even_steps(3, 100), even_steps(10, 4)
    ([0, 1, 2, 3], [0, 2, 5, 8, 10])
    """
    count = min(n_elements, n_steps)
    return [round(k * n_elements / count) for k in range(count + 1)]


def bin_steps(n_elements: int, bins: Sequence[float]) -> list[int]:
    """Numbers of elements that make these shares of them, at least one.

    >>> bin_steps(30, (0.01, 0.05, 0.1, 0.2, 0.5))
    [1, 2, 3, 6, 15]
    """
    return [max(1, min(n_elements, -int(-share * n_elements // 1))) for share in bins]


def check_bins(bins: Sequence[float]) -> None:
    """Refuse shares that are not between 0 and 1.

    Raises:
        InputError: No shares, or one out of range.
    """
    if not bins or not all(0 < share <= 1 for share in bins):
        raise InputError(f"bins: expected shares above 0 and up to 1, got {tuple(bins)}")
