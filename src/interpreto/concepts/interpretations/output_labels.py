"""Concepts by labels that a language model gives them from what they do to the output, and from texts if wanted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from enum import Enum
from typing import Any, final

from interpreto.concepts.interpretations.asking import labels_of
from interpreto.concepts.interpretations.llm_labels import LabelPrompts
from interpreto.concepts.interpretations.output_prompts import lines_of, output_prompt
from interpreto.concepts.interpretations.output_result import OutputReadings
from interpreto.concepts.interpretations.prompts import label_prompt
from interpreto.concepts.interpretations.result import ConceptReading, Interpretations
from interpreto.concepts.interpretations.token_change import TokenChange
from interpreto.concepts.interpretations.top_k_inputs import TopKInputs
from interpreto.concepts.interpretations.vocab_proj import VocabProj
from interpreto.errors import InputError, check_count
from interpreto.model_wrapping.activations import choice
from interpreto.model_wrapping.llm_interface import Chat, LLMInterface


class Ensemble(str, Enum):
    """How several sources make one label."""

    RAW = "raw"
    """One prompt that shows what all of them found."""
    CONCAT = "concat"
    """One prompt and label a source; the labels are joined."""


@final
@dataclass(frozen=True, eq=False)
class OutputLabels:
    """A short label for each concept, by a language model that is shown what `VocabProj` and `TokenChange` found.

    With `TopKInputs` among the sources it is also shown the texts in which the concept is strongest: labels from texts
    say what makes a concept active, labels from tokens what it does, and both together do best on both sides. A concept
    that is never active has its tokens still. Calls are made together; one that fails leaves its label out and a
    warning, the others go on. Give the interface a `cache` to make runs that go on where they were.

    Args:
        sources: One or more of `TopKInputs`, `VocabProj` and `TokenChange`, each at most once, all of the same
            concepts. The paper takes 5 examples, 50 tokens and 10 tokens.
        llm_interface: The language model.
        ensemble: Whether one prompt shows what all sources found (`"raw"`), or each source gets a label of its own and
            these are joined (`"concat"`, as many calls as sources).
        system_prompt: What the language model is told, in place of the own words of this library.
        longest_excerpt: The most characters of an excerpt that are shown.
        progress: Whether to show a progress bar.

    Raises:
        InputError: An option out of range, or sources of different concepts.

    Reference: Gur-Arieh et al. (2025), Enhancing automated interpretability with output-centric feature descriptions,
        section 3.3, arXiv:2501.08319.
    """

    sources: Sequence[TopKInputs | VocabProj | TokenChange]
    _: KW_ONLY
    llm_interface: LLMInterface
    ensemble: Ensemble | str = Ensemble.RAW
    system_prompt: str | None = None
    longest_excerpt: int = 1000
    progress: bool = False

    def __post_init__(self) -> None:
        given: Any = self.sources
        found = list(given) if isinstance(given, Sequence) else [given]
        for source in found:
            if not isinstance(source, (TopKInputs, VocabProj, TokenChange)):
                raise InputError(f"sources: expected TopKInputs, VocabProj or TokenChange, got {type(source).__name__}")
        names = [_name(source) for source in found]
        if not found or len(set(names)) < len(names):
            raise InputError(f"sources: expected at least one, and none twice, got {names}")
        if any(source.concept_explainer is not found[0].concept_explainer for source in found):
            raise InputError("sources: expected all of the same concepts, got several concept explainers")
        object.__setattr__(self, "sources", tuple(found))
        llm: Any = self.llm_interface
        if not isinstance(llm, LLMInterface):
            raise InputError(f"llm_interface: expected one such as OpenAILLM(key), got {type(llm).__name__}")
        object.__setattr__(self, "ensemble", choice("ensemble", self.ensemble, Ensemble))
        check_count("longest_excerpt", self.longest_excerpt, 20)

    def interpret(
        self, concepts_indices: Any = "all", inputs: Any = None, activations: Any = None, *, targets: Any = None
    ) -> Interpretations:
        """Labels of concepts, and the examples, or else the tokens, that they were made from.

        Args:
            concepts_indices: `"all"`, the number of a concept, or several.
            inputs: Texts, where a source reads them.
            activations: Theirs, for `TopKInputs`.
            targets: What a model that writes has written.

        Raises:
            InputError: No such concept, or no inputs for a source that reads them.
            ModelCallError: The language model cannot be asked at all.
        """
        found = self._found(concepts_indices, inputs, activations, targets)
        chats = self._chats(found)

        def name(key: tuple[int, str]) -> str:
            return f"concept {key[0]}" + (f" by {key[1]}" if self.ensemble is Ensemble.CONCAT else "")

        labels = labels_of(self.llm_interface, chats, name, progress=self.progress)
        joined: dict[int, list[str]] = {}
        for (concept, _), label in labels.items():
            known = joined.setdefault(concept, [])
            if label is not None and label not in known:
                known.append(label)
        shown = next((one for one in found.values() if isinstance(one, Interpretations)), None)
        if shown is None:
            shown = next(one.as_interpretations() for one in found.values() if isinstance(one, OutputReadings))
        readings = tuple(
            ConceptReading(concept, "; ".join(joined.get(concept, ())) or None, reading.examples)
            for concept, reading in shown.items()
        )
        return Interpretations(readings, type(self).__name__, self.settings())

    def dry_run(
        self, concepts_indices: Any = "all", inputs: Any = None, activations: Any = None, *, targets: Any = None
    ) -> dict[str, LabelPrompts]:
        """The prompts that `interpret` would send, by what they show: `"raw"`, or each source. Nothing is sent.

        Args:
            concepts_indices: As `interpret` takes them, like all others.
            inputs: Texts.
            activations: Theirs.
            targets: What a model that writes has written.
        """
        llm = self.llm_interface
        by_kind: dict[str, dict[int, Chat]] = {}
        for (concept, kind), chat in self._chats(self._found(concepts_indices, inputs, activations, targets)).items():
            by_kind.setdefault(kind, {})[concept] = chat
        return {
            kind: LabelPrompts(
                chats, llm.unanswered(list(chats.values())), sum(llm.count_tokens(chat) for chat in chats.values())
            )
            for kind, chats in by_kind.items()
        }

    def settings(self) -> dict[str, Any]:
        """The options, those of the sources included, as plain values; of the language model its name and settings."""
        return {
            "sources": {_name(source): source.settings() for source in self.sources},
            "ensemble": Ensemble(self.ensemble).value,
            "system_prompt": self.system_prompt,
            "longest_excerpt": self.longest_excerpt,
            "llm": self.llm_interface.identity,
        }

    def _found(self, concepts: Any, inputs: Any, activations: Any, targets: Any) -> dict[str, _Found]:
        """What each source says."""
        if isinstance(concepts, Iterator):
            concepts = list(concepts)  # every source reads them
        found: dict[str, _Found] = {}
        for source in self.sources:
            if isinstance(source, VocabProj):
                found[_name(source)] = source.interpret(concepts)
            elif isinstance(source, TokenChange):
                found[_name(source)] = source.interpret(concepts, inputs, targets=targets)
            elif source.use_vocab:
                found[_name(source)] = source.interpret(concepts)
            else:
                found[_name(source)] = source.interpret(concepts, inputs, activations, targets=targets)
        return found

    def _chats(self, found: Mapping[str, _Found]) -> dict[tuple[int, str], Chat]:
        """What is asked, by concept and by what it shows; nothing about a concept that no source has anything on."""
        concepts = next(iter(found.values()))
        chats: dict[tuple[int, str], Chat] = {}
        for concept in concepts:
            shown = {name: one[concept] for name, one in found.items()}
            if self.ensemble is Ensemble.CONCAT or len(shown) == 1:
                for name, reading in shown.items():
                    if isinstance(reading, ConceptReading):
                        if reading.examples:
                            own = label_prompt(reading.examples, self.system_prompt, self.longest_excerpt)
                            chats[concept, name] = own
                    else:
                        lines = {name: lines_of(name, reading)}
                        chats[concept, name] = output_prompt(lines, self.system_prompt)
                continue
            lines = {}
            for name, reading in shown.items():
                if not isinstance(reading, ConceptReading):
                    lines[name] = lines_of(name, reading)
                elif reading.examples:
                    asked = label_prompt(reading.examples, None, self.longest_excerpt)
                    lines[name] = asked[-1]["content"].split("\n")
            chats[concept, _RAW] = output_prompt(lines, self.system_prompt)
        return chats


_Found = Interpretations | OutputReadings
_RAW = Ensemble.RAW.value


def _name(source: object) -> str:
    return type(source).__name__
