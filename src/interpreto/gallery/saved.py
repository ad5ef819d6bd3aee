"""Explanations that were computed and saved before: a gallery of them needs no model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interpreto.attributions import Attribution
from interpreto.concepts import ConceptImportance, Interpretations
from interpreto.errors import InputError
from interpreto.gallery.catalogue import Explanation, GalleryTask, Instance, Shelf
from interpreto.gallery.data import Data
from interpreto.gallery.models import KnownModel
from interpreto.gallery.snippets import saved_attribution_snippet, saved_concepts_snippet
from interpreto.gallery.spec import SavedAttributions, SavedConcepts
from interpreto.types import Task
from interpreto.visualizations import plot_attributions
from interpreto.visualizations.concepts import plot_concepts

_TASKS: Mapping[Task, GalleryTask] = {
    Task.CLASSIFICATION: "classification",
    Task.CAUSAL_LM: "generation",
    Task.SEQ2SEQ_LM: "generation",
}


@dataclass(frozen=True, slots=True, eq=False)
class SavedAttribution:
    """A result, and where it was found.

    Args:
        result: The result.
        file: Its file.
        position: Which one of the file's it is, from 0; `None` where it is alone there.
    """

    result: Attribution
    file: Path
    position: int | None


def read_attributions(entry: SavedAttributions) -> list[SavedAttribution]:
    """The results in the files of an entry.

    Raises:
        InputError: A file of something else, or of none, or a result of a task that galleries do not show.
    """
    found = []
    for path in entry.files:
        try:
            results = Attribution.load_all(path)
        except (InputError, OSError) as error:
            raise InputError(f"{entry.where}.results: {path.name}: {error}") from error
        if not results:
            raise InputError(f"{entry.where}.results: {path.name}: expected at least one result, got none")
        for k, result in enumerate(results):
            if result.task not in _TASKS:
                known = ", ".join(task.value for task in _TASKS)
                raise InputError(
                    f"{entry.where}.results: {path.name}: expected results of {known}, got one of {result.task.value}"
                )
            found.append(SavedAttribution(result, path, k if len(results) > 1 else None))
    return found


def text_of(result: Attribution) -> str:
    """What a reader sees in the list of texts."""
    together = "" if _TASKS[result.task] == "generation" and len(result.sample.parts) == 2 else " / "
    return together.join(result.sample.parts)


def place_of(entry: SavedAttributions, result: Attribution) -> Shelf:
    """Where a result stands."""
    task = _TASKS[result.task]
    unit = result.settings.get("output_granularity", "token")
    usual = {"token": "each token", "text": "the whole answer"}.get(str(unit), f"each {unit}")
    if task == "classification":
        usual = "one class" if len(result.targets) == 1 else "several classes"
    return Shelf(task, entry.model, entry.data, "attributions", entry.form or usual)


def instances_of(data: Data | None, saved: Sequence[SavedAttribution]) -> tuple[Instance, ...]:
    """The texts that results explain, as a reader finds them.

    Args:
        data: What the spec says of them, if it does.
        saved: The results.
    """
    results = [one.result for one in saved]
    texts = list(dict.fromkeys(map(text_of, results)))
    if data is None:
        return tuple(map(Instance, texts))
    truths = dict(zip(data.texts, data.truths, strict=True))
    known = {text_of(result): truths.get(result.sample.parts[0]) for result in results}
    return tuple(Instance(text, known[text]) for text in texts)


def draw_attributions(
    entry: SavedAttributions, saved: Sequence[SavedAttribution], texts: Sequence[str], known: KnownModel | None
) -> Iterator[Explanation]:
    """Pictures of saved results.

    Args:
        entry: What the spec says of them.
        saved: The results.
        texts: The texts of their data, which give them their numbers.
        known: Their model, if the spec describes it.
    """
    numbers = {text: number for number, text in enumerate(texts)}
    for one in saved:
        result = one.result
        snippet = saved_attribution_snippet(known, result, one.file.name, one.position)
        number = numbers[text_of(result)]
        yield Explanation(place_of(entry, result), result.method, plot_attributions(result), snippet, number)


def draw_concepts(entry: SavedConcepts) -> Explanation:
    """A picture of saved concepts.

    Args:
        entry: What the spec says of them.
    """
    readings = _loaded(Interpretations, entry.interpretations)
    importance = _loaded(ConceptImportance, entry.importance)
    plot = plot_concepts(readings, importance, **entry.drawing)
    return Explanation(shelf_of_saved(entry), entry.method, plot, saved_concepts_snippet(entry))


def shelf_of_saved(entry: SavedConcepts) -> Shelf:
    """Where saved concepts stand."""
    by_class = isinstance(entry.interpretations, Mapping) or isinstance(entry.importance, Mapping)
    form = entry.form or ("class by class" if by_class else "general")
    return Shelf(entry.task, entry.model, entry.data, "concepts", form)


def _loaded(kind: Any, files: Path | Mapping[str, Path] | None) -> Any:
    if files is None:
        return None
    return {name: kind.load(path) for name, path in files.items()} if isinstance(files, Mapping) else kind.load(files)
