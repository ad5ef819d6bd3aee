"""Probes at many split points: where in a model something can be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

import torch

from interpreto.concepts.supervised.labels import held_out_rows, numbered
from interpreto.concepts.supervised.probe import Probe, ProbeKind, ProbeReport
from interpreto.concepts.supervised.text_rows import read_text_rows
from interpreto.errors import InputError, MissingExtraError
from interpreto.model_wrapping import ActivationGranularity, Aggregation, ModelWithSplitPoints
from interpreto.model_wrapping.activations import choice
from interpreto.model_wrapping.split_points import blocks
from interpreto.saving import SavedAsJson

if TYPE_CHECKING:
    import pandas

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class SweepRow:
    """One probe of a sweep.

    Args:
        split_point: Where it reads.
        report: How well.
    """

    split_point: str
    report: ProbeReport


@final
@dataclass(frozen=True, slots=True)
class ProbeSweep(SavedAsJson):
    """What probes read at each split point.

    Args:
        rows: One a kind and split point, in the order of the split points.
        granularity: What one row of activations belongs to.
        n_texts: How many different texts there were.
    """

    saved_as: ClassVar[str] = "a probe sweep"

    rows: tuple[SweepRow, ...]
    granularity: str
    n_texts: int

    @property
    def split_points(self) -> tuple[str, ...]:
        """Where probes were fitted, in order."""
        return tuple(dict.fromkeys(row.split_point for row in self.rows))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of probes."""
        return tuple(dict.fromkeys(row.report.kind for row in self.rows))

    def of_kind(self, kind: ProbeKind | str) -> tuple[SweepRow, ...]:
        """The probes of one kind.

        Raises:
            InputError: None of that kind.
        """
        name = choice("kind", kind, ProbeKind).value
        if name not in self.kinds:
            raise InputError(f"kind: expected one of those that were fitted, {list(self.kinds)}, got {name!r}")
        return tuple(row for row in self.rows if row.report.kind == name)

    def best(self) -> SweepRow:
        """The probe with the highest held-out accuracy, the first of equals; chosen so, it is a little too good."""
        return max(self.rows, key=lambda row: row.report.accuracy)

    def to_dict(self) -> dict[str, Any]:
        """As plain values, ready for JSON."""
        return {
            "kind": "probe sweep",
            "format": _FORMAT,
            "granularity": self.granularity,
            "n_texts": self.n_texts,
            "rows": [{"split_point": row.split_point, "report": row.report.to_dict()} for row in self.rows],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ProbeSweep:
        """The inverse of `to_dict`.

        Raises:
            ValueError: Not a saved sweep, or one of another format.
        """
        if (data["kind"], data["format"]) != ("probe sweep", _FORMAT):
            raise ValueError(f"{data['kind']!r:.40} of format {data['format']!r:.40}")
        rows = tuple(SweepRow(str(row["split_point"]), ProbeReport.from_dict(row["report"])) for row in data["rows"])
        if not rows:
            raise ValueError("no rows")
        return cls(rows, ActivationGranularity(data["granularity"]).value, int(data["n_texts"]))

    def to_pandas(self) -> pandas.DataFrame:
        """One line a probe.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise MissingExtraError("pandas", "data", "to_pandas()") from None
        return pandas.DataFrame([_line(row) for row in self.rows])

    def __str__(self) -> str:
        """A table, a line a probe."""
        cells = [[_shown(value) for value in _line(row).values()] for row in self.rows]
        head = list(_line(self.rows[0]))
        widths = [max(len(line[k]) for line in [head, *cells]) for k in range(len(head))]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if k < 2 else cell.rjust(width) for k, (cell, width) in enumerate(pairs)
            ).rstrip()
            for pairs in ([(cell, width) for cell, width in zip(line, widths, strict=True)] for line in [head, *cells])
        )


def _line(row: SweepRow) -> dict[str, Any]:
    report = row.report
    return {
        "split_point": row.split_point,
        "kind": report.kind,
        "accuracy": report.accuracy,
        "std_error": report.std_error,
        "balanced": report.balanced_accuracy,
        "majority": report.majority,
        "control": report.control_accuracy,
        "selectivity": report.selectivity,
        "calibration_error": None if report.calibration is None else report.calibration.expected_error,
        "n_held_out": report.n_held_out,
    }


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def sweep(
    model_with_split_points: ModelWithSplitPoints,
    split_points: int | str | Sequence[int | str] | None,
    inputs: Any,
    labels: Any,
    *,
    kind: ProbeKind | str | Sequence[ProbeKind | str] = ProbeKind.LOGISTIC,
    activation_granularity: ActivationGranularity | str = ActivationGranularity.CLS_TOKEN,
    aggregation: Aggregation | str = Aggregation.MEAN,
    strength: float = 1.0,
    held_out: float = 0.25,
    n_controls: int = 1,
    seed: int = 0,
) -> ProbeSweep:
    """Fit probes at many split points, in one forward pass a text.

    All probes learn from the same texts and are measured on the same others. Equal texts are on the same side.

    Args:
        model_with_split_points: The split model.
        split_points: Where to read, as `ModelWithSplitPoints` takes them; `"all"`: every block; `None`: where the model
            is split already.
        inputs: Texts.
        labels: One a text; or for each text a list, one a row of it.
        kind: One kind of probe, or several; see `ProbeKind`.
        activation_granularity: What one row belongs to.
        aggregation: How rows of several tokens become one.
        strength: As in `Probe`.
        held_out: As in `Probe`.
        n_controls: As in `Probe`. A control's types are tokens, words (but for capitals) or texts, as rows are.
        seed: Of the held-out texts, the control tasks and the classifiers.

    Raises:
        InputError: Inputs, labels or options that cannot be used.

    >>> from interpreto.demo import load
    >>> model, tokenizer = load("topic")
    >>> split = ModelWithSplitPoints(model, split_points=-1, tokenizer=tokenizer)
    >>> texts = [f"{name} is a {kind}." for name in ("Aro", "Ben", "Cid", "Dio") for kind in ("river", "song")]
    >>> found = sweep(split, "all", texts, ["place", "work"] * 4, kind="centroid")
    >>> found.split_points, found.rows[-1].report.accuracy
    (('0', '1', '2', '3'), 1.0)
    """
    kinds = [kind] if isinstance(kind, str) else list(kind)
    if not kinds:
        raise InputError("kind: expected at least one kind of probe, got none")
    probes = [Probe(kind=one, strength=strength, held_out=held_out, n_controls=n_controls, seed=seed) for one in kinds]
    split = _split_at(model_with_split_points, split_points)
    found = read_text_rows(split, inputs, labels, activation_granularity, aggregation)
    rows = []
    for name, own in found.items():
        classes, numbers = numbered(own.labels, len(own.rows))
        out = held_out_rows(numbers, held_out, seed, groups=own.groups)
        for probe in probes:
            fitted = probe.measured(own.rows, classes, numbers, out, own.groups, own.types)
            rows.append(SweepRow(name, fitted.report))
    n_texts = max(len(torch.unique(own.groups)) for own in found.values())
    return ProbeSweep(tuple(rows), choice("granularity", activation_granularity, ActivationGranularity).value, n_texts)


def _split_at(
    model: ModelWithSplitPoints, split_points: int | str | Sequence[int | str] | None
) -> ModelWithSplitPoints:
    """The model, split at these points."""
    if not isinstance(model, ModelWithSplitPoints):
        raise InputError(f"model_with_split_points: expected a split model, got {type(model).__name__}")
    if split_points is None:
        return model
    if isinstance(split_points, str) and split_points == "all":
        split_points = list(blocks(model.traits))
    return ModelWithSplitPoints(
        model.model,
        split_points,
        tokenizer=model.tokenizer,
        batch_size=model.batch_size,
        truncation=model.truncation,
    )
