"""Targets that add up: the words, the sentences and the whole of an answer, from what was explained of it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from itertools import groupby

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.attributions.result import Attribution
from interpreto.text import find_elements
from interpreto.types import Granularity, InferenceMode

_ROUNDING = 1e-6  # of the larger number: a few last digits of float32
_LINEAR = frozenset(
    {
        "AttnLRP",
        "DeepLift",
        "GradientShap",
        "InputxGradient",
        "IntegratedGradients",
        "KernelShap",
        "Lime",
        "Occlusion",
        "Owen",
        "Rise",
    }
)
_LINEAR_TIMES_INPUT = frozenset({"Saliency", "SmoothGrad"})
_LABELS = {Granularity.WORD: "word", Granularity.SENTENCE: "sentence", Granularity.TEXT: "answer"}


def gaps_to_tell(result: Attribution) -> Float[Tensor, " t"] | None:
    """What is left of additivity, `(t,)`: 0 where it is no more than the rounding of what is added up."""
    if result.gaps is None or result.baseline_scores is None:
        return None
    added = torch.stack([result.baseline_scores, result.scores.nansum(dim=1)]).abs().nan_to_num(0.0, 0.0, 0.0)
    return torch.where(result.gaps.abs() < _ROUNDING * added.amax(dim=0), 0.0, result.gaps)


@dataclass(frozen=True, slots=True)
class Sum:
    """Consecutive targets, taken as one.

    Args:
        name: What they write together.
        first: The first of them.
        end: One past the last.
    """

    name: str
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Level:
    """All targets, each in one sum.

    Args:
        label: What one sum is: a word, a sentence, the answer.
        sums: In the order of the output.
    """

    label: str
    sums: tuple[Sum, ...]


def is_linear(result: Attribution) -> bool:
    """Whether the contributions to a sum of scores are the sums of the contributions to each, by the result's method.

    Norms, squares, variances, shares, sparse weights and maxima are not. Unknown methods are taken not to be.
    """
    if result.settings.get("reduction") == "max":
        return False
    times_input = result.method in _LINEAR_TIMES_INPUT and result.settings.get("input_x_gradient") is True
    return times_input or result.method in _LINEAR


def unit(result: Attribution) -> str:
    """What one target of an output is."""
    given = str(result.settings.get("output_granularity", "token"))
    return {"all_tokens": "token", "text": "answer"}.get(given, given)


def levels(result: Attribution) -> tuple[Level, ...]:
    """The coarser granularities whose contributions are sums of those that are known; none where they are not.

    Log-probabilities of tokens add up to that of their word, and so do logits, as a word is scored; probabilities do
    not. An element within a word counts for those tokens of the word that come after it.
    """
    targets = result.targets
    summable = all(target.first is not None and target.part is not None and not target.minus for target in targets)
    if not (result.task.generates and summable and is_linear(result)):
        return ()
    if result.inference_mode is InferenceMode.SOFTMAX:
        return ()
    found: list[Level] = []
    count = len(targets)
    for granularity, label in _LABELS.items():
        sums = _sums(result, granularity)
        if len(sums) < count:
            found.append(Level(label, sums))
            count = len(sums)
    return tuple(found)


def _sums(result: Attribution, granularity: Granularity) -> tuple[Sum, ...]:
    """Targets whose tokens are of one word or sentence; special tokens are alone, as they are when explained."""
    owners: dict[int, Hashable] = {}
    if granularity is not Granularity.TEXT:
        groups = find_elements(result.sample, granularity)
        owners = {place: group for group in groups for place in group.tokens}

    def owner(t: int) -> Hashable:
        place = result.targets[t].first
        return "answer" if granularity is Granularity.TEXT else owners.get(-1 if place is None else place, t)

    found = []
    for _, own in groupby(range(len(result.targets)), owner):
        members = list(own)
        first, last = (result.targets[k] for k in (members[0], members[-1]))
        text = result.sample.parts[first.part or 0]
        found.append(Sum(text[first.start : last.end] or first.name, members[0], members[-1] + 1))
    return tuple(found)
