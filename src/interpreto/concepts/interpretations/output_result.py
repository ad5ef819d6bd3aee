"""What concepts do to a model's output, as plain frozen data: the tokens that they raise and lower."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from interpreto.concepts.interpretations.result import ConceptReading, Example, Interpretations
from interpreto.errors import InputError, MissingExtraError
from interpreto.saving import SavedAsJson

if TYPE_CHECKING:
    import pandas

FORMAT = 1


@dataclass(frozen=True, slots=True)
class TokenWeight:
    """A token of the vocabulary, and what a concept does to it.

    Args:
        text: What it looks like in a text, without the white space around it.
        id: Its id.
        weight: How much its logit is moved.
        error: Standard error of the weight, where it is a mean over sampled texts.
    """

    text: str
    id: int
    weight: float
    error: float | None = None


@dataclass(frozen=True, slots=True)
class TokenList:
    """Tokens with something in common, the most moved one first.

    Args:
        name: What they have in common, as `"raised"`.
        tokens: The tokens.
    """

    name: str
    tokens: tuple[TokenWeight, ...]


@dataclass(frozen=True, slots=True, repr=False)
class OutputReading:
    """What one concept does to the output.

    Args:
        concept: Its number.
        lists: The tokens that it raises first, then the others.
    """

    concept: int
    lists: tuple[TokenList, ...]

    def __getitem__(self, name: str) -> tuple[TokenWeight, ...]:
        for tokens in self.lists:
            if tokens.name == name:
                return tokens.tokens
        raise KeyError(f"{name!r}; there are {[tokens.name for tokens in self.lists]}")

    @property
    def name(self) -> str:
        """The first three tokens that it raises."""
        return ", ".join(token.text for token in self.lists[0].tokens[:3])

    def __repr__(self) -> str:
        lists = (f"{one.name}=[{', '.join(repr(token.text) for token in one.tokens[:5])}...]" for one in self.lists)
        return f"OutputReading({self.concept}, {', '.join(lists)})"


@dataclass(frozen=True, eq=False, repr=False)
class OutputReadings(Mapping[int, OutputReading], SavedAsJson):
    """What concepts do to the output, by their numbers, in the order in which they were asked for.

    Args:
        readings: One a concept.
        method: Name of the interpretation.
        settings: Its options, seed included, as plain values.

    >>> raised = TokenList("raised", (TokenWeight("dog", 17, 2.5), TokenWeight("cat", 4, 2.0)))
    >>> found = OutputReadings((OutputReading(3, (raised,)),), "VocabProj")
    >>> found
    OutputReadings({3: 'dog, cat'})
    >>> print(found.text())
    concept 3
      raised: dog (+2.500), cat (+2.000)
    >>> OutputReadings.from_json(found.to_json())[3]["raised"][0].text
    'dog'
    """

    saved_as: ClassVar[str] = "output readings"

    readings: tuple[OutputReading, ...]
    method: str
    settings: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, concept: int) -> OutputReading:
        if concept not in self._by_concept:
            raise KeyError(f"{concept}; there are {list(self)}")
        return self._by_concept[concept]

    @cached_property
    def _by_concept(self) -> dict[int, OutputReading]:
        return {reading.concept: reading for reading in self.readings}

    def __iter__(self) -> Iterator[int]:
        return (reading.concept for reading in self.readings)

    def __len__(self) -> int:
        return len(self.readings)

    def __repr__(self) -> str:
        shown = ", ".join(f"{reading.concept}: {reading.name!r:.60}" for reading in self.readings[:10])
        return f"OutputReadings({{{shown}{', ...' if len(self) > 10 else ''}}})"

    def text(self, k: int = 10) -> str:
        """Concepts and their tokens as plain text.

        Args:
            k: The most tokens of a list.
        """
        lines = []
        for reading in self.readings:
            lines.append(f"concept {reading.concept}")
            for one in reading.lists:
                tokens = (f"{_line(token.text)} ({token.weight:+.3f})" for token in one.tokens[:k])
                lines.append(f"  {_line(one.name)}: {', '.join(tokens)}")
        return "\n".join(lines)

    def as_interpretations(self) -> Interpretations:
        """The tokens that concepts raise as examples, for all that takes `Interpretations`: pictures, tables."""
        return Interpretations(
            tuple(
                ConceptReading(
                    reading.concept,
                    None,
                    tuple(Example(token.text, token.weight) for token in reading.lists[0].tokens),
                )
                for reading in self.readings
            ),
            self.method,
            self.settings,
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain values, ready for JSON."""
        return {
            "format": FORMAT,
            "kind": "output readings",
            "method": self.method,
            "settings": self.settings,
            "readings": [
                {
                    "concept": reading.concept,
                    "lists": [
                        {"name": one.name, "tokens": [[t.text, t.id, t.weight, t.error] for t in one.tokens]}
                        for one in reading.lists
                    ],
                }
                for reading in self.readings
            ],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> OutputReadings:
        """The inverse of `to_dict`.

        Raises:
            InputError: No saved readings, or some of another format.
        """
        if data.get("kind") != "output readings" or data.get("format") != FORMAT:
            raise InputError(
                f"file: expected output readings of format {FORMAT}, got the kind {data.get('kind')!r:.60} of format "
                f"{data.get('format')!r:.60}; read a newer file with a newer version of interpreto"
            )
        readings = tuple(
            OutputReading(
                int(reading["concept"]),
                tuple(
                    TokenList(_text(one["name"]), tuple(_token(*token) for token in one["tokens"]))
                    for one in reading["lists"]
                ),
            )
            for reading in data["readings"]
        )
        if not all(reading.lists for reading in readings):
            raise InputError("file: expected at least one list of tokens a concept, got none")
        return cls(readings, _text(data["method"]), dict(data["settings"]))

    def to_pandas(self) -> pandas.DataFrame:
        """One row a token, columns `concept, list, rank, text, id, weight, error`.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise MissingExtraError("pandas", "data", "to_pandas()") from None
        rows = [
            (reading.concept, one.name, rank, token.text, token.id, token.weight, token.error)
            for reading in self.readings
            for one in reading.lists
            for rank, token in enumerate(one.tokens)
        ]
        return pandas.DataFrame(rows, columns=["concept", "list", "rank", "text", "id", "weight", "error"])


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"file: expected a text, got {value!r:.60}")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"file: expected a number, got {value!r:.60}")
    return float(value)


def _token(text: Any, token: Any, weight: Any, error: Any) -> TokenWeight:
    return TokenWeight(_text(text), int(_number(token)), _number(weight), None if error is None else _number(error))


def _line(text: str) -> str:
    """A text on one line, without what would move a terminal's cursor."""
    return "".join(char if char.isprintable() else " " for char in text)
