"""Pictures of faithfulness: how the model's score moves as elements are taken in the order of their scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from interpreto.attributions.metrics.faithfulness import Evaluation
from interpreto.errors import InputError
from interpreto.visualizations import terminal
from interpreto.visualizations.blocks import Block, Curve, Curves, Grid, Heading
from interpreto.visualizations.html import Plot, rounded

_POINTS = 101  # of a curve over shares: every percent
_BAR = "▁▂▃▄▅▆▇█"
_SPARKS = 20  # letters of a curve in a terminal
_ALONE = "explanations"  # what a single evaluation is called

# What is done to the elements, and which curve speaks for the explanation.
_LOW, _HIGH = "a low curve is good: few elements carry the score", "a high curve is good: few elements bring the score"
_KNOWN = {
    "Deletion": ("removed", _LOW),
    "Insertion": ("put back", _HIGH),
    "Comprehensiveness": ("removed", _LOW),
    "Sufficiency": ("kept", _HIGH),
}
_EVEN = ("Deletion", "Insertion")  # whose points are evenly spaced from no element to all of them


def plot_curves(evaluations: Evaluation | Mapping[str, Evaluation], shares: Sequence[float] | None = None) -> Plot:
    """Draw the curves of a faithfulness metric, for one method or for several on the same texts.

    A curve is the mean over texts of the mean over targets, as the figure is, and its band one standard error over
    texts to each side. Curves of `Deletion` and `Insertion` have a point a step: they are taken as evenly spaced from
    none of the elements to all, as their areas are, and read every percent by linear interpolation, so that short and
    long texts can be averaged. Other metrics have a few points, at shares that an evaluation does not keep: pass them,
    or see the points by their numbers. Random orders are a reference number for each method, since their curves are not
    kept either.

    Args:
        evaluations: One evaluation, or several of one metric and the same texts by what to call them, such as
            `{"Lime": metric(limes), "Saliency": metric(saliencies)}`.
        shares: The share of the elements, from 0 to 1, at each point of a curve: `metric.bins` of `Comprehensiveness`
            and `Sufficiency`.

    Returns:
        A plot that notebooks show, `save("curves.html")` writes and `text()` prints.

    Raises:
        InputError: No evaluation, something else than evaluations, evaluations of different metrics or texts, shares
            that do not fit, or curves of different lengths whose shares are not known.
    """
    return Plot((CurvesFigure(checked(evaluations), _checked_shares(shares)),), "Faithfulness curves")


def checked(evaluations: Any) -> dict[str, Evaluation]:
    """What was given, by name.

    Raises:
        InputError: No evaluation, something else than evaluations, or evaluations of different metrics or texts.
    """
    given = {_ALONE: evaluations} if isinstance(evaluations, Evaluation) else evaluations
    if not isinstance(given, Mapping):
        raise InputError(
            f"evaluations: expected an Evaluation, or a mapping from names to them, got {type(given).__name__}"
        )
    if not given:
        raise InputError("evaluations: expected at least one Evaluation, got none")
    for name in given:
        if not isinstance(name, str):
            raise InputError(f"evaluations: expected texts as names, got {name!r:.60}")
    first_name, first = next(iter(given.items()))
    for name, one in given.items():
        _check(name, one, first_name, first)
    return dict(given)


def _check(name: str, one: Any, first_name: str, first: Any) -> None:
    where = f"evaluations[{name!r:.60}]"
    if not isinstance(one, Evaluation):
        raise InputError(f"{where}: expected an Evaluation, got {type(one).__name__}")
    if not one.scores or not all(curve.numel() for curve in one.curves):
        raise InputError(f"{where}: expected a curve for each of its texts, got none")
    other = f"evaluations[{first_name!r:.60}]"
    if (one.metric, one.higher_is_better) != (first.metric, first.higher_is_better):
        raise InputError(
            f"{where}: expected the metric of {other}, {first.metric}, got {one.metric}; draw a plot for each metric"
        )
    if [len(scores) for scores in one.scores] != [len(scores) for scores in first.scores]:
        raise InputError(
            f"{where}: expected the texts and targets of {other}, {len(first.scores)} texts, got {len(one.scores)} "
            "texts, or others; evaluate the methods on the same texts and targets"
        )


def _checked_shares(shares: Sequence[float] | None) -> tuple[float, ...] | None:
    if shares is None:
        return None
    kept = tuple(float(share) for share in shares)
    if not kept or len(set(kept)) < len(kept) or not all(0 <= share <= 1 for share in kept):
        raise InputError(f"shares: expected different numbers from 0 to 1, one for each point, got {kept}")
    return kept


@dataclass(frozen=True, eq=False)
class CurvesFigure:
    """Curves of one metric.

    Args:
        evaluations: What is drawn, by name.
        shares: The share of the elements at each point, where it is known.
    """

    evaluations: dict[str, Evaluation]
    shares: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        lengths = [
            len(line) for evaluation in self.evaluations.values() for text in _lines(evaluation) for line in text
        ]
        found = sorted(set(lengths))
        if self.shares is not None and found != [len(self.shares)]:
            raise InputError(
                f"shares: expected one for each point of the curves, which have {found[0]} to {found[-1]} points, got "
                f"{len(self.shares)}; leave it out for Deletion and Insertion, and pass metric.bins for other metrics"
            )
        if self.shares is None and not self._even and len(found) > 1:
            raise InputError(
                f"evaluations: expected curves of one length, got {found[0]} to {found[-1]} points; which share of the "
                f"elements a point of {self._first.metric} stands for is not kept"
            )

    @property
    def view(self) -> str:
        """Which assets draw it."""
        return "curves"

    @property
    def height(self) -> int:
        """About how many pixels it needs."""
        return 560 + 34 * len(self.evaluations)

    @property
    def _first(self) -> Evaluation:
        return next(iter(self.evaluations.values()))

    @property
    def _even(self) -> bool:
        return self._first.metric in _EVEN

    @cached_property
    def grid(self) -> Float[np.ndarray, " p"]:
        """Where the mean curves have their points: shares of the elements, or numbers of points from 1."""
        if self.shares is not None:
            return np.sort(np.array(self.shares))
        if self._even:
            return np.linspace(0.0, 1.0, _POINTS)
        return np.arange(1.0, len(_lines(self._first)[0][0]) + 1)

    def mean(self, name: str) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
        """The mean curve of an evaluation, and its standard error over texts: NaN for a single text."""
        order = slice(None) if self.shares is None else np.argsort(self.shares)
        read = self.shares is None and self._even
        rows = []
        for text in _lines(self.evaluations[name]):
            lines = [_at(self.grid, line) if read else line[order] for line in text]
            rows.append(np.stack(lines).mean(axis=0))
        curves = np.stack(rows)
        n = len(curves)
        with np.errstate(invalid="ignore"):  # scores may be infinite, as log-probabilities are
            errors = curves.std(axis=0, ddof=1) / n**0.5 if n > 1 else np.full(curves.shape[1], math.nan)
        return curves.mean(axis=0), errors

    def payload(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        first = self._first
        done, reading = _KNOWN.get(first.metric, ("taken", ""))
        rows = []
        for name, evaluation in self.evaluations.items():
            mean, error = self.mean(name)
            rows.append(
                {
                    "name": terminal.word(name, 60),
                    "mean": [rounded(x) for x in mean.tolist()],
                    "error": [rounded(x) for x in error.tolist()],
                    **{key: rounded(value) for key, value in _figures(evaluation).items()},
                }
            )
        return {
            "metric": first.metric,
            "better": "higher" if first.higher_is_better else "lower",
            "reading": reading,
            "done": done,
            "shares": self.shares is not None or self._even,
            "grid": [rounded(x) for x in self.grid.tolist()],
            "n_texts": len(first.scores),
            "rows": rows,
        }

    def blocks(self) -> tuple[Block, ...]:
        """For a paper: the curves with their bands, and the table of figures."""
        first = self._first
        done, reading = _KNOWN.get(first.metric, ("taken", ""))
        n = len(first.scores)
        about = f"{n} text{'s' * (n != 1)}" + "; bands and ±: one standard error over texts" * (n > 1)
        lines, rows = [], []
        for hue, (name, evaluation) in enumerate(self.evaluations.items()):
            mean, error = self.mean(name)
            lows, highs = (mean - error).tolist(), (mean + error).tolist()
            shown = terminal.word(name, 60)
            lines.append(Curve(shown, tuple(self.grid.tolist()), tuple(mean.tolist()), tuple(lows), tuple(highs), hue))
            own = _figures(evaluation)
            figure = _with_error(own["score"], own["score_error"])
            gain = _with_error(own["gain"], own["gain_error"], signed=True)
            rows.append((figure, terminal.number(own["random"], signed=False), gain))
        across = f"share of the elements {done}" if self.shares is not None or self._even else "point of the curve"
        return (
            Heading(first.metric, f"{reading}; {about}" if reading else about),
            Curves(tuple(lines), across, "mean score"),
            Grid(tuple(line.name for line in lines), ("figure", "random order", "gain"), texts=tuple(rows)),
        )

    def text(self, color: bool) -> str:
        """A table: a line a method with its curve in small, its figure, that of random order, and the gain."""
        first = self._first
        n = len(first.scores)
        means = {name: self.mean(name)[0] for name in self.evaluations}
        figures = {name: _figures(evaluation) for name, evaluation in self.evaluations.items()}
        finite = [x for mean in means.values() for x in mean[np.isfinite(mean)].tolist()]
        low, high = min(finite, default=0.0), max(finite, default=1.0)
        most = max((abs(own["gain"]) for own in figures.values() if math.isfinite(own["gain"])), default=0.0) or 1.0
        head = ["", "curve", "figure", "random order", "gain"]
        lines = [head]
        for name, own in figures.items():
            lines.append(
                [
                    terminal.word(name),
                    _sparks(means[name], low, high),
                    _with_error(own["score"], own["score_error"]),
                    terminal.number(own["random"], signed=False),
                    _with_error(own["gain"], own["gain_error"], signed=True),
                ]
            )
        widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
        padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
        if color:
            for line, own in zip(padded[1:], figures.values(), strict=True):
                line[-1] = terminal.shade(line[-1].rstrip(), own["gain"] / most)
        better = "higher" if first.higher_is_better else "lower"
        title = f"{terminal.safe(first.metric)} of {n} text{'s' * (n != 1)}, {better} is better"
        title += ", ± standard error over texts" * (n > 1)
        return "\n".join([title, *("  ".join(line).rstrip() for line in padded)])


def _lines(evaluation: Evaluation) -> list[list[Float[np.ndarray, " _"]]]:
    """Per text and target the points that a curve has, without the NaN that fill it up."""
    found = []
    for k, curves in enumerate(evaluation.curves):
        text = []
        for line in curves.detach().cpu().double().numpy():
            known = np.flatnonzero(~np.isnan(line))
            if not len(known):
                raise InputError(f"evaluations: expected numbers in each curve, got none for a target of text {k}")
            text.append(line[: known[-1] + 1])
        found.append(text)
    return found


def _at(grid: Float[np.ndarray, " p"], line: Float[np.ndarray, " s"]) -> Float[np.ndarray, " p"]:
    """A curve of evenly spaced points over [0, 1], read at the points of the grid.

    >>> _at(np.array([0.0, 0.25, 1.0]), np.array([1.0, 0.5, 0.0])).tolist()
    [1.0, 0.75, 0.0]
    """
    return np.asarray(np.interp(grid, np.linspace(0.0, 1.0, len(line)), line))


def _figures(evaluation: Evaluation) -> dict[str, float]:
    """The figure, that of random order and the gain, with standard errors over texts; NaN for a single text."""
    means = np.array([float(scores.double().mean()) for scores in evaluation.scores])
    n = len(means)
    return {
        "score": evaluation.score,
        "score_error": float(means.std(ddof=1) / n**0.5) if n > 1 else math.nan,
        "random": evaluation.random_score,
        "gain": evaluation.gain,
        "gain_error": evaluation.gain_std_error if n > 1 else math.nan,
    }


def _with_error(value: float, error: float, signed: bool = False) -> str:
    told = terminal.number(value, signed=signed)
    return told if math.isnan(error) else f"{told} ± {error:.2g}"


def _sparks(mean: Float[np.ndarray, " p"], low: float, high: float) -> str:
    """A curve as bars.

    >>> _sparks(np.array([1.0, 0.5, 0.0]), 0.0, 1.0)
    '█▅▁'
    """
    count = min(_SPARKS, len(mean))
    shown = mean[np.linspace(0, len(mean) - 1, count).round().astype(int)].tolist()
    top = len(_BAR) - 1
    return "".join(
        _BAR[math.floor(top * (x - low) / ((high - low) or 1.0) + 0.5)] if math.isfinite(x) else " " for x in shown
    )
