"""The command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Explain HuggingFace text models.", no_args_is_help=True, add_completion=False)

DECISION = "I am so happy that we won the game, thank you for your help!"
PROMPT = "Once upon a time, there was a little dog named Spot. Spot loved to"


@app.callback()
def main() -> None:
    """Explain HuggingFace text models."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where to write the page.")] = Path("demo.html"),
) -> None:
    """Explain a classification and a generation with the shipped models, in the terminal and as a page."""
    from interpreto import KernelShap, Occlusion, plot_attributions
    from interpreto.demo import load

    decision = KernelShap(*load("emotion"))(DECISION)
    story = Occlusion(*load("stories"), generation={"max_new_tokens": 24, "do_sample": False})(PROMPT)
    for result in (*decision, *story):
        typer.echo(plot_attributions(result).text())
    plot_attributions([*decision, *story]).save(out)
    typer.echo(f"Open {out.resolve()} in a browser to look closer.")
