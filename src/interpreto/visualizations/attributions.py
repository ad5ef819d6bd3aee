"""Pictures of attributions: the text in the colours of its scores, for a class or an output token of one's choice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from interpreto.attributions.result import Attribution
from interpreto.errors import InputError
from interpreto.types import Task
from interpreto.visualizations import attribution_blocks, sums, terminal
from interpreto.visualizations.blocks import Block
from interpreto.visualizations.html import Plot, rounded
from interpreto.visualizations.packed import packed
from interpreto.visualizations.pieces import Part, Place, cut

_SHOWN_CLASSES = 10
_SHOWN_TOKENS = 60
_STRONGEST = 5


def plot_attributions(result: Attribution | Sequence[Attribution], classes_names: Sequence[str] | None = None) -> Plot:
    """Draw attributions: each element coloured by its score for the target that the reader picks.

    Orange raises the target's score, blue lowers it; the scale is symmetric around 0. A classification shows a button a
    class, a generation shows its output token by token: pick one, and what came before it takes its colours. Where
    scores of output tokens add up to those of words, sentences and the whole answer, these can be picked too: a method
    that is linear in the target, and logits or log-probabilities. Their standard errors are then unknown, because the
    errors of tokens hang together.

    Buttons change the view:

    - the text in its colours, with numbers and standard errors for the pointer and the keyboard;
    - all classes side by side, on one scale, the highest scores first where there are many;
    - bars of the strongest elements and of all others together, with intervals of 95 % where standard errors are
      known. Where the score of nothing is known they lead from there to the score of the text, so that one sees how
      it adds up, and what is missing;
    - a matrix of targets and elements.

    Args:
        result: One result, or several for one page below each other.
        classes_names: What to call the classes of a classifier, by class index; by default the model's own labels.

    Returns:
        A plot that notebooks show, `save("plot.html")` writes and `text()` prints.

    Raises:
        InputError: No result, something else than a result, fewer names than classes, or names without classes.
    """
    results = [result] if isinstance(result, Attribution) else list(result)
    if not results:
        raise InputError("result: expected at least one attribution, got none")
    for k, one in enumerate(results):
        if not isinstance(one, Attribution):
            raise InputError(f"result[{k}]: expected an Attribution, got {type(one).__name__}")
    return Plot(tuple(AttributionFigure(one, _target_names(one, classes_names)) for one in results))


def _target_names(result: Attribution, classes_names: Sequence[str] | None) -> tuple[str, ...]:
    if classes_names is None:
        return result.target_names
    if isinstance(classes_names, str):
        raise InputError(f"classes_names: expected a list of names, got the text {classes_names!r:.60}")
    if result.task is not Task.CLASSIFICATION:
        raise InputError(f"classes_names: a result of task {result.task.value} has no classes to name; leave it out")
    highest = max((index for target in result.targets for index in (*target.plus, *target.minus)), default=-1)
    if highest >= len(classes_names):
        raise InputError(
            f"classes_names: expected a name for every class up to index {highest}, got {len(classes_names)} names"
        )

    def joined(indices: tuple[int, ...]) -> str:
        return " + ".join(str(classes_names[index]) for index in indices)

    return tuple(
        joined(target.plus) + (f" rather than {joined(target.minus)}" if target.minus else "")
        for target in result.targets
    )


@dataclass(frozen=True, eq=False)
class AttributionFigure:
    """One attribution, ready to be drawn.

    Args:
        result: What is drawn.
        names: What to call the targets.
    """

    result: Attribution
    names: tuple[str, ...]
    view: str = "attribution"

    @cached_property
    def _cut(self) -> tuple[tuple[Part, ...], tuple[Place | None, ...]]:
        return cut(self.result)

    @property
    def writes(self) -> bool:
        """Whether the targets are an output, shown and picked in the text itself."""
        return any(part.output for part in self._cut[0])

    @property
    def height(self) -> int:
        """About how many pixels the figure needs in a notebook."""
        texts = sum(92 + 32 * (len(text) // 90 + text.count("\n")) for text in self.result.sample.parts)
        buttons = 0 if self.writes else min(sum(len(name) + 12 for name in self.names) // 90 + 1, 4)
        return 245 + texts + 45 * buttons

    @property
    def first_chosen(self) -> int:
        """The class of the highest score, or the first token of an output."""
        scores = self.result.target_scores
        return 0 if self.writes or scores is None or not len(scores) else int(scores.nan_to_num(-math.inf).argmax())

    def payload(self) -> dict[str, Any]:
        """Everything the page shows: texts in pieces, targets with their places and totals, packed scores."""
        result = self.result
        parts, places = self._cut
        totals = {
            "score": result.target_scores,
            "baseline": result.baseline_scores,
            "sum": result.scores.nansum(dim=1),
            "gap": sums.gaps_to_tell(result),
        }
        columns = {name: None if values is None else values.tolist() for name, values in totals.items()}
        return {
            "method": result.method,
            "task": result.task.value,
            "mode": result.inference_mode.value,
            "settings": [[str(name), str(value)] for name, value in result.settings.items()],
            "writes": self.writes,
            "chosen": self.first_chosen,
            "parts": [
                {
                    "label": part.label,
                    "output": part.output,
                    "pieces": [[piece.text, piece.element, int(piece.tag)] for piece in part.pieces],
                }
                for part in parts
            ],
            "targets": [
                {
                    "name": name,
                    "place": None if place is None else [place.part, place.first, place.end],
                    **{key: None if values is None else rounded(values[t]) for key, values in columns.items()},
                }
                for t, (name, place) in enumerate(zip(self.names, places, strict=True))
            ],
            "unit": sums.unit(result),
            "levels": [
                {"label": level.label, "sums": [[one.name, one.first, one.end] for one in level.sums]}
                for level in sums.levels(result)
            ],
            "count": len(result.elements),
            "scores": packed(result.scores),
            "errors": None if result.std_errors is None else packed(result.std_errors),
        }

    def blocks(self) -> tuple[Block, ...]:
        """For a paper: every class with its text, or a matrix of outputs and inputs; one target of a long output."""
        parts = self._cut[0]
        if self.writes:
            return tuple(attribution_blocks.of_output(self.result, self.names, parts, self.first_chosen))
        return tuple(attribution_blocks.of_classes(self.result, self.names, parts))

    def text(self, color: bool) -> str:
        """Words in colour and the strongest of them in numbers, target by target."""
        result = self.result
        kind = f"{result.task.value}, {result.inference_mode.value}"
        lines = [f"{terminal.safe(result.method)} ({kind})"]
        if self.writes or not color:
            for part in self._cut[0]:
                lines += [f"{part.label}:", terminal.block((piece.text, None) for piece in part.pieces)]
        return "\n".join(lines + (self._text_of_output(color) if self.writes else self._text_of_classes(color)))

    def _text_of_classes(self, color: bool) -> list[str]:
        """One block a class: its score, the text in its colours, the strongest elements."""
        lines = []
        shown = list(range(len(self.names)))
        if len(shown) > _SHOWN_CLASSES and self.result.target_scores is not None:
            shown.sort(key=lambda t: -float(self.result.target_scores[t]))  # type: ignore[index]  # checked above
        largest = self._largest(range(len(self.names)))
        for t in shown[:_SHOWN_CLASSES]:
            row = self.result.scores[t].tolist()
            lines.append(f"{terminal.word(self.names[t], 60)}: {self._totals(t)}")
            if color:
                for part in self._cut[0]:
                    pieces = [(p.text, row[p.element] / largest if p.element >= 0 else None) for p in part.pieces]
                    lines.append(terminal.block(pieces))
            lines.append("  " + self._strongest(t, color, largest))
        if len(shown) > _SHOWN_CLASSES:
            lines.append(f"... and {len(shown) - _SHOWN_CLASSES} more targets")
        return lines

    def _text_of_output(self, color: bool) -> list[str]:
        """One line a target: its text, its score, the strongest elements."""
        lines = []
        for t, name in enumerate(self.names[:_SHOWN_TOKENS]):
            strongest = self._strongest(t, color, self._largest([t]))
            score = self.result.target_scores
            own = "" if score is None else f"{terminal.number(float(score[t]), signed=False):>9}"
            lines.append(f"{terminal.word(name):<16}{own}  <- {strongest}")
        if len(self.names) > _SHOWN_TOKENS:
            lines.append(f"... and {len(self.names) - _SHOWN_TOKENS} more targets")
        return lines

    def _totals(self, t: int) -> str:
        result = self.result
        own = "" if result.target_scores is None else terminal.number(float(result.target_scores[t]), signed=False)
        gaps = sums.gaps_to_tell(result)
        if result.baseline_scores is None or gaps is None:
            return own
        base, gap = float(result.baseline_scores[t]), float(gaps[t])
        total = float(result.scores[t].nansum())
        return (
            f"{own} = baseline {terminal.number(base, signed=False)} + scores {terminal.number(total, signed=False)} "
            f"+ gap {terminal.number(gap, signed=False)}"
        )

    def _strongest(self, t: int, color: bool, largest: float) -> str:
        row = [(value, g) for g, value in enumerate(self.result.scores[t].tolist()) if value and math.isfinite(value)]
        row.sort(key=lambda pair: -abs(pair[0]))
        told = []
        for value, g in row[:_STRONGEST]:
            name = terminal.word(self.result.elements[g].text)
            told.append(f"{terminal.shade(name, value / largest) if color else name} {terminal.number(value)}")
        return " · ".join(told) or "nothing"

    def _largest(self, targets: Sequence[int]) -> float:
        """The end of the colour scale."""
        scores = self.result.scores[list(targets)].nan_to_num(0.0, 0.0, 0.0).abs()
        return (float(scores.max()) if scores.numel() else 0.0) or 1.0
