"""What to call concepts, and the examples that show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from interpreto.concepts.interpretations.result import ConceptReading, Example
from interpreto.visualizations import terminal
from interpreto.visualizations.blocks import ColouredText, level
from interpreto.visualizations.html import rounded

_LONGEST = 500  # letters of an example that are shown
_WORDS, _LETTERS = 5, 64  # of the examples that stand for a missing label


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A piece of an example.

    Args:
        text: The letters as written.
        activation: The concept's code there; `None` where it is not known.
        own: Whether it is the example itself, not what stands around it.
    """

    text: str
    activation: float | None = None
    own: bool = False


@dataclass(frozen=True, eq=False)
class Named:
    """The concepts of one concept model, and what is known of their meaning.

    Args:
        readings: Labels and examples, by concept.
        labels: What to call them instead, by concept.
    """

    readings: Mapping[int, ConceptReading] = field(default_factory=dict)
    labels: Mapping[int, str] = field(default_factory=dict)

    def label(self, concept: int) -> str | None:
        """The label, if there is one."""
        if concept in self.labels:
            return self.labels[concept]
        reading = self.readings.get(concept)
        return None if reading is None else reading.label

    def examples(self, concept: int, most: int | None = None) -> tuple[Example, ...]:
        """Where it is active, the strongest first."""
        reading = self.readings.get(concept)
        return () if reading is None else reading.examples[:most]

    def words(self, concept: int) -> list[str]:
        """The texts of the strongest examples, each once, as many as fit a line."""
        words: list[str] = []
        left = _LETTERS
        for example in self.examples(concept):
            text = " ".join(example.text.split()) or terminal.word(example.text)
            word = text if len(text) <= left else text[: max(left, 20) - 1] + "…"
            if word in words:
                continue
            words.append(word)
            left -= len(word) + 3
            if left <= 0 or len(words) == _WORDS:
                break
        return words

    def name(self, concept: int) -> str:
        """The label, or the strongest examples, or the number."""
        label = self.label(concept)
        if label is not None:
            return label
        words = " · ".join(self.words(concept))
        return words or f"concept {concept}" + (" (never active)" if concept in self.readings else "")

    def payload(self, concept: int, most: int) -> dict[str, Any]:
        """What the page shows of a concept."""
        return {
            "number": concept,
            "label": self.label(concept),
            "words": self.words(concept),
            "read": concept in self.readings,
            "examples": [example_payload(example) for example in self.examples(concept, most)],
        }


def example_payload(example: Example) -> list[Any]:
    """What the page shows of an example: its activation, and its pieces."""
    pieces = [
        [piece.text, None if piece.activation is None else rounded(piece.activation), int(piece.own)]
        for piece in excerpts(example)
    ]
    return [rounded(example.activation), pieces]


def excerpts(example: Example, longest: int = _LONGEST) -> list[Excerpt]:
    """An example in pieces, cut wherever the activation changes and where the example begins and ends.

    >>> [piece.text for piece in excerpts(Example("Spot", 2.5, "a dog named ", " ran home"))]
    ['a dog named ', 'Spot', ' ran home']
    """
    text = example.excerpt
    first, last = len(example.before), len(example.before) + len(example.text)
    low = max(0, first - longest // 3) if len(text) > longest else 0
    high = min(len(text), low + longest)
    marks = sorted((mark.start, mark.end, mark.activation) for mark in example.marks) or [
        (first, last, example.activation)
    ]
    borders = {border for start, end, _ in marks for border in (start, end)} | {first, last}
    cuts = [low, *sorted(border for border in borders if low < border < high), high]
    pieces = [Excerpt("…")] if low else []
    for start, end in pairwise(cuts):
        if start < end:
            activation = next((value for a, b, value in marks if a <= start and end <= b), None)
            pieces.append(Excerpt(text[start:end], activation, first <= start and end <= last))
    return [*pieces, Excerpt("…")] if high < len(text) else pieces


def example_lines(
    examples: Sequence[Example], name: str, largest: float | None = None, length: int = 160
) -> ColouredText:
    """Examples for a still picture, a line each: the activation, and the text on the ground of its own activations."""
    marked = [mark.activation for example in examples for mark in example.marks]
    if largest is None:
        largest = max((abs(value) for value in [*marked, *(example.activation for example in examples)]), default=0.0)
    pieces: list[tuple[str, float | None]] = []
    for example in examples:
        told = terminal.number(example.activation, signed=False)
        pieces.append((f"{chr(10) * bool(pieces)}{told}  ", None))
        for piece in excerpts(example, length):
            share = None if piece.activation is None else level(piece.activation, largest)
            pieces.append((piece.text.replace("\n", " "), share))
    return ColouredText(tuple(pieces), name)


def example_line(example: Example, color: bool, largest: float, length: int = 100) -> str:
    """An example on one line of a terminal: the number, and the text with its strongest part marked."""
    shown = []
    around = bool(example.before or example.after)
    for piece in excerpts(example, length):
        line = terminal.safe(piece.text).replace("\n", " ")
        if color and around and piece.activation is not None:
            shown.append(terminal.shade(line, piece.activation / largest))
        else:
            shown.append(f"[{line}]" if around and piece.own and not color else line)
    text = "".join(shown).strip() or terminal.word(example.text)
    return f"{terminal.number(example.activation, signed=False):>8}  {text}"
