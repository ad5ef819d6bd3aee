"""Tables for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from interpreto.cli.commands import one_line


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need to be, the first one from the left and the others from the right.

    >>> print(aligned(("name", "figure"), [("a", "0.5"), ("long name", "12")]))
    name       figure
    a             0.5
    long name      12
    """
    cells = [[one_line(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(header))]
    padded = ((row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])) for row in cells)
    return "\n".join("  ".join(row).rstrip() for row in padded)


def number(value: float | None, signed: bool = False) -> str:
    """Three digits that count; a dash where there is nothing.

    >>> number(0.12345), number(2.0, signed=True), number(None)
    ('0.123', '+2', '-')
    """
    return "-" if value is None or math.isnan(value) else f"{value:{'+' if signed else ''}.3g}"
