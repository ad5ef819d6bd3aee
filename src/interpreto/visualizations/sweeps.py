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
from interpreto.errors import InputError, StoreError
from interpreto.visualizations import terminal

_TITLE = "Probes at each split point"
_LEFT, _TOP, _WIDTH, _HEIGHT = 46, 12, 640, 260  # of the field of the chart, in its own units
_MOST_NAMES = 16  # along the axis; the table has all
_BAR = 30  # letters of a bar in a terminal
_NORMAL = 1.96  # so many standard errors to each side hold the true value 95 % of the time

_STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #16181d; --quiet: #5a606b; --line: #d5d9e0;
  --c0: #c2500a; --c1: #2166c9; --c2: #2b7d3a; --c3: #8a3fb0; --c4: #a3780a; --c5: #0b7f86; }
@media (prefers-color-scheme: dark) { :root { --ground: #14161a; --ink: #eceef2; --quiet: #a3a9b5; --line: #3a3f49;
  --c0: #ff9350; --c1: #7db2ff; --c2: #74cf86; --c3: #cf9bf0; --c4: #e3bb4a; --c5: #5fd0d8; } }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 0.75rem 1rem; }
h2 { font-size: 1.05rem; margin: 0.25rem 0 0.5rem; }
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
<h2>{_TITLE}</h2>
<p>{_said(self._about)}</p>
{_chart(self.sweep)}
{_legend(self.sweep)}
<div class="scroll">{_table(self.sweep)}</div>
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
            f"{self.sweep.granularity}, seed {report.seed}."
        )

    def save(self, path: str | Path) -> None:
        """Write the page to a file.

        Args:
            path: Where to; its name ends in `.html`.

        Raises:
            InputError: Another ending.
            StoreError: The file cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() != ".html":
            raise InputError(f"path: a plot is saved as .html, got {path.name!r}; text is what plot.text() returns")
        try:
            path.write_bytes(self.html().encode())
        except OSError as error:
            raise StoreError(f"path: {path} could not be written ({error}); take another place") from error

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


def _chart(sweep: ProbeSweep) -> str:
    """The chart as SVG."""
    points = sweep.split_points
    step = _WIDTH / max(len(points) - 1, 1)
    across = {name: _LEFT + (k * step if len(points) > 1 else _WIDTH / 2) for k, name in enumerate(points)}
    shown = [row.report for row in sweep.rows]
    values = [value for r in shown for value in (r.accuracy, r.majority, r.control_accuracy) if value is not None]
    lowest = min(math.floor(10 * min(values)) / 10, 0.9)

    def up(value: float) -> float:
        return _TOP + _HEIGHT * (1 - min(max(value, lowest), 1.0)) / (1 - lowest) if lowest < 1 else _TOP

    drawn = [
        f'<svg viewBox="0 0 {_LEFT + _WIDTH + 20} {_TOP + _HEIGHT + 34}" role="img" aria-label="{_TITLE}">',
    ]
    for tenth in range(round(10 * lowest), 11):
        y = f"{up(tenth / 10):.1f}"
        drawn.append(f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + _WIDTH}" y1="{y}" y2="{y}"/>')
        drawn.append(
            f'<text x="{_LEFT - 8}" y="{y}" text-anchor="end" dominant-baseline="middle">{tenth / 10:.1f}</text>'
        )
    every = math.ceil(len(points) / _MOST_NAMES)
    for k, name in enumerate(points):
        if k % every == 0:
            place = f'x="{across[name]:.1f}" y="{_TOP + _HEIGHT + 20}"'
            drawn.append(f'<text {place} text-anchor="middle">{_said(terminal.word(name, 12))}</text>')
    first = sweep.of_kind(sweep.kinds[0])
    drawn.append(_line("majority", [(across[row.split_point], up(row.report.majority)) for row in first]))
    for number, kind in enumerate(sweep.kinds):
        own = sweep.of_kind(kind)
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


def _line(name: str, places: list[tuple[float, float]]) -> str:
    return f'<polyline class="{name}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>'


def _legend(sweep: ProbeSweep) -> str:
    items = [f'<li class="k{number}">● {_said(kind)}</li>' for number, kind in enumerate(sweep.kinds)]
    if any(row.report.control_accuracy is not None for row in sweep.rows):
        items.append("<li>·· control task</li>")
    return f'<ul class="legend">{"".join(items)}<li>-- most frequent class</li></ul>'


def _table(sweep: ProbeSweep) -> str:
    head = "split point", "probe", "accuracy", "balanced", "majority", "selectivity", "calibration error", "rows"
    lines = ["".join(f'<th scope="col">{name}</th>' for name in head)]
    for row in sweep.rows:
        report = row.report
        error = None if report.calibration is None else report.calibration.expected_error
        cells = [
            terminal.word(row.split_point, 80),
            report.kind,
            _accuracy(row),
            *(
                "–" if value is None else f"{value:.3f}"
                for value in (report.balanced_accuracy, report.majority, report.selectivity, error)
            ),
            str(report.n_held_out),
        ]
        lines.append("".join(f"<td>{_said(cell)}</td>" for cell in cells))
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"
