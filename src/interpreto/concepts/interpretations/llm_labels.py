"""Concepts by labels that a language model gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from enum import Enum
from itertools import pairwise
from typing import Any, final

import numpy as np

from interpreto.concepts.interpretations.asking import labels_of
from interpreto.concepts.interpretations.base import ConceptInterpreter
from interpreto.concepts.interpretations.prompts import label_prompt
from interpreto.concepts.interpretations.result import ConceptReading, Example, Interpretations
from interpreto.concepts.interpretations.strongest import Chosen, Order
from interpreto.errors import InputError, check_count
from interpreto.model_wrapping.activations import choice
from interpreto.model_wrapping.llm_interface import Chat, LLMInterface

_BINS = 5
_SAMPLED = 10  # texts a wanted example, among which quantiles are found


class Sampling(str, Enum):
    """Which of the texts in which a concept is active are shown to the language model."""

    TOP = "top"
    """The strongest."""
    QUANTILE = "quantile"
    """As many from each fifth of the active texts, from the strongest to the weakest."""
    RANDOM = "random"
    """Any, each distinct text as likely as any other."""


@dataclass(frozen=True, eq=False)
class LabelPrompts:
    """What would be asked, without asking.

    Args:
        chats: By concept; concepts that are never active are not asked about.
        calls: How many calls it would take: what is in the cache takes none.
        prompt_tokens: About how many tokens all prompts have, by the count of the language model's interface.
    """

    chats: Mapping[int, Chat]
    calls: int
    prompt_tokens: int

    def __repr__(self) -> str:
        return f"LabelPrompts({len(self.chats)} concepts, {self.calls} calls, about {self.prompt_tokens} tokens)"

    def text(self) -> str:
        """The prompts as plain text."""
        return "\n\n".join(
            "\n".join([f"concept {concept}", *(f"[{message['role']}]\n{message['content']}" for message in chat)])
            for concept, chat in self.chats.items()
        )


@final
@dataclass(frozen=True, eq=False)
class LLMLabels(ConceptInterpreter):
    """A short label for each concept, by a language model that is shown texts in which it is active.

    The prompt has one example a line: an excerpt in which the elements with at least 0.3 of the strongest activation
    stand between `<<` and `>>`, and activations as whole numbers from 0 to 10. A label says what the shown examples
    have in common, no more: score it before you trust it. One call a concept; a failed one leaves the label `None` and
    a warning, the others go on. A concept that is never active is not asked about. Give the interface a `cache` to make
    runs that go on where they were.

    Args:
        llm_interface: The language model.
        sampling: Which active texts to show: the strongest (`"top"`), some of each fifth (`"quantile"`), any
            (`"random"`). Fifths are found among ten times `k_examples` random texts where there are more.
        system_prompt: What the language model is told, in place of the own words of this library.
        seed: Seed of the samplings.
        longest_excerpt: The most characters of an excerpt that are shown.
        progress: Whether to show a progress bar.

    Raises:
        InputError: An option out of range.

    Reference: Bills et al. (2023), Language models can explain neurons in language models; marks and share of Paulo et
        al. (2024), arXiv:2410.13928.
    """

    _: KW_ONLY
    llm_interface: LLMInterface
    k_examples: int = 30
    k_context: int = 10
    sampling: Sampling | str = Sampling.TOP
    system_prompt: str | None = None
    seed: int = 0
    longest_excerpt: int = 1000
    progress: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        llm: Any = self.llm_interface
        if not isinstance(llm, LLMInterface):
            raise InputError(f"llm_interface: expected one such as OpenAILLM(key), got {type(llm).__name__}")
        object.__setattr__(self, "sampling", choice("sampling", self.sampling, Sampling))
        check_count("seed", self.seed, 0)
        check_count("longest_excerpt", self.longest_excerpt, 20)

    def interpret(
        self, concepts_indices: Any = "all", inputs: Any = None, activations: Any = None, *, targets: Any = None
    ) -> Interpretations:
        """Labels of concepts, and the examples that they were made from."""
        concepts = self.concepts(concepts_indices)
        examples = self._shown(concepts, inputs, activations, targets)
        chats = self._chats(examples)
        labels = labels_of(self.llm_interface, chats, lambda concept: f"concept {concept}", progress=self.progress)
        readings = tuple(ConceptReading(c, labels.get(c), examples[c]) for c in concepts)
        return Interpretations(readings, type(self).__name__, self.settings())

    def dry_run(
        self, concepts_indices: Any = "all", inputs: Any = None, activations: Any = None, *, targets: Any = None
    ) -> LabelPrompts:
        """The prompts that `interpret` would send, the calls it would take and about how many tokens; nothing is sent.

        Args:
            concepts_indices: As `interpret` takes them, like all others.
            inputs: Texts.
            activations: Theirs.
            targets: What a model that writes has written.
        """
        chats = self._chats(self._shown(self.concepts(concepts_indices), inputs, activations, targets))
        tokens = sum(self.llm_interface.count_tokens(chat) for chat in chats.values())
        return LabelPrompts(chats, self.llm_interface.unanswered(list(chats.values())), tokens)

    def settings(self) -> dict[str, Any]:
        """The options, as plain values; of the language model its name and settings."""
        return {
            **super().settings(),
            "sampling": Sampling(self.sampling).value,
            "seed": self.seed,
            "system_prompt": self.system_prompt,
            "longest_excerpt": self.longest_excerpt,
            "llm": self.llm_interface.identity,
        }

    def _chats(self, examples: Mapping[int, tuple[Example, ...]]) -> dict[int, Chat]:
        return {
            concept: label_prompt(own, self.system_prompt, self.longest_excerpt)
            for concept, own in examples.items()
            if own
        }

    def _shown(
        self, concepts: list[int], inputs: Any, activations: Any, targets: Any
    ) -> dict[int, tuple[Example, ...]]:
        blocks, texts = self.of_inputs(inputs, activations, targets, self.block_size)
        if self.sampling is Sampling.TOP:
            chosen = self.chosen(concepts, blocks, texts, k=self.k_examples)
        else:
            spread = _SAMPLED if self.sampling is Sampling.QUANTILE else 1
            k = self.k_examples * spread
            chosen = self.chosen(concepts, blocks, texts, k=k, order=Order.RANDOM, seed=self.seed)
        if self.sampling is Sampling.QUANTILE:
            chosen = in_quantiles(chosen, self.k_examples)
        return dict(zip(concepts, self.examples(len(concepts), chosen, texts), strict=True))


def in_quantiles(chosen: Chosen, k: int) -> Chosen:
    """Of each concept `k` rows, as many from each fifth of its rows; the stronger fifths give one more where needed.

    Args:
        chosen: Rows, by concept, the strongest first.
        k: How many to keep a concept.
    """
    kept = []
    borders = np.flatnonzero(np.diff(chosen.concepts, prepend=-1, append=-1))
    for first, last in pairwise(borders.tolist()):
        bins = np.array_split(np.arange(first, last), min(_BINS, k))
        wanted = [len(part) for part in np.array_split(np.arange(min(k, last - first)), len(bins))]
        for places, count in zip(bins, wanted, strict=True):
            kept.append(np.sort(places[np.argsort(chosen.keys[places])[:count]]))
    return chosen.take(np.concatenate(kept)) if kept else chosen
