"""What users pass as targets, sorted out and checked against the model."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from interpreto.errors import InputError
from interpreto.model_wrapping.readout import Readout, Target
from interpreto.model_wrapping.traits import Traits
from interpreto.text import Element, Sample, Token, text_ids


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

    A tensor or array is `(n, t)`, with one input also `(t,)`, with several also `(n,)`. A single number, text or
    `Contrast` is meant for all inputs. A list holds one entry an input; with one input it may also hold that input's
    targets.

    Raises:
        InputError: The number of targets is not the number of inputs, or they are no targets at all.
    """
    rows = f"{n_inputs} row{'s' * (n_inputs != 1)} (one per input)"
    kind, shape = _number_kind(targets)
    if kind == "other":
        raise InputError(
            f"targets: expected whole numbers, got {_shown(targets)}; pass indices, as torch.tensor([[0], [3]])"
        )
    if kind == "whole" and len(shape) != 1:
        if len(shape) > 2 or 0 in shape:
            raise InputError(
                f"targets: expected shape ({n_inputs}, t), got {shape}; give at least one target per input"
            )
        if shape and shape[0] != n_inputs:
            hint = f"targets.expand({n_inputs}, -1)" if shape[0] == 1 else f"a tensor of shape ({n_inputs}, t)"
            raise InputError(f"targets: expected {rows}, got shape {shape}; pass {hint}")
    targets = plain(targets)
    if targets is None or isinstance(targets, (int, str, Contrast)):
        return [targets] * n_inputs
    if not isinstance(targets, Iterable) or isinstance(targets, (Mapping, Set, bytes, bytearray)):
        raise InputError(f"targets: expected indices, labels, texts or ids, got {_shown(targets)}")
    items = [plain(target) for target in targets]
    if not items:
        raise InputError("targets: expected at least one target, got none; leave them out for the model's own answer")
    if n_inputs == 1:
        alone = len(items) == 1 and not isinstance(items[0], int)
        return items if alone else [tuple(items) if isinstance(targets, tuple) else items]
    if len(items) != n_inputs:
        got = f"shape {shape}" if shape else f"{len(items)} entries"
        raise InputError(f"targets: expected {rows}, got {got}; pass a list with one entry per input")
    return items


def plain(value: Any) -> Any:
    """Tensors, arrays and their numbers as lists and numbers of Python; anything else as it is."""
    return value.tolist() if hasattr(value, "tolist") else value


def whole(value: Any) -> int | None:
    """A whole number as `int`; `None` for anything else, for neither booleans nor floats are indices."""
    value = plain(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number_kind(targets: Any) -> tuple[str, tuple[int, ...]]:
    """Of a tensor or array: whether it holds whole numbers, and its shape."""
    if not hasattr(targets, "dtype"):
        return "none", ()
    if isinstance(targets, Tensor):
        other = targets.is_floating_point() or targets.is_complex() or targets.dtype is torch.bool
    else:
        array = np.asarray(targets)
        if array.dtype.kind not in "iufcb":
            return "none", ()
        other = array.dtype.kind in "fcb"
    return "other" if other else "whole", tuple(targets.shape)


def _shown(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of {value.dtype}"
    return f"an array of {value.dtype}" if hasattr(value, "dtype") else f"{type(value).__name__}: {value!r:.60}"


def class_targets(traits: Traits, entry: Any, n_classes: int, where: str) -> list[Target]:
    """Targets of a classifier from indices, labels or contrasts.

    Raises:
        InputError: A label that the model does not have, or an index out of range.
    """

    def index(label: Any) -> int:
        if isinstance(label, str):
            return traits.index_of(label, where)
        found = whole(label)
        if found is None:
            raise InputError(f"{where}: expected a class index, a label or a Contrast of two, got {_shown(label)}")
        if not 0 <= found < n_classes:
            raise InputError(f"{where}: expected a class from 0 to {n_classes - 1}, got {found}")
        return found

    labels = entry if isinstance(entry, (list, tuple)) else [entry]
    if not labels:
        raise InputError(f"{where}: expected at least one class, got none; pass None for the predicted one")
    targets = []
    for label in labels:
        if isinstance(label, Contrast):
            plus, minus = index(label.target), index(label.rather_than)
            name = f"{traits.names_of(plus)} rather than {traits.names_of(minus)}"
            targets.append(Target(name, (plus,), (minus,)))
        else:
            targets.append(Target(traits.names_of(index(label)), (index(label),)))
    return targets


def output_readout(
    sample: Sample, groups: Sequence[Element], foil: tuple[str, Sequence[Token]] | None = None
) -> Readout:
    """Read each output token at the place before it; one target a group of output tokens.

    Args:
        sample: Source and output.
        groups: The output's tokens, words or sentences, as elements of the sample.
        foil: Text and tokens of what did not happen, one token an output token, whose scores are taken away.
    """
    places = range(sample.output_start, len(sample.tokens))
    slots = tuple(place - 1 for place in places)
    reads = [(k, sample.tokens[place].id) for k, place in enumerate(places)]
    text, others = foil or ("", ())
    reads += [(k, token.id) for k, token in enumerate(others)]
    targets = []
    for group in groups:
        plus = tuple(place - sample.output_start for place in group.tokens)
        name, minus = group.text, tuple[int, ...]()
        if others:
            minus = tuple(len(places) + k for k in plus)
            name = f"{name} rather than {text[others[plus[0]].start : others[plus[-1]].end].strip()}"
        targets.append(Target(name, plus, minus, group.part, group.start, group.end, group.tokens[0]))
    return Readout(slots, tuple(reads), tuple(targets))


def output_ids(
    output: Any, *, beginning: Sequence[int], pads: Container[int], ends: Container[int], where: str
) -> list[int]:
    """Ids of an output, without what `generate` puts around them.

    Args:
        output: A row of ids, alone or as the only one of several.
        beginning: The prompt, or the decoder's start token: taken off where the ids begin with it, padding before it
            too.
        pads: Ids of padding, taken off at the end.
        ends: Ids that end an output: of several equal ones at the end (padding), one is left.
        where: What to call the output in an error.

    Raises:
        InputError: Not a row of ids.
    """
    values = plain(output)
    if isinstance(values, (list, tuple)) and len(values) == 1:
        values = plain(values[0])
        values = values if isinstance(values, (list, tuple)) else [values]
    found = [whole(i) for i in values] if isinstance(values, (list, tuple)) else [None]
    ids = [i for i in found if i is not None]
    if not found or len(ids) != len(found):
        raise InputError(
            f"{where}: expected one output per input, as a text or as a row of token ids, got {output!r:.60}"
        )
    padding = next((k for k, i in enumerate(ids) if i not in pads and i not in ends), 0)
    for start in range(padding + 1):
        after = start + len(beginning)
        if ids[start:after] == list(beginning) and len(ids) > after:
            ids = ids[after:]
            break
    while len(ids) > 1 and ids[-1] in pads and ids[-1] not in ends:
        ids.pop()
    while len(ids) > 1 and ids[-1] in ends and ids[-1] == ids[-2]:
        ids.pop()
    return ids


def token_id(tokenizer: PreTrainedTokenizerBase, token: Any, where: str) -> int:
    """The id of one token given as id, as a name in the vocabulary (`"##ing"`, `"▁the"`) or as text.

    Raises:
        InputError: Not exactly one token of the tokenizer.
    """
    found = whole(token)
    if found is not None:
        if not 0 <= found < len(tokenizer):
            raise InputError(f"{where}: expected an id from 0 to {len(tokenizer) - 1}, got {found}")
        return found
    if not isinstance(token, str):
        raise InputError(f"{where}: expected a token as text or id, got {_shown(token)}")
    vocabulary = tokenizer.get_vocab()
    if token in vocabulary:
        return int(vocabulary[token])
    ids = text_ids(tokenizer, token, where=where)
    if len(ids) != 1 or ids[0] == tokenizer.unk_token_id:
        pieces = tokenizer.convert_ids_to_tokens(ids)
        raise InputError(f"{where}: expected one token of the tokenizer, got {token!r}, which is {pieces}")
    return ids[0]
