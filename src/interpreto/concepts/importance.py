"""How much each concept matters to a decision: gradients of target scores with respect to codes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interpreto.concepts.concept_model import ConceptModel
from interpreto.errors import InputError, MissingExtraError, warn
from interpreto.model_wrapping import ModelWithSplitPoints
from interpreto.model_wrapping.activations import ActivationGranularity, Aggregation
from interpreto.model_wrapping.split_points import SplitPoint
from interpreto.saving import SavedAsJson
from interpreto.text import Sample
from interpreto.types import InferenceMode, Task

if TYPE_CHECKING:
    import pandas


class ImportanceMethod(str, Enum):
    """What a concept's weight is, from its code `z` and a target score `f`."""

    GRADIENT = "gradient"
    """`df/dz`: what one more unit of the concept would do."""
    GRADIENT_X_CONCEPT = "gradient_x_concept"
    """`z df/dz`: what the concept adds to the score where the model is linear in it."""


@dataclass(frozen=True, slots=True)
class ConceptGradients:
    """Codes of one text, and what its target scores owe to them.

    Args:
        number: Which of the inputs.
        sample: The text.
        target_names: The targets.
        order: What they are sorted by: the numbers of classes, 0 for all output tokens.
        scores: Their scores `(t,)`.
        codes: How much of each concept is in each row `(g, c)`.
        gradients: Of each target score with respect to the codes `(t, g, c)`.
    """

    number: int
    sample: Sample
    target_names: tuple[str, ...]
    order: tuple[int, ...]
    scores: Float[Tensor, " t"]
    codes: Float[Tensor, "g c"]
    gradients: Float[Tensor, "t g c"]


def concept_gradients(
    concept_model: ConceptModel,
    split: ModelWithSplitPoints,
    point: SplitPoint,
    inputs: Any,
    targets: Any,
    *,
    granularity: ActivationGranularity | str,
    aggregation: Aggregation | str,
    mode: InferenceMode,
    batch_size: int | None,
) -> Iterator[ConceptGradients]:
    """Gradients of target scores with respect to codes, text by text, short texts first.

    A row's reconstruction takes the place of the row, and what it misses is added back as a constant, so that the
    model's scores are unchanged: `h' = h + decode(z) - decode(z0)` at `z0 = encode(h)`. A row that is made from several
    tokens moves all of them alike.
    """
    extraction = split.extraction(granularity, aggregation)
    scorer = split.scorer(mode, batch_size)
    texts = split.explained_texts(scorer, inputs, targets)
    elements = [extraction.elements(text.sample, point.in_decoder) for text in texts]
    for found in scorer.hidden_gradients(texts, point):
        text, own = texts[found.number], elements[found.number]
        rows = extraction.rows(found.hidden, text.sample, own, point)
        if rows.shape[1] != concept_model.width:
            raise InputError(
                f"split point {point.name!r}: expected the width {concept_model.width} that the concepts have, got "
                f"{rows.shape[1]}; fit them on this model's activations"
            )
        moved = torch.stack(
            [found.gradients[:, places].sum(dim=1) for places in extraction.carriers(text.sample, own, point)], dim=1
        )
        with torch.no_grad():
            codes = concept_model.encode(rows.to(concept_model.dictionary))
        codes = codes.detach().requires_grad_()
        with torch.enable_grad():
            decoded = concept_model.decode(codes)
            gradients = [
                torch.autograd.grad(decoded, codes, of_target.to(decoded), retain_graph=True)[0] for of_target in moved
            ]
        targets_of_text = text.readout.targets
        names = tuple(target.name for target in targets_of_text)
        order = tuple(target.plus[0] if scorer.task is Task.CLASSIFICATION else 0 for target in targets_of_text)
        yield ConceptGradients(
            found.number,
            text.sample,
            names,
            order,
            found.scores.cpu(),
            codes.detach().cpu(),
            torch.stack(gradients).cpu(),
        )


@dataclass(frozen=True, eq=False, repr=False)
class LocalImportance:
    """The concepts of one text, row by row, and what they weigh.

    Args:
        number: Which of the inputs.
        target_names: The targets.
        parts: The texts that the model read: a text, a pair, or prompt and output.
        spans: For each row which of the parts it is in, its first character, and one past the last.
        target_scores: The target scores `(t,)`.
        codes: How much of each concept is in each row `(g, c)`.
        weights: What each of them weighs for each target `(t, g, c)`.
    """

    number: int
    target_names: tuple[str, ...]
    parts: tuple[str, ...]
    spans: tuple[tuple[int, int, int], ...]
    target_scores: Float[Tensor, " t"]
    codes: Float[Tensor, "g c"]
    weights: Float[Tensor, "t g c"]

    @property
    def texts(self) -> tuple[str, ...]:
        """What stands in each row."""
        return tuple(self.parts[part][start:end] for part, start, end in self.spans)

    def top(self, target: int = 0, k: int | None = None) -> list[int]:
        """The concepts that weigh most for a target over all rows, the strongest first.

        Raises:
            InputError: No such target.
        """
        if not 0 <= target < len(self.target_names):
            raise InputError(f"target: expected a number from 0 to {len(self.target_names) - 1}, got {target}")
        return self.weights[target].abs().sum(dim=0).argsort(descending=True, stable=True)[:k].tolist()

    def to_dict(self) -> dict[str, Any]:
        """As plain values, ready for JSON; where code and weights are 0, nothing is written."""
        rows, concepts = ((self.codes != 0) | (self.weights != 0).any(dim=0)).nonzero(as_tuple=True)
        return {
            "number": self.number,
            "target_names": list(self.target_names),
            "parts": list(self.parts),
            "spans": [list(span) for span in self.spans],
            "target_scores": self.target_scores.tolist(),
            "nb_concepts": self.codes.shape[1],
            "rows": rows.tolist(),
            "concepts": concepts.tolist(),
            "codes": self.codes[rows, concepts].tolist(),
            "weights": self.weights[:, rows, concepts].tolist(),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LocalImportance:
        """The inverse of `to_dict`."""
        names, spans = tuple(data["target_names"]), tuple((p, start, end) for p, start, end in data["spans"])
        where = (torch.tensor(data["rows"], dtype=torch.long), torch.tensor(data["concepts"], dtype=torch.long))
        codes = torch.zeros(len(spans), data["nb_concepts"])
        codes[where] = torch.tensor(data["codes"])
        weights = torch.zeros(len(names), *codes.shape)
        weights[:, where[0], where[1]] = torch.tensor(data["weights"])
        scores = torch.tensor(data["target_scores"])
        return cls(data["number"], names, tuple(data["parts"]), spans, scores, codes, weights)

    def to_pandas(self) -> pandas.DataFrame:
        """One line a target, row and concept that is in the row or weighs something: `target, row, text, concept, code,
        weight`.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise MissingExtraError("pandas", "data", "to_pandas()") from None
        there = ((self.codes != 0) | (self.weights != 0).any(dim=0)).nonzero().tolist()
        texts = self.texts
        lines = [
            (name, row, texts[row], concept, float(self.codes[row, concept]), float(self.weights[t, row, concept]))
            for t, name in enumerate(self.target_names)
            for row, concept in there
        ]
        return pandas.DataFrame(lines, columns=["target", "row", "text", "concept", "code", "weight"])

    def __repr__(self) -> str:
        targets, rows, concepts = self.weights.shape
        return f"LocalImportance(input {self.number}, {targets} targets, {rows} rows, {concepts} concepts)"


@dataclass(frozen=True, eq=False, repr=False)
class ConceptImportance(SavedAsJson):
    """What each concept weighs for each target, over many texts.

    A concept's weight for a target of a text is the sum over the text's rows; the tables are means over all targets of
    that name. Classes come in their order, output tokens in that of the alphabet.

    Args:
        method: `"gradient"`: `df/dz`. `"gradient_x_concept"`: `z df/dz`.
        target_names: The targets: classes, or output tokens.
        counts: How often each target was explained `(t,)`; a word that a text has twice is explained twice.
        signed: Mean over texts of the sum over rows `(t, c)`.
        absolute: Mean over texts of the sum over rows of the absolute value `(t, c)`.
    """

    saved_as: ClassVar[str] = "an importance"

    method: str
    target_names: tuple[str, ...]
    counts: Int[Tensor, " t"]
    signed: Float[Tensor, "t c"]
    absolute: Float[Tensor, "t c"]

    def table(
        self, kind: Literal["absolute", "signed"] = "absolute", *, normalized: bool = False
    ) -> Float[Tensor, "t c"]:
        """One row a target, one column a concept.

        Args:
            kind: Mean of absolute values, or signed mean.
            normalized: Whether each row is divided by the sum of its absolute values.
        """
        if kind not in ("absolute", "signed"):
            raise InputError(f"kind: expected 'absolute' or 'signed', got {kind!r}")
        table = self.absolute if kind == "absolute" else self.signed
        return table / table.abs().sum(dim=1, keepdim=True).clamp(min=1e-30) if normalized else table

    def overall(self, kind: Literal["absolute", "signed"] = "absolute", *, normalized: bool = False) -> Tensor:
        """Over all targets, each weighing as much as it has texts: `(c,)`."""
        table = self.table(kind)
        mean = (table * self.counts[:, None]).sum(dim=0) / self.counts.sum()
        return mean / mean.abs().sum().clamp(min=1e-30) if normalized else mean

    def top(self, target: str | int | None = None, k: int | None = None) -> list[int]:
        """The concepts that weigh most, the strongest first; for one target, or over all.

        Raises:
            InputError: No such target.
        """
        if target is None:
            weights = self.overall()
        else:
            if isinstance(target, str) and target not in self.target_names:
                raise InputError(f"target: expected one of {list(self.target_names)}, got {target!r}")
            number = self.target_names.index(target) if isinstance(target, str) else target
            if not 0 <= number < len(self.target_names):
                raise InputError(f"target: expected a number from 0 to {len(self.target_names) - 1}, got {number}")
            weights = self.absolute[number]
        return weights.argsort(descending=True, stable=True)[:k].tolist()

    def to_dict(self) -> dict[str, Any]:
        """As plain values, ready for JSON."""
        return {
            "method": self.method,
            "target_names": list(self.target_names),
            "counts": self.counts.tolist(),
            "signed": self.signed.tolist(),
            "absolute": self.absolute.tolist(),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ConceptImportance:
        """The inverse of `to_dict`.

        Raises:
            InputError: Tables of different sizes, or with what is no number.
        """
        names = tuple(data["target_names"])
        counts, signed, absolute = (torch.tensor(data[name]) for name in ("counts", "signed", "absolute"))
        if not len(names) == len(counts) == len(signed) == len(absolute) or signed.shape != absolute.shape:
            raise InputError("file: expected the JSON of an importance, got tables of different sizes")
        if not all(bool(torch.isfinite(table).all()) for table in (counts, signed, absolute)):
            raise InputError("file: expected the JSON of an importance, got what is no number")
        return cls(data["method"], names, counts, signed, absolute)

    def to_pandas(self) -> pandas.DataFrame:
        """One line a target and concept.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise MissingExtraError("pandas", "data", "to_pandas()") from None
        lines = [
            {"target": name, "concept": c, "absolute": float(a), "signed": float(s)}
            for name, absolute, signed in zip(self.target_names, self.absolute, self.signed, strict=True)
            for c, (a, s) in enumerate(zip(absolute, signed, strict=True))
        ]
        return pandas.DataFrame(lines)

    def __repr__(self) -> str:
        targets, concepts = self.signed.shape
        return f"ConceptImportance({self.method}, {targets} targets, {concepts} concepts)"


class ImportanceTable:
    """Running sums, so that no table of texts, rows and concepts is ever made."""

    def __init__(self, method: ImportanceMethod) -> None:
        self._method = method
        self._sums: dict[tuple[int, str], tuple[Tensor, Tensor]] = {}
        self._counts: dict[tuple[int, str], int] = {}

    def add(self, found: ConceptGradients) -> None:
        """One text's share."""
        weights = weighed(found, self._method)
        for number, name, weight in zip(found.order, found.target_names, weights, strict=True):
            key = (number, name)
            zero = torch.zeros(weight.shape[1])
            signed, absolute = self._sums.get(key, (zero, zero))
            self._sums[key] = (signed + weight.sum(dim=0), absolute + weight.abs().sum(dim=0))
            self._counts[key] = self._counts.get(key, 0) + 1

    def result(self) -> ConceptImportance:
        """The means."""
        keys = sorted(self._sums)
        counts = torch.tensor([self._counts[key] for key in keys])
        signed = torch.stack([self._sums[key][0] for key in keys]) / counts[:, None]
        absolute = torch.stack([self._sums[key][1] for key in keys]) / counts[:, None]
        if not bool(absolute.any()):
            warn(
                "importance: no concept weighs anything; nothing goes from these rows to the scores (above the last "
                "block of a classifier only its class token does): take granularity 'cls_token' or a lower split point"
            )
        return ConceptImportance(self._method.value, tuple(name for _, name in keys), counts, signed, absolute)


def weighed(found: ConceptGradients, method: ImportanceMethod) -> Float[Tensor, "t g c"]:
    """Gradients, or gradients times codes."""
    return found.gradients if method is ImportanceMethod.GRADIENT else found.gradients * found.codes
