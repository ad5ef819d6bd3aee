"""From lines of an input to their explanations: some at a time, in order, and what cannot be explained is reported."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interpreto.cli.texts import Damaged, Line
from interpreto.errors import InputError, InterpretoError

if TYPE_CHECKING:
    from interpreto.attributions import Attribution, AttributionExplainer

Explained = tuple[Line, "Attribution"]
_OF_A_LINE = ("inputs[", "targets", "memory: ")  # how errors begin that another text might not have


def batches(lines: Iterable[Line], size: int) -> Iterator[list[Line]]:
    """So many lines at a time; where one ends the run, first those before it.

    >>> [[line.number for line in batch] for batch in batches((Line(n, "") for n in range(5)), 2)]
    [[0, 1], [2, 3], [4]]
    """
    batch: list[Line] = []
    try:
        for line in lines:
            batch.append(line)
            if len(batch) == size:
                yield batch
                batch = []
    except InterpretoError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


@dataclass
class Explaining:
    """Explains lines. Where one of them cannot be explained, the others are, each by itself.

    What is wrong with a text is its line's. What is wrong with the command is no line's and ends it, so is a target
    that is given for all lines, unless it has fitted another one.

    Args:
        explainer: The method.
        target: What each line is explained for; `None` for the model's own answer.
        damaged: Takes the lines that cannot be explained.
    """

    explainer: AttributionExplainer
    target: Callable[[Line], Any]
    damaged: Damaged
    _fitted: bool = False

    def __call__(self, lines: Sequence[Line]) -> Iterator[Explained]:
        """The explanations of lines.

        Raises:
            InterpretoError: The command cannot be done, or a line ends the run.
        """
        try:
            found = self._at_once(lines)
        except InterpretoError as error:
            if len(lines) == 1:
                self._blame(lines[0], error)
                return
            found = None
        if found is not None:
            self._fitted = True
            yield from found
            return
        for line in lines:
            yield from self([line])

    def _at_once(self, lines: Sequence[Line]) -> list[Explained]:
        targets = [self.target(line) for line in lines]
        known = None if all(entry is None for entry in targets) else targets
        return list(zip(lines, self.explainer([line.text for line in lines], known), strict=True))

    def _blame(self, line: Line, error: InterpretoError) -> None:
        """Find out whose error it is, of a line that was explained alone."""
        for_all = line.target is None and self.target(line) is not None
        if not str(error).startswith(_OF_A_LINE):
            raise error
        if str(error).startswith("targets") and for_all and not self._fitted:
            raise InputError(about_line(error)) from error
        self.damaged(line.number, about_line(error))


def about_line(error: Exception) -> str:
    """What is wrong, without the number that a text has where it is explained alone.

    >>> about_line(ValueError("inputs[0]: expected a text"))
    'expected a text'
    """
    return re.sub(r"^inputs\[0\]: ", "", str(error)).replace("targets[0]", "target")
