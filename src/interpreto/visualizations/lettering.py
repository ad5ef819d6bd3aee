"""Letters of still pictures: which installed font has them, how wide they are, where lines break, which way they run.

Lines break between words, and between any two letters of Chinese, Japanese and of words that are wider than the line.
Words of a line are put into their visual order by the rules of Unicode's bidirectional algorithm for words that are all
of one direction; letters within a word are left to the shaping that matplotlib brings from release 3.11 on. Before
that, letters of right-to-left words are only put in order, and those of Arabic are not joined.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import accumulate, groupby

from matplotlib import ft2font
from matplotlib.backends.backend_agg import get_hinting_flag
from matplotlib.font_manager import FontProperties, fontManager, get_font

from interpreto.visualizations import terminal

_FIRST = "DejaVu Sans"  # comes with matplotlib, so that most pictures look the same everywhere
_MISSING = "□"
_MEASURED = 1000.0  # points; so large that rounding does not count
_SHAPES = bool(getattr(ft2font, "__libraqm_version__", None))  # whether matplotlib joins and orders letters
_UNSEEN = re.compile("[\xad\u034f\u180e\u200b-\u200f\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff]")
_JOINERS = "\u200c\u200d"  # unseen as well, but they change how letters are joined
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]")
_WIDE = (
    "\u2e80-\u2fff\u3005-\u3007\u3021-\u3029\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_CLOSING = "、。，．：；？！）］｝」』】〉》ーっゃゅょッャュョ々…"
_UNIT = re.compile(rf"\s+|[{_WIDE}][{_CLOSING}]*|(?:(?![{_WIDE}])\S)+")
_BRACKETS = "()[]{}"
# Bidirectional classes: letters of either direction, digits, what stands in numbers and at their ends.
_KINDS = {"R": "R", "AL": "R", "L": "L", "EN": "N", "AN": "N", "CS": "S", "ES": "S", "ET": "T"}
_OF_ONE_KIND = re.compile("R+|L+|T*N+(?:SN+)*T*|B|[OST]+")
_MIRRORED = str.maketrans("()[]{}<>«»‹›", ")(][}{><»«›‹")


@cache
def _installed() -> dict[int, str]:
    """Which family of fonts has a letter, by its code: those of Noto Sans before others, serifs last."""

    def order(name: str) -> tuple[bool, bool, bool, str]:
        return "Serif" in name, not name.startswith("Noto Sans"), "CJK" in name and "CJK SC" not in name, name

    found: dict[int, str] = {}
    read = set()
    for entry in sorted(fontManager.ttflist, key=lambda entry: order(entry.name)):
        upright = entry.style == "normal" and entry.weight in (400, "normal", "regular")
        if not upright or entry.fname in read or "Last Resort" in entry.name or "Color" in entry.name:
            continue
        read.add(entry.fname)
        try:
            codes = ft2font.FT2Font(entry.fname).get_charmap()
        except (OSError, RuntimeError):  # a file that is gone or damaged
            continue
        for code in codes:
            found.setdefault(code, entry.name)
    return found


@cache
def _codes_of_first() -> frozenset[int]:
    return frozenset(get_font(fontManager.findfont(FontProperties(family=[_FIRST]))).get_charmap())


def family(letter: str) -> str | None:
    """The family of fonts that draws a letter; `None` where none does."""
    code = ord(letter)
    return _FIRST if code in _codes_of_first() else _installed().get(code)


def families(text: str) -> tuple[str, ...]:
    """The families that draw a text, the common one first."""
    others = {name for letter in set(text) if (name := family(letter)) is not None and name != _FIRST}
    return (_FIRST, *sorted(others))


def drawable(text: str, missing: dict[str, None]) -> str:
    """The text with what cannot be seen made visible or left out, and boxes for letters that no font has.

    Args:
        text: Any text.
        missing: Gets the letters that no font has.
    """
    drawn = []
    for letter in terminal.safe(text):
        if letter == "\n" or (letter in _JOINERS and ord(letter) in _codes_of_first()):
            drawn.append(letter)
        elif letter.isspace():
            drawn.append(" ")
        elif _UNSEEN.match(letter):
            continue
        elif family(letter) is None:
            missing[letter] = None
            drawn.append(_MISSING)
        else:
            drawn.append(letter)
    return "".join(drawn)


def _font(names: tuple[str, ...], bold: bool) -> ft2font.FT2Font:
    """Not kept here: matplotlib has one for each thread."""
    weight = "bold" if bold else "normal"
    return get_font([fontManager.findfont(FontProperties(family=[name], weight=weight)) for name in names])


@lru_cache(maxsize=20_000)
def _extent(text: str, bold: bool) -> float:
    font = _font(families(text), bold)
    font.clear()
    font.set_size(_MEASURED, 72)
    font.set_text(text, 0.0, flags=get_hinting_flag())  # type: ignore[no-untyped-call]  # matplotlib's
    return float(font.get_width_height()[0]) / 64 / _MEASURED


def width(text: str, size: float, bold: bool = False) -> float:
    """How wide a drawable text is, blanks at its ends included.

    Args:
        text: A line.
        size: Of the letters, in points.
        bold: Whether they are.
    """
    return size * (_extent(f"|{text}|", bold) - _extent("||", bold)) if text else 0.0


def fitting(text: str, size: float, room: float, bold: bool = False) -> str:
    """A drawable line, shortened to the room that there is."""
    most = 50 + int(room / size * 5)  # more letters than fit; measuring takes its time
    text = text if len(text) <= most else text[:most] + "…"
    if width(text, size, bold) <= room:
        return text
    low, high = 0, len(text)
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (middle, high) if width(text[:middle] + "…", size, bold) <= room else (low, middle)
    return text[:low].rstrip() + "…"


# Directions


def runs_left(text: str) -> bool:
    """Whether a paragraph runs from right to left: its first letter with a direction does."""
    for letter in text:
        kind = unicodedata.bidirectional(letter)
        if kind in ("L", "R", "AL"):
            return kind != "L"
    return False


def _direction(text: str, before: str) -> str | None:
    """`"L"` or `"R"`; numbers go with what is before them; `None` for punctuation and blanks."""
    kinds = {unicodedata.bidirectional(letter) for letter in text}
    if kinds & {"R", "AL"}:
        return "R"
    if "L" in kinds:
        return "L"
    return before if kinds & {"EN", "AN"} else None


def in_order(texts: Sequence[str], leftward: bool) -> list[tuple[int, bool]]:
    """The pieces of a line from left to right, by number, and whether each runs to the left.

    Args:
        texts: Each of one direction, or of none.
        leftward: Whether the paragraph runs from right to left.
    """
    base = "R" if leftward else "L"
    found: list[str | None] = []
    before = base
    for text in texts:
        found.append(_direction(text, before))
        before = found[-1] or before
    _settle_brackets(texts, found, base)
    directions: list[str] = []
    for k, own in enumerate(found):
        after = next((other for other in found[k:] if other), base)
        directions.append(own or (after if directions and directions[-1] == after else base))
    levels = [(direction == "R") if not leftward else 1 + (direction == "L") for direction in directions]
    order = list(range(len(texts)))
    for height in range(max(levels, default=0), 0, -1):
        above = [level >= height for level in levels]
        stretches = [(high, list(numbers)) for high, numbers in groupby(order, above.__getitem__)]
        order = [k for high, numbers in stretches for k in (reversed(numbers) if high else numbers)]
    return [(k, levels[k] % 2 == 1) for k in order]


def _settle_brackets(texts: Sequence[str], found: list[str | None], base: str) -> None:
    """Give both brackets of a pair the paragraph's direction if they hold it, or else the one before them."""
    open_ones: list[int] = []
    for k, text in enumerate(texts):
        if len(text) != 1 or text not in _BRACKETS:
            continue
        if text in _BRACKETS[::2]:
            open_ones.append(k)
        elif open_ones and texts[open_ones[-1]] == text.translate(_MIRRORED):
            first = open_ones.pop()
            inside = set(found[first + 1 : k]) - {None}
            if inside:
                before = next((own for own in found[:first][::-1] if own), base)
                found[first] = found[k] = base if base in inside else before


def shaped(text: str, leftward: bool) -> str:
    """A piece of one direction, as it is handed to matplotlib."""
    if not leftward:
        return text
    kinds = {unicodedata.bidirectional(letter) for letter in text}
    if kinds & {"R", "AL"}:
        return text if _SHAPES else "".join(reversed(_clusters(text)))
    return text if kinds & {"EN", "AN"} else text[::-1].translate(_MIRRORED)


def _clusters(text: str) -> list[str]:
    """Letters with the marks on them."""
    found: list[str] = []
    for letter in text:
        if found and (unicodedata.combining(letter) or unicodedata.category(letter)[0] == "M" or letter in _JOINERS):
            found[-1] += letter
        else:
            found.append(letter)
    return found


# Lines


@dataclass(frozen=True, slots=True)
class Run:
    """Letters of one word and direction, where they stand in a line.

    Args:
        text: As it is drawn.
        x: Where its left end is.
        width: How wide it is.
        borders: Where its letters stand in the paragraph, from the first one to one past the last.
        places: Where each of these letters begins, and where the last one ends.
    """

    text: str
    x: float
    width: float
    borders: tuple[int, int]
    places: tuple[float, ...]


def lines(
    text: str, size: float, room: float, bold: bool = False, cuts: frozenset[int] = frozenset()
) -> Iterator[list[Run]]:
    """A drawable text in lines, from the top, each with its runs from left to right.

    Args:
        text: With its line breaks.
        size: Of the letters, in points.
        room: How wide a line may be.
        bold: Whether letters are bold.
        cuts: Between which letters places are asked for; the others of a run get that of their neighbour.
    """
    start = 0
    for paragraph in text.split("\n"):
        mixed = bool(_RIGHT_TO_LEFT.search(paragraph))
        leftward = mixed and runs_left(paragraph)
        for line in _broken(paragraph, size, room, bold):
            yield _placed(line, start, size, room, bold, mixed, leftward, cuts)
        start += len(paragraph) + 1


def _broken(paragraph: str, size: float, room: float, bold: bool) -> Iterator[list[tuple[int, str, float]]]:
    """Where units stand, they themselves and their widths, line by line; blanks at the end of a line hang over."""
    line: list[tuple[int, str, float]] = []
    used = 0.0
    for match in _UNIT.finditer(paragraph):
        for at, unit in _cut_to(match[0], match.start(), size, room, bold):
            wide = width(unit, size, bold)
            if line and not unit.isspace() and used + wide > room:
                yield line
                line, used = [], 0.0
            line.append((at, unit, wide))
            used += wide
    yield line


def _cut_to(unit: str, at: int, size: float, room: float, bold: bool) -> Iterator[tuple[int, str]]:
    """A unit, or as many letters of it as fit a line, again and again."""
    if unit.isspace() or width(unit, size, bold) <= room:
        yield at, unit
        return
    held, used = "", 0.0
    for cluster in _clusters(unit):
        wide = width(cluster, size, bold)
        if held and used + wide > room:
            yield at, held
            at += len(held)
            held, used = "", 0.0
        held += cluster
        used += wide
    yield at, held


def _placed(
    line: list[tuple[int, str, float]],
    start: int,
    size: float,
    room: float,
    bold: bool,
    mixed: bool,
    leftward: bool,
    cuts: frozenset[int],
) -> list[Run]:
    parts = list(line)
    if mixed:
        parts = [
            (at + k, piece, width(piece, size, bold)) for at, unit, _ in line for k, piece in _of_one_direction(unit)
        ]
    if leftward:
        while parts and parts[-1][1].isspace():
            parts.pop()
    order = in_order([text for _, text, _ in parts], leftward) if mixed else [(k, False) for k in range(len(parts))]
    x = room - sum(wide for _, _, wide in parts) if leftward else 0.0
    runs = []
    for k, backward in order:
        at, text, wide = parts[k]
        own = [cut for cut in range(len(text) + 1) if cut in (0, len(text)) or start + at + cut in cuts]
        known = {cut: width(text[:cut], size, bold) if 0 < cut < len(text) else wide * (cut > 0) for cut in own}
        ends = list(accumulate((known.get(cut, -1.0) for cut in range(len(text) + 1)), max))
        places = tuple(x + (wide - end if backward else end) for end in ends)
        runs.append(Run(shaped(text, backward), x, wide, (start + at, start + at + len(text)), places))
        x += wide
    return runs


def _of_one_direction(unit: str) -> Iterator[tuple[int, str]]:
    """A word cut into letters of one direction, numbers with their signs, and punctuation; each with its place."""
    kinds = ""
    for letter in unit:
        kind = unicodedata.bidirectional(letter)
        kinds += kinds[-1:] if kind == "NSM" and kinds else "B" if letter in _BRACKETS else _KINDS.get(kind, "O")
    for match in _OF_ONE_KIND.finditer(kinds):
        yield match.start(), unit[match.start() : match.end()]
