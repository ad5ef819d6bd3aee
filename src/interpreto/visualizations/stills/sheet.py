"""A white sheet that is filled from the top with lines of text, boxes and strokes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Affine2D

from interpreto.visualizations import lettering

DPI = 200  # of a PNG
WIDTH = 486.0  # points: 6.75 inches, the width of a printed page's text
MARGIN = 9.0
ROOM = WIDTH - 2 * MARGIN
_LONGEST = 1800.0  # points: what is below 25 inches is left to the page
_MOST_SAID = 600  # letters of a heading or a note

TEXT, SMALL, TINY = 9.0, 7.5, 6.5
INK, QUIET, LINE = "#16181d", "#5a606b", "#d5d9e0"
PLUS, MINUS = (240, 110, 30), (70, 140, 240)
_STRENGTH = 0.85

Side: TypeAlias = Literal["left", "middle", "right"]
ALONG: dict[Side, float] = {"left": 0.0, "middle": 0.5, "right": 1.0}  # of a line, what stands at its place


def colour(level: float | None) -> str | None:
    """The colour of a level; `None` where it is white.

    >>> colour(1.0), colour(-1.0), colour(0.0)
    ('#f28440', '#629df2', None)
    """
    if level is None or not level or math.isnan(level):
        return None
    share = min(abs(level), 1.0) * _STRENGTH
    full = PLUS if level > 0 else MINUS
    return "#" + "".join(f"{round(255 + share * (part - 255)):02x}" for part in full)


class Sheet:
    """A sheet that is filled from the top; places are points, to the right and downward."""

    def __init__(self) -> None:
        self.figure = Figure(figsize=(1, 1), dpi=DPI)
        self.points = Affine2D()
        self.y = MARGIN
        self.longest = _LONGEST
        self.missing: dict[str, None] = {}

    @property
    def full(self) -> bool:
        """Whether what comes next is left out."""
        return self.y > self.longest

    def finish(self) -> Any:
        """The whole figure, now that its length is known."""
        cut, self.longest = self.full, math.inf
        if cut:
            self.note("… cut off here; the page (.html) shows all of it")
        if self.missing:
            codes = ", ".join(f"U+{ord(letter):04X}" for letter in list(self.missing)[:8])
            more = f" and {len(self.missing) - 8} more" if len(self.missing) > 8 else ""
            self.note(f"□: no installed font has {codes}{more}")
        inches = (self.y + MARGIN) / 72
        self.figure.set_size_inches(WIDTH / 72, inches)
        self.points.scale(1 / 72, -1 / 72).translate(0.0, inches)
        return self.figure

    # Marks

    def mark(self, artist: Any) -> None:
        """Put something of matplotlib's on the sheet, whose places are in points."""
        artist.set_transform(self.points + self.figure.dpi_scale_trans)
        self.figure.add_artist(artist)

    def letters(
        self, x: float, y: float, text: str, size: float, ink: str = INK, bold: bool = False, turned: bool = False
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
        ink: str = INK,
        bold: bool = False,
        to: Side = "left",
    ) -> float:
        """One line, shortened to its room, that begins, has its middle or ends at a place; how wide it is."""
        shown = lettering.fitting(self.ready(text).strip(), size, room, bold)
        wide = lettering.width(shown, size, bold)
        left = x - wide * ALONG[to]
        for run in next(lettering.lines(shown, size, wide + 1.0, bold)):
            shift = 1.0 if lettering.runs_left(shown) else 0.0  # such lines end at the right of their room
            self.letters(left + run.x - shift, y, run.text, size, ink, bold)
        return wide

    def box(self, x: float, y: float, width: float, height: float, fill: str, edge: str = "none") -> None:
        """A filled box, by its upper left corner."""
        self.mark(Rectangle((x, y), width, height, facecolor=fill, edgecolor=edge, linewidth=0.5 * (edge != "none")))

    def stroke(
        self, xs: Sequence[float], ys: Sequence[float], ink: str, width: float = 0.6, dashes: Any = "solid"
    ) -> None:
        """A line through places."""
        self.mark(Line2D(xs, ys, color=ink, linewidth=width, linestyle=dashes, solid_capstyle="butt"))

    # Lines of words

    def labelled(self, label: str, note: str) -> None:
        """The first line of a block."""
        if not label and not note:
            return
        self.y += 6.0 + TEXT
        x = MARGIN
        if label:
            x += self.line(x, self.y, label, TEXT, ROOM * (0.6 if note else 1.0), bold=True) + 6.0
        if note:
            self.line(x, self.y, note, SMALL, MARGIN + ROOM - x, QUIET)
        self.y += 1.0

    def paragraph(self, text: str, size: float, ink: str = INK, bold: bool = False) -> None:
        """Lines as wide as the sheet."""
        text = text if len(text) <= _MOST_SAID else text[:_MOST_SAID] + "…"
        for runs in lettering.lines(lettering.drawable(text, self.missing), size, ROOM, bold):
            if self.full:
                break
            self.y += size * 1.3
            for run in runs:
                self.letters(MARGIN + run.x, self.y, run.text, size, ink, bold)
        self.y += size * 0.3

    def note(self, text: str) -> None:
        """Something said quietly."""
        self.y += 2.0
        self.paragraph(text, SMALL, QUIET)
