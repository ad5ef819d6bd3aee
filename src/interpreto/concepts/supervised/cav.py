"""Concept activation vectors: concepts that examples say, as directions ready to be read, weighed and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interpreto.concepts.base import ConceptExplainer
from interpreto.concepts.concept_model import ConceptModel, load_concept_model, save_concept_model
from interpreto.concepts.supervised.directions import CAVKind, half_space
from interpreto.concepts.supervised.labels import (
    check_groups,
    check_share,
    check_strength,
    held_out_rows,
    numbered,
)
from interpreto.concepts.supervised.scores import balanced_accuracy, share_with_error
from interpreto.concepts.supervised.text_rows import read_text_rows
from interpreto.errors import InputError, MissingExtraError, NotFittedError, check_count
from interpreto.model_wrapping import ActivationGranularity, Aggregation, ModelWithSplitPoints
from interpreto.model_wrapping.activations import choice
from interpreto.text import split_inputs

if TYPE_CHECKING:
    import pandas


@final
@dataclass(frozen=True, eq=False)
class DirectionModel(ConceptModel):
    """Codes `z = x V^T - b`: signed distances from planes, along their unit normals `V`.

    A code is above 0 on the concept's side of its plane, and in the units of the activations. Codes stand for
    `m + (z - z(m)) V`: the mean moved along the normals. So the mean comes back whole, and with one concept a row comes
    back as its projection on the normal through the mean. Normals of several concepts need not be at right angles, and
    what they share is then counted by each of them.

    Args:
        directions: `V`, of length 1 each.
        places: `b`, how far along its normal each plane is.
        mean: `m`, the mean of the rows that were learned from.
    """

    directions: Float[Tensor, "c d"]
    places: Float[Tensor, " c"]
    mean: Float[Tensor, " d"]

    def encode(self, activations: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Signed distances from the planes."""
        return activations @ self.directions.T - self.places

    def decode(self, codes: Float[Tensor, "n c"]) -> Float[Tensor, "n d"]:
        """The mean, moved along the normals by what the codes differ from its own."""
        return self.mean + (codes - self.encode(self.mean[None])) @ self.directions

    @property
    def dictionary(self) -> Float[Tensor, "c d"]:
        """The unit normals."""
        return self.directions


@dataclass(frozen=True, slots=True)
class CAVReport:
    """How well each vector tells its concept, on rows that it did not learn from.

    Args:
        names: The concepts.
        accuracies: Share of held-out rows on the right side of the plane.
        std_errors: Their standard errors, over the held-out texts (or rows); 0 where all are right, which few rows can
            be by luck.
        balanced_accuracies: Mean over both sides of the share that is right; 0.5 for guessing.
        majorities: Share of held-out rows on the larger side: what a vector that knows nothing can reach.
        n_fit: Rows that each vector learned from.
        n_held_out: Rows that it was measured on.
    """

    names: tuple[str, ...]
    accuracies: tuple[float, ...]
    std_errors: tuple[float, ...]
    balanced_accuracies: tuple[float, ...]
    majorities: tuple[float, ...]
    n_fit: tuple[int, ...]
    n_held_out: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain values, ready for JSON."""
        return {f.name: list(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> CAVReport:
        """The inverse of `to_dict`."""
        return cls(**{name: tuple(values) for name, values in data.items()})

    def to_pandas(self) -> pandas.DataFrame:
        """One line a concept.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise MissingExtraError("pandas", "data", "to_pandas()") from None
        return pandas.DataFrame({f.name.removesuffix("s"): list(getattr(self, f.name)) for f in fields(self)})

    def __str__(self) -> str:
        rows = zip(self.names, self.accuracies, self.std_errors, self.majorities, self.n_held_out, strict=True)
        return "\n".join(
            f"{name}: held-out accuracy {accuracy:.3f} +- {error:.3f} (larger side {majority:.3f}, {n} rows)"
            for name, accuracy, error, majority, n in rows
        )


@final
@dataclass(eq=False, kw_only=True)
class CAVConcepts(ConceptExplainer):
    """Concept activation vectors: unit normals `v` of planes between a concept's rows and others; `z = v x - b`.

    Concepts come from labelled examples, several at once: each is told from all other rows by a linear classifier. The
    vector is that of the rows that were learned from; how well it tells the held-out ones is in `report`, and a vector
    that cannot tell them means nothing, whatever is done with it. Codes are signed: above 0 is the concept's side.

    Cost: one small classifier a concept. Against `PCAConcepts` and the other methods: those find what varies, this one
    what was asked for; a vector exists for every question, even one that the model does not ask itself (`TCAV` tests
    that).

    Args:
        model_with_split_points: The split model; `None` to work on tensors alone.
        split_point: Which of its split points; needed where there are several.
        kind: `"logistic"`, `"svm"` or `"difference of means"`.
        strength: How much rows count against the penalty on the normal's length (scikit-learn's `C`); rows are centred
            and brought to mean square 1 before. The difference of means has none.
        held_out: The share of texts (or rows) that is kept for measuring, of each class.
        device: Where the vectors are kept; by default where the model is.
        seed: Of the held-out rows.

    Reference: Kim et al. (2018), Interpretability beyond feature attribution: quantitative testing with concept
    activation vectors, section 3.2, arXiv:1711.11279.

    >>> concepts = CAVConcepts(None, kind="difference of means")
    >>> rows = torch.tensor([[0.0, 2.0], [6.0, 2.0]]).repeat(8, 1)
    >>> concepts.fit(rows, [False, True] * 8).accuracies
    (1.0,)
    >>> concepts.encode(rows[:2])
    tensor([[-3.],
            [ 3.]])
    """

    kind: CAVKind | str = CAVKind.LOGISTIC
    strength: float = 1.0
    held_out: float = 0.25
    device: torch.device | str | None = None
    seed: int = 0
    report: CAVReport | None = field(default=None, init=False, repr=False)
    _concept_model: ConceptModel | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.kind = choice("kind", self.kind, CAVKind)
        check_strength("strength", self.strength)
        check_share("held_out", self.held_out)
        check_count("seed", self.seed, 0)

    def fit(
        self, activations: Any, labels: Any, *, names: Sequence[str] | None = None, groups: Any = None
    ) -> CAVReport:
        """Learn a vector for each concept; what was learned before is replaced once this is done.

        Args:
            activations: `(n, d)`, what `get_activations` gave, or a mapping like it.
            labels: What each row has. Truth values `(n,)`: one concept. Texts or whole numbers `(n,)`: a concept for
                each of them, told from all others. Truth values `(n, c)`: several, of which a row may have any.
            names: What to call the concepts; by default their labels, or numbers.
            groups: Which rows must be held out together (those of one text): one text or number a row.

        Returns:
            How well each vector tells held-out rows, also kept as `report`.

        Raises:
            InputError: NaN, equal rows, labels that do not belong to the rows, or too few rows of a concept.
        """
        rows = self.rows(activations).all().detach().cpu().double()
        wrong = ~torch.isfinite(rows).all(dim=1)
        if bool(wrong.any()):
            raise InputError(f"activations: expected numbers, got NaN or infinity in row {int(wrong.nonzero()[0, 0])}")
        known, inside = _sides(labels, len(rows))
        return self._learn(rows, inside, _names(names, known), check_groups(groups, len(rows)))

    def fit_texts(
        self,
        inputs: Any,
        labels: Any,
        *,
        activation_granularity: ActivationGranularity | str = ActivationGranularity.CLS_TOKEN,
        aggregation: Aggregation | str = Aggregation.MEAN,
        names: Sequence[str] | None = None,
    ) -> CAVReport:
        """Learn a vector for each label of texts, from the split model's activations.

        Texts are held out whole, and equal texts together.

        Args:
            inputs: Texts, as `get_activations` takes them.
            labels: One a text: truth values, texts or whole numbers, as in `fit`; or for each text a list, one a row.
            activation_granularity: What one row belongs to.
            aggregation: How rows of several tokens become one.
            names: What to call the concepts.

        Raises:
            InputError: No split model, inputs that cannot be read, or what `fit` refuses.
        """
        name = self.point.name  # refused before the model is run
        found = read_text_rows(self.split, inputs, labels, activation_granularity, aggregation)[name]
        known, inside = _sides(found.labels, len(found.rows))
        return self._learn(found.rows, inside, _names(names, known), found.groups)

    def fit_examples(
        self,
        examples: Any,
        others: Any,
        *,
        name: str = "concept",
        activation_granularity: ActivationGranularity | str = ActivationGranularity.CLS_TOKEN,
        aggregation: Aggregation | str = Aggregation.MEAN,
    ) -> CAVReport:
        """Learn one vector from texts that have the concept and texts that have not.

        Args:
            examples: Texts with the concept.
            others: Texts without it: random ones, or its opposite, which ask different questions.
            name: What to call the concept.
            activation_granularity: What one row belongs to.
            aggregation: How rows of several tokens become one.

        Raises:
            InputError: No split model, inputs that cannot be read, or what `fit` refuses.
        """
        own, rest = split_inputs(examples), split_inputs(others)
        both = {repr(text) for text in own} & {repr(text) for text in rest}
        if both:
            raise InputError(f"others: expected texts that are no examples, got {min(both):.60} among both")
        labels = [True] * len(own) + [False] * len(rest)
        return self.fit_texts(
            own + rest,
            labels,
            activation_granularity=activation_granularity,
            aggregation=aggregation,
            names=(name,),
        )

    @property
    def concept_model(self) -> ConceptModel:
        """The vectors and their planes.

        Raises:
            NotFittedError: Nothing was learned yet.
        """
        if self._concept_model is None:
            raise NotFittedError("CAVConcepts: no concepts yet; call fit(activations, labels) first")
        return self._concept_model

    def save(self, folder: str | Path) -> Path:
        """Write the vectors to a folder: tensors as safetensors, everything else as JSON.

        Raises:
            NotFittedError: Nothing was learned yet.
            StoreError: The folder cannot be written.
        """
        split = self.model_with_split_points
        chosen = split is not None and (self.split_point is not None or len(split.split_points) == 1)
        about = {
            "explainer": "CAVConcepts",
            "split_point": self.split_point_name() if chosen else None,
            "options": {
                "kind": CAVKind(self.kind).value,
                "strength": self.strength,
                "held_out": self.held_out,
                "seed": self.seed,
            },
            "report": None if self.report is None else self.report.to_dict(),
        }
        save_concept_model(self.concept_model, Path(folder), about)
        return Path(folder)

    @classmethod
    def load(cls, folder: str | Path, model_with_split_points: ModelWithSplitPoints | None = None) -> CAVConcepts:
        """Read saved vectors.

        Args:
            folder: Where they were saved.
            model_with_split_points: The split model that they belong to, for calls that need it.

        Raises:
            InputError: Nothing there, a damaged file, concepts of another method, or another split point.
        """
        model, about = load_concept_model((DirectionModel,), Path(folder))
        if about.get("explainer") != "CAVConcepts":
            raise InputError(f"{folder}: expected saved CAVConcepts, got {about.get('explainer')}")
        try:
            found = cls(model_with_split_points, **about["options"])
            found.report = None if about["report"] is None else CAVReport.from_dict(about["report"])
            split_point = about["split_point"]
            model.decode(model.encode(torch.zeros(1, model.width)))
        except (KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise InputError(f"{folder}: expected saved concepts, got a damaged file ({error!r})") from error
        found._keep(model)
        if model_with_split_points is not None and split_point is not None:
            found.split_point = split_point
            found.split_point_name()
        return found

    def _learn(
        self,
        rows: Float[Tensor, "n d"],
        inside: Sequence[Bool[Tensor, " n"]],
        names: tuple[str, ...],
        groups: Int[Tensor, " n"] | None,
    ) -> CAVReport:
        kind = CAVKind(self.kind)
        normals, places, scores, used = [], [], [], torch.zeros(len(rows), dtype=torch.bool)
        for name, own in zip(names, inside, strict=True):
            out = held_out_rows(own.long(), self.held_out, self.seed, groups=groups, name=f"labels of {name!r}")
            normal, place = half_space(rows[~out], own[~out], kind, self.strength, self.seed)
            right = (rows[out] @ normal > place) == own[out]
            majority = float(own[out].double().mean())
            accuracy, error = share_with_error(right.double(), None if groups is None else groups[out])
            scores.append(
                (
                    accuracy,
                    error,
                    balanced_accuracy(right, own[out].long()),
                    max(majority, 1 - majority),
                    int((~out).sum()),
                    int(out.sum()),
                )
            )
            normals.append(normal)
            places.append(place)
            used |= ~out
        mean = rows[used].mean(dim=0)
        self._keep(DirectionModel(torch.stack(normals).float(), torch.stack(places).float(), mean.float()))
        accuracies, errors, balanced, majorities, n_fit, n_out = zip(*scores, strict=True)
        self.report = CAVReport(names, accuracies, errors, balanced, majorities, n_fit, n_out)
        return self.report

    def _keep(self, model: ConceptModel) -> None:
        split = self.model_with_split_points
        device = self.device or (torch.device("cpu") if split is None else split.traits.device)
        self._concept_model = model.to(device)


def _sides(labels: Any, n_rows: int) -> tuple[tuple[str, ...], list[Bool[Tensor, " n"]]]:
    """The names of the concepts, and for each which rows have it."""
    table = torch.as_tensor(labels) if hasattr(labels, "shape") and len(labels.shape) == 2 else None
    if table is not None:
        if table.dtype is not torch.bool or len(table) != n_rows or not table.shape[1]:
            raise InputError(
                f"labels: expected truth values ({n_rows}, c), a row each and a column a concept, got "
                f"{tuple(table.shape)} of {table.dtype}"
            )
        return tuple(str(k) for k in range(table.shape[1])), list(table.cpu().T)
    known, numbers = numbered(labels, n_rows)
    if known == (False, True):
        return ("concept",), [numbers == 1]
    return tuple(str(label) for label in known), [numbers == k for k in range(len(known))]


def _names(names: Sequence[str] | None, known: tuple[str, ...]) -> tuple[str, ...]:
    if names is None:
        return known
    if isinstance(names, str) or len(names) != len(known) or not all(isinstance(name, str) for name in names):
        raise InputError(f"names: expected {len(known)} texts, one a concept, got {names!r:.80}")
    return tuple(names)
