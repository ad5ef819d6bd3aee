"""Tokens to elements: which tokens are kept or removed together, and which characters they show."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
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

    Every token that is not fixed context is in exactly one element. Elements do not overlap; a character in none of
    them is fixed context: template, special token, or something that the tokenizer dropped. White space goes with what
    follows it. Tokens that share a character, and tokens with letters of two words, join their elements; a token that
    stands for no character goes with its neighbour. Own segments come before the granularity: each is one element
    and everything around them is fixed.

    Args:
        sample: The tokens and their texts.
        granularity: What an element is.
        special_names: Names of special tokens by id, shown for `ALL_TOKENS`.
    """
    names = special_names or {}
    elements: list[Element] = []
    for part, text in enumerate(sample.parts):
        regions = [(start, end) for p, start, end in sample.regions or () if p == part]
        own = sample.own_segments and bool(regions)
        everything = granularity is Granularity.ALL_TOKENS and not own
        places = [i for i, token in enumerate(sample.tokens) if token.part == part and (everything or not token.fixed)]
        if own:
            stretches = regions
        elif granularity in (Granularity.TOKEN, Granularity.ALL_TOKENS):
            stretches = _token_stretches(sample, part, places, regions)
        else:
            cut = _CUTS[granularity]
            stretches = [
                (at + start, at + end)
                for at, to in regions or [_between_fixed(sample, part)]
                for start, end in cut(text[at:to])
            ]
        tokens = sample.tokens
        alone = {i for i in places if tokens[i].start == tokens[i].end and (tokens[i].fixed or not stretches)}
        elements += [Element(names.get(tokens[i].id, ""), part, tokens[i].start, tokens[i].end, (i,)) for i in alone]
        elements += _group(sample, part, [i for i in places if i not in alone], stretches)
    return tuple(sorted(elements, key=lambda element: element.tokens[0]))


_CUTS: dict[Granularity, Callable[[str], list[Span]]] = {
    Granularity.WORD: word_spans,
    Granularity.SENTENCE: sentence_spans,
    Granularity.TEXT: lambda text: [(0, len(text))],
}


def _between_fixed(sample: Sample, part: int) -> Span:
    """A text without the special tokens that are written at its beginning and end."""
    start, end = 0, len(sample.parts[part])
    tokens = [token for token in sample.tokens if token.part == part and token.start < token.end]
    for token in tokens:
        if not token.fixed:
            break
        start = token.end
    for token in reversed(tokens):
        if not token.fixed or token.start < start:
            break
        end = token.start
    return start, end


def _token_stretches(sample: Sample, part: int, places: Sequence[int], regions: Sequence[Span]) -> list[Span]:
    """One stretch a token, one for all tokens that share a character.

    Each begins where the token before it ended, or at its region's start if that is later; white space at the very
    end goes with the last one.
    """
    text = sample.parts[part]
    wanted = set(places)
    stretches: list[Span] = []
    reached = 0
    growing = False  # whether the token before belongs to the last stretch
    for i, token in enumerate(sample.tokens):
        if token.part != part or token.start == token.end:
            continue
        if i in wanted and growing and token.start < reached:
            stretches[-1] = (stretches[-1][0], max(reached, token.end))
        elif i in wanted:
            region = max((start for start, _ in regions if start <= token.start), default=0)
            stretches.append((min(max(reached, region), token.start), token.end))
        growing = i in wanted
        reached = max(reached, token.end)
    if growing and not text[reached:].strip():
        stretches[-1] = (stretches[-1][0], len(text))
    return stretches


def _group(sample: Sample, part: int, places: Sequence[int], stretches: Sequence[Span]) -> list[Element]:
    """Give each token to the stretch its letters are in; join stretches that share a token."""
    text = sample.parts[part]
    owners: dict[int, int] = {}
    joined = [False] * len(stretches)  # whether a stretch is joined to the one before it
    for i in places:
        first, last = _touched(*sample.tokens[i].letters(text), stretches)
        owners[i] = first
        joined[first + 1 : last + 1] = [True] * (last - first)
    heads: list[int] = []  # of each stretch the first of those that it is joined to
    for k, same in enumerate(joined):
        heads.append(heads[-1] if same else k)
    ends = {head: end for head, (_, end) in zip(heads, stretches, strict=True)}  # the last one stays
    groups: dict[int, list[int]] = {}
    for i, owner in owners.items():
        groups.setdefault(heads[owner], []).append(i)
    return [
        Element(text[stretches[head][0] : ends[head]], part, stretches[head][0], ends[head], tuple(group))
        for head, group in groups.items()
    ]


def _touched(start: int, end: int, stretches: Sequence[Span]) -> tuple[int, int]:
    """First and last stretch that these characters are in; those between two stretches go with what follows."""
    first = max(bisect_right(stretches, start, key=lambda stretch: stretch[0]) - 1, 0)
    if stretches[first][1] <= start and first + 1 < len(stretches):
        first += 1
    last = first
    while last + 1 < len(stretches) and stretches[last + 1][0] < end:
        last += 1
    return first, last
