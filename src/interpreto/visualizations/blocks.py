"""What a still picture consists of, whatever draws it: every figure says itself in these few kinds of blocks.

A level is where a number stands on its colour scale: 1 is full orange, -1 full blue, 0 white; `None` is not on it.
Texts are data, as they were written: what draws them makes control characters visible and fits them into their place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Heading:
    """What the blocks below it are about.

    Args:
        text: A line.
        note: What else is to know, in small letters.
    """

    text: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class ColouredText:
    """A text as it was written, its pieces on grounds of their levels.

    Args:
        pieces: Letters and their level, in order.
        label: What it is, above it.
        note: Numbers beside the label.
    """

    pieces: tuple[tuple[str, float | None], ...]
    label: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Scale:
    """What colours mean: the ends of the scale of the blocks above.

    Args:
        low: What stands at its lower end, blue unless `one_sided`.
        high: What stands at the upper end.
        one_sided: Whether the scale begins at white.
    """

    low: str
    high: str
    one_sided: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """A number with its name.

    Args:
        name: To the left of it.
        value: How long it is; negative ones go to the left of zero.
        level: Its colour; by default that of the sign.
        low: Where its whisker begins, if it has one.
        high: Where that ends.
    """

    name: str
    value: float
    level: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars of one scale below each other.

    Args:
        rows: From top to bottom.
        label: What they are, above them.
        note: Beside the label.
    """

    rows: tuple[Bar, ...]
    label: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Grid:
    """A heat map, or a table where no cell has a level.

    Args:
        rows: Names of the rows.
        columns: Names of the columns.
        levels: Of each row's cells; `None` for cells that do not exist; empty for a table.
        texts: Of each row's cells; empty for none.
        groups: What columns that stand together are called, and how many they are.
        label: What it is, above it.
        note: Beside the label.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    levels: tuple[tuple[float | None, ...], ...] = ()
    texts: tuple[tuple[str, ...], ...] = ()
    groups: tuple[tuple[str, int], ...] = ()
    label: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Curve:
    """A line through points.

    Args:
        name: For the legend; empty for a line that another one names.
        xs: Places of the points.
        ys: Their heights; a line is broken where they are not finite.
        lows: Where their intervals begin; empty for none.
        highs: Where these end.
        hue: The number of its colour; `None` for a quiet reference line.
        dashed: Whether it is broken into dashes.
    """

    name: str
    xs: tuple[float, ...]
    ys: tuple[float, ...]
    lows: tuple[float, ...] = ()
    highs: tuple[float, ...] = ()
    hue: int | None = 0
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Curves:
    """Lines over one field.

    Args:
        lines: In the order of the legend.
        across: What the horizontal axis is.
        up: What the vertical axis is.
        ticks: Names of places on the horizontal axis; without, these are numbers.
        spread: How intervals are drawn: as a band along the line, or as a whisker at each point.
    """

    lines: tuple[Curve, ...]
    across: str
    up: str
    ticks: tuple[tuple[float, str], ...] = ()
    spread: Literal["band", "whiskers"] = "band"


@dataclass(frozen=True, slots=True)
class Links:
    """Columns of names, and bands between neighbouring columns.

    Args:
        columns: What a column is, and the names in it.
        bands: The column on the left, the places in it and in the next one, and the weight.
    """

    columns: tuple[tuple[str, tuple[str, ...]], ...]
    bands: tuple[tuple[int, int, int, float], ...]


@dataclass(frozen=True, slots=True)
class Note:
    """A remark in small letters.

    Args:
        text: What it says.
    """

    text: str


Block: TypeAlias = Heading | ColouredText | Scale | Bars | Grid | Curves | Links | Note


def level(value: float, largest: float) -> float | None:
    """Where a number stands on a scale that is symmetric around 0; `None` for what is no number.

    >>> level(-1.0, 2.0), level(float("nan"), 2.0)
    (-0.5, None)
    """
    return max(-1.0, min(1.0, value / (largest or 1.0))) if not math.isnan(value) else None


def shortened(pieces: tuple[tuple[str, float | None], ...], letters: int) -> tuple[tuple[str, float | None], ...]:
    """The beginning of a text in pieces, and how many words are left out, if any.

    >>> shortened((("a long", 0.5), (" story of many words", None)), 12)
    (('a long', 0.5), (' story', None), (' … 3 more words', None))
    """
    if sum(len(text) for text, _ in pieces) <= letters:
        return pieces
    kept: list[tuple[str, float | None]] = []
    for at, (text, share) in enumerate(pieces):
        if len(text) > letters:
            rest = text[letters:] + "".join(text for text, _ in pieces[at + 1 :])
            words = len(rest.split())
            kept += [(text[:letters], share), (f" … {words} more word{'s' * (words != 1)}", None)]
            break
        kept.append((text, share))
        letters -= len(text)
    return tuple(kept)
