"""Pictures of several explanations of one text: which words each method points at, and whether the methods agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from interpreto.attributions.result import Attribution
from interpreto.errors import InputError
from interpreto.visualizations import terminal
from interpreto.visualizations.attribution_blocks import coloured
from interpreto.visualizations.attributions import AttributionFigure
from interpreto.visualizations.blocks import Block, Grid, Heading, Scale, level
from interpreto.visualizations.html import Plot, rounded
from interpreto.visualizations.pieces import cut

_SHOWN = 12  # elements of the table in a terminal
_LETTERS, _LEAST_LETTERS = 5000, 600  # of all texts of a still picture, of one text


def plot_comparison(results: Sequence[Attribution] | Mapping[str, Attribution]) -> Plot:
    """Draw attributions of one text by several methods below each other, and how far they agree.

    Each method has its own scale, from 0 to the largest absolute score that it gives an element for the target: colours
    are the same where methods divide the same way, whatever their units. Agreement is Spearman's rank correlation of
    the signed scores over the elements, ties at their mean rank: 1 for the same order, -1 for the opposite one. A
    method that tells sizes without signs can agree with one that tells signs only where few elements speak against the
    target. Every element counts alike: methods that share the one word that matters may still disagree on the order of
    the rest, so look at the colours before the number.

    Args:
        results: At least two attributions of the same text, elements and targets; by what to call them, or else by the
            names of their methods.

    Returns:
        A plot that notebooks show, `save("comparison.html")` writes and `text()` prints.

    Raises:
        InputError: Fewer than two results, something else than results, or results of different texts, elements or
            targets.
    """
    return Plot((ComparisonFigure(checked(results)),), "Attributions compared")


def checked(results: Any) -> dict[str, Attribution]:
    """What was given, by name.

    Raises:
        InputError: Fewer than two results, something else than results, or results that cannot be compared.
    """
    if isinstance(results, Mapping):
        for name in results:
            if not isinstance(name, str):
                raise InputError(f"results: expected texts as names, got {name!r:.60}")
        named = dict(results)
    else:
        given = [results] if isinstance(results, Attribution) else list(results)
        for k, one in enumerate(given):
            if not isinstance(one, Attribution):
                raise InputError(f"results[{k}]: expected an Attribution, got {type(one).__name__}")
        named = dict(zip(_names(given), given, strict=True))
    if len(named) < 2:
        raise InputError(
            f"results: expected at least two attributions to compare, got {len(named)}; plot_attributions draws one"
        )
    first_name, first = next(iter(named.items()))
    for name, one in named.items():
        _check(f"results[{name!r:.60}]", one, f"results[{first_name!r:.60}]", first)
    return named


def _names(results: Sequence[Attribution]) -> list[str]:
    """Names of the methods, numbered where one comes again."""
    found: list[str] = []
    for result in results:
        name, number = result.method, 1
        while name in found:
            number += 1
            name = f"{result.method} ({number})"
        found.append(name)
    return found


def _check(where: str, one: Any, other: str, first: Any) -> None:
    if not isinstance(one, Attribution):
        raise InputError(f"{where}: expected an Attribution, got {type(one).__name__}")
    if one.sample.parts != first.sample.parts:
        expected, got = (f"{' / '.join(result.sample.parts)!r:.60}" for result in (first, one))
        raise InputError(
            f"{where}: expected the text of {other}, {expected}, got {got}; compare explanations of one text"
        )
    spans = [[(e.text, e.part, e.start, e.end) for e in result.elements] for result in (first, one)]
    if spans[0] != spans[1]:
        raise InputError(
            f"{where}: expected the {len(spans[0])} elements of {other}, got {len(spans[1])} elements, or others; "
            "explain with the same granularity"
        )
    if one.targets != first.targets:
        raise InputError(
            f"{where}: expected the targets of {other}, {list(first.target_names)!r:.60}, got "
            f"{list(one.target_names)!r:.60}, or others of these names; explain the same targets"
        )


@dataclass(frozen=True, eq=False)
class ComparisonFigure:
    """Attributions of one text.

    Args:
        results: What is compared, by name: of the same text, elements and targets.
    """

    results: dict[str, Attribution]

    @property
    def view(self) -> str:
        """Which assets draw it."""
        return "comparison"

    @cached_property
    def _one(self) -> AttributionFigure:
        first = next(iter(self.results.values()))
        return AttributionFigure(first, first.target_names)

    @property
    def height(self) -> int:
        """About how many pixels it needs."""
        lines = sum(1 + len(text) // 75 + text.count("\n") for text in self._one.result.sample.parts)
        return 260 + len(self.results) * (70 + 32 * lines)

    def agreement(self, target: int) -> list[list[float]]:
        """Spearman's rank correlation of each two methods for a target; NaN where a method's scores do not vary."""
        rows = [result.scores[target] for result in self.results.values()]
        return [[rank_correlation(one, other) for other in rows] for one in rows]

    def payload(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        one = self._one.payload()
        targets = range(len(one["targets"]))
        return {
            **{key: one[key] for key in ("task", "writes", "chosen", "parts")},
            "targets": [{key: target[key] for key in ("name", "place")} for target in one["targets"]],
            "methods": [
                {
                    "name": terminal.word(name, 60),
                    "mode": result.inference_mode.value,
                    "scores": [[rounded(value) for value in row] for row in result.scores.tolist()],
                    "settings": [[str(key), str(value)] for key, value in result.settings.items()],
                }
                for name, result in self.results.items()
            ],
            "agreement": [[[rounded(value) for value in row] for row in self.agreement(t)] for t in targets],
        }

    def blocks(self) -> tuple[Block, ...]:
        """For a paper: the text in the colours of each method, for the first target that the page shows."""
        one, t = self._one, self._one.first_chosen
        if not one.names:
            return (Heading("Attributions compared", "no targets"),)
        others = f" (1 of {len(one.names)} targets)" if len(one.names) > 1 else ""
        found: list[Block] = [
            Heading("Attributions compared", f"scores for “{terminal.word(one.names[t], 60)}”{others}")
        ]
        parts = cut(one.result)[0]
        letters = max(_LETTERS // len(self.results), _LEAST_LETTERS)
        names = tuple(terminal.word(name, 60) for name in self.results)
        for name, result in zip(names, self.results.values(), strict=True):
            row = result.scores[t].double()
            largest = float(row.nan_to_num(0.0, 0.0, 0.0).abs().max()) if len(row) else 0.0
            reach = f"strongest score {terminal.number(largest, signed=False)}"
            found += coloured(parts, row.tolist(), largest or 1.0, name, reach, letters)
        found.append(Scale("lowers the score", "raises it, each method on its own scale"))
        matrix = self.agreement(t)
        found.append(
            Grid(
                names,
                names,
                tuple(tuple(level(value, 1.0) for value in row) for row in matrix),
                tuple(tuple(terminal.number(value) for value in row) for row in matrix),
                label="Agreement",
                note="Spearman's rank correlation of the scores",
            )
        )
        return tuple(found)

    def text(self, color: bool) -> str:
        """The scores for the first target that the page shows, a column a method, and the agreement of the methods."""
        one, t = self._one, self._one.first_chosen
        if not one.names:
            return "no targets"
        names = [terminal.word(name, 16) for name in self.results]
        rows = np.stack([result.scores[t].double().numpy() for result in self.results.values()])
        sizes = np.abs(np.where(np.isfinite(rows), rows, 0.0))
        ends = sizes.max(axis=1, initial=0.0)
        shares = sizes / np.where(ends > 0, ends, 1.0)[:, None]
        strongest = np.argsort(-shares.mean(axis=0), kind="stable")[:_SHOWN]
        others = f" (1 of {len(one.names)} targets)" if len(one.names) > 1 else ""
        lines = [f"{terminal.word(one.names[t], 60)}{others}: scores of each method"]
        cells = [["", *names]]
        cells += [
            [terminal.word(one.result.elements[k].text), *(terminal.number(float(x)) for x in rows[:, k])]
            for k in sorted(int(k) for k in strongest)
        ]
        levels = [[0.0] * len(names)]
        levels += [(shares * np.sign(rows))[:, k].tolist() for k in sorted(int(k) for k in strongest)]
        lines += _table(cells, levels if color else None)
        if len(shares[0]) > _SHOWN:
            lines.append(f"... and {len(shares[0]) - _SHOWN} elements with lower scores")
        lines.append("agreement (Spearman's rank correlation)")
        matrix = self.agreement(t)
        cells = [["", *names]]
        cells += [[name, *map(terminal.number, row)] for name, row in zip(names, matrix, strict=True)]
        return "\n".join(lines + _table(cells, [[0.0] * len(names), *matrix] if color else None))


def _table(cells: Sequence[Sequence[str]], levels: Sequence[Sequence[float]] | None) -> list[str]:
    """Lines with the first column to the left and the others to the right, coloured by their levels."""
    widths = [max(len(row[k]) for row in cells) for k in range(len(cells[0]))]
    lines = []
    for r, row in enumerate(cells):
        told = [row[0].ljust(widths[0])]
        for k, (cell, width) in enumerate(zip(row[1:], widths[1:], strict=True)):
            told.append(terminal.shade(cell.rjust(width), levels[r][k] if levels else None))
        lines.append("  " + "  ".join(told).rstrip())
    return lines


def rank_correlation(one: Float[Tensor, " g"], other: Float[Tensor, " g"]) -> float:
    """Spearman's rank correlation over the elements that both have a score for; ties share their mean rank.

    NaN where one of them does not vary, as for fewer than two elements.

    Reference: Spearman (1904), The proof and measurement of association between two things.

    >>> import torch
    >>> rank_correlation(torch.tensor([1.0, 2.0, 9.0]), torch.tensor([3.0, 2.0, 1.0]))
    -1.0
    """
    from scipy.stats import rankdata  # not at the top: importing the package stays fast

    both = one.isfinite() & other.isfinite()
    if int(both.sum()) < 2:
        return float("nan")
    ranks = [rankdata(values[both].double().numpy()) for values in (one, other)]
    a, b = (rank - rank.mean() for rank in ranks)
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale else float("nan")
