"""What doses of an intervention do: plain frozen data, and its table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, final

from interpreto.concepts.steering.edits import Operation
from interpreto.errors import InputError, MissingExtraError
from interpreto.saving import SavedAsJson

if TYPE_CHECKING:
    import pandas

FORMAT = 1


@final
@dataclass(frozen=True, slots=True)
class Effect:
    """A figure over texts.

    Args:
        mean: Its mean.
        std_error: The standard error of the mean over the texts; infinite for one text.
        n_texts: How many texts.
    """

    mean: float
    std_error: float
    n_texts: int


@final
@dataclass(frozen=True, kw_only=True)
class DoseResponse(SavedAsJson):
    """What each strength of an intervention does, beside the clean model.

    Args:
        what: The concept, or the direction.
        operation: What is done to it.
        target: What it is meant to bring about: a class, or words.
        strengths: Factors, values or strengths.
        clean: The figures of the model as it is, by name; `Steering.dose_response` says what they are.
        effects: The same figures at each strength.
        settings: Options of the measurement, seed included, as plain values.

    Raises:
        InputError: Not the same figures for every strength.
    """

    saved_as: ClassVar[str] = "a dose response"

    what: str
    operation: Operation
    target: tuple[str, ...]
    strengths: tuple[float, ...]
    clean: Mapping[str, Effect]
    effects: tuple[Mapping[str, Effect], ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        same = all(list(own) == list(self.clean) for own in self.effects)
        if len(self.effects) != len(self.strengths) or not same:
            raise InputError(
                f"effects: expected the figures {list(self.clean)} for each of {len(self.strengths)} strengths, got "
                f"{[list(own) for own in self.effects]!r:.200}"
            )

    @property
    def figures(self) -> tuple[str, ...]:
        """The names of the figures."""
        return tuple(self.clean)

    def __str__(self) -> str:
        """A table: one line a strength, one column a figure, `mean ± standard error`."""
        rows = [[self.operation.value, *(name.replace("_", " ") for name in self.figures)]]
        for name, own in (("clean", self.clean), *zip(map("{:g}".format, self.strengths), self.effects, strict=True)):
            rows.append([name, *(f"{own[figure].mean:.4g} ± {own[figure].std_error:.2g}" for figure in self.figures)])
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        head = f"{self.what}, target: {', '.join(self.target)}"
        return "\n".join(["".join(char if char.isprintable() else " " for char in head), *lines])

    def to_dict(self) -> dict[str, Any]:
        """As plain values, ready for JSON."""
        return {
            "format": FORMAT,
            "kind": "dose response",
            "what": self.what,
            "operation": self.operation.value,
            "target": list(self.target),
            "strengths": list(self.strengths),
            "clean": _plain(self.clean),
            "effects": [_plain(own) for own in self.effects],
            "settings": dict(self.settings),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> DoseResponse:
        """The inverse of `to_dict`.

        Raises:
            InputError: No saved dose response, or one of a newer format.
        """
        if data.get("kind") != "dose response":
            raise InputError(f"file: expected a saved dose response, got the kind {data.get('kind')!r:.60}")
        if data.get("format") != FORMAT:
            raise InputError(
                f"file: expected a dose response of format {FORMAT}, got format {data.get('format')!r:.60}; "
                "read it with the version of interpreto that wrote it, or a newer one"
            )
        return cls(
            what=_text(data["what"]),
            operation=Operation(data["operation"]),
            target=tuple(_text(name) for name in _list(data["target"])),
            strengths=tuple(_finite(value) for value in _list(data["strengths"])),
            clean=_effects(data["clean"]),
            effects=tuple(_effects(own) for own in _list(data["effects"])),
            settings=dict(data["settings"]),
        )

    def to_pandas(self) -> pandas.DataFrame:
        """One row a strength and figure: `strength, figure, mean, std_error, n_texts`; the clean model's is NaN.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise MissingExtraError("pandas", "data", "to_pandas()") from None
        rows = [
            (strength, name, effect.mean, effect.std_error, effect.n_texts)
            for strength, own in zip((math.nan, *self.strengths), (self.clean, *self.effects), strict=True)
            for name, effect in own.items()
        ]
        return pandas.DataFrame(rows, columns=["strength", "figure", "mean", "std_error", "n_texts"])


def _plain(effects: Mapping[str, Effect]) -> dict[str, Any]:
    return {
        name: [effect.mean, effect.std_error if math.isfinite(effect.std_error) else "inf", effect.n_texts]
        for name, effect in effects.items()
    }


def _effects(data: Any) -> dict[str, Effect]:
    found = {}
    for name, (mean, error, n_texts) in data.items():
        if type(n_texts) is not int or n_texts < 1:
            raise InputError(f"file: expected a number of texts, at least 1, got {n_texts!r:.60}")
        found[_text(name)] = Effect(_finite(mean), math.inf if error == "inf" else _finite(error), n_texts)
    return found


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"file: expected a text, got {value!r:.60}")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise InputError(f"file: expected a list, got {value!r:.60}")
    return value


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"file: expected a number, got {value!r:.60}")
    return float(value)
