"""Pictures of lenses: what a model would say after each layer, at each token of a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from interpreto.concepts.lenses.result import NONE, LensResult
from interpreto.errors import InputError
from interpreto.visualizations import terminal
from interpreto.visualizations.blocks import Block, Grid, Heading, Note, Scale
from interpreto.visualizations.html import Plot, rounded

_SHOWN_TOKENS = 8  # of a cell
_CELLS_IN_TEXT = 12
_TOKENS_IN_STILL = 60


def plot_lens(result: LensResult | Sequence[LensResult]) -> Plot:
    """Draw what a lens saw: a table of layers and tokens, the last layer above, coloured by a number of one's choice.

    A cell shows the most probable token; its colour is that token's probability, the probability of the token that
    follows in the text or of the model's own choice, the entropy, or how far the lens is from the model's own answer.
    Cells that name the token that follows are underlined. Pointing at a cell, or walking there with the arrow keys,
    tells its most probable tokens and all its numbers.

    Args:
        result: One result, or several for one page below each other.

    Returns:
        A plot that notebooks show, `save("lens.html")` writes and `text()` prints.

    Raises:
        InputError: No result, or something else than a result.

    >>> from interpreto.concepts.lenses import LogitLens
    >>> from interpreto.demo import load
    >>> from interpreto.model_wrapping import ModelWithSplitPoints
    >>> model, tokenizer = load("stories")
    >>> split = ModelWithSplitPoints(model, split_points=[0, -1], tokenizer=tokenizer)
    >>> print(plot_lens(LogitLens(split)("Once upon a time")).text(color=False))
    LogitLens (causal-lm)
    4  Once      upon      a         time      ,
    0  Once      upon      a         time      ,
       <|endoft… Once      upon      a         time
    """
    results = [result] if isinstance(result, LensResult) else list(result)
    if not results:
        raise InputError("result: expected at least one result of a lens, got none")
    for k, one in enumerate(results):
        if not isinstance(one, LensResult):
            raise InputError(f"result[{k}]: expected the LensResult of a lens, got {type(one).__name__}")
    return Plot(tuple(LensFigure(one) for one in results), "Lens")


@dataclass(frozen=True, eq=False)
class LensFigure:
    """What a lens saw in one text, ready to be drawn.

    Args:
        result: What is drawn.
    """

    result: LensResult
    view: str = "lens"

    @property
    def height(self) -> int:
        """About how many pixels the figure needs in a notebook."""
        return 250 + 30 * (len(self.result.layers) + 2)

    def payload(self) -> dict[str, Any]:
        """Everything the page shows: names, and a table of numbers for each of them."""
        result = self.result
        place = {token: k for k, token in enumerate(self._named)}
        top = result.top[..., :_SHOWN_TOKENS]
        return {
            "method": result.method,
            "itself": result.task == "masked-lm",
            "layers": list(result.layers),
            "names": [result.names[token] for token in self._named],
            "tokens": [place[token] for token in result.tokens.tolist()],
            "actual": [place.get(token, NONE) for token in result.actual.tolist()],
            "final": [place[token] for token in result.final.tolist()],
            "top": [[[place[token] for token in cell] for cell in row] for row in top.tolist()],
            "probabilities": _rounded(result.probabilities[..., :_SHOWN_TOKENS]),
            "actual_ranks": result.actual_ranks.tolist(),
            "actual_probabilities": _rounded(result.actual_probabilities),
            "final_ranks": result.final_ranks.tolist(),
            "final_probabilities": _rounded(result.final_probabilities),
            "entropies": _rounded(result.entropies),
            "divergences": _rounded(result.divergences),
            "settings": [[name, str(value)] for name, value in result.settings.items()],
        }

    @cached_property
    def _named(self) -> list[int]:
        """The tokens that are shown, each once."""
        result = self.result
        shown = (result.tokens, result.actual, result.final, result.top[..., :_SHOWN_TOKENS])
        return sorted({token for tensor in shown for token in tensor.flatten().tolist()} - {NONE})

    def blocks(self) -> tuple[Block, ...]:
        """For a paper: the most probable token of each cell, coloured by its probability, the last layer above."""
        result = self.result
        shown = range(min(len(result.tokens), _TOKENS_IN_STILL))
        layers = list(reversed(list(enumerate(result.layers))))
        levels, texts = [], []
        for row, _ in layers:
            levels.append(tuple(float(result.probabilities[row, at, 0]) for at in shown))
            texts.append(tuple(terminal.word(result.names[int(result.top[row, at, 0])], 14) for at in shown))
        tokens = tuple(terminal.word(result.names[int(result.tokens[at])], 14) for at in shown)
        left_out = len(result.tokens) - len(shown)
        return (
            Heading(result.method, f"{result.task}: the most probable token after each layer, for each token below it"),
            Grid(tuple(terminal.word(layer, 24) for _, layer in layers), tokens, tuple(levels), tuple(texts)),
            Scale("probability 0", "1", one_sided=True),
            *([Note(f"… and {left_out} more tokens; the page shows them all")] if left_out else []),
        )

    def text(self, color: bool) -> str:
        """The most probable token of each cell, shaded by its probability, a dozen tokens of the text at a time."""
        result = self.result
        width = max((len(terminal.word(layer, 12)) for layer in result.layers), default=0)
        lines = [f"{terminal.safe(result.method)} ({terminal.safe(result.task)})"]
        for first in range(0, len(result.tokens), _CELLS_IN_TEXT):
            own = range(first, min(first + _CELLS_IN_TEXT, len(result.tokens)))
            for row, layer in reversed(list(enumerate(result.layers))):
                cells = []
                for at in own:
                    shown = _cell(result.names[int(result.top[row, at, 0])])
                    level = float(result.probabilities[row, at, 0])
                    cells.append(terminal.shade(shown, level) if color else shown)
                lines.append(f"{terminal.word(layer, 12):>{width}}  " + " ".join(cells).rstrip())
            tokens = " ".join(_cell(result.names[int(result.tokens[at])]) for at in own)
            lines += [f"{'':>{width}}  {tokens}".rstrip(), ""]
        return "\n".join(lines).rstrip()


def _cell(name: str) -> str:
    return terminal.word(name, 9).ljust(9)


def _rounded(values: Tensor) -> Any:
    """Numbers for JSON, `None` for what is none."""

    def of(value: Any) -> Any:
        return [of(one) for one in value] if isinstance(value, list) else rounded(value)

    return of(values.tolist())
