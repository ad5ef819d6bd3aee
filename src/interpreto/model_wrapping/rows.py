"""Samples and keep-masks to padded batches: the one place that knows how a removed token looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from interpreto.text import Sample
from interpreto.types import Removal


@dataclass(frozen=True, slots=True)
class Filling:
    """What stands in the place of removed tokens and of padding.

    Args:
        removal: How removed tokens look.
        token: The id that takes a removed token's place (unused by `DELETE`, but for a text of which nothing is left).
        pad: The id of padding, always hidden from attention and always on the right.
        window: How many tokens, itself included, a token sees in the narrowest layer; `None`: all before it.
    """

    removal: Removal
    token: int
    pad: int
    window: int | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """Rows of ids of one input of the model.

    Positions that are `False` in `visible` are hidden from attention; those from `lengths` on are padding.
    """

    ids: Int[Tensor, "p l"]
    visible: Bool[Tensor, "p l"]
    type_ids: Int[Tensor, "p l"]
    lengths: Int[Tensor, " p"]


@dataclass(frozen=True, slots=True)
class Rows:
    """Perturbed versions of one sample.

    Args:
        streams: The model's input, or the encoder's and the decoder's.
        positions: Where the output is read, in the last stream.
    """

    streams: tuple[Stream, ...]
    positions: Int[Tensor, "p m"]

    def read_part(self) -> Rows:
        """The same without what comes after the last place that is read, in the last stream."""
        *others, stream = self.streams
        width = int(self.positions.max()) + 1
        lengths = stream.lengths.clamp(max=width)
        cut = Stream(stream.ids[:, :width], stream.visible[:, :width], stream.type_ids[:, :width], lengths)
        return Rows((*others, cut), self.positions)


def perturb(sample: Sample, keep: Bool[Tensor, "p l"], slots: Sequence[int], filling: Filling, split: bool) -> Rows:
    """Remove tokens of a sample.

    Args:
        sample: The untouched row of tokens.
        keep: Which tokens each perturbation keeps.
        slots: Places in the row whose output is read.
        filling: How removed tokens look.
        split: Whether source and output are separate inputs (encoder-decoders).
    """
    ids = torch.tensor(sample.ids)
    kinds = torch.tensor([token.type_id for token in sample.tokens])
    border = sample.source_length if split else 0
    bounds = [(0, border), (border, len(ids))] if split else [(0, len(ids))]
    streams = []
    for start, end in bounds:
        places = torch.tensor([slot - start for slot in slots if end == len(ids)], dtype=torch.long)
        kept = keep[:, start:end]
        row = torch.where(kept, ids[start:end], filling.token)
        kind = kinds[start:end].expand(len(keep), -1)
        lengths = torch.full((len(keep),), end - start)
        positions = places.expand(len(keep), -1)
        if filling.removal is Removal.MASK:
            kept = torch.ones_like(kept)
        elif filling.removal is Removal.ATTENTION:
            kept = _something_to_attend_to(kept, places, filling.window)
        else:
            kept = _something_to_predict_from(kept, places)
            positions = kept.cumsum(dim=1)[:, places] - 1
            order = torch.argsort((~kept).byte(), dim=1, stable=True)
            lengths = kept.sum(dim=1)
            row, kept, kind = row.gather(1, order), kept.gather(1, order), kind.gather(1, order)
            row = torch.where(kept, row, filling.pad)
        streams.append(Stream(row, kept, kind, lengths))
    return Rows(tuple(streams), positions)


def _something_to_attend_to(kept: Bool[Tensor, "p l"], places: Int[Tensor, " m"], window: int | None) -> Tensor:
    """What is visible: a neutral token stands where the text began, and where all that a read place sees is hidden.

    A place that sees nothing averages over everything in most implementations, padding included.
    """
    visible = kept.clone()
    visible[:, 0] = True
    if window is not None:
        seen = torch.nn.functional.pad(visible.cumsum(dim=1), (window, 0))
        blind = seen[:, window:] == seen[:, :-window]
        visible[:, places] |= blind[:, places]
    return visible


def _something_to_predict_from(kept: Bool[Tensor, "p l"], places: Int[Tensor, " m"]) -> Tensor:
    """What is left: a neutral token stands where the text began, if nothing is left up to the first read place."""
    left = kept.clone()
    needed = int(places.min()) + 1 if len(places) else kept.shape[1]
    left[:, 0] |= ~kept[:, :needed].any(dim=1)
    return left


def pad_rows(groups: Sequence[Rows], filling: Filling) -> Rows:
    """Rows of several samples as one batch, padded on the right to the longest."""
    streams = []
    for parts in zip(*(rows.streams for rows in groups), strict=True):
        width = int(max(part.lengths.max() for part in parts))
        streams.append(
            Stream(
                torch.cat([_padded(part.ids, width, filling.pad) for part in parts]),
                torch.cat([_padded(part.visible, width, False) for part in parts]),
                torch.cat([_padded(part.type_ids, width, 0) for part in parts]),
                torch.cat([part.lengths for part in parts]),
            )
        )
    reads = max(rows.positions.shape[1] for rows in groups)
    return Rows(tuple(streams), torch.cat([_padded(rows.positions, reads, 0) for rows in groups]))


def _padded(values: Tensor, width: int, filler: int | bool) -> Tensor:
    if values.shape[1] >= width:
        return values[:, :width]
    return torch.nn.functional.pad(values, (0, width - values.shape[1]), value=filler)
