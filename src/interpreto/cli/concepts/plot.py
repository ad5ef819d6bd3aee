"""`interpreto concepts plot`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interpreto.cli import options as o
from interpreto.cli.commands import note
from interpreto.cli.written import check_ending
from interpreto.errors import InputError

if TYPE_CHECKING:
    from interpreto.concepts import Interpretations


def plot(
    out: Annotated[Path, typer.Option(help="The .html page; or .png, .svg.")],
    interpretations: Annotated[Path | None, typer.Option(help="What `concepts interpret` wrote.")] = None,
    importance: Annotated[Path | None, typer.Option(help="What `concepts importance` wrote.")] = None,
    top: Annotated[int, typer.Option(min=1, help="Concepts a class.")] = 10,
    examples: Annotated[int, typer.Option(min=0, help="Example texts a concept.")] = 5,
    quiet: o.Quiet = False,
) -> None:
    """Draw concepts from saved files; no model is needed."""
    check_ending(out, (".html", ".png", ".svg"))
    from interpreto import plot_concepts
    from interpreto.concepts import ConceptImportance

    readings = None if interpretations is None else _readings(interpretations)
    weights = None if importance is None else ConceptImportance.load(importance)
    plot_concepts(readings, weights, top=top, examples=examples).save(out)
    note(str(out), quiet)


def _readings(path: Path) -> Interpretations:
    """Examples and labels, or tokens of the vocabulary in their place."""
    from interpreto.concepts import Interpretations
    from interpreto.concepts.interpretations import OutputReadings

    try:
        return OutputReadings.load(path).as_interpretations()
    except InputError:
        return Interpretations.load(path)
