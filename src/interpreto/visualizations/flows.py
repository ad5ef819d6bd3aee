"""Pictures of flows: words on the left, concepts in the middle, the decision on the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from interpreto.errors import InputError
from interpreto.flows import ConceptFlow
from interpreto.visualizations import terminal
from interpreto.visualizations.blocks import Block, Heading, Links, Note
from interpreto.visualizations.html import Plot, rounded

_MOST_TARGETS = 3  # in a still picture
_MOST_WORDS = 40  # on the left; those that matter least are left out


@dataclass(frozen=True, eq=False)
class FlowFigure:
    """One flow.

    Args:
        flow: The result.
    """

    flow: ConceptFlow

    @property
    def view(self) -> str:
        """Which assets draw it."""
        return "flow"

    @property
    def height(self) -> int:
        """About how many pixels it needs."""
        return 160 + 26 * max(len(self._words()), 2 * len(self.flow.concepts))

    def _words(self) -> list[int]:
        """The elements that are shown, in the order of the text."""
        size = self.flow.through.abs().amax(dim=(0, 1))
        strongest = size.argsort(descending=True, stable=True)[:_MOST_WORDS]
        return sorted(int(k) for k in strongest)

    def payload(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        flow, words = self.flow, self._words()
        through = flow.through[:, :, words]
        return {
            "method": [flow.words.method, flow.weights.method],
            "words": [terminal.word(flow.words.elements[k].text) for k in words],
            "left_out": len(flow.words.elements) - len(words),
            "concepts": [element.text for element in flow.weights.elements],
            "targets": list(flow.weights.target_names),
            "weights": [[rounded(x) for x in row] for row in flow.weights.scores.tolist()],
            "through": [[[rounded(x) for x in row] for row in of_target] for of_target in through.tolist()],
        }

    def blocks(self) -> tuple[Block, ...]:
        """For a paper: words, concepts and one decision, a picture for each of the first decisions."""
        flow, words = self.flow, self._words()
        through = flow.through[:, :, words].nan_to_num(0.0, 0.0, 0.0)
        left_out = len(flow.words.elements) - len(words)
        found: list[Block] = [Heading("Words, concepts, decision", f"{flow.words.method}, then {flow.weights.method}")]
        for t, target in enumerate(flow.weights.target_names[:_MOST_TARGETS]):
            weights = flow.weights.scores[t].nan_to_num(0.0, 0.0, 0.0).tolist()
            concepts = tuple(
                f"{terminal.word(element.text, 60)}  {terminal.number(weight)}"
                for element, weight in zip(flow.weights.elements, weights, strict=True)
            )
            bands = [(0, g, c, value) for c, row in enumerate(through[t].tolist()) for g, value in enumerate(row)]
            bands += [(1, c, 0, weight) for c, weight in enumerate(weights)]
            names = tuple(terminal.word(flow.words.elements[k].text) for k in words)
            columns = (("words", names), ("concepts", concepts), ("decision", (terminal.word(target, 60),)))
            found.append(Links(columns, tuple(bands)))
        found.append(Note("Orange speaks for the decision, blue and dashed against it; the wider, the more."))
        if left_out:
            found.append(Note(f"… and {left_out} words that matter less"))
        if len(flow.weights.target_names) > _MOST_TARGETS:
            found.append(Note(f"… and {len(flow.weights.target_names) - _MOST_TARGETS} more decisions"))
        return tuple(found)

    def text(self, color: bool) -> str:
        """The strongest words of each concept, a line a concept."""
        flow = self.flow
        lines = []
        for t, target in enumerate(flow.weights.target_names):
            lines.append(terminal.word(target))
            for c, element in enumerate(flow.weights.elements):
                order = flow.through[t, c].abs().argsort(descending=True, stable=True)[:4]
                words = ", ".join(terminal.word(flow.words.elements[int(k)].text).strip() for k in order)
                lines.append(f"  {float(flow.weights.scores[t, c]):+.3f}  {terminal.word(element.text)}  <- {words}")
        return "\n".join(lines)


def plot_flows(flows: ConceptFlow | Sequence[Any]) -> Plot:
    """Words, concepts and decision in one picture, a band for each way from one to the other.

    Args:
        flows: One flow, or several, drawn below each other.

    Raises:
        InputError: Something else.
    """
    given = [flows] if isinstance(flows, ConceptFlow) else list(flows)
    for k, flow in enumerate(given):
        if not isinstance(flow, ConceptFlow):
            raise InputError(f"flows[{k}]: expected a ConceptFlow, got {type(flow).__name__}")
    if not given:
        raise InputError("flows: expected at least one ConceptFlow, got none")
    return Plot(tuple(FlowFigure(flow) for flow in given), "Words, concepts, decision")
