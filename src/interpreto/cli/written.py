"""Explanations as files for people: a page, a picture, a table."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from interpreto.errors import InputError, MissingExtraError
from interpreto.saving import write_whole

if TYPE_CHECKING:
    from interpreto.cli.explaining import Explained

_PAGE, _PICTURES, _TABLE = ".html", (".png", ".svg"), ".csv"
LINES = ".jsonl"


def check_ending(
    out: Path | None, endings: Sequence[str] = (LINES, _TABLE, _PAGE, *_PICTURES), source: Path | None = None
) -> None:
    """Refuse a file that could not be written in the end, before anything is computed.

    Args:
        out: The file.
        endings: What its name may end in.
        source: Where the texts come from, which must be another file.

    Raises:
        InputError: Its name ends in nothing known, its folder is not there, or it is the file with the texts.
        MissingExtraError: What draws pictures is not installed.
    """
    if out is None:
        return
    if out.suffix.lower() not in endings:
        raise InputError(f"out: expected a name that ends in {', '.join(endings)}, got {out}")
    if not out.parent.is_dir():
        raise InputError(f"out: expected a file in a folder that is there, got {out}")
    if source is not None and source.exists() and out.exists() and out.samefile(source):
        raise InputError(f"out: expected another file than that of the texts, got {out} for both")
    if out.suffix.lower() in _PICTURES and find_spec("matplotlib") is None:
        raise MissingExtraError("matplotlib", "viz", f"a {out.suffix} file")


def write_explanations(out: Path, explained: Sequence[Explained]) -> None:
    """Write explanations as the file's name says.

    Raises:
        StoreError: The file cannot be written.
    """
    from interpreto.visualizations import plot_attributions

    if out.suffix.lower() != _TABLE:
        plot_attributions([result for _, result in explained]).save(out)
        return
    rows: list[Sequence[object]] = [("line", "target", "position", "element", "score", "std_error")]
    for line, result in explained:
        errors = [] if result.std_errors is None else result.std_errors.tolist()
        for t, (name, scores) in enumerate(zip(result.target_names, result.scores.tolist(), strict=True)):
            for g, (element, score) in enumerate(zip(result.elements, scores, strict=True)):
                error = errors[t][g] if errors else None
                rows.append((line.number, name, g, element.text, _cell(score), _cell(error)))
    write_table(out, rows)


def write_table(out: Path, rows: Sequence[Sequence[object]]) -> None:
    """Write rows as CSV, the header first.

    Raises:
        StoreError: The file cannot be written.
    """
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows(rows)
    write_text(out, stream.getvalue())


def write_text(out: Path, text: str) -> None:
    """Write a text as UTF-8, exactly as it is.

    Raises:
        StoreError: The file cannot be written.
    """
    write_whole(out, text.encode("utf-8", "replace"), "out")


def _cell(value: float | None) -> float | str:
    """A number, or nothing where there is none."""
    return "" if value is None or math.isnan(value) else value
