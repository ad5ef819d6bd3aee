"""`interpreto gallery`: many explanations as one static site."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from interpreto.cli import options as o

app: typer.Typer = typer.Typer(
    help="Explanations as a static site: choose a model, methods and texts, and copy the program of each picture.",
    no_args_is_help=True,
)


@app.command()
def build(
    spec: Annotated[Path, typer.Argument(help="What to show: a YAML file; docs/gallery.md says how.")],
    out: Annotated[Path, typer.Argument(help="Folder of the gallery; an earlier gallery there is replaced.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the folder whatever it holds.")] = False,
    quiet: o.Quiet = False,
) -> None:
    """Compute explanations, or take saved ones, and write the site."""
    from interpreto.gallery.build import build_gallery

    build_gallery(spec, out, progress=not quiet, force=force)
    if not quiet:
        typer.echo(f"Open {(out / 'index.html').resolve()} in a browser, or publish the folder as it is.")


@app.command()
def serve(
    out: Annotated[Path, typer.Argument(help="Folder of the gallery.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any that is free.")] = 8000,
) -> None:
    """Look at a gallery through a server that only this machine can reach; Ctrl-C ends it."""
    from interpreto.gallery.serve import serve as run

    run(out, port, lambda url: typer.echo(f"Look at {url} (Ctrl-C ends it)"))
