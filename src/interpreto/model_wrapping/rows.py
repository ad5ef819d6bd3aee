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
    """

    removal: Removal
    token: int
    pad: int


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

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: slice | Tensor) -> Rows:
        streams = tuple(
            Stream(s.ids[index], s.visible[index], s.type_ids[index], s.lengths[index]) for s in self.streams
        )
        return Rows(streams, self.positions[index])


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
        kept = keep[:, start:end].clone()
        row = torch.where(kept, ids[start:end], filling.token)
        kind = kinds[start:end].expand(len(keep), -1)
        lengths = torch.full((len(keep),), end - start)
        places = torch.tensor([max(slot - start, 0) for slot in slots], dtype=torch.long)
        positions = places.expand(len(keep), -1)
        # Where nothing is left to attend to or to predict from, a neutral token stands where the text began.
        if filling.removal is Removal.MASK:
            kept = torch.ones_like(kept)
        elif filling.removal is Removal.ATTENTION:
            kept[:, 0] = True
        else:
            needed = int(places.min()) + 1 if len(places) and end == len(ids) else end - start
            kept[:, 0] |= ~kept[:, :needed].any(dim=1)
            positions = kept.cumsum(dim=1)[:, places] - 1
            order = torch.argsort((~kept).byte(), dim=1, stable=True)
            lengths = kept.sum(dim=1)
            row, kept, kind = row.gather(1, order), kept.gather(1, order), kind.gather(1, order)
            row = torch.where(kept, row, filling.pad)
        streams.append(Stream(row, kept, kind, lengths))
    return Rows(tuple(streams), positions)


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
