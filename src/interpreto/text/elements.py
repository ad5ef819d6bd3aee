"""Tokens to elements: which tokens are kept or removed together, and which characters they show."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from interpreto.text.borders import sentence_spans, word_spans
from interpreto.text.sample import Sample
from interpreto.types import Granularity

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Element:
    """What one score of an explanation belongs to.

    Args:
        text: As the text wrote it, white space before it included (`" the"`); the token's name for special tokens.
        part: Which of the sample's texts it is in.
        start: First character in that part.
        end: One past the last character.
        tokens: Its places in the row of tokens.
    """

    text: str
    part: int
    start: int
    end: int
    tokens: tuple[int, ...]


def find_elements(
    sample: Sample, granularity: Granularity, special_names: Mapping[int, str] | None = None
) -> tuple[Element, ...]:
    """Group the tokens of a sample into elements, in the order of the row.

    Every character of the sample's texts is in exactly one element or belongs to the fixed context (what the
    tokenizer drops does too). White space goes with what follows it. Tokens that share a character, and tokens with
    letters of two words, join their elements.

    Args:
        sample: The tokens and their texts.
        granularity: What an element is. The sample's own segments, where it has some, come before it.
        special_names: Names of special tokens by id, shown for `ALL_TOKENS`.
    """
    everything = granularity is Granularity.ALL_TOKENS
    names = special_names or {}
    elements: list[Element] = []
    for part in range(len(sample.parts)):
        places = [i for i, token in enumerate(sample.tokens) if token.part == part and (everything or not token.fixed)]
        special = {i for i in places if sample.tokens[i].fixed and sample.tokens[i].start == sample.tokens[i].end}
        for i in special:
            token = sample.tokens[i]
            elements.append(Element(names.get(token.id, ""), part, token.start, token.end, (i,)))
        written = [i for i in places if i not in special]
        if written:
            elements += _group(sample, part, written, _spans(sample, part, written, granularity))
    return tuple(sorted(elements, key=lambda element: element.tokens[0]))


def _spans(sample: Sample, part: int, places: Sequence[int], granularity: Granularity) -> list[Span]:
    """The elements' stretches of text, in order; between them there may be fixed context."""
    text = sample.parts[part]
    regions = [(start, end) for p, start, end in sample.regions or () if p == part] or [(0, len(text))]
    if sample.own_segments and any(p == part for p, _, _ in sample.regions or ()):
        return regions
    if granularity in (Granularity.TOKEN, Granularity.ALL_TOKENS):
        return _token_spans(sample, part, places)
    if granularity is Granularity.TEXT:
        return regions
    cut = word_spans if granularity is Granularity.WORD else sentence_spans
    return [(begin + start, begin + end) for begin, stop in regions for start, end in cut(text[begin:stop])]


def _token_spans(sample: Sample, part: int, places: Sequence[int]) -> list[Span]:
    """One stretch a token, one for all tokens that share a character; each begins where the token before it ended."""
    explained = set(places)
    spans: list[Span] = []
    reached = 0
    open_span = False  # whether the token before belongs to the last stretch
    for i, token in enumerate(sample.tokens):
        if token.part != part or token.start == token.end:
            continue
        if i in explained and open_span and token.start < reached:
            spans[-1] = (spans[-1][0], max(spans[-1][1], token.end))
        elif i in explained:
            spans.append((min(reached, token.start), token.end))
        open_span = i in explained
        reached = max(reached, token.end)
    text = sample.parts[part]
    if open_span and not text[reached:].strip():
        spans[-1] = (spans[-1][0], len(text))
    return spans


def _group(sample: Sample, part: int, places: Sequence[int], spans: Sequence[Span]) -> list[Element]:
    """Give each token to the stretch its letters are in; join stretches that share a token."""
    text = sample.parts[part]
    first_of = list(range(len(spans)))  # the first of the stretches that a stretch is joined to
    owner: dict[int, int] = {}
    for i in places:
        first, last = _touched(text, sample.tokens[i].start, sample.tokens[i].end, spans)
        owner[i] = first
        for k in range(first, last + 1):
            first_of[k] = first_of[first]
    tokens: dict[int, list[int]] = {}
    for i, k in owner.items():
        tokens.setdefault(first_of[k], []).append(i)
    ends = {first: end for first, (_, end) in zip(first_of, spans, strict=True)}  # the last one stays
    return [
        Element(text[spans[first][0] : ends[first]], part, spans[first][0], ends[first], tuple(group))
        for first, group in tokens.items()
    ]


def _touched(text: str, start: int, end: int, spans: Sequence[Span]) -> tuple[int, int]:
    """First and last stretch that letters of `text[start:end]` are in; a blank token is where it stands."""
    piece = text[start:end]
    if piece.strip():
        start, end = start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())
    else:
        end = start + 1
    first = max(bisect_right(spans, start, key=lambda span: span[0]) - 1, 0)
    if spans[first][1] <= start and first + 1 < len(spans):  # between two stretches: it goes with what follows
        first += 1
    last = first
    while last + 1 < len(spans) and spans[last + 1][0] < end:
        last += 1
    return first, last
