"""What concepts are read as: plain frozen data, all that pictures, tables and scores of labels need."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from interpreto.errors import InputError, MissingExtraError
from interpreto.saving import SavedAsJson

if TYPE_CHECKING:
    import pandas

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Mark:
    """An element of an excerpt, and how much of the concept is in it.

    Args:
        start: First character in the excerpt.
        end: One past the last character.
        activation: The concept's code there.
    """

    start: int
    end: int
    activation: float


@dataclass(frozen=True, slots=True)
class Example:
    """A stretch of text in which a concept is active.

    Args:
        text: The token, word, sentence or text, as the text writes it, without white space around it; the name of a
            special token.
        activation: The concept's code there.
        before: The text before it, back to the first of the neighbours that were asked for.
        after: The text after it.
        input: Number of the input that it comes from; `None` for a token of the vocabulary by itself.
        start: First character of `text` in its input.
        end: One past the last character.
        part: Which of the input's texts it is in: 0, and 1 for the second of a pair or an output.
        marks: Where neighbours were asked for, every element of the excerpt with its own activation.
    """

    text: str
    activation: float
    before: str = ""
    after: str = ""
    input: int | None = None
    start: int = 0
    end: int = 0
    part: int = 0
    marks: tuple[Mark, ...] = ()

    @property
    def excerpt(self) -> str:
        """The text with what stands around it."""
        return self.before + self.text + self.after


@dataclass(frozen=True, slots=True)
class ConceptReading:
    """What one concept is read as.

    Args:
        concept: Its number.
        label: What a language model calls it; `None` where none was asked, or gave no answer.
        examples: Where it is active; none for a dead concept.
    """

    concept: int
    label: str | None
    examples: tuple[Example, ...]

    @property
    def name(self) -> str:
        """The label, or the first three examples, or what there is to say."""
        if self.label is not None:
            return self.label
        return ", ".join(_short(example.text, 40) for example in self.examples[:3]) or "(never active)"

    def __repr__(self) -> str:
        label = "" if self.label is None else f", label={self.label!r}"
        texts = ", ".join(repr(_short(example.text, 20)) for example in self.examples[:5])
        more = ", ..." if len(self.examples) > 5 else ""
        return f"ConceptReading({self.concept}{label}, examples=[{texts}{more}])"


@dataclass(frozen=True, eq=False, repr=False)
class Interpretations(Mapping[int, ConceptReading], SavedAsJson):
    """What concepts are read as, by their numbers, in the order in which they were asked for.

    Args:
        readings: One a concept.
        method: Name of the interpretation.
        settings: Its options, seed included, as plain values.

    >>> example = Example("Spot", 2.5, "a dog named ", " ran home", input=0, start=12, end=16)
    >>> readings = Interpretations((ConceptReading(3, "names of pets", (example,)),), "LLMLabels")
    >>> readings
    Interpretations({3: 'names of pets'})
    >>> print(readings.text())
    concept 3: names of pets
         2.500  a dog named [Spot] ran home
    """

    saved_as: ClassVar[str] = "interpretations"

    readings: tuple[ConceptReading, ...]
    method: str
    settings: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, concept: int) -> ConceptReading:
        if concept not in self._by_concept:
            raise KeyError(f"{concept}; there are {list(self)}")
        return self._by_concept[concept]

    @cached_property
    def _by_concept(self) -> dict[int, ConceptReading]:
        return {reading.concept: reading for reading in self.readings}

    def __iter__(self) -> Iterator[int]:
        return (reading.concept for reading in self.readings)

    def __len__(self) -> int:
        return len(self.readings)

    def __repr__(self) -> str:
        shown = ", ".join(f"{reading.concept}: {_short(reading.name, 60)!r}" for reading in self.readings[:10])
        return f"Interpretations({{{shown}{', ...' if len(self) > 10 else ''}}})"

    @property
    def labels(self) -> dict[int, str | None]:
        """The labels, by concept."""
        return {reading.concept: reading.label for reading in self.readings}

    def text(self) -> str:
        """Concepts and examples as plain text, strongest examples first."""
        lines = []
        for reading in self.readings:
            label = "" if reading.label is None else f": {_line(reading.label)}"
            lines.append(f"concept {reading.concept}{label or ('' if reading.examples else ': never active')}")
            for example in reading.examples:
                shown = _line(example.text)
                if example.before or example.after:
                    shown = f"{_line(example.before)}[{shown}]{_line(example.after)}"
                lines.append(f"{example.activation:10.3f}  {shown}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """As plain values, ready for JSON."""
        return {
            "format": FORMAT,
            "kind": "interpretations",
            "method": self.method,
            "settings": self.settings,
            "readings": [
                {
                    "concept": reading.concept,
                    "label": reading.label,
                    "examples": [example_to_dict(example) for example in reading.examples],
                }
                for reading in self.readings
            ],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Interpretations:
        """The inverse of `to_dict`.

        Raises:
            InputError: No saved interpretations, or some of a newer format.
        """
        if data.get("kind") != "interpretations":
            raise InputError(f"file: expected saved interpretations, got the kind {data.get('kind')!r:.60}")
        if data.get("format") != FORMAT:
            raise InputError(
                f"file: expected interpretations of format {FORMAT}, got format {data.get('format')!r:.60}; "
                "read them with the version of interpreto that wrote them, or a newer one"
            )
        readings = tuple(
            ConceptReading(
                int(reading["concept"]),
                _checked(reading["label"]),
                tuple(example_from_dict(example) for example in reading["examples"]),
            )
            for reading in data["readings"]
        )
        return cls(readings, str(data["method"]), dict(data["settings"]))

    def to_pandas(self) -> pandas.DataFrame:
        """One row an example, and one without text for a concept that has none.

        Columns: `concept, label, rank, text, activation, before, after, input, part, start, end`.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise MissingExtraError("pandas", "data", "to_pandas()") from None
        nothing = Example("", math.nan)
        rows = [
            (reading.concept, reading.label, rank, *(getattr(example, name) for name in _COLUMNS))
            for reading in self.readings
            for rank, example in enumerate(reading.examples or (nothing,))
        ]
        return pandas.DataFrame(rows, columns=["concept", "label", "rank", *_COLUMNS])


def example_to_dict(example: Example) -> dict[str, Any]:
    """An example as plain values, ready for JSON."""
    return {**asdict(example), "marks": [[mark.start, mark.end, mark.activation] for mark in example.marks]}


def example_from_dict(data: dict[str, Any]) -> Example:
    """The inverse of `example_to_dict`."""
    return Example(**{**data, "marks": tuple(Mark(*mark) for mark in data["marks"])})


_COLUMNS = ("text", "activation", "before", "after", "input", "part", "start", "end")


def _checked(label: Any) -> str | None:
    if label is not None and not isinstance(label, str):
        raise InputError(f"file: expected labels that are texts, got {label!r:.60}")
    return label


def _line(text: str) -> str:
    """A text on one line, without what would move a terminal's cursor."""
    return "".join(char if char.isprintable() else " " for char in text)


def _short(text: str, length: int) -> str:
    shown = " ".join(text.split())
    return shown if len(shown) <= length else shown[: length - 1] + "…"
