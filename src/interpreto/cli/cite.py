"""`interpreto cite`: what to cite when a method was used."""

from __future__ import annotations

from typing import Annotated

import typer

from interpreto.cli.citations import CITED, PAPERS
from interpreto.cli.names import find_name, kebab


def _known(begun: str) -> list[str]:
    """Names for completion."""
    return [name for name in map(kebab, CITED) if name.startswith(begun)]


def cite(
    methods: Annotated[
        list[str], typer.Argument(help="Methods, concept models or metrics, by name.", autocompletion=_known)
    ],
) -> None:
    """The papers of methods, concept models and metrics, as BibTeX; the one that defines it first."""
    names = [find_name("method", method, list(CITED), ending="Concepts") for method in methods]
    keys = dict.fromkeys(key for name in names for key in CITED[name])
    papers = {paper.key: paper for paper in PAPERS}
    typer.echo("\n\n".join(papers[key].bibtex() for key in keys))
