"""Where the explanations of a spec stand, and what the steps of its walks show: known before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from interpreto.errors import InputError
from interpreto.gallery.catalogue import GalleryTask, Shelf, Step, Walk
from interpreto.gallery.spec import Attributions, Concepts, Sight, Tour

_OF_TARGETS = {"predicted": "predicted class", "all": "all classes"}
_OF_OUTPUTS = {"text": "the whole answer", "token": "each token", "word": "each word", "sentence": "each sentence"}
_OF_SCOPES = {"general": "general", "class-wise": "class by class", "local": "in one text"}


def shelf_of(entry: Attributions | Concepts, task: GalleryTask) -> tuple[Shelf, ...]:
    """Where the explanations of an entry stand, method by method.

    Args:
        entry: The entry.
        task: What its model does.
    """
    if isinstance(entry, Concepts):
        form = entry.form or _OF_SCOPES[entry.scope]
        if entry.form is None and entry.scope == "class-wise" and entry.classes == "truth":
            form = "class by class, as labelled"
        return (Shelf(task, entry.model, entry.data, "concepts", form),) * len(entry.methods)
    if task == "generation" and entry.targets != "predicted":
        raise InputError(f"{entry.where}.targets: for classifiers; a model that writes is explained by its output")
    forms = []
    for method in entry.methods:
        unit = method.options.get("output_granularity", "token")
        if task == "generation":
            forms.append(_OF_OUTPUTS.get(str(unit), f"each {unit}"))
        else:
            forms.append("chosen classes" if isinstance(entry.targets, tuple) else _OF_TARGETS[entry.targets])
    return tuple(Shelf(task, entry.model, entry.data, "attributions", entry.form or form) for form in forms)


@dataclass(frozen=True, slots=True)
class Standing:
    """Explanations by one method, on one shelf.

    Args:
        shelf: The shelf.
        method: What the gallery calls the method.
        instances: Which texts it explains; none for one picture of all.
        where: Where the spec asks for them.
    """

    shelf: Shelf
    method: str
    instances: frozenset[int]
    where: str


def check_different(standing: Sequence[Standing]) -> None:
    """Refuse explanations that a reader could not tell apart.

    Raises:
        InputError: Two of one method on one shelf.
    """
    seen: dict[tuple[Shelf, str], list[Standing]] = {}
    for one in standing:
        for other in seen.setdefault((one.shelf, one.method), []):
            if one.instances & other.instances or not one.instances or not other.instances:
                raise InputError(
                    f"{one.where}: {one.method!r:.60} stands on the same shelf at {other.where}; give one of them "
                    "another form: or label:"
                )
        seen[one.shelf, one.method].append(one)


def walks_of(tours: Sequence[Tour], standing: Sequence[Standing]) -> tuple[Walk, ...]:
    """Walks with the shelves that their steps show.

    Args:
        tours: What the spec says.
        standing: All explanations.

    Raises:
        InputError: A step that shows nothing, or leaves open what.
    """
    return tuple(Walk(tour.title, tuple(_step(text, sight, standing) for text, sight in tour.steps)) for tour in tours)


def _step(text: str, sight: Sight | None, standing: Sequence[Standing]) -> Step:
    if sight is None:
        return Step(text)
    wanted = {name: getattr(sight, name) for name in ("model", "data", "family", "form") if getattr(sight, name)}
    shelves = list(dict.fromkeys(one.shelf for one in standing))
    left = [shelf for shelf in shelves if all(getattr(shelf, name) == value for name, value in wanted.items())]
    if len(left) != 1:
        raise InputError(f"{sight.where}: expected one kind of explanations, got {_told(wanted, left, shelves)}")
    own = [one for one in standing if one.shelf == left[0]]
    names = [one.method for one in own]
    for k, name in enumerate(sight.methods):
        if name not in names:
            near = get_close_matches(name, names, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(dict.fromkeys(names))}"
            raise InputError(f"{sight.where}.methods[{k}]: expected a method of that shelf, got {name!r:.60}; {hint}")
    shown = [one for one in own if not sight.methods or one.method in sight.methods]
    if sight.instance is not None and not any(sight.instance in one.instances for one in shown):
        most = max((max(one.instances) for one in shown if one.instances), default=None)
        told = "of a whole model, without texts" if most is None else f"the last is {most}"
        raise InputError(f"{sight.where}.text: expected the number of a text, got {sight.instance}; {told}")
    return Step(text, left[0], sight.methods, sight.instance)


def _told(wanted: Mapping[str, str], left: Sequence[Shelf], shelves: Sequence[Shelf]) -> str:
    asked = ", ".join(f"{name} {value!r}" for name, value in wanted.items()) or "no choice"
    if not left:
        known = {name: sorted({getattr(shelf, name) for shelf in shelves}) for name in wanted}
        return f"{asked}, of which there is none; there are {known}"
    between = [name for name in ("model", "data", "family", "form") if len({getattr(one, name) for one in left}) > 1]
    choices = "; ".join(f"{name}: {', '.join(sorted({getattr(one, name) for one in left}))}" for name in between)
    return f"{asked}, which leaves {len(left)} open: say more of {choices}"
