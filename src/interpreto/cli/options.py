"""Options that several commands have, with the same words everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from interpreto.cli.texts import OnError
from interpreto.text_files import Format
from interpreto.types import Granularity, InferenceMode

_INPUT, _RUN = "Input", "Run"

Model = Annotated[str, typer.Option(help="A folder, a name on the hub, or demo:emotion, demo:topic, demo:stories.")]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit of the model on the hub.")]
Device = Annotated[
    str | None, typer.Option(help="Where the model runs: cpu, cuda, cuda:1. Default: cuda if there is one.")
]

GivenTexts = Annotated[
    list[str] | None, typer.Option("--text", help="A text; may be given several times.", rich_help_panel=_INPUT)
]
File = Annotated[
    Path | None,
    typer.Option(help="A .txt, .jsonl, .csv or .tsv file; - for standard input.", rich_help_panel=_INPUT),
]
FileFormat = Annotated[
    Format | None, typer.Option("--format", help="Of the file, where its name does not say it.", rich_help_panel=_INPUT)
]
Columns = Annotated[
    list[str] | None,
    typer.Option("--column", help="With the text; twice for pairs of texts. Default: text.", rich_help_panel=_INPUT),
]
Bad = Annotated[
    OnError, typer.Option("--on-error", help="What a line that cannot be explained leads to.", rich_help_panel=_INPUT)
]

ElementKind = Annotated[Granularity | None, typer.Option("--granularity", help="What one element is. Default: word.")]
Mode = Annotated[
    InferenceMode | None, typer.Option("--inference-mode", help="The space of the scores. Default: logits.")
]
Removed = Annotated[
    str | None,
    typer.Option("--removal", help="How a removed element looks: mask, attention, delete, or a token's text."),
]
Seed = Annotated[int | None, typer.Option(help="Seed of everything sampled. Default: 0.")]
Others = Annotated[
    list[str] | None, typer.Option("--option", metavar="NAME=VALUE", help="Any other option of the method.")
]
BatchSize = Annotated[
    int | None, typer.Option(help="Rows a forward pass; changes nothing but speed.", rich_help_panel=_RUN)
]
Batch = Annotated[int, typer.Option(min=1, help="Texts that are explained at a time.", rich_help_panel=_RUN)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar and no notes.", rich_help_panel=_RUN)]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output.", rich_help_panel=_RUN)]
