"""What somebody wants in a gallery."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from interpreto.attributions import methods as attribution_methods
from interpreto.concepts import TopKInputs, VocabProj, sparse_autoencoders
from interpreto.concepts import models as concept_models
from interpreto.gallery.catalogue import Family, GalleryTask
from interpreto.gallery.data import Data

Scope = Literal["general", "class-wise", "local"]
Classes = Literal["predicted", "truth"]
Targets: TypeAlias = "Literal['predicted', 'all'] | tuple[Any, ...]"

CONCEPTS: Mapping[str, type] = {
    name: getattr(room, name) for room in (concept_models, sparse_autoencoders) for name in room.__all__
}
ATTRIBUTIONS: Mapping[str, type] = {name: getattr(attribution_methods, name) for name in attribution_methods.__all__}
INTERPRETATIONS: Mapping[str, type] = {"TopKInputs": TopKInputs, "VocabProj": VocabProj}


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model by name.

    Args:
        name: What the gallery calls it.
        id: Its name on the hub, a folder, or `demo:` and the name of one that comes with the package.
        task: What it does; `None` to see by its configuration.
        revision: Which version of it.
        options: Further options of `from_pretrained`.
        generation: Settings of `generate`, for one that writes.
        where: Where the spec says so.
        device: Where it runs; `None` for where it is loaded, which is the processor.
    """

    name: str
    id: str
    task: GalleryTask | None = None
    revision: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    generation: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Method:
    """A method and its options.

    Args:
        name: The name of its class.
        options: Options of the class, as plain values.
        label: What the gallery calls it.
        where: Where the spec says so.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributions:
    """Attributions to compute: every method on every text.

    Args:
        model: The name of a model.
        data: The name of data.
        methods: By which methods.
        targets: Which classes: the predicted one, all, or for each text its own.
        form: What the gallery calls this kind; `None` for the usual words.
        where: Where the spec says so.
    """

    model: str
    data: str
    methods: tuple[Method, ...]
    targets: Targets = "predicted"
    form: str | None = None
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Concepts:
    """Concepts to compute, by every method.

    Args:
        model: The name of a model.
        data: The name of data: the texts that are explained.
        methods: By which methods.
        split_point: Where the model is split.
        scope: `"general"`: over all texts; `"class-wise"`: learned in the texts of each class; `"local"`: in each text.
        fit: The name of the data in which they are learned; `data`, but for local concepts.
        granularity: What one row of activations belongs to.
        aggregation: How rows of several tokens become one.
        importance: How concepts are weighed, or `"none"`; `None` for what is usual.
        interpretation: By what they are read.
        targets: Of local concepts, whether for the predicted class or for all.
        classes: Of class-wise concepts, by what texts are sorted.
        least: Of class-wise concepts, the fewest texts of a class.
        drawing: Options of `plot_concepts`.
        form: What the gallery calls this kind; `None` for the usual words.
        where: Where the spec says so.
    """

    model: str
    data: str
    methods: tuple[Method, ...]
    split_point: int | str
    scope: Scope
    fit: str
    granularity: str = "token"
    aggregation: str | None = None
    importance: str | None = None
    interpretation: Method = Method("TopKInputs")
    targets: Literal["predicted", "all"] = "predicted"
    classes: Classes = "predicted"
    least: int = 1
    drawing: Mapping[str, Any] = field(default_factory=dict)
    form: str | None = None
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedAttributions:
    """Attributions that were computed and saved before.

    Args:
        model: What to call their model.
        data: What to call their texts.
        files: Files that `Attribution.save` wrote.
        form: What the gallery calls this kind; `None` for the usual words.
        where: Where the spec says so.
    """

    model: str
    data: str
    files: tuple[Path, ...]
    form: str | None = None
    where: str = ""


SavedFiles: TypeAlias = "Path | Mapping[str, Path]"


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedConcepts:
    """Concepts that were computed and saved before.

    Args:
        model: What to call their model.
        data: What to call their texts.
        task: What the model does.
        method: By which method they were learned.
        interpretations: A file that `Interpretations.save` wrote, or one a class.
        importance: A file that `ConceptImportance.save` wrote, or one a class.
        drawing: Options of `plot_concepts`.
        form: What the gallery calls this kind; `None` for the usual words.
        where: Where the spec says so.
    """

    model: str
    data: str
    task: GalleryTask
    method: str
    interpretations: SavedFiles | None = None
    importance: SavedFiles | None = None
    drawing: Mapping[str, Any] = field(default_factory=dict)
    form: str | None = None
    where: str = ""


Entry: TypeAlias = "Attributions | Concepts | SavedAttributions | SavedConcepts"


@dataclass(frozen=True, slots=True)
class Sight:
    """What a step of a walk shows: what it leaves out must be clear from the rest.

    Args:
        model: The name of a model.
        data: The name of data.
        family: Of which half of the library.
        form: Which kind.
        methods: Which methods.
        instance: Which text.
        where: Where the spec says so.
    """

    model: str | None = None
    data: str | None = None
    family: Family | None = None
    form: str | None = None
    methods: tuple[str, ...] = ()
    instance: int | None = None
    where: str = ""


@dataclass(frozen=True, slots=True)
class Tour:
    """A walk, before it is known what its steps show.

    Args:
        title: What it is about.
        steps: Words, and what to look at meanwhile.
    """

    title: str
    steps: tuple[tuple[str, Sight | None], ...]


@dataclass(frozen=True, slots=True)
class Spec:
    """What a gallery is to be.

    Args:
        title: What it is called.
        about: A paragraph for its front page.
        models: Models, by name.
        data: Texts, by name.
        explanations: What to show.
        tours: Walks through it.
        folder: Where file names begin.
    """

    title: str
    about: str
    models: Mapping[str, ModelSource]
    data: Mapping[str, Data]
    explanations: tuple[Entry, ...]
    tours: tuple[Tour, ...]
    folder: Path
