"""What all concepts share: encoding, decoding, weighing, being explained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.concepts.concept_model import ConceptModel
from interpreto.concepts.importance import (
    ConceptGradients,
    ConceptImportance,
    ImportanceMethod,
    ImportanceTable,
    LocalImportance,
    concept_gradients,
    weighed,
)
from interpreto.errors import InputError, check_count
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
