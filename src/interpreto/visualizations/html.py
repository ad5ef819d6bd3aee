"""Figures to one self-contained page: the only place where data meets markup.

A figure's data goes into one JSON block of the page; the page's own script builds everything from it with
`textContent`, so a text or a name can never become markup. The page's policy lets that one script and style run, by
their hashes, and nothing else: no network, no inline handlers, no frames.
"""

from __future__ import annotations

import json
import math
import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from interpreto.visualizations.blocks import Block
from interpreto.visualizations.saved import save

_SURROGATE = re.compile("[\ud800-\udfff]")
# What ends a script block, and what an HTML parser or a reader of the source stumbles over: controls, line separators,
# invisible and bidirectional marks, noncharacters.
_ESCAPED = re.compile("[<>&\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufdd0-\ufdef\ufeff\ufffe\uffff]")

_FURTHER = {"attribution": ("sides", "bars", "matrix")}
"""Assets that a view is drawn with besides its own."""


@runtime_checkable
class Figure(Protocol):
    """One picture: its data, and the names of the asset files that draw it.

    `view` names `assets/<view>.css` and `assets/<view>.js`; the script puts a function into `views[view]`.
    """

    @property
    def view(self) -> str:
        """Which assets draw the figure."""

    @property
    def height(self) -> int:
        """About how many pixels it needs in a notebook."""

    def payload(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""

    def text(self, color: bool) -> str:
        """The figure for a terminal."""

    def blocks(self) -> tuple[Block, ...]:
        """The figure for a paper."""


@dataclass(frozen=True, eq=False)
class Plot:
    """A picture of one or several results, shown by notebooks as it is.

    Args:
        figures: What the page shows, from top to bottom.
        title: What the page is called: fixed words of this library, never data.
    """

    figures: tuple[Figure, ...]
    title: str = "Attributions"

    def html(self) -> str:
        """The whole page: style, script and data in one document that opens without a network."""
        data = {"figures": [{"view": figure.view, **figure.payload()} for figure in self.figures]}
        return page(self.title, sorted({figure.view for figure in self.figures}), data)

    def save(self, path: str | Path) -> None:
        """Write the page to a file, or a still picture of it: a figure for a paper needs `interpreto[viz]`.

        Args:
            path: Where to; its name ends in `.html`, `.png` or `.svg`.

        Raises:
            InputError: Another ending.
            MissingExtraError: A still picture without matplotlib.
            StoreError: The file cannot be written.
        """
        save(path, self.title, self.html, lambda: (block for figure in self.figures for block in figure.blocks()))

    def text(self, color: bool = True) -> str:
        """The same for a terminal.

        Args:
            color: Whether elements are coloured by ANSI codes; without, the text holds no control characters.
        """
        return "\n\n".join(figure.text(color) for figure in self.figures)

    def __str__(self) -> str:
        return self.text(color=False)

    def _repr_html_(self) -> str:
        """The page in a frame of its own, which can neither reach the notebook nor another plot."""
        from interpreto.visualizations.notebook import output  # which builds on this module

        names = ["page", *sorted({figure.view for figure in self.figures})]
        styles, scripts = [assets("css", [name]) for name in names], [assets("js", [name]) for name in [*names, "boot"]]
        height = min(20 + sum(figure.height for figure in self.figures), 760)
        return output(self.html(), styles, scripts, self.title, height, lambda: self.text(color=False))


def embed(data: Any) -> str:
    """JSON that may stand inside a script block of an HTML page: the one escape point of all pictures.

    Lone surrogates, which no encoding can hold, become U+FFFD; everything else arrives as it was.

    >>> embed("</script>")
    '"\\\\u003c/script\\\\u003e"'
    """
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    text = _SURROGATE.sub("\ufffd", text)
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def rounded(value: float) -> float | None:
    """Five digits that count; `None` for what is no number, and no JSON.

    >>> rounded(1.23456789), rounded(float("nan"))
    (1.2346, None)
    """
    return float(f"{value:.5g}") if math.isfinite(value) else None


def page(title: str, views: Sequence[str], data: Any) -> str:
    """A complete document.

    Args:
        title: Fixed words of this library, never data.
        views: Whose styles and scripts it needs.
        data: Everything that is shown, as plain values.
    """
    main = '<main id="page"><noscript>This picture is drawn by a script; allow scripts to see it.</noscript></main>'
    return document(title, assets("css", ("page", *views)), assets("js", ("page", *views, "boot")), data, main)


def document(title: str, style: str, script: str, data: Any, body: str, beside: bool = False, maker: str = "") -> str:
    """A complete document that runs one style and one script, and nothing else.

    Args:
        title: What it is called; letters that cannot be seen are replaced.
        style: The one style.
        script: The one script, which finds the data in the block `data`.
        data: Everything that is shown, as plain values.
        body: Fixed markup before the data, never data.
        beside: Whether the script may load scripts that lie in the same place as the document.
        maker: What the document says that it was made by; fixed words.
    """
    own = "'self' " if beside else ""
    policy = (
        f"default-src 'none'; script-src {own}{_source(script)}; style-src {_source(style)}; "
        "base-uri 'none'; form-action 'none'"
    )
    seen = "".join(letter if letter.isprintable() else "\ufffd" for letter in title)
    generator = f'\n<meta name="generator" content="{maker}">' if maker else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">{generator}
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(seen)} - Interpreto</title>
<style>{style}</style>
</head>
<body>
{body}
<script type="application/json" id="data">{embed(data)}</script>
<script>{script}</script>
</body>
</html>
"""


def assets(kind: str, names: Iterable[str]) -> str:
    """The styles (`"css"`) or scripts (`"js"`) of views, one below the other."""
    return "\n".join(_asset(f"{part}.{kind}") for name in names for part in (name, *_FURTHER.get(name, ())))


@cache
def _asset(name: str) -> str:
    return files("interpreto.visualizations").joinpath("assets", name).read_text(encoding="utf-8")


def _source(text: str) -> str:
    """A style or script as the policy names it."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
