"""Texts on coloured grounds, and what the colours mean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from interpreto.visualizations import lettering
from interpreto.visualizations.blocks import Scale
from interpreto.visualizations.stills.sheet import LINE, MARGIN, QUIET, ROOM, SMALL, TEXT, Sheet, colour

_MOST_LETTERS = 6_000  # of a text


def coloured(sheet: Sheet, pieces: Iterable[tuple[str, float | None]]) -> None:
    """A text on the grounds of its pieces; blanks around a piece stay white, blank pieces do not."""
    letters: list[str] = []
    owners: list[int] = []
    levels: list[float | None] = []
    for text, level in pieces:
        shown = lettering.drawable(text[: _MOST_LETTERS - len(owners)], sheet.missing)
        if level is not None and not shown.strip():
            shown = shown.replace("\n", "↵\n")
        first, end = len(shown) - len(shown.lstrip()), len(shown.rstrip())
        first, end = (first, end) if first < end else (0, len(shown))
        number = -1 if level is None else len(levels)
        owners += [number if first <= k < end else -1 for k in range(len(shown))]
        letters.append(shown)
        levels.append(level)
    cuts = frozenset(k for k in range(1, len(owners)) if owners[k] != owners[k - 1])
    for runs in lettering.lines("".join(letters), TEXT, ROOM, cuts=cuts):
        if sheet.full:
            break
        sheet.y += TEXT * 1.6
        _grounds(sheet, runs, owners, levels)
        for run in runs:
            sheet.letters(MARGIN + run.x, sheet.y, run.text, TEXT)
    sheet.y += 5.0


def _grounds(
    sheet: Sheet, runs: Sequence[lettering.Run], owners: Sequence[int], levels: Sequence[float | None]
) -> None:
    """Boxes behind a line, one for all letters of a piece that stand beside each other."""
    boxes: list[tuple[int, float, float]] = []
    for run in runs:
        first, end = run.borders
        for owner, group in groupby(range(first, end), lambda k: owners[k]):
            own = list(group)
            if owner >= 0:
                sides = run.places[own[0] - first], run.places[own[-1] + 1 - first]
                boxes.append((owner, min(sides), max(sides)))
    boxes.sort(key=lambda box: box[1])
    joined: list[tuple[int, float, float]] = []
    for owner, left, right in boxes:
        if joined and joined[-1][0] == owner and left - joined[-1][2] < 0.01:
            joined[-1] = (owner, joined[-1][1], max(right, joined[-1][2]))
        else:
            joined.append((owner, left, right))
    for owner, left, right in joined:
        fill = colour(levels[owner])
        if fill:
            sheet.box(MARGIN + left - 0.6, sheet.y - TEXT * 0.98, right - left + 1.2, TEXT * 1.32, fill)


def scale(sheet: Sheet, block: Scale) -> None:
    """The colours, between what their ends mean."""
    sheet.y += 4.0 + SMALL
    x = MARGIN
    x += sheet.line(x, sheet.y, block.low, SMALL, 0.4 * ROOM, QUIET) + 5.0
    steps = range(0, 21) if block.one_sided else range(-10, 11)
    most, wide = max(steps), 4.5
    for step in steps:
        sheet.box(x, sheet.y - 6.5, wide + 0.1, 8.0, colour(step / most) or "#ffffff")
        x += wide
    sheet.box(x - wide * len(steps), sheet.y - 6.5, wide * len(steps), 8.0, "none", LINE)
    sheet.line(x + 5.0, sheet.y, block.high, SMALL, MARGIN + ROOM - x - 5.0, QUIET)
    sheet.y += 5.0
