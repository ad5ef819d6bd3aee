"""Concepts that are learned from activations: fitting and saving.

A new method is one short class with `learn`, which gets rows of activations and returns a `ConceptModel`.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import KW_ONLY, dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch

from interpreto.concepts.base import ConceptExplainer
from interpreto.concepts.concept_model import ConceptModel, load_concept_model, save_concept_model
from interpreto.concepts.fitting import FitLog, FitReport, measured
from interpreto.errors import InputError, NotFittedError, check_count
from interpreto.model_wrapping import (
    ActivationRows,
    ModelWithSplitPoints,
    TensorRows,
)

Self = TypeVar("Self", bound="LearnedConcepts")


@dataclass(eq=False)
class LearnedConcepts(ConceptExplainer):
    """Concepts learned from activations.

    Args:
        nb_concepts: How many concepts to learn.
        device: Where to learn and keep them; by default where the model is, or the processor without a model.
        seed: Seed of everything random on the way.
        progress: Whether to show a progress bar.
    """

    _: KW_ONLY
    nb_concepts: int
    device: torch.device | str | None = None
    seed: int = 0
    progress: bool = False
    report: FitReport | None = field(default=None, init=False, repr=False)
    _concept_model: ConceptModel | None = field(default=None, init=False, repr=False)

    concept_model_kinds: ClassVar[tuple[type[ConceptModel], ...]]
    """What `learn` returns: the class, or classes, of the fitted model."""

    def __post_init__(self) -> None:
        check_count("nb_concepts", self.nb_concepts, 1)
        check_count("seed", self.seed, 0)
        try:
            torch.empty(0, device=self.fit_device)
        except (RuntimeError, AssertionError) as error:
            raise InputError(f"device: expected one that is there, got {self.device!r} ({error})") from error

    @abstractmethod
    def learn(self, activations: ActivationRows, log: FitLog) -> ConceptModel:
        """Learn concepts.

        Args:
            activations: Rows `(n, d)` without NaN, at least as many as concepts; `.all()` reads them whole.
            log: Takes losses, and shows progress.
        """

    def fit(self, activations: Any) -> FitReport:
        """Learn concepts from activations; what was learned before is replaced once this is done.

        Args:
            activations: `(n, d)`, what `get_activations` gave, or a mapping like it.

        Returns:
            What the fit did, also kept as `report`.

        Raises:
            InputError: NaN, all zeros, fewer rows than concepts, or what the method cannot take.
        """
        rows = self.rows(activations)
        if isinstance(rows, TensorRows):  # what is learned is frozen, whatever the activations hang on
            rows = TensorRows(rows.tensor.detach())
        self._check(rows)
        log = FitLog(type(self).__name__, progress=self.progress)
        model = self.learn(rows, log).to(self.fit_device)
        self.report = measured(model, rows, log, seed=self.seed)
        self._concept_model = model
        return self.report

    @property
    def fit_device(self) -> torch.device:
        """Where concepts are learned and kept."""
        if self.device is not None:
            return torch.device(self.device)
        split_model = self.model_with_split_points
        return torch.device("cpu") if split_model is None else split_model.traits.device

    @property
    def concept_model(self) -> ConceptModel:
        """What was learned.

        Raises:
            NotFittedError: Nothing yet.
        """
        if self._concept_model is None:
            raise NotFittedError(f"{type(self).__name__}: no concepts yet; call fit(activations) first")
        return self._concept_model

    def _check(self, rows: ActivationRows) -> None:
        if rows.n_rows < self.nb_concepts:
            raise InputError(
                f"activations: expected at least as many rows as concepts ({self.nb_concepts}), got {rows.n_rows}; "
                "take more texts, or fewer concepts"
            )
        zero = True
        for number, batch in enumerate(rows.batches(1 << 14)):
            wrong = ~torch.isfinite(batch).all(dim=1)
            if bool(wrong.any()):
                row = number * (1 << 14) + int(wrong.nonzero()[0, 0])
                raise InputError(f"activations: expected numbers, got NaN or infinity in row {row}")
            zero = zero and not bool(batch.any())
        if zero:
            raise InputError("activations: expected some that are not 0, got zeros in every row")

    def save(self, folder: str | Path) -> Path:
        """Write concepts to a folder: tensors as safetensors, everything else as JSON.

        Raises:
            NotFittedError: Nothing was learned yet.
        """
        about = {
            "explainer": type(self).__name__,
            "split_point": self._known_split_point(),
            "options": self._options(),
            "report": None if self.report is None else self.report.to_dict(),
        }
        save_concept_model(self.concept_model, Path(folder), about)
        return Path(folder)

    def _known_split_point(self) -> str | None:
        """The split point's name, or `None` where a tensor was fitted that may be anyone's."""
        split = self.model_with_split_points
        if split is None or (self.split_point is None and len(split.split_points) > 1):
            return None
        return self.split_point_name()

    @classmethod
    def load(cls: type[Self], folder: str | Path, model_with_split_points: ModelWithSplitPoints | None = None) -> Self:
        """Read saved concepts.

        Args:
            folder: Where they were saved.
            model_with_split_points: The split model that they belong to, for calls that need it.

        Raises:
            InputError: Nothing there, a damaged file, concepts of another method, or another split point.
        """
        model, about = load_concept_model(cls.concept_model_kinds, Path(folder))
        if about.get("explainer") != cls.__name__:
            raise InputError(f"{folder}: expected saved {cls.__name__}, got {about.get('explainer')}")
        try:
            known = about["options"]
            found = cls(model_with_split_points, **{f.name: known[f.name] for f in fields(cls) if f.name in known})
            split_point, report = about["split_point"], about["report"]
            found.report = None if report is None else FitReport(**{**report, "losses": tuple(report["losses"])})
            found._concept_model = model.to(found.fit_device)
            model.decode(model.encode(torch.zeros(1, model.width)))
        except (KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise InputError(f"{folder}: expected saved concepts, got a damaged file ({error!r})") from error
        if model_with_split_points is not None and split_point is not None:
            if found.split_point is None:
                found.split_point = split_point
            found.split_point_name()
        return found

    def _options(self) -> dict[str, Any]:
        """Options as plain values; paths and devices belong to this machine and are left out."""
        skipped = {"model_with_split_points", "device", "progress"}
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.init and f.name not in skipped}
        plain = {name: _plain(value) for name, value in values.items()}
        return {name: value for name, value in plain.items() if not isinstance(value, (Path, torch.device))}


def _plain(value: Any) -> Any:
    """An option as JSON writes it."""
    if isinstance(value, Enum):
        return value.value
    return value.item() if hasattr(value, "item") else value
