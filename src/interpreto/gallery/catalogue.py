"""What a gallery shows, before it is a site: explanations, the texts they explain, and walks through them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from interpreto.visualizations.html import Plot

GalleryTask = Literal["classification", "generation"]
Family = Literal["attributions", "concepts"]


@dataclass(frozen=True, slots=True)
class Instance:
    """A text of a data set that has explanations.

    Args:
        text: What the reader sees in the list and searches: the input, and what was written.
        truth: What the data set says of it, if it says anything.
        predicted: What the model says, if it decides anything.
    """

    text: str
    truth: str | None = None
    predicted: str | None = None


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where explanations stand: the choices that a reader makes before the method and the text.

    Args:
        task: What the model does.
        model: What to call it.
        data: What to call the data set.
        family: Of which half of the library.
        form: Which kind of explanation of that family, `"all classes"`, say, or `"class by class"`.
    """

    task: GalleryTask
    model: str
    data: str
    family: Family
    form: str


@dataclass(frozen=True, eq=False)
class Explanation:
    """One picture of the gallery, and how to make it.

    Args:
        shelf: Where it stands.
        method: By which method it was made; methods of one shelf and text can be looked at side by side.
        plot: The picture.
        snippet: A program that makes it.
        instance: The text it explains, by number in its data set; `None` for one of a whole model.
    """

    shelf: Shelf
    method: str
    plot: Plot
    snippet: str
    instance: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A paragraph of a walk, and the explanations it is about.

    Args:
        text: What to see there.
        shelf: Where to look; `None` for words alone.
        methods: Which methods to look at.
        instance: Which text.
    """

    text: str
    shelf: Shelf | None = None
    methods: tuple[str, ...] = ()
    instance: int | None = None


@dataclass(frozen=True, slots=True)
class Walk:
    """A guided tour: how somebody found something out.

    Args:
        title: What it is about.
        steps: From first to last.
    """

    title: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All that a gallery says beside its explanations, which are written one by one.

    Args:
        title: What the gallery is called.
        about: A paragraph for its front page.
        data: The texts that have explanations, by the names of a model and of a data set.
        walks: Guided tours.
    """

    title: str
    about: str = ""
    data: dict[tuple[str, str], tuple[Instance, ...]] = field(default_factory=dict)
    walks: tuple[Walk, ...] = ()
