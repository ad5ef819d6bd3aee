"""`interpreto concepts`: learn concepts, read them, weigh them, draw them; each step leaves a file for the next."""

from __future__ import annotations

import typer

from interpreto.cli.concepts.fit import fit
from interpreto.cli.concepts.importance import importance
from interpreto.cli.concepts.interpret import interpret
from interpreto.cli.concepts.plot import plot

app: typer.Typer = typer.Typer(help="Learn a model's concepts, read them, weigh them, draw them.", no_args_is_help=True)
for _command in (fit, interpret, importance, plot):
    app.command()(_command)
