"""Blocks from top to bottom as a PNG or an SVG."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from io import BytesIO
from typing import Any, Literal

import matplotlib.style

from interpreto.visualizations.blocks import (
    Bars,
    Block,
    ColouredText,
    Curves,
    Grid,
    Heading,
    Links,
    Note,
    Scale,
)
from interpreto.visualizations.stills.curves import curves
from interpreto.visualizations.stills.links import links
from interpreto.visualizations.stills.sheet import DPI, MARGIN, QUIET, SMALL, Sheet
from interpreto.visualizations.stills.tables import bars, grid
from interpreto.visualizations.stills.words import coloured, scale


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
        sheet = Sheet()
        for block in blocks:
            if sheet.full:
                break
            _add(sheet, block)
        figure = sheet.finish()
        file = BytesIO()
        if kind == "png":
            figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
            return file.getvalue()
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _plain(file.getvalue().decode(), title).encode()


def _add(sheet: Sheet, block: Block) -> None:
    """Draw a block below the others."""
    match block:
        case Heading():
            sheet.y += 8.0 * (sheet.y > MARGIN)
            sheet.paragraph(block.text, 10.5, bold=True)
            if block.note:
                sheet.paragraph(block.note, SMALL, QUIET)
        case Note():
            sheet.note(block.text)
        case ColouredText():
            sheet.labelled(block.label, block.note)
            coloured(sheet, block.pieces)
        case Scale():
            scale(sheet, block)
        case Bars():
            sheet.labelled(block.label, block.note)
            bars(sheet, block)
        case Grid():
            sheet.labelled(block.label, block.note)
            grid(sheet, block)
        case Curves():
            curves(sheet, block)
        case Links():
            links(sheet, block)


def _plain(svg: str, title: str) -> str:
    """Without the reference to a document type elsewhere, and with a name for those who do not see it."""
    svg = re.sub(r"<!DOCTYPE[^>]*>\s*", "", svg, count=1)
    return re.sub(r"<svg ([^>]*)>", rf'<svg role="img" \1>\n <title>{escape(title)}</title>', svg, count=1)
