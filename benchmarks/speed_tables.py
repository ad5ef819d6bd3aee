"""The page of the docs on speed and accuracy, made from the results of `speed.py` and `accuracy.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from accuracy import DEFAULT_STEPS
from speed import IMPORT, median, ratio_to_floor
from tables import table

PEERS = ("captum", "shap", "lime")
COLUMNS = ("floor", "ours", *PEERS)
INTRODUCTION = """
The floor of a method is the bare model on the distinct inputs that the method needs, in its best batch size, with the
output head only at the rows and columns that are read, and with parameters as constants. It is no library: nothing is
tokenised, drawn or added up. Models have real configurations and random weights: `bert-2` and `bert-6` are BERT-base
with 2 and 6 labels, `gpt2` is GPT-2 small, `vocabulary-151936` is a Qwen3 of 6 blocks of width 512 with its full
vocabulary. One word is one token. All contestants explain the same function for given targets, so none needs a pass
to find out what the model predicts, with the same baseline and as many perturbations or steps. captum, shap and lime
get their inputs in batches of 2,048 tokens, although their defaults are often one input a call; number of passes and
use of the head are their own. The first call of an explainer of ours also runs one text to find out what the model is
for; what is timed and counted are later calls. Language models: the prompt and the output words before a target are
explained.
"""


def page(speed: Mapping[str, Any], accuracy: Mapping[str, Any] | None) -> str:
    """The page as Markdown."""
    text = [
        "# Speed and accuracy",
        "",
        "Made by `make bench`; do not edit by hand.",
        "",
        "## Goals",
        "",
        table(["goal", "aimed at", "measured", "met"], _goals(speed, accuracy)),
        "",
        "## Time",
        INTRODUCTION.rstrip(),
    ]
    for device, found in speed["devices"].items():
        rows = [row for row in found["rows"].values() if "cells" in row]
        about = found["environment"]
        where = about["gpu"] or f"{about['threads']} threads of {about['cpus']} CPUs"
        text += [
            "",
            f"### {device}: {where}, torch {about['torch']}, transformers {about['transformers']}",
            "",
            "Wall time of one explanation by the floor, and of the others as a multiple of it; in brackets the same of "
            "CPU time. Contestants take turns; medians over rounds of the ratios within a round, "
            f"{_rounds(rows)} rounds where no other number is given.",
            "",
            _times(rows),
            "",
            "What noise cannot touch: floor, ours, captum, shap and lime in this order. Forward tokens: a pass "
            "through half of the blocks counts half. Head: rows times columns that are multiplied with the weight of "
            "the output head. GFLOP: matrix products, forward and backward. MiB: the most bytes of tensors that live "
            "at once beyond the model.",
            "",
            _counters(rows),
        ]
    if accuracy:
        text += ["", *_accuracy(accuracy)]
    return "\n".join(text) + "\n"


def _rounds(rows: Sequence[Mapping[str, Any]]) -> int:
    return max((len(row["cells"]["ours"]["wall"]) for row in rows), default=0)


def _goals(speed: Mapping[str, Any], accuracy: Mapping[str, Any] | None) -> list[list[str]]:
    lines = []
    for device, found in speed["devices"].items():
        for name, row in found["rows"].items():
            if name == IMPORT:
                lines.append(_goal(name, "s", row["goal_seconds"], median(row["wall"])))
            elif row["goal"]:
                value = ratio_to_floor(row["cells"], "ours")
                lines.append(_goal(f"{device}, {row['model']}: {row['name']}", "x floor", row["goal"], value))
    return lines + (_goals_of_accuracy(accuracy) if accuracy else [])


def _goal(name: str, unit: str, most: float, value: float) -> list[str]:
    return [
        name,
        f"at most {most:g} {unit}".strip(),
        f"{value:.3g} {unit}".strip(),
        "yes" if value <= most else "**no**",
    ]


def _goals_of_accuracy(accuracy: Mapping[str, Any]) -> list[list[str]]:
    rows = _rows_of(accuracy)
    shapley = {(r["on"], r["who"], r["calls"]): r["error"] for r in rows if r["method"] == "KernelShap"}
    lines = []
    for on in ("networks", "curved networks"):
        own, theirs = shapley.get((on, "ours", 64)), shapley.get((on, "captum", 256))
        if own is not None and theirs is not None:
            name = f"KernelSHAP, {on} of 10 features: error with 64 calls, that of captum with 256"
            lines.append(_goal(name, "", float(f"{theirs:.3g}"), own))
    ratios = [
        shapley[on, "ours", calls] / error for (on, who, calls), error in shapley.items() if who == "shap" and error > 0
    ]
    if ratios:
        lines.append(_goal("KernelSHAP: error over that of shap at equal calls, worst row", "", 1.0, max(ratios)))
    for on, own in _by_model(accuracy["parts"].get("steps", [])).items():
        name = f"IntegratedGradients, {on}: steps to a gap of {accuracy['gap']:g}, median of {len(own)} targets"
        lines.append(_goal(name, "steps", DEFAULT_STEPS / 4, median([row["ours"] for row in own])))
    return lines


def _by_model(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    names = dict.fromkeys(row["on"] for row in rows)
    return {on: [row for row in rows if row["on"] == on] for on in names}


def _rows_of(accuracy: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Errors at numbers of calls."""
    return [row for name, rows in accuracy["parts"].items() if name != "steps" for row in rows]


def _times(rows: Sequence[Mapping[str, Any]]) -> str:
    most = _rounds(rows)
    lines = []
    for row in rows:
        cells = row["cells"]
        line = [row["model"], row["name"], _seconds(median(cells["floor"]["wall"]))]
        for name in ("ours", *PEERS):
            line.append(_ratio(cells, name, most))
        others = [f"{name}: {_ratio(cells, name, most)}" for name in cells if name not in COLUMNS]
        lines.append([*line, "; ".join(others)])
    return table(["model", "what", "floor", "ours", *PEERS, "also"], lines)


def _ratio(cells: Mapping[str, Any], name: str, most: int) -> str:
    cell = cells.get(name)
    if cell is None:
        return ""
    if "reason" in cell:
        return f"– {cell['reason']}"
    fewer = "" if len(cell["wall"]) == most else f", {len(cell['wall'])} rounds"
    wall, cpu = ratio_to_floor(dict(cells), name), ratio_to_floor(dict(cells), name, "cpu")
    return f"{wall:.2f} ({cpu:.2f}{fewer})"


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.1f} ms"


def _counters(rows: Sequence[Mapping[str, Any]]) -> str:
    kinds: dict[str, tuple[str, Callable[[float], str]]] = {
        "forward tokens": ("forward_tokens", lambda n: f"{n:,}"),
        "head": ("head_scores", lambda n: f"{n:,}"),
        "GFLOP": ("gflop", lambda n: f"{n:.3g}"),
        "MiB": ("peak_bytes", lambda n: f"{n / 2**20:.3g}"),
    }
    lines = []
    for row in rows:
        cells = row["cells"]
        line = [row["model"], row["name"]]
        for key, form in kinds.values():
            found = [cells.get(name, {}).get(key) for name in COLUMNS]
            line.append(" · ".join("–" if value is None else form(value) for value in found))
        lines.append(line)
    return table(["model", "what", *kinds], lines)


def _accuracy(accuracy: Mapping[str, Any]) -> list[str]:
    text = [
        "## Accuracy",
        "",
        "Error left after so many model calls (perturbed inputs, or points where gradients are taken): length of "
        "the error over the length of the right answer, means over texts, targets and seeds. Shapley values, RISE "
        "and Sobol indices: against exact values from all keep-vectors. LIME, SmoothGrad and GradientSHAP: against "
        "what the same library itself converges to, so that the columns say how fast, not how well. `networks`: "
        "random networks with one hidden layer on 10 features, with weights of spread 0.5, or, curved, 1; "
        "`emotion`: the shipped classifier on texts of 8 to 12 words.",
    ]
    rows = _rows_of(accuracy)
    for on, own in _by_model(rows).items():
        lines = []
        for method, who in dict.fromkeys((row["method"], row["who"]) for row in own):
            found = [row for row in own if (row["method"], row["who"]) == (method, who)]
            lines.append([method, who, "; ".join(f"{row['calls']:,}: {row['error']:.3f}" for row in found)])
        text += ["", f"### `{on}`", "", table(["method", "whose", "calls: error"], lines)]
    steps = accuracy["parts"].get("steps", [])
    text += [
        "",
        "### Steps of integrated gradients",
        "",
        f"Points along the path, all that were spent, until the completeness gap is below {accuracy['gap']:g} of the "
        f"difference of the scores; captum's gap at its default of {DEFAULT_STEPS} Gauss-Legendre points, and the "
        "number from which on its gap stays small (–: more than 300). Ours finds its number by itself; captum's has to "
        "be tried out. Medians over targets.",
        "",
    ]
    lines = []
    for on, own in _by_model(steps).items():
        needed = median([row["captum"] or float("inf") for row in own])
        within = sum(row["captum_gap"] <= accuracy["gap"] for row in own)
        lines.append([
            on,
            f"{len(own)}",
            f"{median([row['ours'] for row in own]):g}",
            f"{sum(row['our_gap'] <= accuracy['gap'] for row in own)} of {len(own)}",
            "–" if needed == float("inf") else f"{needed:g}",
            f"{within} of {len(own)}",
        ])  # fmt: skip
    header = ["model", "targets", "our steps", "below the gap", "captum's steps", "below the gap at its default"]
    return [*text, table(header, lines)]
