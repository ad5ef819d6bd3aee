"""From lines of an input to their explanations: some at a time, in order, and what cannot be explained is reported."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from interpreto.cli.texts import Damaged, Line
from interpreto.errors import InterpretoError

if TYPE_CHECKING:
    from interpreto.attributions import Attribution, AttributionExplainer

Explained = tuple[Line, "Attribution"]


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


def explained(
    explainer: AttributionExplainer, lines: Sequence[Line], target: Callable[[Line], Any], damaged: Damaged
) -> Iterator[Explained]:
    """The explanations of lines. Where one of them cannot be explained, the others are, each by itself.

    Args:
        explainer: The method.
        lines: The texts.
        target: What each is explained for; `None` for the model's own answer.
        damaged: Takes the lines that cannot be explained.
    """
    try:
        found = _at_once(explainer, lines, target)
    except InterpretoError as error:
        if len(lines) == 1:
            damaged(lines[0].number, about_line(error))
            return
        found = None
    if found is not None:
        yield from found
        return
    for line in lines:
        yield from explained(explainer, [line], target, damaged)


def _at_once(explainer: AttributionExplainer, lines: Sequence[Line], target: Callable[[Line], Any]) -> list[Explained]:
    targets = [target(line) for line in lines]
    known = None if all(entry is None for entry in targets) else targets
    return list(zip(lines, explainer([line.text for line in lines], known), strict=True))


def about_line(error: Exception) -> str:
    """What is wrong, without the number that a text has where it is explained alone.

    >>> about_line(ValueError("inputs[0]: expected a text"))
    'expected a text'
    """
    return re.sub(r"^inputs\[0\]: ", "", str(error)).replace("targets[0]", "target")
