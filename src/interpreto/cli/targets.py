"""What is explained of each text, as it is said on the command line or in the input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from interpreto.cli.texts import Line
from interpreto.errors import InputError


@dataclass(frozen=True, slots=True)
class Targets:
    """What is explained; nothing said is the model's own answer.

    Args:
        targets: Classes, by label or number; a token, for models that fill masks.
        all_classes: Whether all classes are explained.
        rather_than: What a target is held against.
        output_text: What a model that writes has written.
    """

    targets: tuple[str, ...] = ()
    all_classes: bool = False
    rather_than: str | None = None
    output_text: str | None = None

    def check(self) -> None:
        """Refuse what cannot be meant together.

        Raises:
            InputError: The message names the options.
        """
        if (bool(self.targets) + self.all_classes + (self.output_text is not None)) > 1:
            raise InputError("target: expected one of --target, --all-classes and --output-text, got several")
        if self.rather_than is not None and not self.output_text and len(self.targets) != 1:
            raise InputError("rather_than: expected one --target or --output-text that it is held against")

    def for_model(self, model: Any) -> Callable[[Line], Any]:
        """What a line is explained for: what it says itself, or else what the command says."""
        everywhere = self.everywhere(model)
        return lambda line: everywhere if line.target is None else _entry(line.target, model)

    def everywhere(self, model: Any) -> Any:
        """What the command says that every text is explained for; `None` where it says nothing.

        Raises:
            InputError: Classes of a model that has none.
        """
        from interpreto.model_wrapping import Contrast

        if self.all_classes:
            if model.can_generate():
                raise InputError("all-classes: this model writes and has no classes; leave it out")
            return list(range(model.config.num_labels))
        if not self.targets and self.output_text is None:
            return None
        said = [_entry(target, model) for target in self.targets] or [self.output_text]
        if self.rather_than is not None:
            return Contrast(said[0], _entry(self.rather_than, model))
        return said[0] if len(said) == 1 else said


def _entry(value: Any, model: Any) -> Any:
    """A target; digits are a number, unless it is a label or an output."""
    if not isinstance(value, str) or model.can_generate() or value in (model.config.label2id or {}):
        return value
    return int(value) if value.isdecimal() else value
