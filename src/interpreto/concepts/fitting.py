"""What a fit reports: the losses on the way, and how well the concepts explain the activations at the end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from interpreto.concepts.concept_model import ConceptModel
from interpreto.model_wrapping import ActivationRows


class FitLog:
    """The losses of a fit, and its progress bar.

    Args:
        name: What is fitted.
        progress: Whether to show a bar.
    """

    def __init__(self, name: str, *, progress: bool) -> None:
        self._name = name
        self._progress = progress
        self._losses: list[Tensor] = []

    def steps(self, total: int, *, start: int = 0) -> Iterator[int]:
        """The numbers of the steps from `start` to `total`, with a progress bar where one is wanted."""
        bar = tqdm(range(start, total), desc=self._name, initial=start, total=total, disable=not self._progress)
        yield from bar

    def record(self, loss: Tensor | float) -> None:
        """Write down a loss; a tensor stays where it is until the end, so that nothing waits for the device."""
        self._losses.append(loss.detach() if isinstance(loss, Tensor) else torch.tensor(float(loss)))

    @property
    def losses(self) -> tuple[float, ...]:
        """All of them, in order."""
        return tuple(torch.stack([loss.float().cpu() for loss in self._losses]).tolist()) if self._losses else ()


@dataclass(frozen=True, slots=True)
class FitReport:
    """What a fit did.

    Args:
        n_rows: Rows that it learned from.
        losses: The method's own loss, step by step; empty where the method has none.
        explained_variance: Share of the activations' variance around their mean that the reconstruction explains;
            1 is all of it, and it is below 0 where the mean would do better.
        l0: Mean number of concepts in a row whose code is not 0.
        dead_fraction: Share of concepts whose code is 0 in every measured row.
        n_measured: Rows on which the last three were measured.
    """

    n_rows: int
    losses: tuple[float, ...]
    explained_variance: float
    l0: float
    dead_fraction: float
    n_measured: int

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def __repr__(self) -> str:
        return (
            f"FitReport({self.n_rows} rows, explained variance {self.explained_variance:.3f}, L0 {self.l0:.1f}, "
            f"dead {self.dead_fraction:.1%})"
        )


_BATCH = 4096


def measured(model: ConceptModel, rows: ActivationRows, log: FitLog, *, seed: int, most: int = 1 << 16) -> FitReport:
    """The report of a fit, measured on all rows, or on `most` random ones of a larger set."""
    order = torch.randperm(rows.n_rows, generator=torch.Generator().manual_seed(seed))[:most].sort().values
    device = model.dictionary.device
    chunks = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]
    total, error, active = 0.0, 0.0, 0.0
    mean = torch.zeros(rows.width, dtype=torch.float64)
    alive = torch.zeros(model.nb_concepts, dtype=torch.bool, device=device)
    with torch.no_grad():
        for chunk in chunks:
            mean += rows.take(chunk).double().sum(dim=0).cpu() / len(order)
        for chunk in chunks:
            x = rows.take(chunk).to(device)
            codes = model.encode(x)
            error += float((x - model.decode(codes)).double().square().sum())
            total += float((x.double() - mean.to(device)).square().sum())
            active += float((codes != 0).sum())
            alive |= (codes != 0).any(dim=0)
    variance = 1 - error / total if total > 0 else float(error == 0)
    dead = float((~alive).float().mean())
    return FitReport(rows.n_rows, log.losses, variance, active / len(order), dead, len(order))
