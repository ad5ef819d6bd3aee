"""The result of an attribution: plain frozen data, all that pictures, tables and metrics need."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.errors import InputError, MissingExtraError
from interpreto.model_wrapping import Readout, Target
from interpreto.saving import SavedAsJson
from interpreto.text import Element, Sample
from interpreto.types import InferenceMode, Task

if TYPE_CHECKING:
    import datasets
    import pandas

FORMAT = 1
_SHOWN = 4  # targets in the short form

_draw: Callable[[Attribution], Any] | None = None


def draw_with(draw: Callable[[Attribution], Any]) -> None:
    """Say how results are shown in notebooks and terminals; pictures live above this layer and plug in here."""
    global _draw
    _draw = draw


def _drawing() -> Callable[[Attribution], Any] | None:
    """How results are shown; pictures are loaded when the first one is looked at, and then say it."""
    if _draw is None:
        import_module("interpreto.visualizations")
    return _draw


@dataclass(frozen=True, eq=False)
class Attribution(SavedAsJson):
    """How much each element of one text contributes to each target.

    Args:
        scores: `(t, g)`, in units of the target scores for methods that are additive; NaN where an element is written
            after the target, so that it cannot matter.
        elements: What the columns are.
        readout: What the rows are, and how their scores are read from the model.
        sample: The text, as the model sees it.
        method: Name of the method.
        task: What the model is for.
        inference_mode: The space of the target scores.
        settings: The method's options, seed included, as plain values.
        target_scores: The model's scores for the untouched text, `(t,)`.
        baseline_scores: Its scores with everything removed, or at the baseline, `(t,)`, where the method knows them.
        std_errors: Standard errors of the scores `(t, g)`, over seeds: the interval score +- 1.96 errors holds what
            infinitely many draws would give about 95 % of the time. `None` for methods that draw nothing, infinite
            where too little was drawn to tell, NaN where the scores are.

    Numbers are kept as float32 on the CPU, whatever they come as.

    Raises:
        InputError: Scores that do not have a row a target and a column an element.
    """

    saved_as: ClassVar[str] = "an attribution"

    scores: Float[Tensor, "t g"]
    elements: tuple[Element, ...]
    readout: Readout
    sample: Sample
    method: str
    task: Task
    inference_mode: InferenceMode
    settings: dict[str, Any] = field(default_factory=dict)
    target_scores: Float[Tensor, " t"] | None = None
    baseline_scores: Float[Tensor, " t"] | None = None
    std_errors: Float[Tensor, "t g"] | None = None

    def __post_init__(self) -> None:
        t, g = len(self.readout.targets), len(self.elements)
        shapes = {"scores": (t, g), "target_scores": (t,), "baseline_scores": (t,), "std_errors": (t, g)}
        for name, shape in shapes.items():
            values = getattr(self, name)
            if values is None and name != "scores":
                continue
            if tuple(values.shape) != shape:
                raise InputError(
                    f"{name}: expected shape {shape} for {t} targets and {g} elements, got {tuple(values.shape)}"
                )
            object.__setattr__(self, name, values.detach().to("cpu", torch.float32))

    @property
    def targets(self) -> tuple[Target, ...]:
        """What the rows of `scores` are."""
        return self.readout.targets

    @property
    def target_names(self) -> tuple[str, ...]:
        """Names of the targets: classes, or texts of output tokens."""
        return tuple(target.name for target in self.targets)

    @property
    def gaps(self) -> Float[Tensor, " t"] | None:
        """What is left of additivity, `f(x) - f(baseline) - sum of scores`, `(t,)`; 0 for a complete explanation.

        `None` for methods that know no baseline score.
        """
        if self.target_scores is None or self.baseline_scores is None:
            return None
        return self.target_scores - self.baseline_scores - self.scores.nansum(dim=1)

    def __repr__(self) -> str:
        """One line: the method, what was explained, and the text."""
        t, g = self.scores.shape
        targets = ", ".join(_begun(name, 24) for name in self.target_names[:_SHOWN]) + ", ..." * (t > _SHOWN)
        return (
            f"Attribution({self.method}, {self.task.value}, {self.inference_mode.value}: {t} target{'s' * (t != 1)} "
            f"({targets}), {g} element{'s' * (g != 1)} of {_begun(' / '.join(self.sample.parts), 60)})"
        )

    def _repr_html_(self) -> str | None:
        return None if (draw := _drawing()) is None else str(draw(self)._repr_html_())

    def text(self, color: bool = True) -> str:
        """The explanation as text for a terminal, its words coloured by their scores."""
        return repr(self) if (draw := _drawing()) is None else str(draw(self).text(color))

    def to_dict(self) -> dict[str, Any]:
        """As plain values, ready for JSON; NaN becomes `None`, infinities the texts `"inf"` and `"-inf"`."""
        return {
            "format": FORMAT,
            "kind": "attribution",
            "method": self.method,
            "task": self.task.value,
            "inference_mode": self.inference_mode.value,
            "settings": self.settings,
            "scores": _to_list(self.scores),
            "elements": [[e.text, e.part, e.start, e.end, list(e.tokens)] for e in self.elements],
            "readout": self.readout.to_dict(),
            "sample": self.sample.to_dict(),
            "target_scores": _to_list(self.target_scores),
            "baseline_scores": _to_list(self.baseline_scores),
            "std_errors": _to_list(self.std_errors),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Attribution:
        """The inverse of `to_dict`.

        Raises:
            InputError: Not a saved attribution, or one of a newer format.
        """
        if data.get("kind") != "attribution":
            raise InputError(f"file: expected a saved attribution, got one of the kind {data.get('kind')!r:.60}")
        if data.get("format") != FORMAT:
            raise InputError(
                f"file: expected an attribution of format {FORMAT}, got format {data.get('format')!r:.60}; "
                "read it with the version of interpreto that wrote it, or a newer one"
            )
        elements = tuple(Element(text, part, start, end, tuple(t)) for text, part, start, end, t in data["elements"])
        return cls(
            scores=_to_tensor(list(data["scores"])),
            elements=elements,
            readout=Readout.from_dict(data["readout"]),
            sample=Sample.from_dict(data["sample"]),
            method=data["method"],
            task=Task(data["task"]),
            inference_mode=InferenceMode(data["inference_mode"]),
            settings=data["settings"],
            target_scores=_to_tensor(data["target_scores"]),
            baseline_scores=_to_tensor(data["baseline_scores"]),
            std_errors=_to_tensor(data["std_errors"]),
        )

    @classmethod
    def load(cls, path: str | Path) -> Attribution:
        """Read a file that `save` wrote.

        Raises:
            InputError: No file, not a saved attribution, or several of them.
        """
        try:
            return super().load(path)
        except InputError as error:
            cause = error.__cause__
            if isinstance(cause, json.JSONDecodeError) and cause.msg == "Extra data":
                raise InputError(
                    f"file: expected one saved attribution, got several in {path}; read them with Attribution.load_all"
                ) from error
            raise

    @classmethod
    def load_all(cls, path: str | Path) -> list[Attribution]:
        """Read a file with an attribution a line, as `interpreto attribute --out` writes a `.jsonl`, or one of `save`.

        Args:
            path: The file; lines without anything are left out.

        Returns:
            The attributions in the order of the file. Where each says the number of its `line` in an input, as those of
            the command line do, that is left out.

        Raises:
            InputError: No file, or a line that is no saved attribution; the message names it.
        """
        found: list[Attribution] = []
        try:
            with Path(path).open("rb") as lines:
                for number, line in enumerate(lines, start=1):
                    if not found and line.strip() == b"{":  # one, that was written over several lines
                        return [cls.load(path)]
                    try:
                        found += [cls.from_json(line.decode())] if line.strip() else []
                    except (InputError, UnicodeDecodeError) as error:
                        problem = str(error).removeprefix("file: ")
                        raise InputError(f"file: line {number}: {problem}") from error
        except OSError as error:
            raise InputError(f"path: expected a file of attributions, got {path} ({error})") from error
        return found

    def to_pandas(self) -> pandas.DataFrame:
        """One row an element and target: `target, position, element, score` (and `std_error`).

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise MissingExtraError("pandas", "data", "to_pandas()") from None
        t, g = self.scores.shape
        columns: dict[str, Any] = {
            "target": [name for name in self.target_names for _ in range(g)],
            "position": list(range(g)) * t,
            "element": [element.text for element in self.elements] * t,
            "score": self.scores.flatten().tolist(),
        }
        if self.std_errors is not None:
            columns["std_error"] = self.std_errors.flatten().tolist()
        return pandas.DataFrame(columns)

    def to_dataset(self) -> datasets.Dataset:
        """One row a target, with lists for the elements; see `interpreto.attributions.exchange.to_dataset`.

        Raises:
            MissingExtraError: datasets is not installed.
        """
        from interpreto.attributions.exchange.tables import to_dataset  # it is about results

        return to_dataset(self)


def _begun(text: str, length: int) -> str:
    """The beginning of a text, in quotes."""
    return repr(text if len(text) <= length else text[: length - 1] + "…")


def _to_list(values: Tensor | None) -> Any:
    if values is None:
        return None
    if values.dim() == 2:
        return [_to_list(row) for row in values]
    return [value if math.isfinite(value) else _NOT_FINITE[str(value)] for value in values.tolist()]


_NOT_FINITE = {"nan": None, "inf": "inf", "-inf": "-inf"}  # JSON has no numbers for them


def _to_tensor(values: Any) -> Any:
    if values is None:
        return None
    if values and isinstance(values[0], list):
        return torch.stack([_to_tensor(row) for row in values])
    return torch.tensor([math.nan if value is None else float(value) for value in values])
