"""What all concept methods share: fitting, encoding, decoding, saving.

A new method is one short class with `learn`, which gets rows of activations and returns a `ConceptModel`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.concepts.concept_model import ConceptModel, load_concept_model, save_concept_model
from interpreto.concepts.fitting import FitLog, FitReport, measured
from interpreto.concepts.importance import (
    ConceptGradients,
    ConceptImportance,
    ImportanceMethod,
    ImportanceTable,
    LocalImportance,
    concept_gradients,
    weighed,
)
from interpreto.errors import InputError, NotFittedError, check_count
from interpreto.model_wrapping import (
    ActivationGranularity,
    ActivationRows,
    Aggregation,
    ExplainedFunction,
    ModelWithSplitPoints,
    TensorRows,
)
from interpreto.model_wrapping.activations import choice
from interpreto.model_wrapping.split_points import SplitPoint
from interpreto.types import InferenceMode

Self = TypeVar("Self", bound="LearnedConcepts")


@dataclass(eq=False)
class ConceptExplainer(ABC):
    """Concepts of a model at one split point.

    Args:
        model_with_split_points: The split model; `None` to work on tensors alone.
        split_point: Which of its split points; needed where there are several.
    """

    model_with_split_points: ModelWithSplitPoints | None
    _: KW_ONLY
    split_point: int | str | None = None

    codes_have_a_sign: ClassVar[bool] = False
    """Whether codes can be negative, so that a direction and its opposite are one concept."""

    @property
    @abstractmethod
    def concept_model(self) -> ConceptModel:
        """What was learned.

        Raises:
            NotFittedError: Nothing yet.
        """

    def encode(self, activations: Any) -> Float[Tensor, "n c"]:
        """Codes of activations: how much of each concept is in each row.

        Args:
            activations: `(n, d)`, or a mapping with the split point's.

        Raises:
            InputError: Activations of another width, or NaN.
            NotFittedError: Nothing was learned yet.
        """
        model = self.concept_model
        x = self._tensor(activations)
        return model.encode(x.to(model.dictionary))

    def decode(self, codes: Float[Tensor, "n c"]) -> Float[Tensor, "n d"]:
        """Activations that codes stand for."""
        model = self.concept_model
        if codes.dim() != 2 or codes.shape[1] != model.nb_concepts:
            raise InputError(f"codes: expected (n, {model.nb_concepts}), got {tuple(codes.shape)}")
        return model.decode(codes.to(model.dictionary))

    @property
    def dictionary(self) -> Float[Tensor, "c d"]:
        """One direction in activation space per concept."""
        return self.concept_model.dictionary

    def concept_output_gradient(
        self,
        inputs: Any,
        targets: Any = None,
        activation_granularity: ActivationGranularity | str = ActivationGranularity.TOKEN,
        *,
        aggregation: Aggregation | str = Aggregation.MEAN,
        concepts_x_gradients: bool = False,
        inference_mode: InferenceMode | str = InferenceMode.LOGITS,
        batch_size: int | None = None,
    ) -> list[Float[Tensor, "_ _ _"]]:
        """Gradient of target scores with respect to codes, `df/dz`, for every row of every text.

        The model is run with `h - decode(z0) + decode(z)` in the place of a row `h`, at `z = z0 = encode(h)`: what the
        concepts do not explain stays as it is, and so do the scores. Only the upper part of the model is
        differentiated, and none of its weights.

        Cost: one forward pass a text (two for classifiers, which are asked for their own answer first), and one
        backward pass through the upper part a target.

        Args:
            inputs: Texts, as attribution methods take them.
            targets: Classifiers: a list of classes, explained for every text, or a tensor `(n, t)`; by default each
                text's predicted class. Models that write: one output per text; by default every token of a causal
                model's text itself, predicted from those before it.
            activation_granularity: What one row belongs to; the same as in the fit.
            aggregation: How rows of several tokens become one; the same as in the fit.
            concepts_x_gradients: Whether gradients are multiplied by the codes.
            inference_mode: The space of the target scores.
            batch_size: Texts a forward pass; changes nothing but speed and memory.

        Returns:
            For each text `(t, g, c)`: targets, rows, concepts.

        Raises:
            InputError: Inputs, targets or options that cannot be explained.
            NotFittedError: Nothing was learned yet.

        Reference: Fel et al. (2023), A holistic approach to unifying automatic concept extraction and concept
        importance estimation, section 3.2, arXiv:2306.07304; Poche et al. (2025), ConSim, arXiv:2501.05855.
        """
        method = ImportanceMethod.GRADIENT_X_CONCEPT if concepts_x_gradients else ImportanceMethod.GRADIENT
        found = self._gradients(inputs, targets, activation_granularity, aggregation, inference_mode, batch_size)
        by_number = {one.number: weighed(one, method) for one in found}
        return [by_number[number] for number in range(len(by_number))]

    def importance(
        self,
        inputs: Any,
        targets: Any = None,
        activation_granularity: ActivationGranularity | str = ActivationGranularity.TOKEN,
        *,
        aggregation: Aggregation | str = Aggregation.MEAN,
        method: ImportanceMethod | str = ImportanceMethod.GRADIENT_X_CONCEPT,
        inference_mode: InferenceMode | str = InferenceMode.LOGITS,
        batch_size: int | None = None,
    ) -> ConceptImportance:
        """What each concept weighs for each class (or output token), over many texts.

        Only sums are kept of the texts, one text's gradients at a time. Arguments as in `concept_output_gradient`.

        Args:
            inputs: Texts.
            targets: What is explained; by default each text's predicted class, which makes the table class-wise.
            activation_granularity: What one row belongs to.
            aggregation: How rows of several tokens become one.
            method: `"gradient"`: `df/dz`. `"gradient_x_concept"`: `z df/dz`, what the concept adds to the score where
                the model is linear in it.
            inference_mode: The space of the target scores.
            batch_size: Texts a forward pass.

        Returns:
            Tables by target and over all, absolute and signed, plain and normalised.
        """
        table = ImportanceTable(choice("method", method, ImportanceMethod))
        for one in self._gradients(inputs, targets, activation_granularity, aggregation, inference_mode, batch_size):
            table.add(one)
        return table.result()

    def local_importance(
        self,
        inputs: Any,
        targets: Any = None,
        activation_granularity: ActivationGranularity | str = ActivationGranularity.TOKEN,
        *,
        aggregation: Aggregation | str = Aggregation.MEAN,
        method: ImportanceMethod | str = ImportanceMethod.GRADIENT_X_CONCEPT,
        inference_mode: InferenceMode | str = InferenceMode.LOGITS,
        batch_size: int | None = None,
    ) -> list[LocalImportance]:
        """The concepts in every row of each text, and what they weigh; arguments as in `importance`."""
        how = choice("method", method, ImportanceMethod)
        extraction = self.split.extraction(activation_granularity, aggregation)
        found: dict[int, LocalImportance] = {}
        for one in self._gradients(inputs, targets, activation_granularity, aggregation, inference_mode, batch_size):
            elements = extraction.elements(one.sample, self.point.in_decoder)
            found[one.number] = LocalImportance(
                one.number,
                one.target_names,
                one.sample.parts,
                tuple((element.part, element.start, element.end) for element in elements),
                one.scores,
                one.codes,
                weighed(one, how),
            )
        return [found[number] for number in range(len(found))]

    def explained_function(self) -> ExplainedFunction:
        """What attribution methods explain where they are given concepts as their model: the codes in a text."""
        from interpreto.concepts.bridges import InputToConcepts  # which knows concepts

        return InputToConcepts(self)

    def _gradients(
        self,
        inputs: Any,
        targets: Any,
        granularity: ActivationGranularity | str,
        aggregation: Aggregation | str,
        mode: InferenceMode | str,
        batch_size: int | None,
    ) -> Iterator[ConceptGradients]:
        if batch_size is not None:
            check_count("batch_size", batch_size, 1)
        return concept_gradients(
            self.concept_model,
            self.split,
            self.point,
            inputs,
            targets,
            granularity=granularity,
            aggregation=aggregation,
            mode=choice("inference_mode", mode, InferenceMode),
            batch_size=batch_size,
        )

    @property
    def split(self) -> ModelWithSplitPoints:
        """The split model.

        Raises:
            InputError: There is none.
        """
        if self.model_with_split_points is None:
            raise InputError("model_with_split_points: expected a split model for this call, got None")
        return self.model_with_split_points

    @property
    def point(self) -> SplitPoint:
        """The split point.

        Raises:
            InputError: There are several and no choice.
        """
        name = self.split_point_name()
        return next(point for point in self.split.split_points if point.name == name)

    def split_point_name(self, names: Mapping[str, Any] | None = None) -> str:
        """The split point's name, among these or the model's.

        Raises:
            InputError: None of that name, or several and no choice.
        """
        if names is None:
            names = {point.name: None for point in self.split.split_points}
        known = [name for name in names if name != "predictions"]
        if self.split_point is None:
            if len(known) == 1:
                return known[0]
            raise InputError(f"split_point: expected a choice where there are several, pass one of {known}")
        wanted = str(self.split_point)
        if self.model_with_split_points is not None:
            wanted = self.model_with_split_points.point_name(self.split_point)
        if wanted not in known:
            raise InputError(f"split_point: expected one of {known}, got {self.split_point!r}")
        return wanted

    def _tensor(self, activations: Any) -> Float[Tensor, "n d"]:
        rows = self.rows(activations)
        width = self.concept_model.width
        if rows.width != width:
            raise InputError(f"activations: expected the width {width} that the concepts have, got {rows.width}")
        x = rows.all()
        if not bool(torch.isfinite(x).all()):
            raise InputError("activations: expected numbers, got NaN or infinity")
        return x

    def rows(self, activations: Any) -> ActivationRows:
        """Activations of any kind as rows of this split point.

        Args:
            activations: `(n, d)`, a mapping from split points, or a store on disk.

        Raises:
            InputError: None of these, or of another shape.
        """
        if isinstance(activations, Mapping):
            activations = activations[self.split_point_name(activations)]
        if isinstance(activations, ActivationRows):
            return activations
        if not isinstance(activations, Tensor) or activations.dim() != 2 or not activations.is_floating_point():
            got = tuple(activations.shape) if isinstance(activations, Tensor) else type(activations).__name__
            raise InputError(f"activations: expected floats (n, d), a mapping of them, or a store, got {got}")
        return TensorRows(activations)


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
