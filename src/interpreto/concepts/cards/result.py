"""Cards of concepts: plain frozen data, all that a dashboard of learned features needs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from interpreto.concepts.interpretations.output_result import TokenList, TokenWeight
from interpreto.concepts.interpretations.result import ConceptReading, Example, example_from_dict, example_to_dict
from interpreto.concepts.label_metrics.statistics import Estimate
from interpreto.errors import InputError, MissingExtraError
from interpreto.saving import SavedAsJson

if TYPE_CHECKING:
    import pandas

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many rows have which activation; rows with activation 0 are left out.

    Args:
        start: Where the first bin begins: 0, or below it where there are negative activations.
        width: Width of a bin.
        counts: Rows in each bin, of which the lower end belongs to it.

    >>> Histogram(0.0, 0.5, (7, 2)).edges
    (0.0, 0.5, 1.0)
    """

    start: float
    width: float
    counts: tuple[int, ...]

    @property
    def edges(self) -> tuple[float, ...]:
        """Where bins begin and end, one more than there are bins."""
        return tuple(self.start + k * self.width for k in range(len(self.counts) + 1))

    def merged(self, most: int) -> Histogram:
        """The same in wider bins, so that there are at most so many.

        >>> Histogram(0.0, 0.5, (7, 2, 1)).merged(2)
        Histogram(start=0.0, width=1.0, counts=(9, 1))
        """
        steps = -(-len(self.counts) // max(most, 1)) or 1
        joined = (sum(self.counts[k : k + steps]) for k in range(0, len(self.counts), steps))
        return Histogram(self.start, self.width * steps, tuple(joined))


@dataclass(frozen=True, slots=True)
class Band:
    """Examples from one part of a concept's activations.

    Args:
        start: Share of the active rows that are stronger than this part: 0 for the strongest part.
        end: Share of the active rows that are stronger than its weakest.
        high: The largest activation that was drawn from it.
        low: The smallest.
        examples: Some of its rows, drawn at random, strongest first; the strongest examples of the card are left out.
    """

    start: float
    end: float
    high: float
    low: float
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A concept that is near another.

    Args:
        concept: Its number.
        value: How near: a cosine or a correlation, above 0.
    """

    concept: int
    value: float


@dataclass(frozen=True, slots=True)
class ClassWeight:
    """What a concept weighs for a class.

    Args:
        name: The class, or output token.
        share: Part of all concepts' absolute weights.
        absolute: Mean absolute weight.
        signed: Mean weight.
    """

    name: str
    share: float
    absolute: float
    signed: float


@dataclass(frozen=True, slots=True, repr=False)
class ConceptCard:
    """All that is known of one concept.

    Args:
        concept: Its number.
        label: What it is called; `None` where it has no label.
        active: In how many rows it is above 0.
        density: Their share of all rows.
        largest: Its largest activation; 0 where it is never active.
        mean: Mean of the activations above 0; 0 where there is none.
        histogram: How its activations are spread.
        strongest: The distinct texts in which it is strongest.
        bands: Random examples of its activations, from the strongest to the weakest, in parts of as many rows each.
        tokens: Tokens that its direction raises first, then those it lowers; empty where that is not known.
        similar: Concepts whose direction has the largest cosine with its own.
        together: Concepts whose activations correlate most with its own, over all rows.
        overall: Its share of all concepts' absolute weights, over all classes; `None` where that is not known.
        importance: What it weighs for the classes to which it matters most.
        scores: How well its label fits, by the name of the metric.
    """

    concept: int
    label: str | None
    active: int
    density: float
    largest: float
    mean: float
    histogram: Histogram
    strongest: tuple[Example, ...] = ()
    bands: tuple[Band, ...] = ()
    tokens: tuple[TokenList, ...] = ()
    similar: tuple[Neighbour, ...] = ()
    together: tuple[Neighbour, ...] = ()
    overall: float | None = None
    importance: tuple[ClassWeight, ...] = ()
    scores: Mapping[str, Estimate] = field(default_factory=dict)

    @property
    def reading(self) -> ConceptReading:
        """Its label and strongest examples."""
        return ConceptReading(self.concept, self.label, self.strongest)

    @property
    def name(self) -> str:
        """The label, or the first three examples, or what there is to say."""
        return self.reading.name

    def __repr__(self) -> str:
        return f"ConceptCard({self.concept}, {self.name!r:.60}, active in {self.density:.2%})"


@dataclass(frozen=True, eq=False, repr=False)
class ConceptCards(Mapping[int, ConceptCard], SavedAsJson):
    """Cards of concepts, by their numbers, in the order in which they were asked for.

    Args:
        cards: One a concept.
        n_rows: Over how many rows (tokens, words, ...) activations were read.
        nb_concepts: How many concepts there are, with and without a card.
        settings: Options, seed included, as plain values.

    >>> card = ConceptCard(3, "names of pets", 20, 0.02, 4.5, 1.5, Histogram(0.0, 2.0, (18, 1, 1)))
    >>> cards = ConceptCards((card,), 1000, 16)
    >>> cards
    ConceptCards(1 of 16 concepts, 1000 rows)
    >>> ConceptCards.from_json(cards.to_json())[3]
    ConceptCard(3, 'names of pets', active in 2.00%)
    """

    saved_as: ClassVar[str] = "cards of concepts"

    cards: tuple[ConceptCard, ...]
    n_rows: int
    nb_concepts: int
    settings: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, concept: int) -> ConceptCard:
        if concept not in self._by_concept:
            raise KeyError(f"{concept}; there are {list(self)}")
        return self._by_concept[concept]

    @cached_property
    def _by_concept(self) -> dict[int, ConceptCard]:
        return {card.concept: card for card in self.cards}

    def __iter__(self) -> Iterator[int]:
        return (card.concept for card in self.cards)

    def __len__(self) -> int:
        return len(self.cards)

    def __repr__(self) -> str:
        return f"ConceptCards({len(self)} of {self.nb_concepts} concepts, {self.n_rows} rows)"

    def to_dict(self) -> dict[str, Any]:
        """As plain values, ready for JSON; `None` in the place of NaN."""
        return {
            "format": FORMAT,
            "kind": "cards",
            "n_rows": self.n_rows,
            "nb_concepts": self.nb_concepts,
            "settings": self.settings,
            "cards": [_card_to_dict(card) for card in self.cards],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ConceptCards:
        """The inverse of `to_dict`.

        Raises:
            InputError: No saved cards, or some of another format.
        """
        if data.get("kind") != "cards" or data.get("format") != FORMAT:
            raise InputError(
                f"file: expected cards of concepts of format {FORMAT}, got the kind {data.get('kind')!r:.60} of format "
                f"{data.get('format')!r:.60}; read a newer file with a newer version of interpreto"
            )
        cards = tuple(_card_from_dict(card) for card in data["cards"])
        return cls(cards, _whole(data["n_rows"]), _whole(data["nb_concepts"]), dict(data["settings"]))

    def to_pandas(self) -> pandas.DataFrame:
        """One row a concept.

        Columns: `concept, label, name, active, density, largest, mean, overall`, and two for each score of the label,
        the second with `_error` at its end.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise MissingExtraError("pandas", "data", "to_pandas()") from None
        names = ("concept", "label", "name", "active", "density", "largest", "mean", "overall")
        rows = [
            {name: getattr(card, name) for name in names}
            | {metric: score.value for metric, score in card.scores.items()}
            | {f"{metric}_error": score.error for metric, score in card.scores.items()}
            for card in self.cards
        ]
        return pandas.DataFrame(rows)


def _card_to_dict(card: ConceptCard) -> dict[str, Any]:
    return {
        "concept": card.concept,
        "label": card.label,
        "active": card.active,
        "density": card.density,
        "largest": card.largest,
        "mean": card.mean,
        "histogram": [card.histogram.start, card.histogram.width, list(card.histogram.counts)],
        "strongest": [example_to_dict(example) for example in card.strongest],
        "bands": [
            [band.start, band.end, band.high, band.low, [example_to_dict(example) for example in band.examples]]
            for band in card.bands
        ],
        "tokens": [[one.name, [[t.text, t.id, t.weight, t.error] for t in one.tokens]] for one in card.tokens],
        "similar": [[near.concept, near.value] for near in card.similar],
        "together": [[near.concept, near.value] for near in card.together],
        "overall": card.overall,
        "importance": [[one.name, one.share, one.absolute, one.signed] for one in card.importance],
        "scores": {name: [_or_none(score.value), _or_none(score.error)] for name, score in card.scores.items()},
    }


def _card_from_dict(data: dict[str, Any]) -> ConceptCard:
    start, width, counts = data["histogram"]
    return ConceptCard(
        _whole(data["concept"]),
        None if data["label"] is None else _text(data["label"]),
        _whole(data["active"]),
        _number(data["density"]),
        _number(data["largest"]),
        _number(data["mean"]),
        Histogram(_number(start), _number(width), tuple(_whole(count) for count in counts)),
        tuple(example_from_dict(example) for example in data["strongest"]),
        tuple(_band(*band) for band in data["bands"]),
        tuple(TokenList(_text(name), tuple(_token(*token) for token in tokens)) for name, tokens in data["tokens"]),
        tuple(Neighbour(_whole(concept), _number(value)) for concept, value in data["similar"]),
        tuple(Neighbour(_whole(concept), _number(value)) for concept, value in data["together"]),
        None if data["overall"] is None else _number(data["overall"]),
        tuple(ClassWeight(_text(name), *(_number(value) for value in values)) for name, *values in data["importance"]),
        {_text(name): Estimate(_or_nan(value), _or_nan(error)) for name, (value, error) in data["scores"].items()},
    )


def _band(start: Any, end: Any, high: Any, low: Any, examples: Any) -> Band:
    shown = tuple(example_from_dict(example) for example in examples)
    return Band(_number(start), _number(end), _number(high), _number(low), shown)


def _token(text: Any, token: Any, weight: Any, error: Any) -> TokenWeight:
    return TokenWeight(_text(text), _whole(token), _number(weight), None if error is None else _number(error))


def _or_none(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _or_nan(value: Any) -> float:
    return math.nan if value is None else _number(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"expected a number, got {value!r:.60}")
    return float(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"expected a whole number, got {value!r:.60}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, got {value!r:.60}")
    return value
