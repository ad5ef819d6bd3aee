"""The command line: a file a command, put together here."""

from __future__ import annotations

import typer

from interpreto.cli.demo import demo

app = typer.Typer(help="Explain HuggingFace text models.", no_args_is_help=True, add_completion=False)
app.command()(demo)


@app.callback()
def main() -> None:
    """Explain HuggingFace text models."""
