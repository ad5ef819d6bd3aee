"""What all metrics of labels share: what is asked of which concept, all of it at once, and what comes back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import Any, ClassVar

import numpy as np

from interpreto.concepts.base import ConceptExplainer
from interpreto.concepts.label_metrics.result import ConceptScore, LabelScores
from interpreto.concepts.label_metrics.windows import Reading, Sign, Table, Windows
from interpreto.errors import InputError, check_count, warn
from interpreto.model_wrapping import ActivationGranularity, Aggregation
from interpreto.model_wrapping.activations import choice
from interpreto.model_wrapping.llm_interface import Answer, Chat, LLMInterface, Usage

_SIZES = {ActivationGranularity.SENTENCE: 1, ActivationGranularity.WORD: 24}
_TOKENS = 32
_NAMED = 5
_UNNAMED = "it has no label"


@dataclass(frozen=True, eq=False)
class Plan:
    """What is asked about one concept.

    Args:
        chats: The prompts.
        score: Makes the score from the answers, one a prompt, `None` for those that failed.
    """

    chats: tuple[Chat, ...]
    score: Callable[[Sequence[str | None]], ConceptScore]


@dataclass(frozen=True, eq=False)
class PlannedPrompts:
    """What would be asked, without asking.

    Args:
        chats: By concept; concepts that cannot be measured are not asked about.
        calls: How many calls it would take: what is in the cache takes none, equal prompts take one.
        prompt_tokens: About how many tokens all prompts have, by the count of the language model's interface.
    """

    chats: Mapping[int, tuple[Chat, ...]]
    calls: int
    prompt_tokens: int

    def __repr__(self) -> str:
        return f"PlannedPrompts({len(self.chats)} concepts, {self.calls} calls, about {self.prompt_tokens} tokens)"

    def text(self) -> str:
        """The prompts as plain text."""
        return "\n\n".join(
            "\n".join([f"concept {c}", *(f"[{message['role']}]\n{message['content']}" for message in chat)])
            for c, chats in self.chats.items()
            for chat in chats
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelMetric(ABC):
    """How well labels fit concepts, by a language model that does not know the activations.

    Labels are tried on windows of natural texts: take other texts than those that they were made from, or a label that
    repeats its examples looks good. A window's activation is the largest code of the concept in it; equal windows count
    once. All prompts are sent at once; a failed or unreadable answer is counted and left out, the others go on. Give
    the interface a `cache` to make runs that go on where they were, and set its temperature to 0.

    Memory: one number a window and labelled concept.

    Args:
        concept_explainer: Fitted concepts of a split model.
        llm_interface: The language model that judges.
        activation_granularity: What one row of activations belongs to; the same as in the fit.
        aggregation: How rows of several tokens become one.
        sign: Which codes say that the concept is there: those above 0, below 0, or both. It matters for concepts whose
            codes have a sign (PCA, neurons).
        window: The most tokens, words or sentences that are shown at once; by default 32, 24 or 1. Whole texts are
            shown for `CLS_TOKEN` and `SAMPLE`.
        longest_excerpt: The most characters of a text that are shown.
        batch_size: Texts a forward pass; by default the split model's.
        seed: Seed of all draws.
        progress: Whether to show progress bars.

    Raises:
        InputError: An option out of range.
    """

    concept_explainer: ConceptExplainer
    llm_interface: LLMInterface
    activation_granularity: ActivationGranularity | str = ActivationGranularity.TOKEN
    aggregation: Aggregation | str = Aggregation.MEAN
    sign: Sign | str = Sign.POSITIVE
    window: int | None = None
    longest_excerpt: int = 1000
    batch_size: int | None = None
    seed: int = 0
    progress: bool = False

    higher_is_better: ClassVar[bool] = True

    def __post_init__(self) -> None:
        explainer: Any = self.concept_explainer
        llm: Any = self.llm_interface
        if not isinstance(explainer, ConceptExplainer):
            got = type(explainer).__name__
            raise InputError(f"concept_explainer: expected concepts such as SemiNMFConcepts(...), got {got}")
        if not isinstance(llm, LLMInterface):
            raise InputError(f"llm_interface: expected one such as OpenAILLM(key), got {type(llm).__name__}")
        granularity = choice("activation_granularity", self.activation_granularity, ActivationGranularity)
        object.__setattr__(self, "activation_granularity", granularity)
        object.__setattr__(self, "aggregation", choice("aggregation", self.aggregation, Aggregation))
        object.__setattr__(self, "sign", choice("sign", self.sign, Sign))
        for name in ("window", "batch_size"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name), 1)
        check_count("longest_excerpt", self.longest_excerpt, 20)
        check_count("seed", self.seed, 0)

    def __call__(self, inputs: Any, interpretations: Mapping[int, Any], activations: Any = None) -> LabelScores:
        """Scores of labels.

        Args:
            inputs: Natural texts, as `get_activations` takes them; others than those that labels were made from.
            interpretations: What concepts are called: by number a text, or a reading with a `label`.
            activations: Those of the inputs, as `get_activations` gave them; computed where there are none.

        Returns:
            A score for every concept that was passed, with the reason where there is none.

        Raises:
            InputError: No texts, no label, no such concept, or activations that cannot be theirs.
            ModelCallError: The language model cannot be asked at all.
            NotFittedError: Nothing was learned yet.
        """
        labels = self._labels(interpretations)
        plans = self._plans(inputs, labels, activations)
        chats = [chat for plan in plans.values() if isinstance(plan, Plan) for chat in plan.chats]
        before = self.llm_interface.usage
        outcomes = iter(self.llm_interface.generate(chats, progress=self.progress))
        answers = {
            concept: [next(outcomes) for _ in plan.chats] for concept, plan in plans.items() if isinstance(plan, Plan)
        }
        usage = Usage(
            **{f.name: getattr(self.llm_interface.usage, f.name) - getattr(before, f.name) for f in fields(Usage)}
        )
        scores = []
        for concept, label in labels.items():
            plan = plans[concept]
            if isinstance(plan, str):
                scores.append(ConceptScore(concept, label, reason=plan))
            else:
                texts = [outcome.text if isinstance(outcome, Answer) else None for outcome in answers[concept]]
                scores.append(replace(plan.score(texts), concept=concept, label=label, prompts=len(texts)))
        result = LabelScores(tuple(scores), type(self).__name__, self.settings(), usage)
        _tell(result, [o.reason for own in answers.values() for o in own if not isinstance(o, Answer)])
        return result

    def dry_run(self, inputs: Any, interpretations: Mapping[int, Any], activations: Any = None) -> PlannedPrompts:
        """The prompts that a call would send, how many calls it would take and about how many tokens; nothing is sent.

        The texts are read, and `Faithfulness` lets the model write, for prompts are made of that.

        Args:
            inputs: As a call takes them, like all others.
            interpretations: What concepts are called.
            activations: Those of the inputs.
        """
        plans = self._plans(inputs, self._labels(interpretations), activations)
        chats = {concept: plan.chats for concept, plan in plans.items() if isinstance(plan, Plan)}
        everything = [chat for own in chats.values() for chat in own]
        tokens = sum(self.llm_interface.count_tokens(chat) for chat in everything)
        return PlannedPrompts(chats, self.llm_interface.unanswered(everything), tokens)

    def settings(self) -> dict[str, Any]:
        """The options, as plain values; of the language model its name and settings."""
        skipped = ("concept_explainer", "llm_interface", "batch_size", "progress")
        own = {f.name: _plain(getattr(self, f.name)) for f in fields(self) if f.name not in skipped}
        return {
            "concepts": type(self.concept_explainer).__name__,
            "split_point": self.concept_explainer.split_point_name(),
            **own,
            "window": self._size,
            "llm": self.llm_interface.identity,
        }

    @abstractmethod
    def plans(
        self, labels: Mapping[int, str], reading: Reading, windows: Windows, table: Table
    ) -> dict[int, Plan | str]:
        """What to ask about each concept, or why it cannot be measured.

        Args:
            labels: By concept, those that have one.
            reading: How texts are read; its concepts are these, in this order.
            windows: Natural texts.
            table: The rows that they are made of.
        """

    def rng(self, concept: int) -> np.random.Generator:
        """The source of everything random about a concept: the others change nothing."""
        return np.random.default_rng([self.seed, concept])

    def _plans(self, inputs: Any, labels: Mapping[int, str | None], activations: Any) -> dict[int, Plan | str]:
        known = {concept: label for concept, label in labels.items() if label is not None}
        reading = Reading(
            self.concept_explainer,
            tuple(known),
            ActivationGranularity(self.activation_granularity),
            Aggregation(self.aggregation),
            self.batch_size,
            Sign(self.sign),
            self._size,
        )
        windows, table = reading.windows(inputs, activations)
        return dict.fromkeys(labels, _UNNAMED) | self.plans(known, reading, windows, table)

    @property
    def _size(self) -> int:
        return self.window or _SIZES.get(ActivationGranularity(self.activation_granularity), _TOKENS)

    def _labels(self, interpretations: Any) -> dict[int, str | None]:
        """Concepts and what they are called; `None` for those without a label."""
        if not isinstance(interpretations, Mapping):
            got = type(interpretations).__name__
            raise InputError(f"interpretations: expected a mapping from concepts to what they are called, got {got}")
        count = self.concept_explainer.concept_model.nb_concepts
        labels: dict[int, str | None] = {}
        for concept, value in interpretations.items():
            label = value if isinstance(value, str) else getattr(value, "label", None)
            if isinstance(concept, bool) or not isinstance(concept, (int, np.integer)) or not 0 <= concept < count:
                raise InputError(f"interpretations: expected concepts from 0 to {count - 1}, got {concept!r:.60}")
            if label is not None and not isinstance(label, str):
                raise InputError(f"interpretations: expected labels that are texts, got {label!r:.60} of {concept}")
            labels[int(concept)] = label.strip() or None if label is not None else None
        if not any(labels.values()):
            raise InputError("interpretations: expected at least one concept with a label, got none")
        return labels


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(one) for one in value]
    return value if value is None or isinstance(value, (str, int, float)) else repr(value)


def _tell(result: LabelScores, failures: Sequence[str]) -> None:
    """Warn of what is missing."""
    if result.missing:
        total = sum(score.prompts for score in result.scores)
        reason = failures[0] if failures else "answers that cannot be read"
        warn(
            f"{result.metric}: {result.missing} of {total} prompts got no usable answer ({reason:.200}); they are left "
            "out of the scores; call again to ask for those that failed"
        )
    unknown = {concept: reason for concept, reason in result.not_measurable.items() if reason != _UNNAMED}
    if unknown:
        named = "; ".join(f"concept {concept}: {reason}" for concept, reason in list(unknown.items())[:_NAMED])
        more = f"; and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        warn(f"{result.metric}: {len(unknown)} of {len(result)} concepts cannot be measured: {named}{more}")
