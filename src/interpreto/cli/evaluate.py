"""`interpreto evaluate`: which method to trust on these texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interpreto.cli import options as o
from interpreto.cli.commands import note
from interpreto.cli.explaining import Explaining, batches
from interpreto.cli.loading import load_model
from interpreto.cli.method_options import options_by_method
from interpreto.cli.names import find_name, kebab, load_class, public_names
from interpreto.cli.progress import steps
from interpreto.cli.tables import aligned, number
from interpreto.cli.targets import Targets
from interpreto.cli.texts import Damaged, Line, OnError, open_texts
from interpreto.cli.written import check_ending, write_table, write_text
from interpreto.errors import InputError

if TYPE_CHECKING:
    from interpreto.attributions import Attribution, AttributionExplainer

_NO_METRICS = ("Evaluation", "FaithfulnessMetric", "Measurement")
_HEADER = ("method", "metric", "texts", "score", "± error", "beside", "gain", "± error", "better")


def evaluate(
    model: o.Model,
    methods: Annotated[str, typer.Option(help="Methods, with commas between them.")] = "occlusion,kernel-shap",
    metrics: Annotated[str, typer.Option(help="Metrics, with commas between them.")] = "insertion,deletion",
    text: o.GivenTexts = None,
    file: o.File = None,
    format: o.FileFormat = None,
    column: o.Columns = None,
    target_column: Annotated[str | None, typer.Option(help="Column with the class or output of each text.")] = None,
    granularity: o.ElementKind = None,
    inference_mode: o.Mode = None,
    seed: o.Seed = None,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="[METHOD.]NAME=VALUE", help="Any other option, of one method or of all that have it."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write the table: .csv or .json.")] = None,
    as_json: o.AsJson = False,
    on_error: o.Bad = OnError.STOP,
    batch: o.Batch = 16,
    batch_size: o.BatchSize = None,
    revision: o.Revision = None,
    device: o.Device = None,
    quiet: o.Quiet = False,
) -> None:
    """Compare methods on texts: does the model agree that the words they point at matter?

    Every figure stands beside that of words in random order, or for infidelity that of scores of 0.

    The gain is how much better it is: above 0 is better, whatever the metric.
    """
    check_ending(out, (".csv", ".json"), file)
    known = [name for name in public_names("attributions.metrics") if name not in _NO_METRICS]
    asked = _several("methods", methods, public_names("attributions.methods"))
    judged = _several("metrics", metrics, known)
    texts = open_texts(text, file, format, column, target_column)
    damaged = Damaged(on_error)
    lines = list(texts.lines(damaged))
    if not lines:
        raise InputError("text: expected at least one that can be explained, got none")
    named = {"granularity": granularity, "inference_mode": inference_mode, "seed": seed, "batch_size": batch_size}
    classes = {name: load_class("attributions.methods", name) for name in asked}
    chosen = options_by_method(classes, named, option, ours=("model", "tokenizer", "progress"))
    loaded, tokenizer = load_model(model, revision, device)
    target = Targets().for_model(loaded)
    explainers: dict[str, AttributionExplainer] = {}
    found: dict[str, dict[int, Attribution]] = {}
    with steps(len(asked) * (1 + len(judged)), "step", quiet) as done:
        for name in asked:
            explainers[name] = classes[name](loaded, tokenizer, progress=False, **chosen[name])
            usable = [line for line in lines if line.number not in damaged.numbers]
            explained = Explaining(explainers[name], target, damaged)
            pairs = [pair for own in batches(usable, batch) for pair in explained(own)]
            found[name] = {line.number: result for line, result in pairs}
            done.update()
        rows = []
        for name in asked:
            results = _of_all(found[name], lines, damaged)
            for metric in judged:
                own_seed = chosen[name].get("seed", seed or 0)  # of --option, which may be the method's alone
                rows.append(_row(name, metric, explainers[name], results, own_seed))
                done.update()
    _write(rows, out, as_json)
    if out is not None:
        note(f"{out}: {len(rows)} rows", quiet)
    damaged.leave()


def _several(option: str, given: str, names: Sequence[str]) -> list[str]:
    wanted = [name.strip() for name in given.split(",") if name.strip()]
    if not wanted:
        raise InputError(f"{option}: expected at least one of {', '.join(map(kebab, names))}, got none")
    return list(dict.fromkeys(find_name(option, name, names) for name in wanted))


def _of_all(results: dict[int, Attribution], lines: Sequence[Line], damaged: Damaged) -> list[Attribution]:
    """The explanations of the texts that every method could explain, so that methods are compared on the same ones."""
    found = [results[line.number] for line in lines if line.number not in damaged.numbers]
    if not found:
        raise InputError("text: expected at least one that every method can explain, got none")
    return found


def _row(
    method: str, metric: str, explainer: AttributionExplainer, results: Sequence[Attribution], seed: int
) -> dict[str, Any]:
    """One figure, what it stands beside, and how sure it is: means over texts, and their standard errors."""
    kind = load_class("attributions.metrics", metric)
    if metric == "SensitivityMax":  # it explains again, where the others look at the model alone
        judge = kind(explainer, seed=seed)
    else:
        judge = kind(explainer.model, explainer.tokenizer, batch_size=explainer.batch_size, seed=seed)
    said = judge(results)
    scores = [float(score.mean()) for score in said.scores]
    random, nothing = (getattr(said, name, None) for name in ("random_scores", "references"))
    beside = [float(score.mean()) for score in random or nothing or ()]
    sign = 1 if said.higher_is_better else -1
    gains = [sign * (score - other) for score, other in zip(scores, beside, strict=False)]
    return {
        "method": kebab(method),
        "metric": kebab(metric),
        "n_texts": len(scores),
        "score": _mean(scores),
        "score_std_error": _error(scores),
        "beside": _mean(beside),
        "beside_is": "random order" if random else "scores of 0" if nothing else None,
        "gain": _mean(gains),
        "gain_std_error": _error(gains),
        "higher_is_better": said.higher_is_better,
    }


def _mean(values: Sequence[float]) -> float | None:
    return mean(values) if values else None


def _error(values: Sequence[float]) -> float | None:
    """Standard error of the mean; of a single text there is none."""
    return stdev(values) / len(values) ** 0.5 if len(values) > 1 else None


def _write(rows: Sequence[dict[str, Any]], out: Path | None, as_json: bool) -> None:
    if out is not None and out.suffix.lower() == ".csv":
        write_table(out, [list(rows[0]), *(list(row.values()) for row in rows)])
    elif out is not None:
        write_text(out, json.dumps(rows, indent=1, allow_nan=False) + "\n")
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row, allow_nan=False))
    elif out is None:
        typer.echo(aligned(_HEADER, [_shown(row) for row in rows]))


def _shown(row: dict[str, Any]) -> list[str]:
    return [
        row["method"],
        row["metric"],
        str(row["n_texts"]),
        number(row["score"]),
        number(row["score_std_error"]),
        number(row["beside"]),
        number(row["gain"], signed=True),
        number(row["gain_std_error"]),
        "higher" if row["higher_is_better"] else "lower",
    ]
