"""A text cut wherever an element or a target begins or ends, so that both can be shown on the same letters."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

from interpreto.attributions.result import Attribution


@dataclass(frozen=True, slots=True)
class Piece:
    """Letters that belong to the same element and the same targets.

    Args:
        text: The letters as written, or the name of a token that stands for none.
        element: Which element they belong to; -1 for fixed context.
        tag: Whether `text` is a name, not a part of the text.
    """

    text: str
    element: int = -1
    tag: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """One of a sample's texts.

    Args:
        label: What to call it.
        pieces: Joined (without the tags) they are the text.
        output: Whether the targets are written in it.
    """

    label: str
    pieces: tuple[Piece, ...]
    output: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a target is written: a part, its first piece there, and one past its last."""

    part: int
    first: int
    end: int


def cut(result: Attribution) -> tuple[tuple[Part, ...], tuple[Place | None, ...]]:
    """The parts of a result's sample in pieces, and where each target is among them.

    In a generated output every target has at least one piece, and no piece has two targets: a target that stands for
    no letters, or for letters of the target before it, gets a tag.
    """
    if result.elements and all(element.start == element.end for element in result.elements) and _of_concepts(result):
        return _with_concepts(result)
    labels = _labels(result)
    outputs = {target.part for target in result.targets if target.part is not None} if result.task.generates else set()
    places: list[Place | None] = [None] * len(result.targets)
    parts = []
    for k, (label, text) in enumerate(zip(labels, result.sample.parts, strict=True)):
        tags, taken = _tags(result, k, k in outputs)
        pieces = _cut_part(result, k, text, tags, taken, places)
        parts.append(Part(label, tuple(pieces), k in outputs))
    return tuple(parts), tuple(places)


def _of_concepts(result: Attribution) -> bool:
    return "concept_removal" in result.settings


def _with_concepts(result: Attribution) -> tuple[tuple[Part, ...], tuple[Place | None, ...]]:
    """The texts, and the concepts in them a line each."""
    parts, places = cut(replace(result, elements=(), scores=result.scores[:, :0], std_errors=None))
    lines = [
        piece
        for k, element in enumerate(result.elements)
        for piece in (*([Piece("\n")] if k else []), Piece(element.text, k))
    ]
    return (*parts, Part("Concepts", tuple(lines), False)), places


def _labels(result: Attribution) -> list[str]:
    written = {target.part for target in result.targets} if result.task.generates else set()
    sources = [k for k in range(len(result.sample.parts)) if k not in written]
    noun = "Input" if result.task.generates else "Text"
    return [
        "Output" if k in written else noun if len(sources) == 1 else f"{noun} {sources.index(k) + 1}"
        for k in range(len(result.sample.parts))
    ]


def _token_name(result: Attribution, place: int) -> str:
    return f"token {result.sample.tokens[place].id}"


def _tags(result: Attribution, part: int, output: bool) -> tuple[list[tuple[int, Piece, int]], set[int]]:
    """Tags as `(where, piece, target or -1)` in the order of the text, and the targets that have one."""
    tags = [
        (element.start, Piece(element.text or _token_name(result, element.tokens[0]), g, tag=True), -1)
        for g, element in enumerate(result.elements)
        if element.part == part and element.start == element.end
    ]
    taken = set()
    reached = 0
    for t, target in enumerate(result.targets if output else ()):
        if target.part != part:
            continue
        if target.start < reached or target.start == target.end:
            name = target.name or ("token" if target.first is None else _token_name(result, target.first))
            tags.append((max(target.end, reached), Piece(name, tag=True), t))
            taken.add(t)
        reached = max(reached, target.end)
    return sorted(tags, key=lambda tag: tag[0]), taken


def _cut_part(
    result: Attribution,
    part: int,
    text: str,
    tags: Sequence[tuple[int, Piece, int]],
    tagged: set[int],
    places: list[Place | None],
) -> list[Piece]:
    """The pieces of one part; fills in the places of the targets written there."""
    spans = [(e.start, e.end, g) for g, e in enumerate(result.elements) if e.part == part and e.start < e.end]
    written = [t for t, target in enumerate(result.targets) if target.part == part and t not in tagged]
    borders = {0, len(text)} | {border for start, end, _ in spans for border in (start, end)}
    borders |= {border for t in written for border in (result.targets[t].start, result.targets[t].end)}
    borders |= {where for where, _, _ in tags}
    cuts = sorted(border for border in borders if 0 <= border <= len(text))
    owners = [-1] * len(cuts)
    for start, end, g in spans:
        for k in range(bisect_left(cuts, start), bisect_left(cuts, end)):
            owners[k] = g
    pieces: list[Piece] = []
    begins, ends = [], []  # of each cut: its first piece of text, and where what came before it ends
    waiting = list(tags)[::-1]
    for k, (start, end) in enumerate(zip(cuts, [*cuts[1:], len(text)], strict=True)):
        ends.append(len(pieces))
        while waiting and waiting[-1][0] <= start:
            _, piece, t = waiting.pop()
            if t >= 0:
                places[t] = Place(part, len(pieces), len(pieces) + 1)
            pieces.append(piece)
        begins.append(len(pieces))
        if start < end:
            pieces.append(Piece(text[start:end], owners[k]))
    for t in written:
        target = result.targets[t]
        first, end = (bisect_left(cuts, min(border, len(text))) for border in (target.start, target.end))
        places[t] = Place(part, begins[first], max(ends[end], begins[first]))
    return pieces
