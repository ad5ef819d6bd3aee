"""Columns of names with bands between them."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import Any

from matplotlib.patches import PathPatch
from matplotlib.path import Path

from interpreto.visualizations import lettering
from interpreto.visualizations.blocks import Links
from interpreto.visualizations.stills.sheet import ALONG, MARGIN, MINUS, PLUS, QUIET, ROOM, SMALL, TEXT, Sheet, Side


def links(sheet: Sheet, block: Links) -> None:
    """Columns side by side, bands as wide as their share of the heaviest."""
    n = len(block.columns)
    height = 15.0 * max(len(names) for _, names in block.columns)
    height = max(height, 26.0 * max((len(names) for _, names in block.columns[1:]), default=1))
    sheet.y += 6.0 + SMALL
    widths = []
    for title, names in block.columns:
        ready = [sheet.ready(name).strip()[:200] for name in names]
        head = lettering.width(sheet.ready(title).strip()[:200], SMALL)
        widest = max([head, *(lettering.width(name, TEXT) for name in ready)])
        widths.append(min(widest, ROOM / n * 0.55))
    gap = (ROOM - sum(widths)) / max(n - 1, 1)
    lefts = [MARGIN + before + k * gap for k, before in enumerate(accumulate([0.0, *widths[:-1]]))]
    top = sheet.y + 8.0

    def place(column: int, k: int) -> float:
        return top + height * (k + 0.5) / len(block.columns[column][1])

    for k, (title, _) in enumerate(block.columns):
        side = _side(k, n)
        sheet.line(lefts[k] + widths[k] * ALONG[side], sheet.y, title, SMALL, widths[k] + 0.5, QUIET, to=side)
    most = max((abs(weight) for *_, weight in block.bands if math.isfinite(weight)), default=0.0) or 1.0
    for column, one, other, weight in sorted(block.bands, key=lambda band: -abs(band[3])):
        wide = 12.0 * abs(weight) / most
        if not math.isfinite(weight) or wide < 0.1:
            continue
        start, end = (
            (lefts[column] + widths[column] + 4.0, place(column, one)),
            (lefts[column + 1] - 4.0, place(column + 1, other)),
        )
        bend = (start[0] + end[0]) / 2
        path = Path([start, (bend, start[1]), (bend, end[1]), end], [Path.MOVETO, *[Path.CURVE4] * 3])
        ink = "#{:02x}{:02x}{:02x}".format(*(PLUS if weight > 0 else MINUS))
        dashes: Any = "solid" if weight > 0 else (0, (5.0 / wide, 2.0 / wide))  # not by colour alone
        band = PathPatch(path, facecolor="none", edgecolor=ink, linewidth=wide, alpha=0.55, capstyle="butt")
        band.set_linestyle(dashes)
        sheet.mark(band)
    for k, (_, names) in enumerate(block.columns):
        for row, name in enumerate(names):
            side = _side(k, n)
            x = lefts[k] + widths[k] * ALONG[side]
            sheet.line(x, place(k, row) + 3.0, name, TEXT, widths[k] + 0.5, to=side)
    sheet.y = top + height + 4.0


def _side(column: int, n: int) -> Side:
    """To which side the names of a column are set: the outer ones towards the bands."""
    return "right" if column == 0 else "left" if column == n - 1 else "middle"
