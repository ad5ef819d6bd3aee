"""How far a command is: a bar on standard error, where somebody looks at it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm


@contextmanager
def steps(total: int | None, unit: str, hidden: bool) -> Iterator[tqdm[Any]]:
    """A bar of so many steps; none where it is hidden, or standard error is a file.

    Args:
        total: How many steps there are; `None` where nobody knows.
        unit: What one of them is.
        hidden: Whether there is no bar.
    """
    from tqdm import tqdm

    with tqdm(total=total, unit=unit, file=sys.stderr, disable=not is_watched(hidden)) as bar:
        yield bar


def is_watched(quiet: bool) -> bool:
    """Whether a bar is worth drawing: standard error is a terminal, and nobody asked for quiet."""
    return not quiet and sys.stderr.isatty()
