"""Activations of labelled texts: every row with its label, its text and what it is a case of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interpreto.concepts.supervised.labels import Label, distinct, plain_labels
from interpreto.errors import InputError
from interpreto.model_wrapping import ActivationGranularity, Activations, Aggregation, ModelWithSplitPoints, RowSources
from interpreto.text import split_inputs


@dataclass(frozen=True, eq=False)
class TextRows:
    """The rows of labelled texts at one split point.

    Args:
        rows: Their activations `(n, d)`, in float64.
        labels: The label of each row.
        groups: Which text each row is from; equal texts are one.
        types: What each row is a case of: the same token, the same word (but for capitals), the same text.
    """

    rows: Float[Tensor, "n d"]
    labels: list[Label]
    groups: Int[Tensor, " n"]
    types: Int[Tensor, " n"]


def read_text_rows(
    split: ModelWithSplitPoints,
    inputs: Any,
    labels: Any,
    granularity: ActivationGranularity | str,
    aggregation: Aggregation | str,
) -> dict[str, TextRows]:
    """Rows of labelled texts at every split point, in one forward pass a text.

    Args:
        split: The split model.
        inputs: Texts, as `get_activations` takes them.
        labels: One label a text, which all of its rows get; or for each text a list with one label a row.
        granularity: What one row belongs to.
        aggregation: How rows of several tokens become one.

    Raises:
        InputError: Inputs that cannot be read, or labels that do not belong to them.
    """
    items = split_inputs(inputs)
    values = labels.tolist() if hasattr(labels, "tolist") else labels
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence) or len(values) != len(items):
        got = len(values) if isinstance(values, Sequence) and not isinstance(values, (str, bytes)) else repr(values)
        raise InputError(f"labels: expected {len(items)} (one a text), got {got}")
    activations = split.get_activations(items, granularity, aggregation=aggregation)
    texts = distinct([repr(item) for item in items])
    parts = [sample.parts for sample in split.samples(items)]
    by_row = [isinstance(value, (list, tuple)) for value in values]
    if any(by_row) and not all(by_row):
        raise InputError("labels: expected one label for each text, or for each text a list of them, got both")
    if not any(by_row):
        values = plain_labels(values, len(items))
    return {
        name: _of_point(activations, name, values, texts, parts, by_row=any(by_row)) for name in activations.sources
    }


def _of_point(
    activations: Activations,
    name: str,
    values: Sequence[Any],
    texts: Int[Tensor, " k"],
    parts: Sequence[tuple[str, ...]],
    *,
    by_row: bool,
) -> TextRows:
    sources = activations.sources[name]
    inputs = sources.inputs.long()
    labels: list[Label] = []
    for number, count in enumerate(torch.bincount(inputs, minlength=len(values)).tolist()):
        own = values[number]
        labels += plain_labels(own, count, f"labels[{number}]") if by_row else [own] * count
    return TextRows(activations[name].double(), labels, texts[inputs], _types(activations, sources, parts, texts))


def _types(
    activations: Activations, sources: RowSources, parts: Sequence[tuple[str, ...]], texts: Int[Tensor, " k"]
) -> Int[Tensor, " n"]:
    granularity = activations.granularity
    if granularity in (ActivationGranularity.TOKEN, ActivationGranularity.ALL_TOKENS):
        return distinct(sources.table[:, 4].tolist())
    if granularity in (ActivationGranularity.CLS_TOKEN, ActivationGranularity.SAMPLE):
        return texts[sources.inputs.long()]
    spans = [sources.span(row) for row in range(len(sources))]
    return distinct([parts[number][part][start:end].strip().lower() for number, part, start, end in spans])
