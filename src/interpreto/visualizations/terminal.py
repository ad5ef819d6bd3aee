"""Scores and coloured words for a terminal. Whatever a text holds, it cannot move the cursor or end the line."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

_CONTROL = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
_RGB = {True: (255, 125, 50), False: (80, 155, 255)}
_PALE = 190  # grey that colours fade to: readable under black letters, quiet on dark and light grounds
_LEAST = 0.08  # of the range; fainter scores get no colour


def safe(text: str) -> str:
    """The text with control and bidirectional characters made visible; line breaks stay.

    >>> safe("red\\x1b[31m")
    'red␛[31m'
    """
    return _CONTROL.sub(_visible, text)


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return "    " if match[0] == "\t" else chr(0x2400 + code)
    return "\u2421" if code == 0x7F else "\ufffd"


def word(text: str, length: int = 24) -> str:
    """A piece of text for use within a line: trimmed, shortened, in quotes where blanks are all it has.

    >>> word(" language"), word(" \\n")
    ('language', '" ↵"')
    """
    line = safe(text).replace("\n", "↵")
    line = line.strip() if line.strip("↵ ") else f'"{line}"'
    return line if len(line) <= length else line[: length - 1] + "…"


def number(value: float | None, signed: bool = True) -> str:
    """Three digits that count, with a true minus sign.

    >>> number(0.5), number(-1234.5), number(None), number(2.0, signed=False)
    ('+0.5', '−1.23e+03', 'n/a', '2')
    """
    if value is None or math.isnan(value):
        return "n/a"
    return f"{value:{'+' if signed and value else ''}.3g}".replace("-", "−")


def shade(text: str, level: float | None) -> str:
    """Safe text on a ground that goes from grey to orange (1) or blue (-1)."""
    if level is None or not abs(level) >= _LEAST:
        return text
    share = min(abs(level), 1.0)
    red, green, blue = (round(_PALE + share * (full - _PALE)) for full in _RGB[level > 0])
    ground = f"\x1b[38;2;0;0;0;48;2;{red};{green};{blue}m"
    return "\n".join(f"{ground}{line}\x1b[0m" if line else "" for line in text.split("\n"))


def block(pieces: Iterable[tuple[str, float | None]], length: int = 1000, indent: str = "  ") -> str:
    """Pieces of text with their levels, indented, at most `length` characters of them."""
    shown, left = [], length
    for text, level in pieces:
        if left <= 0:
            shown.append("…")
            break
        shown.append(shade(safe(text[:left]), level))
        left -= len(text)
    return indent + "".join(shown).replace("\n", "\n" + indent)
