"""What all lenses share: hidden states of texts, and the numbers of their distributions, a layer at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from interpreto.concepts.interpretations.token_names import TokenNames
from interpreto.concepts.lenses.result import NONE, LensResult
from interpreto.errors import InputError
from interpreto.model_wrapping import ActivationGranularity, Aggregation, ModelWithSplitPoints
from interpreto.model_wrapping.hooks import untouched
from interpreto.model_wrapping.split_points import SplitPoint
from interpreto.model_wrapping.targets import split_targets
from interpreto.model_wrapping.unembedding import Unembedding
from interpreto.text import Sample, split_inputs
from interpreto.types import Task

_TEXTS_AT_ONCE = 32

Translate = Callable[[str, Float[Tensor, "n d"]], Float[Tensor, "n d"]]
"""From a layer and hidden states to what the model's end is given in their place."""


@dataclass(frozen=True, eq=False)
class States:
    """The hidden states of one text.

    Args:
        number: Which of the inputs.
        sample: The text.
        layers: By split point `(l, d)`.
        last: What leaves the last block `(l, d)`.
    """

    number: int
    sample: Sample
    layers: dict[str, Float[Tensor, "l d"]]
    last: Float[Tensor, "l d"]


def states_of(
    split: ModelWithSplitPoints, unembedding: Unembedding, inputs: Any, targets: Any = None
) -> Iterator[States]:
    """Hidden states at all split points and after the last block, one forward pass a text, some texts at a time.

    Raises:
        InputError: Inputs that cannot be read, or split points that are not of the residual stream.
        ModelError: The model answers with NaN.
    """
    items = split_inputs(inputs)
    written = None if targets is None else split_targets(targets, len(items))
    last = unembedding.point
    for point in split.split_points:
        unembedding.check(point, unembedding.width)
    points = (*split.split_points, *([last] if last.name not in names_of(split.split_points) else []))
    extraction = replace(split.extraction(ActivationGranularity.ALL_TOKENS, Aggregation.MEAN), points=points)
    for first in range(0, len(items), _TEXTS_AT_ONCE):
        some = slice(first, first + _TEXTS_AT_ONCE)
        samples = split.samples(items[some], None if written is None else written[some], first)
        found = extraction.read(samples, first)
        for point in split.split_points:
            unembedding.check(point, found[point.name].shape[1])
        inputs_of_rows = found.sources[last.name].inputs
        for k, sample in enumerate(samples):
            own = inputs_of_rows == first + k
            layers = {point.name: found[point.name][own] for point in split.split_points}
            yield States(first + k, sample, layers, found[last.name][own])


def names_of(points: Sequence[SplitPoint]) -> tuple[str, ...]:
    """The names of split points."""
    return tuple(point.name for point in points)


def read(
    split: ModelWithSplitPoints,
    inputs: Any,
    targets: Any,
    *,
    k: int,
    translate: Translate,
    method: str,
    settings: dict[str, Any],
) -> list[LensResult]:
    """What a lens sees in texts: for each layer and position the distribution that the model's end makes of it.

    Logits of a part of the positions are in memory at a time.
    """
    unembedding = Unembedding(split.traits)
    if k > unembedding.nb_logits:
        raise InputError(f"k: expected at most {unembedding.nb_logits}, the model's vocabulary, got {k}")
    names = TokenNames(split.tokenizer)
    results = []
    for states in states_of(split, unembedding, inputs, targets):
        tokens, actual = predicted(split, states.sample)
        parts = []
        with untouched(split.model), torch.no_grad():
            for own in torch.split(torch.arange(len(tokens)), positions_at_once(unembedding, len(states.layers))):
                of_layers = [translate(name, rows[own]) for name, rows in states.layers.items()]
                *logits, last = answers(unembedding, of_layers, states.last[own])
                final, known = last.log_softmax(dim=-1), actual[own].to(last.device)
                kept = [numbers(one, final, known, k) for one in logits]
                parts.append(
                    {name: torch.stack([one[name] for one in kept]).cpu() for name in kept[0]}
                    | {"final": final.argmax(dim=-1).cpu()}
                )
        tables = {name: torch.cat([part[name] for part in parts], dim=0 if name == "final" else 1) for name in parts[0]}
        shown = torch.cat([tokens, actual, tables["final"], tables["top"].flatten()])
        results.append(
            LensResult(
                method=method,
                task=split.task.value,
                layers=tuple(states.layers),
                tokens=tokens,
                actual=actual,
                names=names.of(shown[shown != NONE].tolist()),
                number=states.number,
                settings=settings,
                **tables,
            )
        )
    return results


def positions_at_once(unembedding: Unembedding, n_layers: int) -> int:
    """At how many positions the logits of all layers, and the model's own, are in memory together."""
    return max(1, unembedding.rows_at_once(unembedding.nb_logits) // (n_layers + 1))


def answers(
    unembedding: Unembedding, of_layers: Sequence[Float[Tensor, "n d"]], last: Float[Tensor, "n d"]
) -> Float[Tensor, "_ n v"]:
    """The logits of each layer, then the model's own, in one run of the model's end."""
    device = unembedding.traits.device
    rows = torch.cat([states.to(device, torch.float32) for states in (*of_layers, last)])
    return unembedding.logits(rows).view(len(of_layers) + 1, len(last), -1)


def predicted(split: ModelWithSplitPoints, sample: Sample) -> tuple[Int[Tensor, " l"], Int[Tensor, " l"]]:
    """The tokens at the positions of a text, and what is to be predicted there: the next one, or the one itself."""
    ids = torch.tensor(sample.ids[sample.source_length :] if split.task is Task.SEQ2SEQ_LM else sample.ids)
    if split.task is Task.MASKED_LM:
        mask = split.tokenizer.mask_token_id
        return ids, ids.masked_fill(ids == (NONE if mask is None else mask), NONE)
    return ids, pad(ids[1:], (0, 1), value=NONE)


def numbers(
    logits: Float[Tensor, "n v"], final: Float[Tensor, "n v"], actual: Int[Tensor, " n"], k: int
) -> dict[str, Tensor]:
    """What is kept of distributions.

    Args:
        logits: Of the lens.
        final: Log-probabilities of the model itself.
        actual: The tokens that are there; -1 for none.
        k: How many of the most probable tokens.
    """
    found = logits.log_softmax(dim=-1)
    top = found.topk(k, dim=-1)

    def rank(tokens: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        own = found.gather(1, tokens[:, None])
        return (found > own).sum(dim=-1) + 1

    def probability(tokens: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        return found.gather(1, tokens[:, None])[:, 0].exp()

    choice, known = final.argmax(dim=-1), actual.clamp(min=0)
    nobody = actual == NONE
    return {
        "top": top.indices,
        "probabilities": top.values.exp(),
        "actual_ranks": rank(known).masked_fill(nobody, 0),
        "actual_probabilities": probability(known).masked_fill(nobody, torch.nan),
        "final_ranks": rank(choice),
        "final_probabilities": probability(choice),
        "entropies": torch.special.entr(found.exp()).sum(dim=-1),
        "divergences": divergence(found, final),
    }


def divergence(found: Float[Tensor, "*s n v"], final: Float[Tensor, "n v"]) -> Float[Tensor, "*s n"]:
    """`sum_v p_v log(p_v / q_v)` for log-probabilities `log q` of a lens and `log p` of the model, at least 0."""
    terms = torch.where(final.isinf(), 0.0, final.exp() * (final - found))
    return terms.sum(dim=-1).clamp(min=0.0)
