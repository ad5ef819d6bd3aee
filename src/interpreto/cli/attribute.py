"""`interpreto attribute`: which words made this decision, of one text or of a file of millions."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from interpreto import __version__
from interpreto.cli import options as o
from interpreto.cli.commands import note
from interpreto.cli.explaining import Explaining, batches
from interpreto.cli.journal import Journal
from interpreto.cli.loading import load_model
from interpreto.cli.method_options import method_options
from interpreto.cli.names import find_name, load_class, public_names
from interpreto.cli.progress import steps
from interpreto.cli.results import Results
from interpreto.cli.targets import Targets
from interpreto.cli.texts import Damaged, OnError, open_texts
from interpreto.cli.written import LINES, check_ending
from interpreto.errors import InputError
from interpreto.types import Granularity

_TARGET = "What is explained"


def attribute(
    model: o.Model,
    method: Annotated[str, typer.Option(help="Such as kernel-shap, occlusion, integrated-gradients.")] = "kernel-shap",
    text: o.GivenTexts = None,
    file: o.File = None,
    format: o.FileFormat = None,
    column: o.Columns = None,
    target: Annotated[
        list[str] | None,
        typer.Option(help="A class, by label or number; several times for several.", rich_help_panel=_TARGET),
    ] = None,
    all_classes: Annotated[bool, typer.Option("--all-classes", rich_help_panel=_TARGET, help="Every class.")] = False,
    rather_than: Annotated[
        str | None, typer.Option(help="The class, or output, that it is held against.", rich_help_panel=_TARGET)
    ] = None,
    output_text: Annotated[
        str | None, typer.Option(help="What a model that writes has written.", rich_help_panel=_TARGET)
    ] = None,
    target_column: Annotated[
        str | None, typer.Option(help="Column with the class or output of each text.", rich_help_panel=_TARGET)
    ] = None,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(min=1, help="How much a model writes, where no output is given.", rich_help_panel=_TARGET),
    ] = None,
    output_granularity: Annotated[
        Granularity | None,
        typer.Option(help="What one target of an output is. Default: token.", rich_help_panel=_TARGET),
    ] = None,
    granularity: o.ElementKind = None,
    inference_mode: o.Mode = None,
    removal: o.Removed = None,
    n_perturbations: Annotated[
        int | None, typer.Option(help="Forward passes a text, where the method samples.")
    ] = None,
    tolerance: Annotated[float | None, typer.Option(help="Sample until standard errors are below this share.")] = None,
    seed: o.Seed = None,
    truncation: Annotated[bool | None, typer.Option("--truncation", help="Cut texts that are too long.")] = None,
    option: o.Others = None,
    out: Annotated[
        Path | None, typer.Option(help="A .jsonl file, which a killed run goes on with; or .html, .csv, .png, .svg.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin the .jsonl file anew.")] = False,
    as_json: o.AsJson = False,
    on_error: o.Bad = OnError.STOP,
    batch: o.Batch = 16,
    batch_size: o.BatchSize = None,
    revision: o.Revision = None,
    device: o.Device = None,
    quiet: o.Quiet = False,
) -> None:
    """Explain texts: how much each word contributes to a class, or to what a model writes.

    Results go to standard output, or to a file.

    A killed run with --out results.jsonl goes on when it is started again.

    Exit codes: 0 done, 1 some lines skipped, 2 wrong command or input, 130 interrupted.
    """
    check_ending(out, source=file)
    wanted = Targets(tuple(target or ()), all_classes, rather_than, output_text)
    wanted.check()
    name = find_name("method", method, public_names("attributions.methods"))
    texts = open_texts(text, file, format, column, target_column)
    explainer_class = load_class("attributions.methods", name)
    named: dict[str, Any] = {
        "granularity": granularity,
        "output_granularity": output_granularity,
        "inference_mode": inference_mode,
        "removal": removal,
        "n_perturbations": n_perturbations,
        "tolerance": tolerance,
        "seed": seed,
        "truncation": truncation,
        "batch_size": batch_size,
        "generation": None if max_new_tokens is None else {"max_new_tokens": max_new_tokens},
    }
    chosen = method_options(explainer_class, named, option, ours=("model", "tokenizer", "progress"))
    command = {
        "version": __version__,
        "model": model,
        "revision": revision,
        "method": name,
        "options": {key: value for key, value in chosen.items() if key != "batch_size"},
        "target": asdict(wanted),
        "column": [*texts.columns, target_column],
        "format": texts.format.value,
        "batch": batch,
    }
    growing = out is not None and out.suffix.lower() == LINES
    journal = Journal(out, {**command, "input": texts.digest()}, overwrite=overwrite) if out and growing else None
    damaged = Damaged(on_error)
    with Results(out, journal, as_json, numbered=texts.given is None) as results:
        loaded, tokenizer = load_model(model, revision, device)
        explainer = explainer_class(loaded, tokenizer, progress=False, **chosen)
        if journal is not None:
            from interpreto.model_wrapping.fingerprint import fingerprint

            journal.confirm(fingerprint(explainer.traits))
        explained = Explaining(explainer, wanted.for_model(loaded), damaged)
        hidden = quiet or (results.shown and sys.stdout.isatty())
        with steps(None if hidden else texts.n_lines(), "line", hidden) as bar:
            for lines in batches(texts.lines(damaged), batch):
                bar.update(lines[-1].number - bar.n)
                skipped = results.skipped_before(lines)
                if skipped is not None:
                    damaged.numbers.update(skipped)
                    continue
                # The batch that a run was killed in is explained as a whole: neighbours change the last digits.
                for line, result in explained(lines):
                    results.add(line, result)
        n_explained, n_skipped = results.before + results.count, len(damaged.numbers)
        if not n_explained + n_skipped:
            raise InputError("text: expected at least one, got none; the input is empty")
        results.finish()
    if out is not None:
        earlier = f", {results.before} of them by an earlier run" if results.before else ""
        note(f"{out}: {n_explained} explained{earlier}, {n_skipped} skipped", quiet)
    damaged.leave()
