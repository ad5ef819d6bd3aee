"""Attention weights of untouched texts, read while the model runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeGuard
from weakref import ReferenceType, ref

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PretrainedConfig

from interpreto.errors import ModelError
from interpreto.model_wrapping.explained_text import ExplainedText
from interpreto.model_wrapping.forward import Forward, refuse_nan, untouched_rows
from interpreto.model_wrapping.hooks import hooked, lock_of, untouched
from interpreto.model_wrapping.traits import Traits

_SLACK = 1e-2  # by how much weights in half precision may fail to add up to 1


@dataclass(frozen=True, slots=True)
class AttentionMap:
    """The attention of one layer in one text, on average over its heads.

    Args:
        weights: From each place that looks to each that is looked at; rows add up to 1.
        looks: In which stream the places are that look: 0, or of encoder-decoders 1 for the decoder.
        looked_at: In which stream those are that are looked at.
    """

    weights: Float[Tensor, "l m"]
    looks: int
    looked_at: int


@dataclass(frozen=True, slots=True)
class AttentionMaps:
    """What is known of the attention in one text.

    Args:
        number: Which of the texts.
        layers: In the order in which the model runs them.
        scores: The target scores `(t,)`.
    """

    number: int
    layers: tuple[AttentionMap, ...]
    scores: Float[Tensor, " t"]


def attention_maps(forward: Forward, texts: Sequence[ExplainedText]) -> Iterator[AttentionMaps]:
    """Attention of each text, short texts first, by one pass.

    The model runs with the attention implementation that makes its weights, whatever is configured; rows and columns
    of places that were not run, because nothing is read from them, are 0.

    Raises:
        ModelError: A model without attention weights, or one whose layers do not all give them.
    """
    rows = untouched_rows(texts)
    forward.find_out()
    for batch in forward.batches(texts, rows):
        found: list[AttentionMaps] = []
        forward.budget.in_halves(batch, partial(_of_batch, forward, texts, found))
        yield from found


def _of_batch(
    forward: Forward,
    texts: Sequence[ExplainedText],
    found: list[AttentionMaps],
    batch: Sequence[tuple[int, int]],
) -> None:
    """Run a batch, and add what was found of its texts."""
    rows = forward.rows_to_read(texts, untouched_rows(texts), batch)
    own, traits = [texts[k] for k, _ in batch], forward.traits
    with untouched(traits.model), torch.no_grad(), eager_attention(traits.base), listening(traits.base) as heard:
        read = forward.read(rows, own).float().cpu()
    lengths = [stream.lengths.tolist() for stream in rows.streams]
    layers = _in_streams(traits, heard, [stream.ids.shape[1] for stream in rows.streams])
    for row, ((k, _), text) in enumerate(zip(batch, own, strict=True)):
        scores = text.readout.scores(read[row : row + 1, : len(text.readout.reads)], forward.mode)[0]
        refuse_nan(scores, text)
        maps = []
        for weights, looks, looked_at in layers:
            of_text = weights[row, : lengths[looks][row], : lengths[looked_at][row]]
            sums = of_text.sum(dim=1)
            if not torch.allclose(sums, torch.ones_like(sums), rtol=0, atol=_SLACK):
                raise ModelError(
                    f"model: expected attention weights that add up to 1, got sums from {float(sums.min()):.3g} to "
                    f"{float(sums.max()):.3g} in {type(traits.base).__name__}"
                )
            maps.append(AttentionMap(of_text, looks, looked_at))
        found.append(AttentionMaps(k, tuple(maps), scores))


def _in_streams(
    traits: Traits, heard: Sequence[Float[Tensor, "b _ _"]], widths: Sequence[int]
) -> list[tuple[Tensor, int, int]]:
    """The maps of a batch with their streams: the encoder's, then in turn the decoder's own and those to the encoder.

    Raises:
        ModelError: Not as many as the model has layers.
    """
    config: Any = traits.config
    blocks = int(config.num_hidden_layers)
    streams = [(0, 0)] * blocks
    if len(widths) == 2:
        decoder = getattr(config, "decoder_layers", None) or getattr(config, "num_decoder_layers", None) or blocks
        streams = [(0, 0)] * blocks + [(1, 1), (1, 0)] * int(decoder)
    shapes = [(widths[looks], widths[looked_at]) for looks, looked_at in streams]
    if [tuple(weights.shape[1:]) for weights in heard] != shapes:
        raise ModelError(
            f"model: expected attention weights of {len(streams)} layers, got those of {len(heard)} from this "
            f"{type(traits.base).__name__}; explain it with gradients or perturbations"
        )
    return [(weights, *stream) for weights, stream in zip(heard, streams, strict=True)]


@contextmanager
def eager_attention(model: nn.Module) -> Iterator[None]:
    """Run the model with the attention that is written out, operation by operation; other threads wait."""
    with lock_of(model):
        yield from _eager_attention(model)


def _eager_attention(model: nn.Module) -> Iterator[None]:
    configs: dict[int, PretrainedConfig] = {}
    for module in model.modules():
        config = getattr(module, "config", None)
        if isinstance(config, PretrainedConfig):
            for one in (config, config.get_text_config()):
                configs.setdefault(id(one), one)
    before = [(config, vars(config).get("_attn_implementation_internal")) for config in configs.values()]
    try:
        for config, _ in before:
            config._attn_implementation_internal = "eager"
        yield
    finally:
        for config, chosen in before:
            config._attn_implementation_internal = chosen


@contextmanager
def listening(model: nn.Module) -> Iterator[list[Float[Tensor, "b _ _"]]]:
    """Hear the attention weights that modules answer beside their hidden states.

    Yields:
        A list that grows by the mean over heads, in float32 on the CPU, each time a layer attends.
    """
    heard: list[Tensor] = []
    known: list[ReferenceType[Tensor]] = []  # the modules around one hand on what it answered

    def listen(_module: nn.Module, _args: Any, answer: Any) -> None:
        for value in answer if isinstance(answer, tuple) else ():
            if _are_weights(value) and not any(value is other() for other in known):
                known.append(ref(value))
                heard.append(value.float().mean(dim=1).cpu())

    with hooked([module.register_forward_hook(listen) for module in model.modules()]):
        yield heard


def _are_weights(value: Any) -> TypeGuard[Tensor]:
    """Whether these are numbers `(b, h, l, m)` whose first rows are distributions; biases and states are none."""
    if not isinstance(value, Tensor) or value.dim() != 4 or not value.is_floating_point() or not value.numel():
        return False
    row = value[0, :, 0].float()
    return bool((row >= 0).all()) and bool(((row.sum(dim=-1) - 1).abs() <= _SLACK).all())
