"""A picture as a file: a page to look at, or a still picture for a paper."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from interpreto.errors import InputError, MissingExtraError
from interpreto.saving import write_whole
from interpreto.visualizations.blocks import Block


def save(path: str | Path, title: str, html: Callable[[], str], blocks: Callable[[], Iterable[Block]]) -> None:
    """Write a picture in the format that the file's name asks for; nothing is written where drawing fails.

    Args:
        path: Where to; its name ends in `.html`, `.png` or `.svg`.
        title: What the picture is called.
        html: Makes the page.
        blocks: Says what a still picture shows.

    Raises:
        InputError: Another ending.
        MissingExtraError: A still picture without matplotlib.
        StoreError: The file cannot be written.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind == ".html":
        data = html().encode()
    elif kind in (".png", ".svg"):
        try:
            from interpreto.visualizations.stills import draw
        except ImportError as error:
            raise MissingExtraError("matplotlib", "viz", f"saving a plot as {kind}") from error
        data = draw(blocks(), "png" if kind == ".png" else "svg", title)
    else:
        raise InputError(
            f"path: a plot is saved as .html, .png or .svg, got {path.name!r}; text is what plot.text() returns"
        )
    write_whole(path, data)
