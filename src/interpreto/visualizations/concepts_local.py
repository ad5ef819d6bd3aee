"""Pictures of the concepts in one text: where each is active, and what it weighs there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.concepts.importance import LocalImportance
from interpreto.visualizations import terminal
from interpreto.visualizations.blocks import (
    Bar,
    Bars,
    Block,
    ColouredText,
    Grid,
    Heading,
    Note,
    Scale,
    level,
    shortened,
)
from interpreto.visualizations.concepts_named import Named
from interpreto.visualizations.html import rounded

_SHOWN_TARGETS = 10
_STRONGEST = 5
_ROWS_IN_STILL, _CONCEPTS_IN_STILL, _LETTERS = 60, 10, 4000


@dataclass(frozen=True, eq=False)
class LocalConceptsFigure:
    """A text with the concepts in each of its rows, ready to be drawn.

    Concepts whose code is 0 are not there: their weights are taken as 0, as in a saved result.

    Args:
        result: What is drawn.
        named: What to call the concepts.
        top: The most concepts a target or a row shows; `None` for all.
    """

    result: LocalImportance
    named: Named
    top: int | None
    view: str = "concepts_local"

    @property
    def height(self) -> int:
        """About how many pixels the figure needs in a notebook."""
        texts = sum(92 + 32 * (len(text) // 90 + text.count("\n")) for text in self.result.parts)
        buttons = sum(len(name) + 12 for name in self.result.target_names) // 90 + 1
        return 220 + texts + 45 * min(buttons, 4) + 34 * len(self._kept)

    @property
    def first_chosen(self) -> int:
        """The target of the highest score."""
        scores = self.result.target_scores
        return int(scores.nan_to_num(-math.inf).argmax()) if len(scores) else 0

    @cached_property
    def _codes(self) -> Float[Tensor, "g c"]:
        return self.result.codes.nan_to_num(0.0, 0.0, 0.0)

    @cached_property
    def _weights(self) -> Float[Tensor, "t g c"]:
        return self.result.weights.nan_to_num(0.0, 0.0, 0.0) * (self._codes != 0)

    @cached_property
    def _net(self) -> Float[Tensor, "t c"]:
        """What each concept weighs over all rows."""
        return self._weights.sum(dim=1)

    @cached_property
    def _absolute(self) -> Float[Tensor, "t c"]:
        """The sum of absolute weights, by which concepts are ranked."""
        return self._weights.abs().sum(dim=1)

    @cached_property
    def _kept(self) -> list[int]:
        """The concepts that some target ranks, or that are the most active, over the whole text."""
        tables = [*self._absolute, self._codes.abs().amax(dim=0)] if len(self._codes) else []
        return sorted({concept for table in tables for concept in self._ranked(table)})

    def _ranked(self, values: Float[Tensor, " c"]) -> list[int]:
        order = values.argsort(descending=True, stable=True)[: self.top].tolist()
        return [concept for concept in order if values[concept] > 0]

    def _entries(self) -> tuple[Tensor, Tensor]:
        """Rows and concepts of the codes that the page holds: of kept concepts, and the strongest of each row."""
        shown = torch.zeros_like(self._codes, dtype=torch.bool)
        shown[:, self._kept] = True
        most = min(self.top or shown.shape[1], shown.shape[1])
        if shown.numel() and len(self._weights):
            for values in (self._codes.abs(), self._weights.abs().amax(dim=0)):
                shown.scatter_(1, values.topk(most, dim=1).indices, True)
        rows, concepts = (shown & (self._codes != 0)).nonzero(as_tuple=True)
        return rows, concepts

    def payload(self) -> dict[str, Any]:
        """Everything the page shows: texts in pieces, targets, concepts, and the codes that are not 0."""
        result = self.result
        rows, concepts = self._entries()
        numbers = sorted({*self._kept, *concepts.tolist()})
        place = {concept: k for k, concept in enumerate(numbers)}
        strongest = self._codes.abs().argmax(dim=0).tolist() if numbers else []
        return {
            "chosen": self.first_chosen,
            "top": self.top,
            "parts": [
                {"label": label, "pieces": pieces} for label, pieces in zip(self._part_names(), self._cut, strict=True)
            ],
            "targets": [
                [name, rounded(score)]
                for name, score in zip(result.target_names, result.target_scores.tolist(), strict=True)
            ],
            "concepts": [
                {
                    "number": concept,
                    "label": self.named.label(concept),
                    "words": self.named.words(concept),
                    "peak": rounded(float(self._codes[strongest[concept], concept])),
                    "net": _row(self._net[:, concept]),
                    "absolute": _row(self._absolute[:, concept]),
                }
                for concept in numbers
            ],
            "rows": rows.tolist(),
            "of": [place[concept] for concept in concepts.tolist()],
            "codes": _row(self._codes[rows, concepts]),
            "weights": [_row(weights[rows, concepts]) for weights in self._weights],
            "totals": [_row(weights.sum(dim=1)) for weights in self._weights],
            "active": (self._codes != 0).sum(dim=1).tolist(),
        }

    @cached_property
    def _cut(self) -> list[list[list[Any]]]:
        """For each text its pieces: letters, row or -1, and whether the letters are a name that is not in the text.

        A row without letters, or whose letters an earlier row has, gets a name. White space before a row is left
        uncoloured.
        """
        result = self.result
        order = sorted(range(len(result.spans)), key=lambda row: (result.spans[row], row))
        cut = []
        for part, text in enumerate(result.parts):
            pieces: list[list[Any]] = []
            reached = 0
            for row in order:
                which, start, end = result.spans[row]
                if which != part:
                    continue
                if start > reached:
                    pieces.append([text[reached:start], -1, 0])
                    reached = start
                if start < reached or start == end:
                    pieces.append([text[start:end] or "special token", row, 1])
                else:
                    letters = text[start:end]
                    blank = len(letters) - len(letters.lstrip()) if letters.strip() else 0
                    pieces += [[letters[:blank], -1, 0]] * bool(blank)
                    pieces.append([letters[blank:], row, 0])
                    reached = end
            if reached < len(text):
                pieces.append([text[reached:], -1, 0])
            cut.append(pieces)
        return cut

    def _part_names(self) -> list[str]:
        count = len(self.result.parts)
        return ["Text"] if count == 1 else [f"Text {k + 1}" for k in range(count)]

    def blocks(self) -> tuple[Block, ...]:
        """For a paper: the text for the target of the highest score, its concepts, and where each of them weighs."""
        result, t = self.result, self.first_chosen
        if not result.target_names:
            return (Heading("Concepts in a text", "no targets"), *self._coloured([None] * len(self._codes), 1.0, ""))
        others = f" (1 of {len(result.target_names)} targets)" if len(result.target_names) > 1 else ""
        name = terminal.word(result.target_names[t], 60)
        score = terminal.number(float(result.target_scores[t]), signed=False)
        totals = self._weights[t].sum(dim=1)
        ranked = self._ranked(self._absolute[t])[:_CONCEPTS_IN_STILL]
        names = tuple(terminal.word(self.named.name(concept), 80) for concept in ranked)
        net = self._net[t].tolist()
        bars = tuple(Bar(label, net[concept]) for label, concept in zip(names, ranked, strict=True))
        found: list[Block] = [
            Heading("Concepts in a text", f"for “{name}”, score {score}{others}"),
            *self._coloured(totals.tolist(), _largest(totals), "What all concepts of a place add up to"),
            Bars(bars, "What each concept weighs over the whole text"),
        ]
        if not ranked:
            return (*found, Note("no concept weighs anything"))
        if len(result.texts) <= _ROWS_IN_STILL:
            table = self._weights[t][:, ranked].T
            largest = _largest(table)
            places = tuple(terminal.word(text) if text else "special token" for text in result.texts)
            levels = tuple(tuple(level(x, largest) for x in row) for row in table.tolist())
            found.append(Grid(names, places, levels, label="Where", note="the weight of each concept at each place"))
        else:
            for label, concept in zip(names[:_STRONGEST], ranked, strict=False):
                weights = self._weights[t][:, concept]
                found += self._coloured(weights.tolist(), _largest(weights), label)
        return (*found, Scale("lowers the score", "raises it"))

    def _coloured(self, values: Sequence[float | None], largest: float, label: str) -> list[Block]:
        """The texts in the colours of a value for each row."""
        found: list[Block] = []
        for part, pieces in zip(self._part_names(), self._cut, strict=True):
            shown = tuple(
                (f"⟨{text}⟩" if tag else text, None if row < 0 or (x := values[row]) is None else level(x, largest))
                for text, row, tag in pieces
            )
            named = label if len(self._cut) == 1 else f"{label}: {part}" if label else part
            found.append(ColouredText(shortened(shown, _LETTERS), named))
        return found

    def text(self, color: bool) -> str:
        """The text, and for each target its strongest concepts with the places where they weigh most."""
        result = self.result
        lines = []
        if not color or not result.target_names:
            for label, pieces in zip(self._part_names(), self._cut, strict=True):
                lines += [f"{label}:", terminal.block((text, None) for text, _, tag in pieces if not tag)]
        targets = list(range(len(result.target_names)))
        if len(targets) > _SHOWN_TARGETS:
            targets.sort(key=lambda t: -float(result.target_scores[t].nan_to_num(-math.inf)))
        for t in targets[:_SHOWN_TARGETS]:
            lines += self._text_of(t, color)
        if len(targets) > _SHOWN_TARGETS:
            lines.append(f"... and {len(targets) - _SHOWN_TARGETS} more targets")
        return "\n".join(lines)

    def _text_of(self, t: int, color: bool) -> list[str]:
        result, weights = self.result, self._weights[t]
        score = terminal.number(float(result.target_scores[t]), signed=False)
        lines = [f"{terminal.word(result.target_names[t], 60)}: {score}"]
        if color:
            totals = weights.sum(dim=1)
            largest = _largest(totals)
            for pieces in self._cut:
                shaded = [
                    (text, float(totals[row]) / largest if row >= 0 else None) for text, row, tag in pieces if not tag
                ]
                lines.append(terminal.block(shaded))
        ranked = self._ranked(self._absolute[t])
        largest = _largest(self._net[t])
        for concept in ranked:
            number = terminal.number(float(self._net[t, concept]))
            told = terminal.shade(f"{number:>9}", float(self._net[t, concept]) / largest) if color else f"{number:>9}"
            name = terminal.word(self.named.name(concept), 80)
            lines.append(f"{told}  {name}  <- {self._places(weights[:, concept], color)}")
        return lines if ranked else [*lines, "  no concept weighs anything"]

    def _places(self, weights: Float[Tensor, " g"], color: bool) -> str:
        """The rows where a concept weighs most."""
        largest = _largest(weights)
        order = [row for row in weights.abs().argsort(descending=True, stable=True)[:_STRONGEST] if weights[row]]
        told = []
        for row in order:
            name = terminal.word(self.result.texts[row]) if self.result.texts[row] else "special token"
            level = float(weights[row]) / largest
            told.append(f"{terminal.shade(name, level) if color else name} {terminal.number(float(weights[row]))}")
        return " · ".join(told)


def _largest(values: Tensor) -> float:
    """The end of a colour scale."""
    return (float(values.abs().max()) if values.numel() else 0.0) or 1.0


def _row(values: Tensor) -> list[float | int]:
    """Numbers without NaN for JSON, zeros as short as they can be."""
    return [rounded(value) or 0 for value in values.tolist()]
