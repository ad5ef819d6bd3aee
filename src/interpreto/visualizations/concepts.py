"""Pictures of concepts: what matters to a class, what a concept means, and where it is in a text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from jaxtyping import Float
from torch import Tensor

from interpreto.concepts.importance import ConceptImportance, LocalImportance
from interpreto.concepts.interpretations.result import Interpretations
from interpreto.errors import InputError, check_count
from interpreto.visualizations import terminal
from interpreto.visualizations.blocks import Bar, Bars, Block, Heading, Note, level
from interpreto.visualizations.concepts_local import LocalConceptsFigure
from interpreto.visualizations.concepts_named import Named, example_line, example_lines
from interpreto.visualizations.html import Figure, Plot, rounded

Labels: TypeAlias = Sequence[str] | Mapping[int, str]

_ACROSS = 8  # classes a concept's shares are compared over
_EXAMPLES_IN_TEXT = 3
_GROUPS_IN_STILL, _CONCEPTS_IN_STILL = 12, 20


def plot_concepts(
    interpretations: Interpretations | Mapping[str, Interpretations] | None = None,
    importance: ConceptImportance | Mapping[str, ConceptImportance] | None = None,
    local: LocalImportance | Sequence[LocalImportance] | None = None,
    *,
    labels: Labels | Mapping[str, Labels] | None = None,
    top: int | None = 10,
    examples: int = 5,
) -> Plot:
    """Draw concepts from saved results; what is given decides what is shown.

    With `interpretations` alone: the concepts with their labels and examples. With `importance`: for each class, and
    over all, the concepts that weigh most. With `local`: the concepts in every row (token, word) of a text, where the
    reader picks a row, a concept, a target. Concepts that were learned class by class, each class with its own, come as
    mappings from the class names.

    Importance is shown as a share: the mean absolute weight, divided by the sum over all concepts of the class. The
    signed mean says which way the concept pushes, and how much is left where texts disagree.

    Args:
        interpretations: What concepts mean; or by class.
        importance: What they weigh for each class; or by class, one importance each, of which the row of that name is
            taken, or the only one.
        local: What they weigh in one text, or in several, one figure each.
        labels: What to call concepts, instead of their own labels: a list with a label for every concept, or a mapping
            from some of their numbers; or by class.
        top: The most concepts a class, a target or a token shows; `None` for all.
        examples: The most example texts a concept shows.

    Returns:
        A plot that notebooks show, `save("concepts.html")` writes and `text()` prints.

    Raises:
        InputError: Nothing to draw, something else than results, or results that do not belong together.

    >>> import torch
    >>> weights = torch.tensor([[0.6, 0.1]])
    >>> importance = ConceptImportance("gradient", ("Sports",), torch.tensor([9]), weights, weights)
    >>> print(plot_concepts(importance=importance, labels=["scores of games", "names of towns"]))
    Class: Sports
      importance 0.857  scores of games
      importance 0.143  names of towns
    """
    if top is not None:
        check_count("top", top, 1)
    check_count("examples", examples, 0)
    if interpretations is None and importance is None and local is None:
        raise InputError(
            "interpretations: expected something to draw, got None; pass interpretations, importance or local"
        )
    readings = _checked("interpretations", interpretations, Interpretations)
    weights = _checked("importance", importance, ConceptImportance)
    texts = _checked_texts(local)
    figures: list[Figure] = []
    if isinstance(readings, dict) or isinstance(weights, dict):
        if texts:
            raise InputError(
                "local: expected none beside results by class, whose concepts are not those of the text; draw it with "
                "the interpretations of its own concepts"
            )
        figures.append(_class_by_class(readings, weights, labels, top, examples))
    else:
        counts = {"importance": None if weights is None else weights.signed.shape[1]}
        counts |= {f"local[{k}]": text.codes.shape[1] for k, text in enumerate(texts)}
        named = _named("", readings, labels, counts)
        if weights is not None:
            figures.append(ConceptsFigure((named,), _groups(weights, top), examples, _method(readings, weights)))
        elif not texts:
            figures.append(ConceptsFigure((named,), (_listed(readings, top),), examples, _method(readings, None)))
        figures += [LocalConceptsFigure(text, named, top) for text in texts]
    return Plot(tuple(figures), "Concepts")


# What was given


def _checked(name: str, value: Any, kind: type) -> Any:
    """One result, a dict of results by class, or None."""
    if value is None or isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        raise InputError(
            f"{name}: expected {kind.__name__}, or a mapping from class names to them, got {type(value).__name__}"
        )
    if not value:
        raise InputError(f"{name}: expected at least one class, got an empty mapping")
    for key, one in value.items():
        if not isinstance(key, str) or not isinstance(one, kind):
            raise InputError(
                f"{name}: expected a mapping from class names to {kind.__name__}, got {key!r:.60}: {type(one).__name__}"
            )
    return dict(value)


def _checked_texts(local: Any) -> list[LocalImportance]:
    texts = [] if local is None else [local] if isinstance(local, LocalImportance) else local
    if not isinstance(texts, Sequence) or isinstance(texts, str):
        raise InputError(f"local: expected a LocalImportance or a list of them, got {type(local).__name__}")
    for k, text in enumerate(texts):
        if not isinstance(text, LocalImportance):
            raise InputError(f"local[{k}]: expected a LocalImportance, got {type(text).__name__}")
    if local is not None and not texts:
        raise InputError("local: expected at least one text, got none")
    return list(texts)


def _named(where: str, readings: Interpretations | None, labels: Any, counts: Mapping[str, int | None]) -> Named:
    """What to call the concepts of one concept model, of which there are as many as the other results have."""
    known = {source: count for source, count in counts.items() if count is not None}
    if len(set(known.values())) > 1:
        told = ", ".join(f"{count} in {source}" for source, count in known.items())
        raise InputError(f"importance: expected results of the same concepts, got {told}; draw them one by one")
    count = next(iter(known.values()), None)
    by_number = {} if readings is None else {reading.concept: reading for reading in readings.readings}
    if count is not None and by_number and max(by_number) >= count:
        raise InputError(
            f"interpretations{where}: expected concepts 0 to {count - 1}, as the other results have, got concept "
            f"{max(by_number)}"
        )
    return Named(by_number, _labels(where, labels, by_number, count))


def _labels(where: str, labels: Any, readings: Mapping[int, Any], count: int | None) -> dict[int, str]:
    if labels is None:
        return {}
    if isinstance(labels, Mapping):
        known = readings if count is None else range(count)
        for number, label in labels.items():
            if isinstance(number, bool) or not isinstance(number, int) or number not in known:
                expected = f"numbers from 0 to {count - 1}" if count is not None else f"some of {list(readings)}"
                raise InputError(f"labels{where}: expected {expected} as keys, got {number!r:.60}")
            if not isinstance(label, str):
                raise InputError(f"labels{where}: expected texts, got {label!r:.60} for concept {number}")
        return dict(labels)
    if isinstance(labels, str) or not isinstance(labels, Sequence) or not all(isinstance(one, str) for one in labels):
        raise InputError(
            f"labels{where}: expected a list of texts, or a mapping from concepts to texts, got {labels!r:.60}"
        )
    if count is None:
        if sorted(readings) != list(range(len(readings))):
            raise InputError(
                f"labels{where}: expected a mapping from concepts to texts, since only the concepts {list(readings)} "
                "are there, got a list"
            )
        count = len(readings)
    if len(labels) != count:
        raise InputError(
            f"labels{where}: expected a label for each of the {count} concepts, got {len(labels)}; pass a mapping to "
            "name some of them"
        )
    return dict(enumerate(labels))


def _class_by_class(readings: Any, weights: Any, labels: Any, top: int | None, examples: int) -> ConceptsFigure:
    """Concepts that were learned class by class: each class ranks its own."""
    names = list(weights if isinstance(weights, dict) else readings)
    for name, given in (("interpretations", readings), ("labels", labels)):
        if isinstance(given, Mapping) and not isinstance(given, Interpretations) and set(given) != set(names):
            raise InputError(f"{name}: expected the classes {names}, got {list(given)}")
    if not isinstance(weights, dict) and weights is not None:
        raise InputError("importance: expected a mapping from the same classes as interpretations, got one for all")
    if labels is not None and not isinstance(labels, Mapping):
        raise InputError(f"labels: expected a mapping from the classes {names}, got {type(labels).__name__}")
    shared = isinstance(readings, Interpretations)
    counts = {} if weights is None else {name: one.signed.shape[1] for name, one in weights.items()}
    spaces, groups = [], []
    for space, name in enumerate(names):
        own = readings[name] if isinstance(readings, dict) else readings
        weight = None if weights is None else weights[name]
        others = {f"importance[{one!r}]": count for one, count in counts.items() if shared or one == name}
        spaces.append(_named(f"[{name!r}]", own, None if labels is None else labels[name], others))
        if weight is None:
            groups.append(_listed(own, top, name, space))
        else:
            row = _row(name, weight)
            groups.append(_ranked(name, int(weight.counts[row]), weight.absolute[row], weight.signed[row], top, space))
    return ConceptsFigure(tuple(spaces), tuple(groups), examples, _method(readings, weights), own_concepts=not shared)


def _row(name: str, importance: ConceptImportance) -> int:
    """The row of a class in its own importance."""
    if name in importance.target_names:
        return importance.target_names.index(name)
    if len(importance.target_names) == 1:
        return 0
    raise InputError(
        f"importance[{name!r}]: expected one target, or one of that name, got {list(importance.target_names)}; "
        "explain this class alone"
    )


def _method(readings: Any, weights: Any) -> Method:
    reading = next(iter(readings.values())) if isinstance(readings, dict) else readings
    weight = next(iter(weights.values())) if isinstance(weights, dict) else weights
    return Method(
        None if reading is None else reading.method,
        None if weight is None else weight.method,
        {} if reading is None else reading.settings,
    )


# What is drawn


@dataclass(frozen=True, slots=True)
class Method:
    """How the results were made.

    Args:
        interpretation: Name of the interpretation.
        importance: What a weight is.
        settings: Options of the interpretation.
    """

    interpretation: str | None
    importance: str | None
    settings: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Group:
    """The concepts of a class, or of all, the strongest first.

    Args:
        name: The class; `None` where there is no choice.
        order: Those that are shown.
        total: How many concepts there are.
        space: Which of the figure's concept models they are of.
        absolute: Mean absolute weights of all concepts `(c,)`; `None` in a list without importance.
        signed: Mean weights `(c,)`.
        texts: Over how many texts the means are.
        overall: Whether it sums up the others.
    """

    name: str | None
    order: tuple[int, ...]
    total: int
    space: int = 0
    absolute: Float[Tensor, " c"] | None = None
    signed: Float[Tensor, " c"] | None = None
    texts: int | None = None
    overall: bool = False

    @cached_property
    def shares(self) -> list[float]:
        """Each concept's part of all absolute weights; empty without importance."""
        return [] if self.absolute is None else (self.absolute / (self.absolute.sum() or 1.0)).tolist()

    def numbers(self, concept: int) -> list[float | None]:
        """Share, mean absolute weight, mean weight; nothing without importance."""
        if self.absolute is None or self.signed is None:
            return []
        return [
            rounded(value)
            for value in (self.shares[concept], float(self.absolute[concept]), float(self.signed[concept]))
        ]


def _groups(importance: ConceptImportance, top: int | None) -> tuple[Group, ...]:
    """One group a target, and one over all where there are several."""
    by_class = [
        _ranked(name, int(importance.counts[t]), importance.absolute[t], importance.signed[t], top)
        for t, name in enumerate(importance.target_names)
    ]
    if len(by_class) < 2:
        return tuple(by_class)
    texts = int(importance.counts.sum())
    overall = _ranked("Overall", texts, importance.overall(), importance.overall("signed"), top, overall=True)
    return (overall, *by_class)


def _ranked(
    name: str, texts: int, absolute: Tensor, signed: Tensor, top: int | None, space: int = 0, overall: bool = False
) -> Group:
    """Concepts by their absolute weight; those that weigh nothing are left out."""
    absolute, signed = absolute.double().nan_to_num(0.0, 0.0, 0.0), signed.double().nan_to_num(0.0, 0.0, 0.0)
    order = absolute.argsort(descending=True, stable=True)[:top].tolist()
    shown = tuple(concept for concept in order if absolute[concept] > 0)
    return Group(name, shown, len(absolute), space, absolute, signed, texts, overall)


def _listed(readings: Interpretations, top: int | None, name: str | None = None, space: int = 0) -> Group:
    """Concepts in the order in which they were interpreted."""
    return Group(name, tuple(readings)[:top], len(readings), space)


@dataclass(frozen=True, eq=False)
class ConceptsFigure:
    """Concepts with their examples, ranked by importance for each class, or in order.

    Args:
        spaces: The concept models, one or one a class.
        groups: Their rankings.
        examples: The most examples a concept shows.
        method: How the results were made.
        own_concepts: Whether each class has concepts of its own.
    """

    spaces: tuple[Named, ...]
    groups: tuple[Group, ...]
    examples: int
    method: Method = field(default_factory=lambda: Method(None, None, {}))
    own_concepts: bool = False
    view: str = "concepts"

    @property
    def height(self) -> int:
        """About how many pixels the figure needs in a notebook."""
        rows = max((len(group.order) for group in self.groups), default=0)
        buttons = sum(len(group.name or "") + 12 for group in self.groups) // 90 + 1 if len(self.groups) > 1 else 0
        return 180 + 45 * min(buttons, 4) + max(52 * rows, 120 + 55 * self.examples)

    def payload(self) -> dict[str, Any]:
        """Everything the page shows: concepts that some class ranks, and the rankings."""
        places: dict[tuple[int, int], int] = {}
        for group in self.groups:
            for concept in group.order:
                places.setdefault((group.space, concept), len(places))
        return {
            "interpretation": self.method.interpretation,
            "importance": self.method.importance,
            "settings": [[str(name), str(value)] for name, value in self.method.settings.items()],
            "concepts": [
                {**self.spaces[space].payload(concept, self.examples), "across": self._across(concept)}
                for space, concept in places
            ],
            "groups": [
                {
                    "name": group.name,
                    "texts": group.texts,
                    "total": group.total,
                    "overall": group.overall,
                    "entries": [[places[group.space, concept], *group.numbers(concept)] for concept in group.order],
                }
                for group in self.groups
            ],
        }

    def _across(self, concept: int) -> list[list[Any]]:
        """The classes to which a concept that they share matters most: which, share, mean absolute and mean weight."""
        classes = [k for k, group in enumerate(self.groups) if group.shares and not group.overall]
        if self.own_concepts or len(classes) < 2:
            return []
        classes.sort(key=lambda k: -self.groups[k].shares[concept])
        return [[k, *self.groups[k].numbers(concept)] for k in classes[:_ACROSS]]

    def blocks(self) -> tuple[Block, ...]:
        """For a paper: the importances class by class, then each of these concepts with its strongest examples."""
        weighed = any(group.shares for group in self.groups)
        reading = (
            "mean absolute weight as a share of all concepts; orange raises the class, blue lowers it, pale: mixed"
        )
        found: list[Block] = [Heading("Concepts", reading if weighed else self.method.interpretation or "")]
        concepts: dict[tuple[int, int], str] = {}
        for group in self.groups[:_GROUPS_IN_STILL]:
            names = {concept: terminal.word(self.spaces[group.space].name(concept), 80) for concept in group.order}
            title = "Over all classes" if group.overall else terminal.word(group.name, 60) if group.name else ""
            concepts |= {
                (group.space, concept): f"{title}: {name}" if self.own_concepts and title else name
                for concept, name in names.items()
            }
            if group.absolute is not None and group.signed is not None:
                absolute, signed = group.absolute.tolist(), group.signed.tolist()
                rows = [Bar(name, group.shares[c], level(signed[c], absolute[c])) for c, name in names.items()]
                texts = "" if group.texts is None else f"{group.texts} text{'s' * (group.texts != 1)}"
                found.append(Bars(tuple(rows), title, texts))
                if not rows:
                    found.append(Note("no concept weighs anything"))
            if 0 < len(group.order) < group.total:
                found.append(Note(f"… and {group.total - len(group.order)} more concepts"))
        if len(self.groups) > _GROUPS_IN_STILL:
            found.append(Note(f"… and {len(self.groups) - _GROUPS_IN_STILL} more classes"))
        most = min(self.examples, _EXAMPLES_IN_TEXT)
        shown = [
            example_lines(examples, name)
            for (space, concept), name in list(concepts.items())[:_CONCEPTS_IN_STILL]
            if (examples := self.spaces[space].examples(concept, most))
        ]
        if shown and weighed:
            found.append(Heading("Where they are active", "activation, and the text with its own activations"))
        return (*found, *shown)

    def text(self, color: bool) -> str:
        """Class by class the importances and labels; of concepts without importance, the labels and examples."""
        blocks = []
        for group in self.groups:
            title = "Overall" if group.overall else f"Class: {terminal.word(group.name, 60)}" if group.name else None
            lines = [title] if title else []
            for concept in group.order:
                lines += self._lines(group, concept, color)
            if 0 < len(group.order) < group.total:
                lines.append(f"  ... and {group.total - len(group.order)} more")
            blocks.append("\n".join(lines if group.order else [*lines, "  no concept weighs anything"]))
        return "\n\n".join(blocks)

    def _lines(self, group: Group, concept: int, color: bool) -> list[str]:
        """A concept's importance and name; of a list without importance, its name and strongest examples."""
        named = self.spaces[group.space]
        name = terminal.word(named.name(concept), 100)
        if group.signed is not None:
            share = group.shares[concept]
            level = math.copysign(share / group.shares[group.order[0]], float(group.signed[concept]))
            return [f"  importance {terminal.shade(f'{share:.3f}', level) if color else f'{share:.3f}'}  {name}"]
        shown = named.examples(concept, min(self.examples, _EXAMPLES_IN_TEXT))
        marked = [abs(mark.activation) for example in shown for mark in example.marks]
        most = max([abs(example.activation) for example in shown] + marked, default=0.0) or 1.0
        return [f"concept {concept:<4} {name}", *(example_line(one, color, most) for one in shown)]
