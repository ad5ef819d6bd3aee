"""`interpreto concepts interpret`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from interpreto.cli import options as o
from interpreto.cli.commands import note
from interpreto.cli.concepts.origin import Again, Folder, Origin
from interpreto.cli.method_options import method_options
from interpreto.cli.names import find_name, load_class, public_names
from interpreto.cli.progress import is_watched
from interpreto.cli.texts import Damaged, OnError, all_texts, open_texts
from interpreto.cli.written import check_ending
from interpreto.errors import InputError


class Reading(str, Enum):
    """What concepts are read by."""

    TOP_K_INPUTS = "top-k-inputs"
    LLM_LABELS = "llm-labels"
    VOCAB_PROJ = "vocab-proj"


def interpret(
    folder: Folder,
    method: Annotated[Reading, typer.Option(help="The strongest texts, a language model's labels, or tokens.")] = (
        Reading.TOP_K_INPUTS
    ),
    text: o.GivenTexts = None,
    file: o.File = None,
    format: o.FileFormat = None,
    column: o.Columns = None,
    concepts: Annotated[str, typer.Option(help="Numbers with commas between them, or all.")] = "all",
    llm: Annotated[
        str | None, typer.Option(help="For llm-labels: a model of an OpenAI-compatible server; key in OPENAI_API_KEY.")
    ] = None,
    llm_url: Annotated[str | None, typer.Option(help="Where that server is.")] = None,
    option: o.Others = None,
    out: Annotated[Path | None, typer.Option(help="A .json file for `concepts plot`.")] = None,
    as_json: o.AsJson = False,
    on_error: o.Bad = OnError.STOP,
    model: Again = None,
    device: o.Device = None,
    quiet: o.Quiet = False,
) -> None:
    """Say what concepts mean: the texts they are strongest in, a language model's labels, or tokens they raise."""
    check_ending(out, (".json",), file)
    origin, damaged = Origin.load(folder, model), Damaged(on_error)
    reads_texts = method is not Reading.VOCAB_PROJ
    texts = all_texts(open_texts(text, file, format, column), damaged) if reads_texts else []
    numbers = concepts if concepts == "all" else _numbers(concepts)
    name = find_name("method", method.value, public_names("concepts.interpretations"))
    kind = load_class("concepts.interpretations", name)
    named: dict[str, Any] = {}
    if reads_texts:
        named = {"activation_granularity": origin.granularity, "aggregation": origin.aggregation}
    chosen = method_options(kind, named, option, ours=("concept_explainer", "llm_interface", "progress"))
    if method is Reading.LLM_LABELS:
        chosen |= {"llm_interface": _asked(llm, llm_url), "progress": is_watched(quiet)}
    reader = kind(origin.concepts(folder, device), **chosen)
    found = reader.interpret(numbers, texts) if reads_texts else reader.interpret(numbers)
    if out is not None:
        found.save(out)
        note(f"{out}: {len(found)} concepts", quiet)
    if out is None or as_json:
        typer.echo(found.to_json() if as_json else found.text())
    damaged.leave()


def _numbers(given: str) -> Sequence[int]:
    try:
        return [int(number) for number in given.split(",")]
    except ValueError:
        raise InputError(f"concepts: expected numbers with commas between them, or all, got {given!r:.60}") from None


def _asked(llm: str | None, url: str | None) -> Any:
    """The language model that writes labels; its key is in the environment, where no list of processes shows it."""
    from interpreto.model_wrapping.llm_interface import OpenAILLM

    if llm is None:
        raise InputError("llm: expected the name of a language model, such as --llm gpt-4.1-nano, got none")
    return OpenAILLM(os.environ.get("OPENAI_API_KEY"), model=llm, base_url=url)
