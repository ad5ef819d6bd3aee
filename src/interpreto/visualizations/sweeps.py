"""Pictures of probe sweeps: how well something can be read at each split point. Still pages, without any script."""

from __future__ import annotations

import math
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any, final

from interpreto.concepts.supervised.sweeps import ProbeSweep, SweepRow
from interpreto.errors import InputError
from interpreto.visualizations import terminal
from interpreto.visualizations.blocks import Block, Curve, Curves, Grid, Heading
from interpreto.visualizations.saved import save

_TITLE = "Probes at each split point"
_LEFT, _TOP = 46, 12  # where the field of the chart begins, in its own units
_FIELDS = {"broad": (640, 260), "narrow": (290, 220)}  # its width and height, on a desk and on a phone
_MOST_NAMES, _LETTER = 16, 6.5  # along the axis, and the width of a letter; the table has all
_BAR = 30  # letters of a bar in a terminal
_HEAD = "split point", "probe", "accuracy", "balanced", "majority", "selectivity", "calibration error", "rows"
_NORMAL = 1.96  # so many standard errors to each side hold the true value 95 % of the time

_STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #16181d; --quiet: #5a606b; --line: #d5d9e0;
  --c0: #c2500a; --c1: #2166c9; --c2: #2b7d3a; --c3: #8a3fb0; --c4: #a3780a; --c5: #0b7f86; }
@media (prefers-color-scheme: dark) { :root { --ground: #14161a; --ink: #eceef2; --quiet: #a3a9b5; --line: #3a3f49;
  --c0: #ff9350; --c1: #7db2ff; --c2: #74cf86; --c3: #cf9bf0; --c4: #e3bb4a; --c5: #5fd0d8; } }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 0.75rem 1rem; }
h1 { font-size: 1.05rem; margin: 0.25rem 0 0.5rem; }
p { color: var(--quiet); font-size: 0.85rem; margin: 0 0 0.5rem; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--quiet); font-size: 11px; }
.grid { stroke: var(--line); }
.majority { stroke: var(--quiet); stroke-dasharray: 6 4; fill: none; }
.curve { fill: none; stroke: currentColor; stroke-width: 2; }
.control { fill: none; stroke: currentColor; stroke-dasharray: 2 3; }
.error { stroke: currentColor; }
.dot { fill: currentColor; stroke: var(--ground); }
.legend { display: flex; flex-wrap: wrap; gap: 0.1rem 1.2rem; padding: 0; list-style: none; font-size: 0.9rem; }
.k0 { color: var(--c0); } .k1 { color: var(--c1); } .k2 { color: var(--c2); }
.k3 { color: var(--c3); } .k4 { color: var(--c4); } .k5 { color: var(--c5); }
.narrow { display: none; }
@media (max-width: 34rem) { .broad { display: none; } .narrow { display: block; } }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; }
th, td { text-align: end; padding: 0.15rem 0.6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: start; unicode-bidi: isolate; }
"""


def plot_sweep(sweep: Any) -> SweepPlot:
    """Draw a probe sweep: the held-out accuracy of each kind of probe along the split points.

    Bars are 95 % intervals over the held-out texts, the dashed line is what always saying the most frequent class gets,
    and dotted lines are the control task's accuracy: what is above both is what the activations say.

    Args:
        sweep: What `sweep` found, or a file of it.

    Returns:
        A plot that notebooks show, `save("probes.html")` writes and `text()` prints.

    Raises:
        InputError: Something else.
    """
    if not isinstance(sweep, ProbeSweep):
        raise InputError(f"sweep: expected what sweep() found, got {type(sweep).__name__}")
    return SweepPlot(sweep)


@final
@dataclass(frozen=True, eq=False)
class SweepPlot:
    """A picture of a probe sweep, shown by notebooks as it is.

    Args:
        sweep: What is shown.
    """

    sweep: ProbeSweep

    def html(self) -> str:
        """The whole page: style, chart and table in one document that opens without a network, and runs no script."""
        policy = f"default-src 'none'; style-src '{_hash(_STYLE)}'; base-uri 'none'; form-action 'none'"
        return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{_TITLE} - Interpreto</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{_TITLE}</h1>
<p>{_said(self._about)}</p>
{_chart(self.sweep, "broad")}
{_chart(self.sweep, "narrow")}
{_legend(self.sweep)}
<div class="scroll" tabindex="0" role="region" aria-label="All numbers">{_table(self.sweep)}</div>
</main>
</body>
</html>
"""

    @property
    def _about(self) -> str:
        report = self.sweep.rows[0].report
        classes = ", ".join(terminal.word(str(label)) for label in report.classes[:12])
        more = f" and {len(report.classes) - 12} more" if len(report.classes) > 12 else ""
        return (
            f"Held-out accuracy with 95 % intervals. Classes: {classes}{more}. {self.sweep.n_texts} texts, one row a "
            f"{terminal.word(self.sweep.granularity).replace('_', ' ')}, seed {report.seed}."
        )

    def save(self, path: str | Path) -> None:
        """Write the page to a file, or a still picture of it: a figure for a paper needs `interpreto[viz]`.

        Args:
            path: Where to; its name ends in `.html`, `.png` or `.svg`.

        Raises:
            InputError: Another ending.
            MissingExtraError: A still picture without matplotlib.
            StoreError: The file cannot be written.
        """
        save(path, _TITLE, self.html, self.blocks)

    def blocks(self) -> tuple[Block, ...]:
        """For a paper: the accuracies along the split points, and the table."""
        sweep = self.sweep
        places = {point: float(k) for k, point in enumerate(sweep.split_points)}
        majority = sweep.of_kind(sweep.kinds[0])
        lines = []
        for hue, kind in enumerate(sweep.kinds):
            own = sweep.of_kind(kind)
            aside = 0.06 * (hue - (len(sweep.kinds) - 1) / 2)  # so that whiskers do not cover each other
            across, reports = tuple(places[row.split_point] + aside for row in own), [row.report for row in own]
            half = [_NORMAL * report.std_error for report in reports]
            lines.append(
                Curve(
                    kind,
                    across,
                    tuple(report.accuracy for report in reports),
                    tuple(max(report.accuracy - reach, 0.0) for report, reach in zip(reports, half, strict=True)),
                    tuple(min(report.accuracy + reach, 1.0) for report, reach in zip(reports, half, strict=True)),
                    hue,
                )
            )
            controls = [math.nan if report.control_accuracy is None else report.control_accuracy for report in reports]
            if not all(map(math.isnan, controls)):
                lines.append(Curve(f"{kind}, control task", across, tuple(controls), hue=hue, dashed=True))
        xs = tuple(places[row.split_point] for row in majority)
        lines.append(Curve("most frequent class", xs, tuple(row.report.majority for row in majority), hue=None))
        ticks = tuple((place, terminal.word(point, 24)) for point, place in places.items())
        table = tuple(tuple(cells[1:]) for cells in map(_cells, sweep.rows))
        return (
            Heading(_TITLE, self._about),
            Curves(tuple(lines), "split point", "held-out accuracy", ticks, "whiskers"),
            Grid(tuple(_cells(row)[0] for row in sweep.rows), _HEAD[1:], texts=table),
        )

    def text(self, color: bool = True) -> str:
        """The same for a terminal: a bar for each probe, with `|` where always saying the largest class would end."""
        names = [terminal.word(row.split_point, 24) for row in self.sweep.rows]
        width, kind_width = max(map(len, names)), max(len(kind) for kind in self.sweep.kinds)
        lines = [terminal.safe(self._about)]
        for name, row in zip(names, self.sweep.rows, strict=True):
            report = row.report
            bar = list(("█" * round(_BAR * report.accuracy)).ljust(_BAR))
            bar[min(round(_BAR * report.majority), _BAR - 1)] = "|"
            drawn = terminal.shade("".join(bar), report.accuracy) if color else "".join(bar)
            lines.append(f"{name:<{width}}  {report.kind:<{kind_width}}  {drawn}  {_accuracy(row)}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text(color=False)

    def _repr_html_(self) -> str:
        """The page in a frame of its own, which can neither reach the notebook nor another plot."""
        height = min(480 + 26 * len(self.sweep.rows), 760)
        return (
            f'<iframe title="{_TITLE}" sandbox="" width="100%" height="{height}" '
            f'style="border:0;resize:vertical" srcdoc="{escape(self.html())}"></iframe>'
        )


def _said(text: str) -> str:
    """Data as markup shows it: the one place where it is escaped."""
    return escape(terminal.safe(text))


def _hash(style: str) -> str:
    return f"sha256-{b64encode(sha256(style.encode()).digest()).decode()}"


def _accuracy(row: SweepRow) -> str:
    error = row.report.std_error
    return f"{row.report.accuracy:.3f}" + ("" if math.isnan(error) else f" ± {_NORMAL * error:.3f}")


def _chart(sweep: ProbeSweep, kind: str) -> str:
    """The chart as SVG, for one of the widths of a page."""
    points = sweep.split_points
    width, height = _FIELDS[kind]
    step = width / max(len(points) - 1, 1)
    across = {name: _LEFT + (k * step if len(points) > 1 else width / 2) for k, name in enumerate(points)}
    shown = [row.report for row in sweep.rows]
    values = [value for r in shown for value in (r.accuracy, r.majority, r.control_accuracy) if value is not None]
    lowest = min(math.floor(10 * min(values)) / 10, 0.9)

    def up(value: float) -> float:
        return _TOP + height * (1 - min(max(value, lowest), 1.0)) / (1 - lowest) if lowest < 1 else _TOP

    drawn = [
        f'<svg class="{kind}" viewBox="0 0 {_LEFT + width + 20} {_TOP + height + 34}" role="img" '
        f'aria-label="{_TITLE}">',
    ]
    for tenth in range(round(10 * lowest), 11):
        y = f"{up(tenth / 10):.1f}"
        drawn.append(f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + width}" y1="{y}" y2="{y}"/>')
        drawn.append(
            f'<text x="{_LEFT - 8}" y="{y}" text-anchor="end" dominant-baseline="middle">{tenth / 10:.1f}</text>'
        )
    names = [terminal.word(name, 12) for name in _short(points)]
    room = width / (_LETTER * max(map(len, names)) + 12)
    every = math.ceil(len(points) / max(1, min(_MOST_NAMES, int(room))))
    for point, name in list(zip(points, names, strict=True))[::every]:
        place = f'x="{across[point]:.1f}" y="{_TOP + height + 20}"'
        drawn.append(f'<text {place} text-anchor="middle">{_said(name)}</text>')
    first = sweep.of_kind(sweep.kinds[0])
    drawn.append(_line("majority", [(across[row.split_point], up(row.report.majority)) for row in first]))
    for number, probe in enumerate(sweep.kinds):
        own = sweep.of_kind(probe)
        drawn.append(f'<g class="k{number}">')
        controls = [(row, row.report.control_accuracy) for row in own]
        dotted = [(across[row.split_point], up(value)) for row, value in controls if value is not None]
        if dotted:
            drawn.append(_line("control", dotted))
        drawn.append(_line("curve", [(across[row.split_point], up(row.report.accuracy)) for row in own]))
        for row in own:
            x, report = across[row.split_point], row.report
            half = 0.0 if math.isnan(report.std_error) else _NORMAL * report.std_error
            ends = f'y1="{up(report.accuracy - half):.1f}" y2="{up(report.accuracy + half):.1f}"'
            drawn.append(f'<line class="error" x1="{x:.1f}" x2="{x:.1f}" {ends}/>')
            words = _said(f"{terminal.word(row.split_point, 60)}, {report.kind}: {_accuracy(row)}")
            dot = f'<circle class="dot" cx="{x:.1f}" cy="{up(report.accuracy):.1f}" r="4">'
            drawn.append(f"{dot}<title>{words}</title></circle>")
        drawn.append("</g>")
    return "\n".join([*drawn, "</svg>"])


def _short(points: tuple[str, ...]) -> list[str]:
    """Names without the modules that all of them begin and end with.

    >>> _short(("model.layers.0.mlp", "model.layers.11.mlp"))
    ['0', '11']
    """
    split = [name.split(".") for name in points]
    most = min(map(len, split)) - 1 if len(points) > 1 else 0
    first = next((k for k in range(most) if len({parts[k] for parts in split}) > 1), most)
    last = next((k for k in range(most - first) if len({parts[-1 - k] for parts in split}) > 1), most - first)
    return [".".join(parts[first : len(parts) - last]) for parts in split]


def _line(name: str, places: list[tuple[float, float]]) -> str:
    return f'<polyline class="{name}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>'


def _legend(sweep: ProbeSweep) -> str:
    items = [f'<li class="k{number}">● {_said(kind)}</li>' for number, kind in enumerate(sweep.kinds)]
    if any(row.report.control_accuracy is not None for row in sweep.rows):
        items.append("<li>·· control task: random labels, what the probe learns by heart</li>")
    return f'<ul class="legend">{"".join(items)}<li>-- always the most frequent class</li></ul>'


def _table(sweep: ProbeSweep) -> str:
    lines = ["".join(f'<th scope="col">{name}</th>' for name in _HEAD)]
    lines += ["".join(f"<td>{_said(cell)}</td>" for cell in _cells(row)) for row in sweep.rows]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _cells(row: SweepRow) -> tuple[str, ...]:
    """A line of the table."""
    report = row.report
    error = None if report.calibration is None else report.calibration.expected_error
    values = report.balanced_accuracy, report.majority, report.selectivity, error
    return (
        terminal.word(row.split_point, 80),
        report.kind,
        _accuracy(row),
        *("–" if value is None else f"{value:.3f}" for value in values),
        str(report.n_held_out),
    )
