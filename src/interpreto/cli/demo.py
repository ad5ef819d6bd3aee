"""`interpreto demo`: a first look."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DECISION = "I am so happy that we won the game, thank you for your help!"
PROMPT = "Once upon a time, there was a little dog named Spot. Spot loved to"


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
