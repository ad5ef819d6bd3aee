"""Lines over two axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.patches import Polygon
from matplotlib.ticker import MaxNLocator

from interpreto.visualizations import lettering, terminal
from interpreto.visualizations.blocks import Curve, Curves
from interpreto.visualizations.stills.sheet import LINE, MARGIN, QUIET, ROOM, SMALL, Sheet

_HUES = ("#c2500a", "#0068b0", "#00795a", "#a03c80", "#7a6200", "#4a4f5a")
_STROKES: tuple[Any, ...] = ("solid", (0, (7, 2.5)), (0, (1.6, 1.8)), (0, (8, 2, 1.6, 2)))
_DASHES = (0, (2.2, 2.2))


def curves(sheet: Sheet, block: Curves) -> None:
    """A field with two axes, the lines, and below it what they are."""
    reach = [y for line in block.lines for y in (*line.ys, *line.lows, *line.highs) if math.isfinite(y)]
    places = [x for line in block.lines for x in line.xs] + [x for x, _ in block.ticks]
    if not reach or not places:
        return
    heights = _ticks(min(reach), max(reach))
    low, high = heights[0], heights[-1]
    first, last = min(places), max(places)
    if block.ticks:  # names need room at both ends
        first, last = first - 0.3, last + 0.3
    numbers = [terminal.number(tick, signed=False) for tick in heights]
    sheet.y += 8.0
    sheet.line(MARGIN, sheet.y + SMALL, block.up, SMALL, ROOM, QUIET)
    sheet.y += SMALL + 10.0
    left = MARGIN + max(lettering.width(number, SMALL) for number in numbers) + 6.0
    right, top, height = MARGIN + ROOM - 8.0, sheet.y, 170.0
    bottom = top + height

    def across(x: float) -> float:
        return left + (right - left) * (x - first) / ((last - first) or 1.0)

    def up(y: float) -> float:
        return bottom - height * (y - low) / ((high - low) or 1.0)

    for tick, number in zip(heights, numbers, strict=True):
        sheet.stroke([left, right], [up(tick)] * 2, LINE)
        sheet.line(left - 4.0, up(tick) + 2.7, number, SMALL, left, QUIET, to="right")
    named = block.ticks or tuple(
        (tick, terminal.number(tick, signed=False)) for tick in _ticks(first, last) if first <= tick <= last
    )
    named = named[:: math.ceil(len(named) / 16)] if len(named) > 16 else named
    step = (right - left) / max(len(named), 1)
    for x, name in named:
        sheet.stroke([across(x)] * 2, [bottom, bottom + 3.0], QUIET)
        beside = 2 * min(across(x) - MARGIN, MARGIN + ROOM - across(x))  # names stay within the margins
        sheet.line(across(x), bottom + 11.5, name, SMALL, max(min(step - 3.0, beside), 10.0), QUIET, to="middle")
    sheet.stroke([left, right], [bottom, bottom], QUIET)
    for line in block.lines:
        _spread(sheet, line, block.spread, across, up)
    for line in block.lines:
        ink, dashes = _look(line)
        for xs, ys in _unbroken(line.xs, line.ys):
            sheet.stroke([across(x) for x in xs], [up(y) for y in ys], ink, 1.0 if line.hue is None else 1.5, dashes)
            if block.ticks and not line.dashed and line.hue is not None:
                for x, y in zip(xs, ys, strict=True):
                    sheet.mark(Line2D([across(x)], [up(y)], color=ink, marker="o", markersize=3.5, linestyle=""))
    sheet.line((left + right) / 2, bottom + 22.0, block.across, SMALL, ROOM, QUIET, to="middle")
    sheet.y = bottom + 24.0
    _legend(sheet, block.lines)


def _spread(sheet: Sheet, line: Curve, kind: str, across: Any, up: Any) -> None:
    ink, _ = _look(line)
    known = [
        (across(x), up(a), up(b))
        for x, a, b in zip(line.xs[: len(line.lows)], line.lows, line.highs, strict=True)
        if math.isfinite(a) and math.isfinite(b)
    ]
    if kind == "whiskers":
        for x, a, b in known:
            sheet.stroke([x, x], [a, b], ink, 1.0)
    elif len(known) > 1:
        edge = [(x, b) for x, _, b in known] + [(x, a) for x, a, _ in reversed(known)]
        sheet.mark(Polygon(edge, closed=True, facecolor=ink, alpha=0.15, linewidth=0))


def _legend(sheet: Sheet, lines: Sequence[Curve]) -> None:
    x = MARGIN
    sheet.y += 12.0
    for line in lines:
        if not line.name:
            continue
        name = lettering.fitting(sheet.ready(line.name).strip(), SMALL, ROOM - 30.0)
        wide = lettering.width(name, SMALL) + 42.0
        if x > MARGIN and x + wide > MARGIN + ROOM:
            x, sheet.y = MARGIN, sheet.y + 12.0
        ink, dashes = _look(line)
        sheet.stroke([x, x + 22.0], [sheet.y - 2.7] * 2, ink, 1.0 if line.hue is None else 1.5, dashes)
        sheet.line(x + 26.0, sheet.y, name, SMALL, ROOM - 30.0)
        x += wide
    sheet.y += 8.0


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from below the range to above it."""
    if low == high:
        low, high = low - 0.5, high + 0.5
    return [float(tick) for tick in MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)]


def _look(line: Curve) -> tuple[str, Any]:
    """Colour and dashes; lines differ in both, so that they do without colours too."""
    if line.hue is None:
        return QUIET, _DASHES
    ink = _HUES[line.hue % len(_HUES)]
    return ink, _DASHES if line.dashed else _STROKES[line.hue % len(_STROKES)]


def _unbroken(xs: Sequence[float], ys: Sequence[float]) -> list[tuple[list[float], list[float]]]:
    """The stretches of a line between numbers that are not finite."""
    cuts = [-1, *(k for k, y in enumerate(ys) if not math.isfinite(y)), len(ys)]
    return [(list(xs[a + 1 : b]), list(ys[a + 1 : b])) for a, b in pairwise(cuts) if b > a + 1]
