"""`interpreto concepts fit`."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from interpreto.cli import options as o
from interpreto.cli.commands import note
from interpreto.cli.concepts.origin import Origin
from interpreto.cli.method_options import method_options
from interpreto.cli.names import find_name, load_class, public_names
from interpreto.cli.progress import is_watched
from interpreto.cli.texts import Damaged, OnError, all_texts, open_texts
from interpreto.errors import InputError

_ROOMS = ("concepts.models", "concepts.sparse_autoencoders")
_NOT_LEARNED = "NeuronsAsConcepts"


class RowKind(str, Enum):
    """What one row of activations belongs to, as `ActivationGranularity`, which would load torch."""

    CLS_TOKEN = "cls_token"
    ALL_TOKENS = "all_tokens"
    TOKEN = "token"
    WORD = "word"
    SENTENCE = "sentence"
    SAMPLE = "sample"


class Aggregated(str, Enum):
    """How the activations of several tokens become one, as `Aggregation`."""

    MEAN = "mean"
    MAX = "max"
    FIRST = "first"
    LAST = "last"


def fit(
    out: Annotated[Path, typer.Option(help="The folder to save them in.")],
    model: o.Model,
    split_point: Annotated[str, typer.Option(help="A block number, negative from the end, or a module's path.")],
    nb_concepts: Annotated[int | None, typer.Option(min=1, help="How many concepts to learn.")] = None,
    method: Annotated[str, typer.Option(help="Such as semi-nmf, ica, k-means, top-k-sae.")] = "semi-nmf",
    text: o.GivenTexts = None,
    file: o.File = None,
    format: o.FileFormat = None,
    column: o.Columns = None,
    granularity: Annotated[RowKind, typer.Option(help="What one row of activations is.")] = RowKind.TOKEN,
    aggregation: Annotated[Aggregated, typer.Option(help="How tokens become one row.")] = Aggregated.MEAN,
    seed: o.Seed = None,
    option: o.Others = None,
    on_error: o.Bad = OnError.STOP,
    revision: o.Revision = None,
    device: o.Device = None,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
) -> None:
    """Learn concepts from the activations of texts at a split point, and save them."""
    homes = {name: room for room in _ROOMS for name in public_names(room) if name != _NOT_LEARNED}
    name = find_name("method", method, list(homes), ending="Concepts")
    if out.exists() and any(out.iterdir() if out.is_dir() else [out]):
        raise InputError(f"out: expected a new or empty folder, got {out}, which holds something")
    damaged = Damaged(on_error)
    texts = all_texts(open_texts(text, file, format, column), damaged)
    kind = load_class(homes[name], name)
    ours = ("model_with_split_points", "split_point", "device", "progress")
    chosen = method_options(kind, {"nb_concepts": nb_concepts, "seed": seed}, option, ours)
    at = int(split_point) if split_point.lstrip("-").isdecimal() else split_point
    origin = Origin(model, revision, at, granularity.value, aggregation.value)
    split = origin.split(device)
    try:
        learned = kind(split, progress=is_watched(quiet), **chosen)
    except TypeError as error:  # an option without a default
        raise InputError(f"option: {name} needs more options ({error})") from error
    activations = split.get_activations(texts, granularity.value, aggregation=aggregation.value)
    report = learned.fit(activations)
    learned.save(out)
    origin.save(out)
    typer.echo(json.dumps(report.to_dict()) if as_json else str(report))
    note(f"{out}: {learned.nb_concepts} concepts of {len(texts)} texts", quiet)
    damaged.leave()
