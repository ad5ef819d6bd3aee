"""Still pictures for papers: blocks drawn on one white sheet by matplotlib, and that as PNG or SVG.

The sheet is as wide as the text of a page in print, and as long as it must be. Letters are drawn as outlines, so that
an SVG looks the same without the fonts. Files are the same for the same picture, byte by byte.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from html import escape
from io import BytesIO
from itertools import accumulate, groupby, pairwise
from typing import Any, Literal, TypeAlias

import matplotlib.style
from matplotlib.figure import Figure as Sheet
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch, Polygon, Rectangle
from matplotlib.path import Path as Outline
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Affine2D

from interpreto.visualizations import lettering, terminal
from interpreto.visualizations.blocks import (
    Bars,
    Block,
    ColouredText,
    Curve,
    Curves,
    Grid,
    Heading,
    Links,
    Note,
    Scale,
)

_DPI = 200  # of a PNG
_WIDTH = 486.0  # points: 6.75 inches, the width of a printed page's text
_MARGIN = 9.0
_ROOM = _WIDTH - 2 * _MARGIN
_LONGEST = 1800.0  # points: what is below 25 inches is left to the page
_MOST_LETTERS, _MOST_SAID = 6_000, 600  # of a text, of a heading or a note

_TEXT, _SMALL, _TINY = 9.0, 7.5, 6.5
_INK, _QUIET, _LINE = "#16181d", "#5a606b", "#d5d9e0"
_PLUS, _MINUS, _STRENGTH = (240, 110, 30), (70, 140, 240), 0.85
_HUES = ("#c2500a", "#0068b0", "#00795a", "#a03c80", "#7a6200", "#4a4f5a")
_STROKES: tuple[Any, ...] = ("solid", (0, (7, 2.5)), (0, (1.6, 1.8)), (0, (8, 2, 1.6, 2)))
_DASHES = (0, (2.2, 2.2))


Side: TypeAlias = Literal["left", "middle", "right"]
_ALONG: dict[Side, float] = {"left": 0.0, "middle": 0.5, "right": 1.0}  # of a line, what stands at its place


def draw(blocks: Iterable[Block], kind: Literal["png", "svg"], title: str) -> bytes:
    """A still picture as a file's content.

    Args:
        blocks: What it shows, from top to bottom.
        kind: The format.
        title: What it is called: fixed words of this library, never data.
    """
    # Whatever the user has set for own plots, this one looks the same; their settings come back afterwards.
    settings: dict[str, Any] = {"svg.hashsalt": "interpreto", "svg.fonttype": "path", "text.hinting": "none"}
    with matplotlib.style.context(["default", settings]):
        drawing = _Drawing()
        for block in blocks:
            if drawing.full:
                break
            drawing.add(block)
        sheet = drawing.finish()
        file = BytesIO()
        if kind == "png":
            sheet.savefig(file, format="png", dpi=_DPI, metadata={"Software": None})
            return file.getvalue()
        sheet.savefig(file, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _plain(file.getvalue().decode(), title).encode()


def _plain(svg: str, title: str) -> str:
    """Without the reference to a document type elsewhere, and with a name for those who do not see it."""
    svg = re.sub(r"<!DOCTYPE[^>]*>\s*", "", svg, count=1)
    return re.sub(r"<svg ([^>]*)>", rf'<svg role="img" \1>\n <title>{escape(title)}</title>', svg, count=1)


def colour(level: float | None) -> str | None:
    """The colour of a level; `None` where it is white.

    >>> colour(1.0), colour(-1.0), colour(0.0)
    ('#f28440', '#629df2', None)
    """
    if level is None or not level or math.isnan(level):
        return None
    share = min(abs(level), 1.0) * _STRENGTH
    full = _PLUS if level > 0 else _MINUS
    return "#" + "".join(f"{round(255 + share * (part - 255)):02x}" for part in full)


class _Drawing:
    """A sheet that is filled from the top; places are points, to the right and downward."""

    def __init__(self) -> None:
        self.sheet = Sheet(figsize=(1, 1), dpi=_DPI)
        self.points = Affine2D()
        self.y = _MARGIN
        self.longest = _LONGEST
        self.missing: dict[str, None] = {}

    @property
    def full(self) -> bool:
        return self.y > self.longest

    def finish(self) -> Any:
        """The whole sheet, now that its length is known."""
        cut, self.longest = self.full, math.inf
        if cut:
            self.add(Note("… cut off here; the page (.html) shows all of it"))
        if self.missing:
            codes = ", ".join(f"U+{ord(letter):04X}" for letter in list(self.missing)[:8])
            more = f" and {len(self.missing) - 8} more" if len(self.missing) > 8 else ""
            self.add(Note(f"□: no installed font has {codes}{more}"))
        inches = (self.y + _MARGIN) / 72
        self.sheet.set_size_inches(_WIDTH / 72, inches)
        self.points.scale(1 / 72, -1 / 72).translate(0.0, inches)
        return self.sheet

    def add(self, block: Block) -> None:
        """Draw a block below the others."""
        match block:
            case Heading():
                self.y += 8.0 * (self.y > _MARGIN)
                self.paragraph(block.text, 10.5, bold=True)
                if block.note:
                    self.paragraph(block.note, _SMALL, _QUIET)
            case Note():
                self.y += 2.0
                self.paragraph(block.text, _SMALL, _QUIET)
            case ColouredText():
                self.labelled(block.label, block.note)
                self.coloured(block.pieces)
            case Scale():
                self.scale(block)
            case Bars():
                self.labelled(block.label, block.note)
                self.bars(block)
            case Grid():
                self.labelled(block.label, block.note)
                self.grid(block)
            case Curves():
                self.curves(block)
            case Links():
                self.links(block)

    # Marks

    def mark(self, artist: Any) -> None:
        artist.set_transform(self.points + self.sheet.dpi_scale_trans)
        self.sheet.add_artist(artist)

    def letters(
        self, x: float, y: float, text: str, size: float, ink: str = _INK, bold: bool = False, turned: bool = False
    ) -> None:
        """Drawable letters from a place on their base line; upward if `turned`."""
        if not text.strip():
            return
        font = FontProperties(family=list(lettering.families(text)), size=size, weight="bold" if bold else "normal")
        how: dict[str, Any] = {"rotation": 90, "rotation_mode": "anchor"} if turned else {}
        self.mark(Text(x, y, text, color=ink, fontproperties=font, parse_math=False, va="baseline", ha="left", **how))

    def ready(self, text: str) -> str:
        """A line of data as it can be drawn."""
        return lettering.drawable(text[:_MOST_SAID], self.missing).replace("\n", "↵")

    def line(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        room: float,
        ink: str = _INK,
        bold: bool = False,
        to: Side = "left",
    ) -> float:
        """One line, shortened to its room, that begins, has its middle or ends at a place; how wide it is."""
        shown = lettering.fitting(self.ready(text).strip(), size, room, bold)
        wide = lettering.width(shown, size, bold)
        left = x - wide * _ALONG[to]
        for run in next(lettering.lines(shown, size, wide + 1.0, bold)):
            shift = 1.0 if lettering.runs_left(shown) else 0.0  # such lines end at the right of their room
            self.letters(left + run.x - shift, y, run.text, size, ink, bold)
        return wide

    def box(self, x: float, y: float, width: float, height: float, fill: str, edge: str = "none") -> None:
        self.mark(Rectangle((x, y), width, height, facecolor=fill, edgecolor=edge, linewidth=0.5 * (edge != "none")))

    def stroke(
        self, xs: Sequence[float], ys: Sequence[float], ink: str, width: float = 0.6, dashes: Any = "solid"
    ) -> None:
        self.mark(Line2D(xs, ys, color=ink, linewidth=width, linestyle=dashes, solid_capstyle="butt"))

    # Blocks of words

    def labelled(self, label: str, note: str) -> None:
        """The first line of a block."""
        if not label and not note:
            return
        self.y += 6.0 + _TEXT
        x = _MARGIN
        if label:
            x += self.line(x, self.y, label, _TEXT, _ROOM * (0.6 if note else 1.0), bold=True) + 6.0
        if note:
            self.line(x, self.y, note, _SMALL, _MARGIN + _ROOM - x, _QUIET)
        self.y += 1.0

    def paragraph(self, text: str, size: float, ink: str = _INK, bold: bool = False) -> None:
        text = text if len(text) <= _MOST_SAID else text[:_MOST_SAID] + "…"
        for runs in lettering.lines(lettering.drawable(text, self.missing), size, _ROOM, bold):
            if self.full:
                break
            self.y += size * 1.3
            for run in runs:
                self.letters(_MARGIN + run.x, self.y, run.text, size, ink, bold)
        self.y += size * 0.3

    def coloured(self, pieces: Iterable[tuple[str, float | None]]) -> None:
        """A text on the grounds of its pieces; blanks around a piece stay white, blank pieces do not."""
        letters: list[str] = []
        owners: list[int] = []
        levels: list[float | None] = []
        for text, level in pieces:
            shown = lettering.drawable(text[: _MOST_LETTERS - len(owners)], self.missing)
            if level is not None and not shown.strip():
                shown = shown.replace("\n", "↵\n")
            first, end = len(shown) - len(shown.lstrip()), len(shown.rstrip())
            first, end = (first, end) if first < end else (0, len(shown))
            number = -1 if level is None else len(levels)
            owners += [number if first <= k < end else -1 for k in range(len(shown))]
            letters.append(shown)
            levels.append(level)
        cuts = frozenset(k for k in range(1, len(owners)) if owners[k] != owners[k - 1])
        for runs in lettering.lines("".join(letters), _TEXT, _ROOM, cuts=cuts):
            if self.full:
                break
            self.y += _TEXT * 1.6
            self.grounds(runs, owners, levels)
            for run in runs:
                self.letters(_MARGIN + run.x, self.y, run.text, _TEXT)
        self.y += 5.0

    def grounds(self, runs: Sequence[lettering.Run], owners: Sequence[int], levels: Sequence[float | None]) -> None:
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
                self.box(_MARGIN + left - 0.6, self.y - _TEXT * 0.98, right - left + 1.2, _TEXT * 1.32, fill)

    def scale(self, block: Scale) -> None:
        self.y += 4.0 + _SMALL
        x = _MARGIN
        x += self.line(x, self.y, block.low, _SMALL, 0.4 * _ROOM, _QUIET) + 5.0
        steps = range(0, 21) if block.one_sided else range(-10, 11)
        most, wide = max(steps), 4.5
        for step in steps:
            self.box(x, self.y - 6.5, wide + 0.1, 8.0, colour(step / most) or "#ffffff")
            x += wide
        self.box(x - wide * len(steps), self.y - 6.5, wide * len(steps), 8.0, "none", _LINE)
        self.line(x + 5.0, self.y, block.high, _SMALL, _MARGIN + _ROOM - x - 5.0, _QUIET)
        self.y += 5.0

    # Blocks of numbers

    def bars(self, block: Bars) -> None:
        rows = [row for row in block.rows if math.isfinite(row.value)]
        if not rows:
            return
        names = [self.ready(row.name).strip() for row in rows]
        named = min(max(lettering.width(name[:200], _TEXT) for name in names), 0.45 * _ROOM)
        told = [terminal.number(row.value, signed=any(other.value < 0 for other in rows)) for row in rows]
        numbers = max(lettering.width(number, _SMALL) for number in told) + 6.0
        ends = [end for row in rows for end in (row.value, row.low, row.high) if end is not None and math.isfinite(end)]
        low, high = min(0.0, *ends), max(0.0, *ends)
        field = _ROOM - named - 8.0 - numbers - (numbers if low < 0 else 0.0)
        unit = field / ((high - low) or 1.0)
        zero = _MARGIN + named + 8.0 + (numbers if low < 0 else 0.0) - low * unit
        self.y += 3.0
        top = self.y
        for row, number in zip(rows, told, strict=True):
            if self.full:
                break
            self.y += 13.0
            self.line(_MARGIN + named, self.y - 3.5, row.name, _TEXT, named + 0.5, to="right")
            fill = colour(math.copysign(1.0, row.value) if row.level is None else row.level) or _LINE
            reach = row.value * unit
            self.box(zero + min(reach, 0.0), self.y - 11.0, abs(reach), 9.0, fill, _LINE)
            edges = [reach]
            if row.low is not None and row.high is not None and math.isfinite(row.low) and math.isfinite(row.high):
                edges += [row.low * unit, row.high * unit]
                self.stroke([zero + edge for edge in edges[1:]], [self.y - 6.5] * 2, _INK, 0.8)
                for edge in edges[1:]:
                    self.stroke([zero + edge] * 2, [self.y - 8.5, self.y - 4.5], _INK, 0.8)
            if row.value < 0:
                self.line(zero + min(edges) - 3.0, self.y - 4.0, number, _SMALL, numbers, _QUIET, to="right")
            else:
                self.line(zero + max(edges) + 3.0, self.y - 4.0, number, _SMALL, numbers, _QUIET)
        self.stroke([zero, zero], [top, self.y], _INK)
        self.y += 4.0

    def grid(self, block: Grid) -> None:
        """As many columns side by side as fit, the rest below with the names of the rows again."""
        size = _SMALL
        rows = [self.ready(name).strip() for name in block.rows]
        named = min(max((lettering.width(row[:200], size) for row in rows), default=0.0), 0.35 * _ROOM)
        texts = [[lettering.fitting(self.ready(text).strip(), _TINY, 60.0) for text in row] for row in block.texts]
        wanted = max((lettering.width(text, _TINY) + 5.0 for row in texts for text in row), default=0.0)
        heads = [lettering.fitting(self.ready(name).strip(), _TINY, 80.0) for name in block.columns]
        widest = max((lettering.width(head, _TINY) + 4.0 for head in heads), default=0.0)
        room = _ROOM - named - 5.0
        least = max(wanted, 7.5)
        across = max(1, min(len(heads), int(room / least)))
        cell = min(room / across, max(least, min(widest, 60.0), 16.0))
        turned = widest > cell
        groups = [name for name, count in block.groups for _ in range(count)] or [""] * len(heads)
        for first in range(0, len(heads), across):
            if self.full:
                break
            own = range(first, min(first + across, len(heads)))
            self.grid_part(block, texts, heads, groups, own, named, cell, turned)
            self.y += 6.0

    def grid_part(
        self,
        block: Grid,
        texts: Sequence[Sequence[str]],
        heads: Sequence[str],
        groups: Sequence[str],
        own: range,
        named: float,
        cell: float,
        turned: bool,
    ) -> None:
        left, height = _MARGIN + named + 5.0, 13.0
        if any(groups):
            self.y += _SMALL + 3.0
            for name, members in groupby(own, lambda k: groups[k]):
                numbers = [k - own[0] for k in members]
                begin, end = left + numbers[0] * cell, left + (numbers[-1] + 1) * cell
                self.line((begin + end) / 2, self.y, name, _SMALL, max(end - begin, 20.0), _QUIET, to="middle")
                self.stroke([begin + 1.0, end - 1.0], [self.y + 2.5] * 2, _QUIET)
            self.y += 4.0
        self.y += max((lettering.width(heads[k], _TINY) for k in own), default=0.0) + 2.0 if turned else 9.0
        for k in own:
            middle = left + (k - own[0] + 0.5) * cell
            if turned:
                self.letters(middle + _TINY * 0.35, self.y, heads[k], _TINY, turned=True)
            else:
                self.line(middle, self.y, heads[k], _TINY, cell - 1.0, to="middle")
        self.y += 3.0
        for r, name in enumerate(block.rows):
            if self.full:
                break
            self.line(left - 5.0, self.y + 9.0, name, _SMALL, named + 0.5, to="right")
            for k in own:
                x = left + (k - own[0]) * cell
                if block.levels:
                    level = block.levels[r][k]
                    if level is not None:
                        self.box(x, self.y, cell, height, colour(level) or "#ffffff", _LINE)
                if texts:
                    self.line(x + cell / 2, self.y + 9.0, texts[r][k], _TINY, cell - 1.0, to="middle")
            self.y += height

    def curves(self, block: Curves) -> None:
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
        self.y += 8.0
        self.line(_MARGIN, self.y + _SMALL, block.up, _SMALL, _ROOM, _QUIET)
        self.y += _SMALL + 10.0
        left = _MARGIN + max(lettering.width(number, _SMALL) for number in numbers) + 6.0
        right, top, height = _MARGIN + _ROOM - 8.0, self.y, 170.0
        bottom = top + height

        def across(x: float) -> float:
            return left + (right - left) * (x - first) / ((last - first) or 1.0)

        def up(y: float) -> float:
            return bottom - height * (y - low) / ((high - low) or 1.0)

        for tick, number in zip(heights, numbers, strict=True):
            self.stroke([left, right], [up(tick)] * 2, _LINE)
            self.line(left - 4.0, up(tick) + 2.7, number, _SMALL, left, _QUIET, to="right")
        named = block.ticks or tuple(
            (tick, terminal.number(tick, signed=False)) for tick in _ticks(first, last) if first <= tick <= last
        )
        named = named[:: math.ceil(len(named) / 16)] if len(named) > 16 else named
        step = (right - left) / max(len(named), 1)
        for x, name in named:
            self.stroke([across(x)] * 2, [bottom, bottom + 3.0], _QUIET)
            beside = 2 * min(across(x) - _MARGIN, _MARGIN + _ROOM - across(x))  # names stay within the margins
            self.line(across(x), bottom + 11.5, name, _SMALL, max(min(step - 3.0, beside), 10.0), _QUIET, to="middle")
        self.stroke([left, right], [bottom, bottom], _QUIET)
        for line in block.lines:
            self.spread(line, block.spread, across, up)
        for line in block.lines:
            ink, dashes = _look(line)
            for xs, ys in _unbroken(line.xs, line.ys):
                self.stroke([across(x) for x in xs], [up(y) for y in ys], ink, 1.0 if line.hue is None else 1.5, dashes)
                if block.ticks and not line.dashed and line.hue is not None:
                    for x, y in zip(xs, ys, strict=True):
                        self.mark(Line2D([across(x)], [up(y)], color=ink, marker="o", markersize=3.5, linestyle=""))
        self.line((left + right) / 2, bottom + 22.0, block.across, _SMALL, _ROOM, _QUIET, to="middle")
        self.y = bottom + 24.0
        self.legend(block.lines)

    def spread(self, line: Curve, kind: str, across: Any, up: Any) -> None:
        ink, _ = _look(line)
        known = [
            (across(x), up(a), up(b))
            for x, a, b in zip(line.xs[: len(line.lows)], line.lows, line.highs, strict=True)
            if math.isfinite(a) and math.isfinite(b)
        ]
        if kind == "whiskers":
            for x, a, b in known:
                self.stroke([x, x], [a, b], ink, 1.0)
        elif len(known) > 1:
            edge = [(x, b) for x, _, b in known] + [(x, a) for x, a, _ in reversed(known)]
            self.mark(Polygon(edge, closed=True, facecolor=ink, alpha=0.15, linewidth=0))

    def legend(self, lines: Sequence[Curve]) -> None:
        x = _MARGIN
        self.y += 12.0
        for line in lines:
            if not line.name:
                continue
            name = lettering.fitting(self.ready(line.name).strip(), _SMALL, _ROOM - 30.0)
            wide = lettering.width(name, _SMALL) + 42.0
            if x > _MARGIN and x + wide > _MARGIN + _ROOM:
                x, self.y = _MARGIN, self.y + 12.0
            ink, dashes = _look(line)
            self.stroke([x, x + 22.0], [self.y - 2.7] * 2, ink, 1.0 if line.hue is None else 1.5, dashes)
            self.line(x + 26.0, self.y, name, _SMALL, _ROOM - 30.0)
            x += wide
        self.y += 8.0

    def links(self, block: Links) -> None:
        """Columns side by side, bands as wide as their share of the heaviest."""
        n = len(block.columns)
        height = 15.0 * max(len(names) for _, names in block.columns)
        height = max(height, 26.0 * max((len(names) for _, names in block.columns[1:]), default=1))
        self.y += 6.0 + _SMALL
        widths = []
        for title, names in block.columns:
            ready = [self.ready(name).strip()[:200] for name in names]
            head = lettering.width(self.ready(title).strip()[:200], _SMALL)
            widest = max([head, *(lettering.width(name, _TEXT) for name in ready)])
            widths.append(min(widest, _ROOM / n * 0.55))
        gap = (_ROOM - sum(widths)) / max(n - 1, 1)
        lefts = [_MARGIN + before + k * gap for k, before in enumerate(accumulate([0.0, *widths[:-1]]))]
        top = self.y + 8.0

        def place(column: int, k: int) -> float:
            return top + height * (k + 0.5) / len(block.columns[column][1])

        for k, (title, _) in enumerate(block.columns):
            side = _side(k, n)
            self.line(lefts[k] + widths[k] * _ALONG[side], self.y, title, _SMALL, widths[k] + 0.5, _QUIET, to=side)
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
            path = Outline([start, (bend, start[1]), (bend, end[1]), end], [Outline.MOVETO, *[Outline.CURVE4] * 3])
            ink = "#{:02x}{:02x}{:02x}".format(*(_PLUS if weight > 0 else _MINUS))
            dashes: Any = "solid" if weight > 0 else (0, (5.0 / wide, 2.0 / wide))  # not by colour alone
            band = PathPatch(path, facecolor="none", edgecolor=ink, linewidth=wide, alpha=0.55, capstyle="butt")
            band.set_linestyle(dashes)
            self.mark(band)
        for k, (_, names) in enumerate(block.columns):
            for row, name in enumerate(names):
                side = _side(k, n)
                x = lefts[k] + widths[k] * _ALONG[side]
                self.line(x, place(k, row) + 3.0, name, _TEXT, widths[k] + 0.5, to=side)
        self.y = top + height + 4.0


def _side(column: int, n: int) -> Side:
    """To which side the names of a column are set: the outer ones towards the bands."""
    return "right" if column == 0 else "left" if column == n - 1 else "middle"


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from below the range to above it."""
    if low == high:
        low, high = low - 0.5, high + 0.5
    return [float(tick) for tick in MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)]


def _look(line: Curve) -> tuple[str, Any]:
    """Colour and dashes; lines differ in both, so that they do without colours too."""
    if line.hue is None:
        return _QUIET, _DASHES
    ink = _HUES[line.hue % len(_HUES)]
    return ink, _DASHES if line.dashed else _STROKES[line.hue % len(_STROKES)]


def _unbroken(xs: Sequence[float], ys: Sequence[float]) -> list[tuple[list[float], list[float]]]:
    """The stretches of a line between numbers that are not finite."""
    cuts = [-1, *(k for k, y in enumerate(ys) if not math.isfinite(y)), len(ys)]
    return [(list(xs[a + 1 : b]), list(ys[a + 1 : b])) for a, b in pairwise(cuts) if b > a + 1]
