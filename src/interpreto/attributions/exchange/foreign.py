"""Results that were computed elsewhere: pieces of text with scores, whose token ids nobody tells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from interpreto.attributions.result import Attribution
from interpreto.errors import InputError
from interpreto.model_wrapping import Readout, Target
from interpreto.model_wrapping.readout import POOLED
from interpreto.text import Element, Sample, Token
from interpreto.types import InferenceMode, Task

UNKNOWN = -1
"""The id of a token that nobody told."""


def scored_classes(
    pieces: Sequence[str],
    scores: Float[Tensor, "t g"],
    names: Sequence[str],
    *,
    method: str,
    mode: InferenceMode,
    base_scores: Float[Tensor, " t"] | None,
) -> Attribution:
    """Scores of the pieces of one text, in their order, for each class."""
    check_scores(scores, len(names), len(pieces))
    text, tokens, elements = _placed(pieces, 0, 0, [UNKNOWN] * len(pieces))
    return Attribution(
        scores=scores,
        elements=elements,
        readout=Readout(
            (POOLED,),
            tuple((0, c) for c in range(len(names))),
            tuple(Target(str(name), (c,)) for c, name in enumerate(names)),
        ),
        sample=Sample((text,), tokens, len(tokens), len(tokens)),
        method=method,
        task=Task.CLASSIFICATION,
        inference_mode=mode,
        target_scores=None if base_scores is None else base_scores + scores.nansum(dim=1),
        baseline_scores=base_scores,
    )


def scored_output(
    source: Sequence[str],
    output: Sequence[str],
    scores: Float[Tensor, "t g"],
    *,
    method: str,
    task: Task = Task.CAUSAL_LM,
    mode: InferenceMode = InferenceMode.LOGITS,
    ids: Sequence[int] | None = None,
    prefix: Sequence[int] = (),
) -> Attribution:
    """Scores of the pieces of a source (and of all but the last piece of its output) for each piece of the output.

    Args:
        source: The pieces of the prompt, or of an encoder's input.
        output: Those of what was written; each is a target.
        scores: `(t, g)` for the source, or for the source and the output's pieces but the last.
        method: Its name.
        task: What the model is for.
        mode: The space of the target scores.
        ids: The token ids of source and output, where each piece is a token.
        prefix: The ids with which an encoder-decoder's output begins, before its first own token.
    """
    g = len(source) + len(output) - 1
    wide = scores.dim() == 2 and scores.shape[1] == g and g != len(source)
    check_scores(scores, len(output), g if wide else len(source))
    known = [UNKNOWN] * (len(source) + len(output)) if ids is None else list(ids)
    text, tokens, elements = _placed(source, 0, 0, known[: len(source)])
    border = len(source) + len(prefix)
    answer, written, targets = _placed(output, 1, border, known[len(source) :])
    row = (*tokens, *(Token(i, 1, 0, 0, fixed=True) for i in prefix), *written)
    return Attribution(
        scores=scores,
        elements=(*elements, *targets[:-1]) if wide else elements,
        readout=Readout(
            tuple(place - 1 for place in range(border, len(row))),
            tuple((k, token.id) for k, token in enumerate(written)),
            tuple(Target(e.text, (k,), (), 1, e.start, e.end, e.tokens[0]) for k, e in enumerate(targets)),
        ),
        sample=Sample((text, answer), row, len(tokens), border),
        method=method,
        task=task,
        inference_mode=mode,
    )


def check_scores(scores: Shaped[Tensor, "*_"], n_targets: int, n_pieces: int) -> None:
    """Refuse scores of another shape than what they are of.

    Raises:
        InputError: The message names both.
    """
    if tuple(scores.shape) != (n_targets, n_pieces) or not n_targets or not n_pieces:
        raise InputError(
            f"scores: expected one for each of {n_targets} targets and {n_pieces} pieces of text, got shape "
            f"{tuple(scores.shape)}"
        )


def as_scores(values: Any, what: str) -> Tensor:
    """Numbers of any kind as a float32 tensor on the processor.

    Raises:
        InputError: No numbers, or ragged ones.
    """
    try:
        return torch.as_tensor(values).detach().to("cpu", torch.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{what}: expected an array of numbers, got {values!r:.60} ({error!s:.80})") from error


def as_pieces(values: Any, what: str) -> list[str]:
    """Pieces of a text as a list.

    Raises:
        InputError: Something else.
    """
    found = list(values) if isinstance(values, Iterable) and not isinstance(values, (str, bytes)) else [values]
    if not found or not all(isinstance(piece, str) for piece in found):
        raise InputError(f"{what}: expected the pieces of one text, got {values!r:.60}")
    return [str.__str__(piece) for piece in found]


def _placed(
    pieces: Sequence[str], part: int, first: int, ids: Sequence[int]
) -> tuple[str, tuple[Token, ...], tuple[Element, ...]]:
    """The pieces one after the other: their text, a token each, and an element each."""
    tokens, elements, start = [], [], 0
    for k, (piece, token) in enumerate(zip(pieces, ids, strict=True)):
        end = start + len(piece)
        tokens.append(Token(token, part, start, end))
        elements.append(Element(piece, part, start, end, (first + k,)))
        start = end
    return "".join(pieces), tuple(tokens), tuple(elements)
