"""What users pass as targets, sorted out and checked against the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from interpreto.errors import InputError
from interpreto.model_wrapping.readout import Readout, Target
from interpreto.model_wrapping.traits import Traits
from interpreto.text import Element, Sample
from interpreto.types import Task


@dataclass(frozen=True, slots=True)
class Contrast:
    """Why this rather than that: the score of one target less the score of another.

    For every method that is linear in the target, the attribution of the contrast is the difference of the two.

    Args:
        target: A class index or label, or a token for masked language models; a text or ids for generation.
        rather_than: The same, for what did not happen. Generation: as many tokens as `target`; each is read at the
            same place, after the tokens of `target`.
    """

    target: Any
    rather_than: Any


def split_targets(targets: Any, n_inputs: int) -> list[Any]:
    """One entry an input: `None` (the model's own answer), one target, or several targets of that input.

    Raises:
        InputError: The number of targets is not the number of inputs.
    """
    if targets is None:
        return [None] * n_inputs
    if isinstance(targets, torch.Tensor):
        targets = targets.detach().cpu()
        if targets.is_floating_point() or targets.dtype is torch.bool:
            raise InputError(f"targets: expected integers, got a tensor of {targets.dtype}")
        if targets.dim() == 0:
            return [int(targets)] * n_inputs
        if targets.dim() > 2 or targets.numel() == 0:
            raise InputError(f"targets: expected shape (n, t), got {tuple(targets.shape)}")
        if targets.dim() == 1 and n_inputs == 1:
            targets = targets[None]
        if len(targets) != n_inputs:
            rows = f"{n_inputs} row{'s' * (n_inputs != 1)} (one per input)"
            raise InputError(f"targets: expected {rows}, got shape {tuple(targets.shape)}")
        return [row.tolist() for row in targets]
    if isinstance(targets, (int, str, Contrast)):
        return [targets] * n_inputs
    if not isinstance(targets, Iterable):
        raise InputError(f"targets: expected indices, labels, texts or ids, got {type(targets).__name__}")
    items = list(targets)
    if not items:
        raise InputError("targets: expected at least one target, got none; leave them out for the model's own answer")
    if n_inputs == 1 and not (
        len(items) == 1 and (items[0] is None or _is_several(items[0]) or isinstance(items[0], str))
    ):
        return [items]
    if len(items) != n_inputs:
        raise InputError(f"targets: expected {n_inputs} entries (one per input), got {len(items)}")
    return [item.tolist() if isinstance(item, torch.Tensor) else item for item in items]


def _is_several(value: Any) -> bool:
    return isinstance(value, torch.Tensor) or (isinstance(value, Sequence) and not isinstance(value, str))


def class_targets(traits: Traits, entry: Any, n_classes: int, where: str) -> list[Target]:
    """Targets of a classifier from indices, labels or contrasts.

    Raises:
        InputError: A label that the model does not have, or an index out of range.
    """

    def index(label: Any) -> int:
        if isinstance(label, str):
            return traits.index_of(label, where)
        if isinstance(label, bool) or not isinstance(label, int):
            raise InputError(f"{where}: expected a class index, a label or a Contrast of two, got {label!r:.60}")
        if not 0 <= label < n_classes:
            raise InputError(f"{where}: expected a class from 0 to {n_classes - 1}, got {label}")
        return label

    targets = []
    for label in entry if _is_several(entry) else [entry]:
        if isinstance(label, Contrast):
            plus, minus = index(label.target), index(label.rather_than)
            name = f"{traits.names_of(plus)} rather than {traits.names_of(minus)}"
            targets.append(Target(name, (plus,), (minus,)))
        else:
            targets.append(Target(traits.names_of(index(label)), (index(label),)))
    return targets


def output_readout(
    sample: Sample, groups: Sequence[Element], shift: int, foils: Sequence[int] | None = None
) -> Readout:
    """Read each output token at the place before it; one target a group of output tokens.

    Args:
        sample: Source and output.
        groups: The output's tokens, words or sentences, as elements of the sample.
        shift: Places between a token and where it is predicted (1).
        foils: Ids whose scores are taken away, one an output token.
    """
    places = range(sample.output_start, len(sample.tokens))
    slots = tuple(place - shift for place in places)
    reads = [(k, sample.tokens[place].id) for k, place in enumerate(places)]
    reads += [(k, foil) for k, foil in enumerate(foils or ())]
    targets = []
    for group in groups:
        plus = tuple(place - sample.output_start for place in group.tokens)
        minus = tuple(len(places) + k for k in plus) if foils else ()
        targets.append(Target(group.text, plus, minus, group.part, group.start, group.end, group.tokens[0]))
    return Readout(slots, tuple(reads), tuple(targets))


def token_id(tokenizer: PreTrainedTokenizerBase, token: Any, where: str) -> int:
    """The id of one token given as id or text.

    Raises:
        InputError: Not exactly one token of the tokenizer.
    """
    if isinstance(token, int) and not isinstance(token, bool):
        if not 0 <= token < len(tokenizer):
            raise InputError(f"{where}: expected an id from 0 to {len(tokenizer) - 1}, got {token}")
        return token
    if not isinstance(token, str):
        raise InputError(f"{where}: expected a token as text or id, got {token!r:.60}")
    vocabulary = tokenizer.get_vocab()
    if token in vocabulary:
        return int(vocabulary[token])
    ids = tokenizer.backend_tokenizer.encode(token, add_special_tokens=False).ids
    if len(ids) != 1:
        pieces = tokenizer.convert_ids_to_tokens(ids)
        raise InputError(f"{where}: expected one token of the tokenizer, got {token!r}, which is {pieces}")
    return int(ids[0])


def no_targets(task: Task, entry: Any, where: str) -> None:
    """Refuse a target where the task has none to choose.

    Raises:
        InputError: A target was given.
    """
    if entry is not None:
        raise InputError(f"{where}: a {task.value} model takes no target of this kind, got {entry!r:.60}; leave it out")
