"""Probes: what a simple classifier can read from activations, and how much of that is the classifier's own doing."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any, TypeAlias, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor
from torch.nn.functional import one_hot

from interpreto.concepts.supervised.classifiers import Scaled, fitted_classifier, logistic, support_vectors, weights_of
from interpreto.concepts.supervised.labels import (
    Label,
    check_groups,
    check_share,
    check_strength,
    held_out_rows,
    numbered,
)
from interpreto.concepts.supervised.probe_model import Link, ProbeModel
from interpreto.concepts.supervised.reliability import Calibration, calibration
from interpreto.concepts.supervised.scores import balanced_accuracy, share_with_error
from interpreto.errors import InputError, check_count
from interpreto.model_wrapping import ActivationRows
from interpreto.model_wrapping.activations import choice

_Layers: TypeAlias = list[tuple[Tensor, Tensor]]


class ProbeKind(str, Enum):
    """What a probe is."""

    LINEAR = "linear"
    """Least squares on the classes' indicators, with a penalty (ridge); its scores estimate probabilities."""
    LOGISTIC = "logistic"
    """A (multinomial) logistic regression."""
    SVM = "svm"
    """A linear support vector machine a class; it has no probabilities."""
    DIFFERENCE_OF_MEANS = "difference of means"
    """A logistic regression without penalty on the projections to the means' differences, each class minus the rest."""
    CENTROID = "centroid"
    """The nearest class mean; probabilities as of round clouds of equal size and spread around the means."""
    MLP = "mlp"
    """One hidden layer with rectified units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReport:
    """How well a probe tells rows that it did not learn from.

    Args:
        kind: The probe's kind.
        classes: The labels.
        n_fit: Rows that it learned from.
        n_held_out: Rows that it was measured on.
        accuracy: Share of held-out rows that it gets right.
        std_error: Its standard error, over the held-out texts (or rows); 0 where all are right, which few rows can be
            by luck.
        balanced_accuracy: Mean over classes of the share of their rows that is right.
        fit_accuracy: Accuracy on the rows that it learned from.
        majority: Accuracy on held-out rows of always saying the class that is most frequent among those learned from.
        control_accuracy: Accuracy on held-out rows of the same kind of probe on the control task, the mean over its
            draws; `None` without controls.
        control_std_error: Its standard error, over the control's types.
        control_fit_accuracy: The same on the rows that were learned from: how much such a probe learns by heart.
        calibration: Confidence against accuracy on held-out rows; `None` for probes without probabilities.
        seed: Of the held-out rows, the control task and the classifier.
    """

    kind: str
    classes: tuple[Label, ...]
    n_fit: int
    n_held_out: int
    accuracy: float
    std_error: float
    balanced_accuracy: float
    fit_accuracy: float
    majority: float
    control_accuracy: float | None = None
    control_std_error: float | None = None
    control_fit_accuracy: float | None = None
    calibration: Calibration | None = None
    seed: int = 0

    @property
    def selectivity(self) -> float | None:
        """Accuracy minus that on the control task: what the activations say, beyond what any labels would give."""
        return None if self.control_accuracy is None else self.accuracy - self.control_accuracy

    @property
    def selectivity_std_error(self) -> float | None:
        """Its standard error, from those of both accuracies."""
        return None if self.control_std_error is None else math.hypot(self.std_error, self.control_std_error)

    def to_dict(self) -> dict[str, Any]:
        """As plain values, ready for JSON."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        plain = {name: None if isinstance(v, float) and math.isnan(v) else v for name, v in plain.items()}
        table = None if self.calibration is None else self.calibration.to_dict()
        return {**plain, "classes": list(self.classes), "calibration": table}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ProbeReport:
        """The inverse of `to_dict`.

        Raises:
            ValueError: Something that is no report.
        """
        if set(data) != {f.name for f in fields(cls)}:
            raise ValueError(f"fields {sorted(data)}")
        values = dict(data)
        ProbeKind(values["kind"])
        if not all(isinstance(label, (str, int)) for label in values["classes"]):
            raise ValueError("classes that are no labels")
        for name in ("n_fit", "n_held_out", "seed"):
            if not isinstance(values[name], int):
                raise ValueError(f"{name} {values[name]!r}")
        for name in _SHARES:
            if values[name] is None and name == "std_error":
                values[name] = math.nan
            if values[name] is None and name.startswith("control"):
                continue
            values[name] = float(values[name])
        table = values["calibration"]
        values["calibration"] = None if table is None else Calibration.from_dict(table)
        return cls(**{**values, "classes": tuple(values["classes"])})

    def __str__(self) -> str:
        control = "" if self.selectivity is None else f", selectivity {self.selectivity:.3f}"
        error = "" if self.calibration is None else f", calibration error {self.calibration.expected_error:.3f}"
        return (
            f"{self.kind} probe: accuracy {self.accuracy:.3f} +- {self.std_error:.3f} (majority {self.majority:.3f}), "
            f"balanced {self.balanced_accuracy:.3f}{control}{error}, {self.n_held_out} rows held out"
        )


_SHARES = (
    "accuracy",
    "std_error",
    "balanced_accuracy",
    "fit_accuracy",
    "majority",
    "control_accuracy",
    "control_std_error",
    "control_fit_accuracy",
)


@final
@dataclass(frozen=True, eq=False)
class FittedProbe:
    """A probe after its fit.

    Args:
        model: Predicts classes from activations.
        report: How well it does that.
    """

    model: ProbeModel
    report: ProbeReport


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Probe:
    """A classifier that reads labels from activations, measured on held-out rows and against a control task.

    That a probe succeeds says that the activations hold the answer, not that the model uses it. How much of the success
    is the probe's own skill is told by the control task: every type (the same word, the same text) gets a random label,
    drawn as often as the true ones are; a probe that learns those as well says little. `selectivity` is the difference.
    Where every row is of a type of its own (different texts) nobody can foretell a control label, so that control is
    chance, and `control_fit_accuracy` says how much is learned by heart.

    Cost: one small classifier, and one more a control.

    Args:
        kind: See `ProbeKind`.
        strength: How much rows count against the penalty on weights (scikit-learn's `C`; of the ridge and the MLP
            `1 / alpha`); rows are centred and brought to mean square 1 before.
        held_out: The share of texts (or rows) of each class that is kept for measuring.
        n_controls: How many draws of the control task; 0 for none.
        n_bins: Bins of the calibration.
        hidden: Hidden units of the MLP.
        seed: Of the held-out rows, the control tasks and the classifier.

    Reference: Alain and Bengio (2016), arXiv:1610.01644; the control task: Hewitt and Liang (2019), Designing and
    interpreting probes with control tasks, arXiv:1909.03368.

    >>> rows = torch.tensor([[0.0, 2.0], [6.0, 2.0]]).repeat(8, 1) + 0.1 * torch.arange(16)[:, None]
    >>> fitted = Probe(kind="centroid").fit(rows, ["low", "high"] * 8)
    >>> fitted.report.accuracy, fitted.model.predict(torch.tensor([[6.5, 2.5]]))
    (1.0, ['high'])
    """

    kind: ProbeKind | str = ProbeKind.LOGISTIC
    strength: float = 1.0
    held_out: float = 0.25
    n_controls: int = 1
    n_bins: int = 10
    hidden: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", choice("kind", self.kind, ProbeKind))
        check_strength("strength", self.strength)
        check_share("held_out", self.held_out)
        check_count("n_controls", self.n_controls, 0)
        for name in ("n_bins", "hidden"):
            check_count(name, getattr(self, name), 1)
        check_count("seed", self.seed, 0)

    def fit(self, activations: Any, labels: Any, *, groups: Any = None, types: Any = None) -> FittedProbe:
        """Learn to read labels, and measure it.

        Args:
            activations: Floats `(n, d)`, or a store's rows.
            labels: One a row: texts, whole numbers or truth values.
            groups: Which rows must be held out together (those of one text): one text or number a row.
            types: What each row is a case of, for the control task: a text or number a row; by default every row is a
                type of its own.

        Raises:
            InputError: NaN, equal rows, labels that do not belong to the rows, or too few rows of a class.
        """
        if isinstance(activations, ActivationRows):
            activations = activations.all()
        if not isinstance(activations, Tensor) or activations.dim() != 2 or not activations.is_floating_point():
            got = tuple(activations.shape) if isinstance(activations, Tensor) else type(activations).__name__
            raise InputError(f"activations: expected floats (n, d), got {got}; of a mapping pass one split point's")
        rows = activations.detach().cpu().double()
        wrong = ~torch.isfinite(rows).all(dim=1)
        if bool(wrong.any()):
            raise InputError(f"activations: expected numbers, got NaN or infinity in row {int(wrong.nonzero()[0, 0])}")
        classes, numbers = numbered(labels, len(rows))
        group_of, type_of = check_groups(groups, len(rows)), check_groups(types, len(rows), "types")
        out = held_out_rows(numbers, self.held_out, self.seed, groups=group_of)
        if type_of is None:
            type_of = torch.arange(len(rows))
        return self.measured(rows, classes, numbers, out, group_of, type_of)

    def measured(
        self,
        rows: Float[Tensor, "n d"],
        classes: tuple[Label, ...],
        numbers: Int[Tensor, " n"],
        out: Bool[Tensor, " n"],
        groups: Int[Tensor, " n"] | None,
        types: Int[Tensor, " n"],
    ) -> FittedProbe:
        """Learn from the rows that are not held out, and measure on those that are; all is checked.

        Args:
            rows: Activations in float64.
            classes: The labels.
            numbers: Each row's class.
            out: Which rows are held out.
            groups: Rows that are not independent.
            types: Rows that get the same control label.
        """
        scaled = Scaled.of(rows[~out])
        x = scaled(rows)
        layers, link = self._learn(x[~out], numbers[~out], len(classes))
        model = ProbeModel(classes, *_unscaled(layers, scaled), link)
        right = model.numbers(rows) == numbers
        accuracy, error = share_with_error(right[out].double(), None if groups is None else groups[out])
        table = None if link is Link.NONE else calibration(model.probabilities(rows[out]), numbers[out], self.n_bins)
        controls = self._controls(x, numbers, len(classes), out, types)
        held = None if controls is None else share_with_error(controls[out], types[out])
        most = numbers[~out].bincount().argmax()
        report = ProbeReport(
            kind=ProbeKind(self.kind).value,
            classes=classes,
            n_fit=int((~out).sum()),
            n_held_out=int(out.sum()),
            accuracy=accuracy,
            std_error=error,
            balanced_accuracy=balanced_accuracy(right[out], numbers[out]),
            fit_accuracy=float(right[~out].double().mean()),
            majority=float((numbers[out] == most).double().mean()),
            control_accuracy=None if held is None else held[0],
            control_std_error=None if held is None else held[1],
            control_fit_accuracy=None if controls is None else float(controls[~out].mean()),
            calibration=table,
            seed=self.seed,
        )
        return FittedProbe(model, report)

    def _controls(
        self,
        x: Float[Tensor, "n d"],
        numbers: Int[Tensor, " n"],
        n_classes: int,
        out: Bool[Tensor, " n"],
        types: Int[Tensor, " n"],
    ) -> Float[Tensor, " n"] | None:
        """How often each row was right in the control tasks."""
        right = []
        for draw in range(self.n_controls):
            control = control_labels(numbers, types, self.seed + draw)
            present = torch.unique(control[~out])
            if len(present) < 2:  # everything was drawn alike: whoever always says that class is right
                right.append((control == present[0]).double())
                continue
            place = torch.full((n_classes,), -1).index_put((present,), torch.arange(len(present)))
            layers, _ = self._learn(x[~out], place[control[~out]], len(present))
            found = ProbeModel((), tuple(w for w, _ in layers), tuple(b for _, b in layers), Link.NONE)
            right.append((present[found.numbers(x)] == control).double())
        return torch.stack(right).mean(dim=0) if right else None

    def _learn(self, x: Float[Tensor, "n d"], numbers: Int[Tensor, " n"], n_classes: int) -> tuple[_Layers, Link]:
        """Affine layers on scaled rows."""
        kind = ProbeKind(self.kind)
        if kind is ProbeKind.CENTROID:
            return [_nearest_mean(x, one_hot(numbers, n_classes).double())], Link.SOFTMAX
        if kind is ProbeKind.LINEAR:
            return [_ridge(x, one_hot(numbers, n_classes).double(), 1 / self.strength)], Link.LEAST_SQUARES
        if kind is ProbeKind.DIFFERENCE_OF_MEANS:
            directions = _differences(x, one_hot(numbers, n_classes).double())
            projected = x @ directions.T
            own = Scaled.of(projected) if bool(directions.any()) else Scaled(projected[0], 1.0)
            weights, constants = weights_of(fitted_classifier(logistic(_FREE, self.seed), own(projected), numbers), own)
            return [_of_every_class(weights @ directions, constants)], Link.SOFTMAX
        if kind is ProbeKind.MLP:
            return self._perceptron(x, numbers), Link.SOFTMAX
        estimator = (logistic if kind is ProbeKind.LOGISTIC else support_vectors)(self.strength, self.seed)
        unscaled = Scaled(torch.zeros(x.shape[1], dtype=x.dtype), 1.0)
        weights, constants = weights_of(fitted_classifier(estimator, x, numbers), unscaled)
        return [_of_every_class(weights, constants)], Link.SOFTMAX if kind is ProbeKind.LOGISTIC else Link.NONE

    def _perceptron(self, x: Float[Tensor, "n d"], numbers: Int[Tensor, " n"]) -> _Layers:
        from sklearn.neural_network import MLPClassifier

        solver = MLPClassifier(
            (self.hidden,), alpha=1 / self.strength, solver="lbfgs", max_iter=10_000, random_state=self.seed
        )
        found = fitted_classifier(solver, x, numbers)
        layers = [
            (torch.as_tensor(w).double().T, torch.as_tensor(b).double())
            for w, b in zip(found.coefs_, found.intercepts_, strict=True)
        ]
        return [*layers[:-1], _of_every_class(*layers[-1])]


_FREE = 1e6  # a logistic regression of this strength has next to no penalty, but an end where rows can be separated


def control_labels(classes: Int[Tensor, " n"], types: Int[Tensor, " n"], seed: int) -> Int[Tensor, " n"]:
    """The labels of a control task: one drawn for each type, from the labels that the rows have, as often as they do.

    Args:
        classes: The class of each row.
        types: What each row is a case of.
        seed: Of the draw.

    Reference: Hewitt and Liang (2019), section 2.1, arXiv:1909.03368.
    """
    type_of = torch.unique(types, return_inverse=True)[1]
    rng = Generator().manual_seed(seed)
    drawn = classes[torch.randint(len(classes), (int(type_of.max()) + 1,), generator=rng)]
    return drawn[type_of]


def _nearest_mean(x: Tensor, indicators: Tensor) -> tuple[Tensor, Tensor]:
    """`-|x - m_k|^2 / (2 s^2)` up to what is the same for all classes, with `s^2` the spread in each direction."""
    means = (indicators.T @ x) / indicators.sum(dim=0)[:, None]
    spread = (x - indicators @ means).square().mean().clamp(min=1e-12)
    return means / spread, -means.square().sum(dim=1) / (2 * spread)


def _differences(x: Tensor, indicators: Tensor) -> Tensor:
    """Each class's mean minus the mean of all other rows; of two classes only the second's."""
    counts = indicators.sum(dim=0)[:, None]
    sums = indicators.T @ x
    differences = sums / counts - (sums.sum(dim=0) - sums) / (len(x) - counts)
    return differences[1:] if len(differences) == 2 else differences


def _ridge(x: Tensor, indicators: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """`min |Y - X W^T - b|^2 + penalty |W|^2`, the constant free of it."""
    mean, share = x.mean(dim=0), indicators.mean(dim=0)
    centred = x - mean
    gram = centred.T @ centred + penalty * torch.eye(x.shape[1], dtype=x.dtype)
    weights = torch.linalg.solve(gram, centred.T @ (indicators - share)).T
    return weights, share - weights @ mean


def _of_every_class(weights: Tensor, constants: Tensor) -> tuple[Tensor, Tensor]:
    """Weights with a row a class: scikit-learn's two-class models have one for both, the second class's lead."""
    if len(weights) > 1:
        return weights, constants
    return torch.cat([torch.zeros_like(weights), weights]), torch.cat([torch.zeros_like(constants), constants])


def _unscaled(layers: _Layers, scaled: Scaled) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Layers for rows as they were before scaling."""
    weight, constant = layers[0]
    weight = weight / scaled.scale
    first = (weight, constant - weight @ scaled.mean)
    weights, constants = zip(first, *layers[1:], strict=True)
    return weights, constants
