"""The mark by which galleries are known, so that nothing else is replaced or served."""

from __future__ import annotations

from pathlib import Path

MAKER = "interpreto gallery"
PAGE = "index.html"
_BEGUN = 2000  # bytes in which the mark stands


def is_gallery(folder: Path) -> bool:
    """Whether a folder holds the page of a gallery that this library wrote.

    Raises:
        OSError: The page cannot be read.
    """
    page = folder / PAGE
    if not page.is_file():
        return False
    with page.open("rb") as file:
        return f'<meta name="generator" content="{MAKER}">'.encode() in file.read(_BEGUN)
