"""`interpreto concepts importance`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from interpreto.cli import options as o
from interpreto.cli.commands import note
from interpreto.cli.concepts.origin import Again, Folder, Origin
from interpreto.cli.names import find_name
from interpreto.cli.tables import aligned, number
from interpreto.cli.targets import Targets
from interpreto.cli.texts import Damaged, OnError, all_texts, open_texts
from interpreto.cli.written import check_ending

_WEIGHTS = ("gradient", "gradient_x_concept")  # as `ImportanceMethod`, which would load torch


def importance(
    folder: Folder,
    text: o.GivenTexts = None,
    file: o.File = None,
    format: o.FileFormat = None,
    column: o.Columns = None,
    target: Annotated[
        list[str] | None,
        typer.Option(help="A class, by label or number; several times for several. Default: the predicted one."),
    ] = None,
    method: Annotated[str, typer.Option(help="A concept's weight: gradient, or gradient-x-concept.")] = (
        "gradient-x-concept"
    ),
    inference_mode: o.Mode = None,
    top: Annotated[int, typer.Option(min=1, help="Concepts a class that are shown.")] = 5,
    out: Annotated[Path | None, typer.Option(help="A .json file for `concepts plot`.")] = None,
    as_json: o.AsJson = False,
    on_error: o.Bad = OnError.STOP,
    batch_size: o.BatchSize = None,
    model: Again = None,
    device: o.Device = None,
    quiet: o.Quiet = False,
) -> None:
    """Weigh concepts: how much each adds to the score of each class, or output token, over many texts."""
    check_ending(out, (".json",), file)
    weight = find_name("method", method, _WEIGHTS)
    origin, damaged = Origin.load(folder, model), Damaged(on_error)
    texts = all_texts(open_texts(text, file, format, column), damaged)
    mode = {} if inference_mode is None else {"inference_mode": inference_mode}
    concepts = origin.concepts(folder, device)
    said = Targets(tuple(target or ())).everywhere(concepts.split.traits.base)
    found = concepts.importance(
        texts,
        None if said is None else [said] * len(texts),
        origin.granularity,
        aggregation=origin.aggregation,
        method=weight,
        batch_size=batch_size,
        **mode,
    )
    if out is not None:
        found.save(out)
        note(f"{out}: {len(found.target_names)} targets of {len(texts)} texts", quiet)
    if as_json:
        typer.echo(json.dumps(found.to_dict()))
    elif out is None:
        shares, signed = found.table(normalized=True), found.table("signed")
        rows = [
            (name, str(concept), number(float(shares[t, concept])), number(float(signed[t, concept]), signed=True))
            for t, name in enumerate(found.target_names)
            for concept in found.top(t, top)
        ]
        typer.echo(aligned(("target", "concept", "share", "signed"), rows))
    damaged.leave()
