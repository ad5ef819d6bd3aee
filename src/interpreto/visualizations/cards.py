"""Pictures of learned features, a card each: how often and how strongly it is active, where, and what it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from interpreto.concepts.cards.result import ConceptCard, ConceptCards
from interpreto.concepts.interpretations.result import Example
from interpreto.errors import InputError
from interpreto.visualizations import terminal
from interpreto.visualizations.blocks import Bar, Bars, Block, Heading, Note, level
from interpreto.visualizations.concepts_named import Named, example_line, example_lines, example_payload
from interpreto.visualizations.html import Plot, rounded

_ROWS = {
    "all_tokens": ("token", "tokens"),
    "token": ("token", "tokens"),
    "word": ("word", "words"),
    "sentence": ("sentence", "sentences"),
}  # what the rows of other granularities are called: texts
_BINS_IN_STILL = 12
_IN_TEXT, _EXAMPLES_IN_TEXT, _TOKENS_IN_TEXT = 20, 3, 6
_IN_STILL, _TOKENS_IN_STILL = 6, 12
_BARS = "▁▂▃▄▅▆▇█"


def plot_cards(cards: ConceptCards, *, first: int | None = None) -> Plot:
    """Draw cards of concepts: a list to search and sort, and the card of the one that is picked.

    A card says how often the concept is active and how its activations are spread, on a logarithmic scale, so that the
    rare strong ones are seen; where it is strongest; random examples from its strong to its weak activations, to see
    whether its label fits those too; and, where that is known, the tokens that it raises and lowers, what it weighs for
    each class, how well its label fits, and which concepts are near it.

    Args:
        cards: What `concept_cards` found, or a file of it.
        first: The concept whose card is shown at first; by default the first one.

    Returns:
        A plot that notebooks show, `save("cards.html")` writes and `text()` prints.

    Raises:
        InputError: Something else, no card at all, or no card of that concept.

    >>> from interpreto.concepts.cards import Histogram
    >>> card = ConceptCard(3, "names of pets", 20, 0.02, 4.5, 1.5, Histogram(0.0, 2.0, (18, 1, 1)))
    >>> print(plot_cards(ConceptCards((card,), 1000, 16, {"activation_granularity": "token"})))
    1 of 16 concepts, over 1000 tokens
    <BLANKLINE>
    concept 3: names of pets
      active in 2 % of the tokens, 1.5 on average, at most 4.5  █▂▂
    """
    if not isinstance(cards, ConceptCards):
        raise InputError(f"cards: expected what concept_cards() found, got {type(cards).__name__}")
    if not len(cards):
        raise InputError("cards: expected at least one card, got none")
    if first is not None and first not in cards:
        raise InputError(f"first: expected a concept with a card, one of {list(cards)!s:.200}, got {first!r:.60}")
    return Plot((CardsFigure(cards, first),), "Concept cards")


@dataclass(frozen=True, eq=False)
class CardsFigure:
    """Cards of concepts, ready to be drawn.

    Args:
        result: What is drawn.
        first: The concept whose card is shown at first.
    """

    result: ConceptCards
    first: int | None = None
    view: str = "cards"

    @property
    def height(self) -> int:
        """About how many pixels the figure needs in a notebook."""
        return 720

    @property
    def rows(self) -> tuple[str, str]:
        """What a row is called, and what several are."""
        return _ROWS.get(str(self.result.settings.get("activation_granularity")), ("text", "texts"))

    @cached_property
    def _named(self) -> Named:
        return Named({card.concept: card.reading for card in self.result.cards})

    def payload(self) -> dict[str, Any]:
        """Everything the page shows."""
        result = self.result
        order = list(result)
        return {
            "cards": [self._card(card) for card in result.cards],
            "chosen": 0 if self.first is None else order.index(self.first),
            "rows": [result.n_rows, *self.rows],
            "total": result.nb_concepts,
            "settings": [[str(name), str(value)] for name, value in result.settings.items()],
        }

    def _card(self, card: ConceptCard) -> dict[str, Any]:
        histogram = card.histogram
        return {
            **self._named.payload(card.concept, len(card.strongest)),
            "active": card.active,
            "density": rounded(card.density),
            "largest": rounded(card.largest),
            "mean": rounded(card.mean),
            "histogram": [histogram.start, histogram.width, list(histogram.counts)],
            "bands": [
                [*(rounded(x) for x in (band.start, band.end, band.high, band.low)), _examples(band.examples)]
                for band in card.bands
            ],
            "tokens": [
                [one.name, [[token.text, rounded(token.weight)] for token in one.tokens]] for one in card.tokens
            ],
            "similar": [[near.concept, rounded(near.value)] for near in card.similar],
            "together": [[near.concept, rounded(near.value)] for near in card.together],
            "overall": None if card.overall is None else rounded(card.overall),
            "importance": [
                [one.name, rounded(one.share), rounded(one.absolute), rounded(one.signed)] for one in card.importance
            ],
            "scores": [[name, rounded(score.value), rounded(score.error)] for name, score in card.scores.items()],
        }

    def blocks(self) -> tuple[Block, ...]:
        """For a paper: the card that is shown at first and the next ones."""
        cards = sorted(self.result.cards, key=lambda card: card.concept != self.first)
        found = [block for card in cards[:_IN_STILL] for block in self._still(card)]
        left_out = len(cards) - _IN_STILL
        return (*found, *([Note(f"… and {left_out} more card{'s' * (left_out != 1)}")] if left_out > 0 else []))

    def _still(self, card: ConceptCard) -> list[Block]:
        head, *said = self._about(card)
        found: list[Block] = [Heading(head, "; ".join(said))]
        if not card.active:
            return found
        histogram = card.histogram.merged(_BINS_IN_STILL)
        edges = [terminal.number(edge, signed=False) for edge in histogram.edges]
        bins = [
            Bar(f"{low} to {high}", float(count))
            for low, high, count in zip(edges, edges[1:], histogram.counts, strict=False)
        ]
        if bins:
            found.append(Bars(tuple(bins), "Activations", f"how many {self.rows[1]}"))
        if card.strongest:
            found.append(example_lines(card.strongest[: 2 * _EXAMPLES_IN_TEXT], "Strongest", card.largest))
        for band in card.bands:
            high, low = (terminal.number(end, signed=False) for end in (band.high, band.low))
            found.append(
                example_lines(band.examples[:_EXAMPLES_IN_TEXT], f"Random, from {high} to {low}", card.largest)
            )
        for one in card.tokens:
            words = ", ".join(terminal.word(token.text) for token in one.tokens[:_TOKENS_IN_STILL])
            found.append(Note(f"{terminal.word(one.name)}: {words}"))
        if card.importance:
            rows = [Bar(terminal.word(w.name, 40), w.share, level(w.signed, w.absolute)) for w in card.importance]
            note = "share of the class's absolute weights; orange raises it, blue lowers it, pale: mixed"
            found.append(Bars(tuple(rows), "Importance", note))
        return found

    def text(self, color: bool) -> str:
        """The first cards, some lines each."""
        result = self.result
        found = [f"{len(result)} of {result.nb_concepts} concepts, over {result.n_rows} {self.rows[1]}"]
        cards = sorted(result.cards, key=lambda card: card.concept != self.first)[:_IN_TEXT]
        found += ["\n".join(self._lines(card, color)) for card in cards]
        if len(result) > len(cards):
            found.append(f"... and {len(result) - len(cards)} more")
        return "\n\n".join(found)

    def _about(self, card: ConceptCard) -> list[str]:
        """What it is called, how often and how strongly it is active, and how well its label fits."""
        name = f"concept {card.concept}: {terminal.word(self._named.name(card.concept), 80)}"
        if not card.active:
            return [name, "never active"]
        mean, most = (terminal.number(value, signed=False) for value in (card.mean, card.largest))
        share = f"active in {terminal.number(100 * card.density, signed=False)} % of the {self.rows[1]}"
        scores = [
            f"{terminal.word(name)}: {terminal.number(score.value, signed=False)}"
            f" ± {terminal.number(score.error, signed=False)}"
            for name, score in card.scores.items()
        ]
        return [name, f"{share}, {mean} on average, at most {most}  {_sparks(card)}".rstrip(), *scores]

    def _lines(self, card: ConceptCard, color: bool) -> list[str]:
        head, *said = self._about(card)
        lines = [head, *(f"  {line}" for line in said)]
        if not card.active:
            return lines
        shown = [*card.strongest[:_EXAMPLES_IN_TEXT], *(one for band in card.bands for one in band.examples[:1])]
        lines += [example_line(example, color, card.largest or 1.0) for example in shown]
        for one in card.tokens:
            words = ", ".join(terminal.word(token.text) for token in one.tokens[:_TOKENS_IN_TEXT])
            lines.append(f"  {terminal.word(one.name)}: {words}")
        return lines


def _examples(examples: Sequence[Example]) -> list[Any]:
    return [example_payload(example) for example in examples]


def _sparks(card: ConceptCard) -> str:
    """The histogram in a line, its counts on a logarithmic scale."""
    counts = card.histogram.counts
    most = max((count.bit_length() for count in counts), default=0)
    return "".join(_BARS[round((len(_BARS) - 1) * n.bit_length() / most)] if n else " " for n in counts)
