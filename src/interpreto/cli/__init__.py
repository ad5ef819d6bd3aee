"""The command line: a file a command, put together here."""

from __future__ import annotations

from typing import Annotated

import typer

from interpreto import __version__
from interpreto.cli.attribute import attribute
from interpreto.cli.cite import cite
from interpreto.cli.commands import Commands
from interpreto.cli.concepts import app as concepts
from interpreto.cli.demo import demo
from interpreto.cli.evaluate import evaluate
from interpreto.cli.gallery import app as gallery
from interpreto.cli.info import info

app: typer.Typer = typer.Typer(
    cls=Commands,
    help="Explain HuggingFace text models.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.command()(attribute)
app.command()(evaluate)
app.add_typer(concepts, name="concepts")
app.add_typer(gallery, name="gallery")
app.command()(cite)
app.command()(info)


def _version(shown: bool) -> bool:
    if shown:
        typer.echo(f"interpreto {__version__}")
        raise typer.Exit
    return shown


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error; at any place.")] = False,
) -> None:
    """Explain HuggingFace text models."""
