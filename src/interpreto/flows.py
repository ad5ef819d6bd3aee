"""From words through concepts to the decision, in one result.

>>> from interpreto import ModelWithSplitPoints
>>> from interpreto.concepts import SemiNMFConcepts
>>> from interpreto.demo import load
>>> from interpreto.flows import ConceptFlows
>>> model, tokenizer = load("emotion")
>>> split = ModelWithSplitPoints(model, tokenizer=tokenizer, split_points=1)
>>> concepts = SemiNMFConcepts(split, nb_concepts=4)
>>> report = concepts.fit(split.get_activations(["I am so happy", "I was scared of the dark"]))
>>> (flow,) = ConceptFlows(concepts, n_concepts=2)("I was scared")
>>> flow.weights.target_names, flow.through.shape  # decisions, concepts, words
(('fear',), torch.Size([1, 2, 3]))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, fields, replace
from functools import cached_property
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.attributions import Attribution, Occlusion
from interpreto.attributions.base import AttributionExplainer
from interpreto.concepts import ConceptsToOutput, InputToConcepts
from interpreto.concepts.base import ConceptExplainer
from interpreto.errors import InputError, check_count
from interpreto.model_wrapping import ActivationGranularity, Aggregation
from interpreto.saving import SavedAsJson
from interpreto.text import split_inputs
from interpreto.types import Task

FORMAT = 1


@dataclass(frozen=True, eq=False)
class ConceptFlow(SavedAsJson):
    """Which words make which concepts, and which concepts make the decision, for one text.

    Args:
        words: What each element of the text adds to each concept: targets are concepts.
        weights: What each of the same concepts adds to each decision: elements are concepts.

    Raises:
        InputError: Explanations of different texts or of different concepts.
    """

    saved_as: ClassVar[str] = "a concept flow"

    words: Attribution
    weights: Attribution

    def __post_init__(self) -> None:
        source = self.words.sample.parts
        if self.weights.sample.parts[: len(source)] != source:
            raise InputError(
                f"words, weights: expected explanations of one text, got {source!r:.60} and "
                f"{self.weights.sample.parts!r:.60}"
            )
        for name, found in (("words", self.words), ("weights", self.weights)):
            if not found.elements or not found.targets or "concepts_fingerprint" not in found.settings:
                raise InputError(f"{name}: expected an explanation of concepts or by concepts, got {found!r:.200}")
        if self.words.task is not Task.CONCEPTS or self.weights.task is Task.CONCEPTS:
            raise InputError(
                "words, weights: expected an explanation of codes and one of a model's answer, got "
                f"{self.words.task.value!r} and {self.weights.task.value!r}"
            )
        for name in ("concepts_fingerprint", "split_point", "activation_granularity", "aggregation"):
            one, other = self.words.settings[name], self.weights.settings[name]
            if one != other:
                raise InputError(f"words, weights: expected explanations with one {name}, got {one!r} and {other!r}")
        read = [self.words.readout.reads[target.plus[0]][1] for target in self.words.targets]
        if read != self.concepts:
            raise InputError(f"words, weights: expected the same concepts, got {read} and {self.concepts}")

    @property
    def concepts(self) -> list[int]:
        """The concepts between, by number."""
        return [element.tokens[0] for element in self.weights.elements]

    @property
    def through(self) -> Float[Tensor, "t c g"]:
        """What goes from each word through each concept to each decision.

        The weight of a concept, shared out over the words by what they add to its code:
        `weight[t, c] * words[c, g] / sum_g |words[c, g]|`. Words that hold a concept down count against its weight. 0
        where no word changes the concept, or where the word cannot.
        """
        words = self.words.scores.nan_to_num()
        share = words / words.abs().sum(dim=1, keepdim=True).clamp(min=torch.finfo(words.dtype).tiny)
        return self.weights.scores[:, :, None] * share[None]

    def __repr__(self) -> str:
        n = len(self.concepts)
        return f"ConceptFlow({len(self.words.elements)} words, {n} concept{'s' * (n != 1)}, {self.weights!r:.200})"

    def to_dict(self) -> dict[str, Any]:
        """As plain values, ready for JSON."""
        own = {"words": self.words.to_dict(), "weights": self.weights.to_dict()}
        return {"format": FORMAT, "kind": "concept flow", **own}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ConceptFlow:
        """The inverse of `to_dict`.

        Raises:
            InputError: Not a saved flow.
        """
        if (data["kind"], data["format"]) != ("concept flow", FORMAT):
            raise InputError(f"file: expected a concept flow of format {FORMAT}, got {data['kind']!r:.60}")
        return cls(Attribution.from_dict(data["words"]), Attribution.from_dict(data["weights"]))


@dataclass(frozen=True, eq=False)
class ConceptFlows:
    """Explains decisions by concepts, and these by words; where a model writes, by those of the prompt.

    Args:
        concept_explainer: Fitted concepts of a split model.
        words: The attribution method for the words of a concept.
        weights: The attribution method for the concepts of a decision.
        n_concepts: How many concepts are shown, those with the largest weights.
        granularity: What one row of hidden states belongs to; the same as in the fit.
        aggregation: How rows of several tokens become one; the same as in the fit.
        at: Which rows of a concept are explained, see `InputToConcepts`. `"sum"` takes all of them, as all are removed
            where the concept is weighed; but then what stands in a removed word's place counts, too.
        names: What to call concepts.
        removal: What the code of a removed concept becomes, see `ConceptsToOutput`.
        reference: Activations for removals other than `"zero"`.
        max_concepts: At most so many concepts of a text are weighed, those with the largest codes.
        words_options: Options of the method for words, as `{"granularity": "sentence"}`.
        weights_options: Options of the method for concepts.
    """

    concept_explainer: ConceptExplainer
    _: KW_ONLY
    words: type[AttributionExplainer] = Occlusion
    weights: type[AttributionExplainer] = Occlusion
    n_concepts: int = 5
    granularity: ActivationGranularity | str = ActivationGranularity.TOKEN
    aggregation: Aggregation | str = Aggregation.MEAN
    at: str | int = "strongest"
    names: Mapping[int, Any] | None = None
    removal: str = "zero"
    reference: Any = None
    max_concepts: int | None = None
    words_options: Mapping[str, Any] = field(default_factory=dict)
    weights_options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_count("n_concepts", self.n_concepts, 1)
        for name in ("words", "weights"):
            method = getattr(self, name)
            if not (isinstance(method, type) and issubclass(method, AttributionExplainer)):
                raise InputError(
                    f"{name}: expected a class of attribution methods, such as Occlusion, got {method!r:.60}"
                )
            known = {option.name for option in fields(method) if option.init}
            for option in getattr(self, f"{name}_options"):
                if option not in known:
                    raise InputError(
                        f"{name}_options: {method.__name__} has no option {option!r}; it has {sorted(known)}"
                    )
        _ = self._functions

    def __call__(self, inputs: Any, targets: Any = None) -> list[ConceptFlow]:
        """Explain texts.

        Args:
            inputs: Texts, as attribution methods take them.
            targets: Decisions, as attribution methods take them; by default the model's own.

        Returns:
            One flow a text.

        Raises:
            InputError: Inputs, targets or options that cannot be explained.
        """
        items = split_inputs(inputs)
        to_concepts, to_output = self._functions
        explained = self.weights(to_output, **self.weights_options)(items, targets)
        weights = [self._strongest(found) for found in explained]
        wanted = [[element.tokens[0] for element in found.elements] for found in weights]
        words = self.words(to_concepts, **self.words_options)(items, wanted)
        return [ConceptFlow(*pair) for pair in zip(words, weights, strict=True)]

    @cached_property
    def _functions(self) -> tuple[InputToConcepts, ConceptsToOutput]:
        rows: dict[str, Any] = {"granularity": self.granularity, "aggregation": self.aggregation, "names": self.names}
        to_output = ConceptsToOutput(
            self.concept_explainer,
            removal=self.removal,
            reference=self.reference,
            max_concepts=self.max_concepts,
            source_only=True,
            **rows,
        )
        return InputToConcepts(self.concept_explainer, at=self.at, **rows), to_output

    def _strongest(self, found: Attribution) -> Attribution:
        """The same explanation by fewer concepts, the strongest first."""
        size = found.scores.abs().amax(dim=0)
        kept = size.argsort(descending=True, stable=True)[: self.n_concepts]
        return replace(
            found,
            baseline_scores=None,  # the others are missing from the sum
            elements=tuple(found.elements[int(k)] for k in kept),
            scores=found.scores[:, kept],
            std_errors=None if found.std_errors is None else found.std_errors[:, kept],
        )
