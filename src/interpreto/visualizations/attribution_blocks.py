"""Attributions as still pictures: what a paper shows of a decision, and of a written text."""

from __future__ import annotations

import math
from collections.abc import Sequence

from interpreto.attributions.result import Attribution
from interpreto.visualizations import terminal
from interpreto.visualizations.blocks import (
    Bar,
    Bars,
    Block,
    ColouredText,
    Grid,
    Heading,
    Note,
    Scale,
    level,
    shortened,
)
from interpreto.visualizations.pieces import Part
from interpreto.visualizations.sums import gaps_to_tell

_CLASSES = 6
_BARS = 10
_LETTERS = 4000  # of all texts of a figure
_LEAST_LETTERS = 600  # of one text
_ROWS, _COLUMNS = 40, 60  # of a matrix
_NUMBERED = 12  # columns of a matrix that has numbers in its cells
_NORMAL = 1.96  # so many standard errors to each side hold the true value 95 % of the time


def heading(result: Attribution) -> Heading:
    """What was explained, and how."""
    return Heading(result.method, f"{result.task.value}, {result.inference_mode.value}")


def coloured(
    parts: Sequence[Part], row: Sequence[float], largest: float, label: str, note: str = "", letters: int = _LETTERS
) -> list[Block]:
    """The texts in the colours of one target's scores.

    Args:
        parts: The texts in pieces.
        row: The score of each element.
        largest: The end of the colour scale.
        label: What to call the first text; others by their own names.
        note: Beside the label.
        letters: At most so many of each text.
    """
    found: list[Block] = []
    for k, part in enumerate(parts):
        pieces = tuple(
            (f"⟨{piece.text}⟩" if piece.tag else piece.text, level(row[piece.element], largest))
            if piece.element >= 0
            else (f"⟨{piece.text}⟩" if piece.tag else piece.text, None)
            for piece in part.pieces
        )
        name = label if len(parts) == 1 else f"{label} · {part.label}" if label else part.label
        found.append(ColouredText(shortened(pieces, letters), name, "" if k else note))
    return found


def of_classes(result: Attribution, names: Sequence[str], parts: Sequence[Part]) -> list[Block]:
    """Each class with its text, the highest scores first, and the strongest elements of the first one in numbers."""
    own = result.target_scores
    order = list(range(len(names)))
    if own is not None:
        order.sort(key=lambda t: -float(own[t].nan_to_num(-math.inf)))
    shown = order[:_CLASSES]
    largest = _largest(result, shown)
    letters = max(_LEAST_LETTERS, _LETTERS // max(len(shown), 1))
    blocks: list[Block] = [heading(result)]
    for t in shown:
        row = result.scores[t].tolist()
        blocks += coloured(parts, row, largest, terminal.word(names[t], 60), _totals(result, t), letters)
    if len(order) > _CLASSES:
        more = len(order) - _CLASSES
        blocks.append(Note(f"… and {more} more target{'s' * (more != 1)}" + ", with lower scores" * (own is not None)))
    blocks.append(Scale(f"lowers the score  {terminal.number(-largest)}", f"{terminal.number(largest)}  raises it"))
    if shown:
        blocks.append(_strongest(result, shown[0], terminal.word(names[shown[0]], 60)))
    return blocks


def of_output(result: Attribution, names: Sequence[str], parts: Sequence[Part], target: int) -> list[Block]:
    """A matrix of what was written and of what it was written after; of long texts, one target's."""
    blocks: list[Block] = [heading(result)]
    if not names:
        return [*blocks, *coloured(parts, [], 1.0, "")]
    if len(names) <= _ROWS and len(result.elements) <= _COLUMNS:
        blocks += coloured(parts, [math.nan] * len(result.elements), 1.0, "")
        largest = _largest(result, range(len(names)))
        blocks.append(_matrix(result, names, parts, largest))
    else:
        largest = _largest(result, [target])
        row = result.scores[target].tolist()
        note = f"{_totals(result, target)} · 1 of {len(names)} targets"
        blocks += coloured(parts, row, largest, f"for “{terminal.word(names[target])}”", note)
        blocks.append(_strongest(result, target, f"for “{terminal.word(names[target])}”"))
    blocks.append(Scale(f"lowers the score  {terminal.number(-largest)}", f"{terminal.number(largest)}  raises it"))
    return blocks


def _matrix(result: Attribution, names: Sequence[str], parts: Sequence[Part], largest: float) -> Grid:
    table = result.scores.tolist()
    texts: tuple[tuple[str, ...], ...] = ()
    if len(result.elements) <= _NUMBERED:
        texts = tuple(tuple("" if math.isnan(x) else terminal.number(x) for x in row) for row in table)
    counts = [sum(element.part == k for element in result.elements) for k in range(len(parts))]
    return Grid(
        tuple(terminal.word(name, 40) for name in names),
        tuple(terminal.word(element.text, 40) for element in result.elements),
        tuple(tuple(level(x, largest) for x in row) for row in table),
        texts,
        tuple((part.label, count) for part, count in zip(parts, counts, strict=True) if count)
        if len(parts) == len(result.sample.parts) and sum(counts) == len(result.elements)
        else (),
        "Scores",
        "a row for what was written, a column for what stood before it",
    )


def _strongest(result: Attribution, t: int, name: str) -> Bars:
    """The elements with the largest scores, and the sum of the others."""
    row = result.scores[t].tolist()
    errors = None if result.std_errors is None else result.std_errors[t].tolist()
    order = sorted((k for k, x in enumerate(row) if math.isfinite(x)), key=lambda k: -abs(row[k]))
    bars = []
    for k in order[:_BARS]:
        half = _NORMAL * errors[k] if errors is not None else math.nan
        whisker = (row[k] - half, row[k] + half) if math.isfinite(half) else (None, None)
        bars.append(Bar(terminal.word(result.elements[k].text, 40), row[k], None, *whisker))
    rest, total = order[_BARS:], sum(row[k] for k in order[_BARS:])
    note = "whiskers: intervals of 95 %" if any(bar.low is not None for bar in bars) else ""
    if rest and abs(total) <= 2 * abs(bars[0].value):
        bars.append(Bar(f"all {len(rest)} others" if len(rest) > 1 else "the other one", total))
    elif rest:  # such a bar would leave no room for the others
        note = f"all {len(rest)} others: {terminal.number(total)}" + (f"; {note}" if note else "")
    return Bars(tuple(bars), f"Strongest elements {name if name.startswith('for ') else f'for {name}'}", note)


def _totals(result: Attribution, t: int) -> str:
    own = "" if result.target_scores is None else terminal.number(float(result.target_scores[t]), signed=False)
    gaps = gaps_to_tell(result)
    if result.baseline_scores is None or gaps is None:
        return f"score {own}" if own else ""
    values = (result.baseline_scores[t], result.scores[t].nansum(), gaps[t])
    told = [terminal.number(float(x), signed=False) for x in values]
    return f"score {own} = baseline {told[0]} + scores {told[1]} + gap {told[2]}"


def _largest(result: Attribution, targets: Sequence[int]) -> float:
    scores = result.scores[list(targets)].nan_to_num(0.0, 0.0, 0.0).abs()
    return (float(scores.max()) if scores.numel() else 0.0) or 1.0
