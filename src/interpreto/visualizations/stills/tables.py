"""Bars and grids."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

from interpreto.visualizations import lettering, terminal
from interpreto.visualizations.blocks import Bars, Grid
from interpreto.visualizations.stills.sheet import INK, LINE, MARGIN, QUIET, ROOM, SMALL, TEXT, TINY, Sheet, colour


def bars(sheet: Sheet, block: Bars) -> None:
    """Rows with a bar from 0, its whiskers and its number."""
    rows = [row for row in block.rows if math.isfinite(row.value)]
    if not rows:
        return
    names = [sheet.ready(row.name).strip() for row in rows]
    named = min(max(lettering.width(name[:200], TEXT) for name in names), 0.45 * ROOM)
    told = [terminal.number(row.value, signed=any(other.value < 0 for other in rows)) for row in rows]
    numbers = max(lettering.width(number, SMALL) for number in told) + 6.0
    ends = [end for row in rows for end in (row.value, row.low, row.high) if end is not None and math.isfinite(end)]
    low, high = min(0.0, *ends), max(0.0, *ends)
    field = ROOM - named - 8.0 - numbers - (numbers if low < 0 else 0.0)
    unit = field / ((high - low) or 1.0)
    zero = MARGIN + named + 8.0 + (numbers if low < 0 else 0.0) - low * unit
    sheet.y += 3.0
    top = sheet.y
    for row, number in zip(rows, told, strict=True):
        if sheet.full:
            break
        sheet.y += 13.0
        sheet.line(MARGIN + named, sheet.y - 3.5, row.name, TEXT, named + 0.5, to="right")
        fill = colour(math.copysign(1.0, row.value) if row.level is None else row.level) or LINE
        reach = row.value * unit
        sheet.box(zero + min(reach, 0.0), sheet.y - 11.0, abs(reach), 9.0, fill, LINE)
        edges = [reach]
        if row.low is not None and row.high is not None and math.isfinite(row.low) and math.isfinite(row.high):
            edges += [row.low * unit, row.high * unit]
            sheet.stroke([zero + edge for edge in edges[1:]], [sheet.y - 6.5] * 2, INK, 0.8)
            for edge in edges[1:]:
                sheet.stroke([zero + edge] * 2, [sheet.y - 8.5, sheet.y - 4.5], INK, 0.8)
        if row.value < 0:
            sheet.line(zero + min(edges) - 3.0, sheet.y - 4.0, number, SMALL, numbers, QUIET, to="right")
        else:
            sheet.line(zero + max(edges) + 3.0, sheet.y - 4.0, number, SMALL, numbers, QUIET)
    sheet.stroke([zero, zero], [top, sheet.y], INK)
    sheet.y += 4.0


def grid(sheet: Sheet, block: Grid) -> None:
    """As many columns side by side as fit, the rest below with the names of the rows again."""
    size = SMALL
    rows = [sheet.ready(name).strip() for name in block.rows]
    named = min(max((lettering.width(row[:200], size) for row in rows), default=0.0), 0.35 * ROOM)
    texts = [[lettering.fitting(sheet.ready(text).strip(), TINY, 60.0) for text in row] for row in block.texts]
    wanted = max((lettering.width(text, TINY) + 5.0 for row in texts for text in row), default=0.0)
    heads = [lettering.fitting(sheet.ready(name).strip(), TINY, 80.0) for name in block.columns]
    widest = max((lettering.width(head, TINY) + 4.0 for head in heads), default=0.0)
    room = ROOM - named - 5.0
    least = max(wanted, 7.5)
    across = max(1, min(len(heads), int(room / least)))
    cell = min(room / across, max(least, min(widest, 60.0), 16.0))
    turned = widest > cell
    groups = [name for name, count in block.groups for _ in range(count)] or [""] * len(heads)
    for first in range(0, len(heads), across):
        if sheet.full:
            break
        own = range(first, min(first + across, len(heads)))
        _grid_part(sheet, block, texts, heads, groups, own, named, cell, turned)
        sheet.y += 6.0


def _grid_part(
    sheet: Sheet,
    block: Grid,
    texts: Sequence[Sequence[str]],
    heads: Sequence[str],
    groups: Sequence[str],
    own: range,
    named: float,
    cell: float,
    turned: bool,
) -> None:
    left, height = MARGIN + named + 5.0, 13.0
    if any(groups):
        sheet.y += SMALL + 3.0
        for name, members in groupby(own, lambda k: groups[k]):
            numbers = [k - own[0] for k in members]
            begin, end = left + numbers[0] * cell, left + (numbers[-1] + 1) * cell
            sheet.line((begin + end) / 2, sheet.y, name, SMALL, max(end - begin, 20.0), QUIET, to="middle")
            sheet.stroke([begin + 1.0, end - 1.0], [sheet.y + 2.5] * 2, QUIET)
        sheet.y += 4.0
    sheet.y += max((lettering.width(heads[k], TINY) for k in own), default=0.0) + 2.0 if turned else 9.0
    for k in own:
        middle = left + (k - own[0] + 0.5) * cell
        if turned:
            sheet.letters(middle + TINY * 0.35, sheet.y, heads[k], TINY, turned=True)
        else:
            sheet.line(middle, sheet.y, heads[k], TINY, cell - 1.0, to="middle")
    sheet.y += 3.0
    for r, name in enumerate(block.rows):
        if sheet.full:
            break
        sheet.line(left - 5.0, sheet.y + 9.0, name, SMALL, named + 0.5, to="right")
        for k in own:
            x = left + (k - own[0]) * cell
            if block.levels:
                level = block.levels[r][k]
                if level is not None:
                    sheet.box(x, sheet.y, cell, height, colour(level) or "#ffffff", LINE)
            if texts:
                sheet.line(x + cell / 2, sheet.y + 9.0, texts[r][k], TINY, cell - 1.0, to="middle")
        sheet.y += height
