"""`interpreto concepts importance`."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from interpreto.cli import options as o
from interpreto.cli.commands import note
from interpreto.cli.concepts.origin import Again, Folder, Origin
from interpreto.cli.tables import aligned, number
from interpreto.cli.texts import Damaged, OnError, all_texts, open_texts
from interpreto.cli.written import check_ending


class Weight(str, Enum):
    """What a concept's weight is, as `ImportanceMethod`."""

    GRADIENT = "gradient"
    GRADIENT_X_CONCEPT = "gradient_x_concept"


def importance(
    folder: Folder,
    text: o.GivenTexts = None,
    file: o.File = None,
    format: o.FileFormat = None,
    column: o.Columns = None,
    target: Annotated[
        list[int] | None, typer.Option(help="A class by number; several times for several. Default: the predicted one.")
    ] = None,
    method: Annotated[Weight, typer.Option(help="What a concept's weight is.")] = Weight.GRADIENT_X_CONCEPT,
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
    origin, damaged = Origin.load(folder, model), Damaged(on_error)
    texts = all_texts(open_texts(text, file, format, column), damaged)
    mode = {} if inference_mode is None else {"inference_mode": inference_mode}
    found = origin.concepts(folder, device).importance(
        texts,
        target,
        origin.granularity,
        aggregation=origin.aggregation,
        method=method.value,
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
