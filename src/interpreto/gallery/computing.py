"""Explanations that a gallery asks for, computed text by text.

Together they would be faster, but the rounding of other batches would show in the last digits, and a reader who runs
the program of a picture is to find the very numbers of the picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from interpreto.attributions import AttributionExplainer
from interpreto.concepts import ConceptImportance, ImportanceMethod, Interpretations
from interpreto.errors import InputError, InterpretoError
from interpreto.gallery.catalogue import Explanation, Instance, Shelf
from interpreto.gallery.data import Data
from interpreto.gallery.models import LoadedModel
from interpreto.gallery.snippets import (
    attribution_snippet,
    class_wise_snippet,
    general_snippet,
    literal,
    local_snippet,
)
from interpreto.gallery.spec import ATTRIBUTIONS, CONCEPTS, INTERPRETATIONS, Attributions, Concepts, Method
from interpreto.model_wrapping import ModelWithSplitPoints
from interpreto.visualizations import plot_attributions
from interpreto.visualizations.concepts import plot_concepts


@dataclass(frozen=True, slots=True)
class Asked:
    """Texts as a model sees them.

    Args:
        data: The texts, and what is known of them.
        predicted: A classifier's answers.
        written: What a model that writes makes of them, with its ids where it was not given.
    """

    data: Data
    predicted: tuple[str, ...] | None = None
    written: tuple[tuple[str, list[int] | None], ...] | None = None

    def instances(self) -> tuple[Instance, ...]:
        """The texts as a reader of the gallery finds them."""
        texts, truths = self.data.texts, self.data.truths
        if self.written is not None:
            whole = [text + output for text, (output, _) in zip(texts, self.written, strict=True)]
            return tuple(map(Instance, whole, truths))
        return tuple(map(Instance, texts, truths, self.predicted or [None] * len(texts)))


def ask(loaded: LoadedModel, data: Data) -> Asked:
    """The model's own answers to texts.

    Args:
        loaded: The model.
        data: The texts.
    """
    if loaded.known.task == "classification":
        return Asked(data, predicted=tuple(loaded.predicted(data.texts)))
    if data.outputs is not None:
        return Asked(data, written=tuple((output, None) for output in data.outputs))
    return Asked(data, written=tuple(loaded.written(data.texts)))


@contextmanager
def told_of(where: str) -> Iterator[None]:
    """Say in an error which part of the spec it is about."""
    try:
        yield
    except InterpretoError as error:
        raise InputError(f"{where}: {error}") from error
    except Exception as error:
        raise InterpretoError(f"{where}: {type(error).__name__}: {error}") from error


def compute_attributions(
    entry: Attributions, shelf: Shelf, loaded: LoadedModel, asked: Asked, method: Method
) -> Iterator[Explanation]:
    """One method on each text.

    Args:
        entry: What the spec asks for.
        shelf: Where the explanations stand.
        loaded: The model.
        asked: The texts.
        method: The method.
    """
    explainer: AttributionExplainer = ATTRIBUTIONS[method.name](
        loaded.model,
        loaded.tokenizer,
        **method.options,
        **({"generation": loaded.generation} if asked.written is not None and asked.data.outputs is None else {}),
        progress=False,
    )
    n_texts = len(asked.data.texts)
    targets: Sequence[Any] = [None] * n_texts
    classes: Sequence[Any] = targets
    if asked.written is not None:
        targets = [output if ids is None else [ids] for output, ids in asked.written]
    elif entry.targets == "all":
        targets, classes = [torch.arange(len(loaded.class_names)).view(1, -1)] * n_texts, ["all"] * n_texts
    elif entry.targets != "predicted":
        classes = entry.targets
        targets = [[one] if isinstance(one, list) else one for one in classes]
    outputs = asked.data.outputs or [None] * n_texts
    for k, text in enumerate(asked.data.texts):
        with told_of(f"text {k}"):
            plot = plot_attributions(explainer(text, targets[k]))
        snippet = attribution_snippet(loaded.known, method, text, classes=classes[k], output=outputs[k])
        yield Explanation(shelf, method.label, plot, snippet, k)


def compute_concepts(
    entry: Concepts, shelf: Shelf, loaded: LoadedModel, asked: Asked, fit: Data, method: Method
) -> Iterator[Explanation]:
    """Concepts by one method: one picture for all texts, or one for each.

    Args:
        entry: What the spec asks for.
        shelf: Where the explanations stand.
        loaded: The model.
        asked: The texts that are explained.
        fit: The texts in which local concepts are learned.
        method: The method.
    """
    work = _Concepts(entry, loaded, method)
    if entry.scope == "general":
        yield work.general(shelf, asked)
    elif entry.scope == "class-wise":
        yield work.class_wise(shelf, asked)
    else:
        yield from work.local(shelf, asked, fit)


@dataclass(frozen=True, eq=False)
class _Concepts:
    entry: Concepts
    loaded: LoadedModel
    method: Method

    @property
    def how(self) -> str:
        """How concepts are weighed; those of a model that writes are listed."""
        general_of_writer = self.entry.scope == "general" and self.loaded.known.task == "generation"
        return self.entry.importance or ("none" if general_of_writer else ImportanceMethod.GRADIENT_X_CONCEPT.value)

    def general(self, shelf: Shelf, asked: Asked) -> Explanation:
        texts, outputs = asked.data.texts, asked.data.outputs
        concepts, readings = self._learned(texts, outputs)
        importance: ConceptImportance | None = None
        if self.how != "none":
            importance = concepts.importance(list(texts), outputs and list(outputs), **self._rows(), method=self.how)
        plot = plot_concepts(readings, importance, **self.entry.drawing)
        snippet = general_snippet(self.loaded.known, self.entry, self.method, texts, outputs, self.how)
        return Explanation(shelf, self.method.label, plot, snippet)

    def class_wise(self, shelf: Shelf, asked: Asked) -> Explanation:
        groups = self._groups(asked)
        readings: dict[str, Interpretations] = {}
        importance: dict[str, ConceptImportance] = {}
        for name, texts in groups.items():
            concepts, readings[name] = self._learned(texts, None)
            importance[name] = concepts.importance(texts, [name], **self._rows(), method=self.how)
        plot = plot_concepts(readings, importance, **self.entry.drawing)
        snippet = class_wise_snippet(self.loaded.known, self.entry, self.method, groups, self.how)
        return Explanation(shelf, self.method.label, plot, snippet)

    def _groups(self, asked: Asked) -> dict[str, list[str]]:
        """The texts of each class, in the order of the model's classes."""
        if asked.predicted is None:
            raise InputError("scope: expected a model with classes for class-wise concepts, got one that writes")
        said = asked.predicted if self.entry.classes == "predicted" else asked.data.truths
        groups = {
            name: [text for text, own in zip(asked.data.texts, said, strict=True) if own == name]
            for name in self.loaded.class_names
        }
        unknown = sorted({str(own) for own in said} - set(groups))
        if unknown:
            raise InputError(f"classes: expected classes of the model ({', '.join(groups)}), got {unknown[0]!r:.60}")
        kept = {name: texts for name, texts in groups.items() if len(texts) >= self.entry.least}
        if not kept:
            raise InputError(f"least: expected a class with at least {self.entry.least} texts, got none")
        return kept

    def local(self, shelf: Shelf, asked: Asked, fit: Data) -> Iterator[Explanation]:
        texts = list(asked.data.texts)
        concepts, readings = self._learned(fit.texts, fit.outputs)
        targets: list[Any] = [None] * len(texts)
        expressions: list[str | None] = [None] * len(texts)
        if asked.written is not None:
            targets = [output for output, _ in asked.written]
            expressions = [literal(output) for output in targets]
        elif self.entry.targets == "all":
            targets = [list(range(len(self.loaded.class_names)))] * len(texts)
            expressions = ["list(range(model.config.num_labels))"] * len(texts)
        for k, (text, target, expression) in enumerate(zip(texts, targets, expressions, strict=True)):
            with told_of(f"text {k}"):
                found = concepts.local_importance(text, target, **self._rows(), method=self.how)
            plot = plot_concepts(readings, local=found, **self.entry.drawing)
            learned_in = (fit.texts, fit.outputs)
            snippet = local_snippet(self.loaded.known, self.entry, self.method, learned_in, text, expression, self.how)
            yield Explanation(shelf, self.method.label, plot, snippet, k)

    def _learned(self, texts: Sequence[str], outputs: Sequence[str] | None) -> tuple[Any, Interpretations]:
        """Fitted concepts, and what they mean."""
        entry = self.entry
        split = ModelWithSplitPoints(self.loaded.model, split_points=entry.split_point, tokenizer=self.loaded.tokenizer)
        written: dict[str, Any] = {} if outputs is None else {"targets": list(outputs)}
        pooled: dict[str, Any] = {"aggregation": entry.aggregation} if entry.aggregation else {}
        activations = split.get_activations(list(texts), entry.granularity, **pooled, **written)
        concepts = CONCEPTS[self.method.name](split, **self.method.options)
        concepts.fit(activations)
        options: Mapping[str, Any] = entry.interpretation.options
        if entry.interpretation.name == "TopKInputs":
            reader = INTERPRETATIONS["TopKInputs"](concepts, **self._rows(), **options)
            return concepts, reader.interpret("all", list(texts), activations, **written)
        return concepts, INTERPRETATIONS["VocabProj"](concepts, **options).interpret().as_interpretations()

    def _rows(self) -> dict[str, Any]:
        """What a row of activations belongs to."""
        pooled = {"aggregation": self.entry.aggregation} if self.entry.aggregation else {}
        return {"activation_granularity": self.entry.granularity, **pooled}
