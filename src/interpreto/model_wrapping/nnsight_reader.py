"""Reading through nnsight, the door to models that run elsewhere; the numbers are those of the hooks."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from interpreto.errors import MissingExtraError
from interpreto.model_wrapping.forward import Forward
from interpreto.model_wrapping.hooks import first_tensor
from interpreto.model_wrapping.readers import checked, shaped
from interpreto.model_wrapping.rows import Rows
from interpreto.model_wrapping.split_points import SplitPoint
from interpreto.model_wrapping.traits import Traits


@dataclass(frozen=True, eq=False)
class NnsightReader:
    """Reads through an nnsight trace, which runs to the end.

    Raises:
        MissingExtraError: nnsight is not installed.
    """

    traits: Traits

    def __post_init__(self) -> None:
        try:
            import nnsight  # noqa: F401  # is it there?
        except ImportError:
            raise MissingExtraError("nnsight", "nnsight", "backend='nnsight'") from None

    def read(
        self, forward: Forward, rows: Rows, points: Sequence[SplitPoint], *, to_the_end: bool
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """Hidden states by split point, and the logits of a pass that went to the end."""
        from nnsight import NNsight

        hidden: dict[str, Any] = {}
        base = self.traits.base
        with _as_it_was(base):
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*has a submodule named")  # modules are not found by name
                model = NNsight(base)
            modules = dict(base.named_modules())
            parts = {id(part._module): part for part in model.modules()}
            places = [(point, parts[id(modules[point.path])]) for point in points]
            with model.trace() as tracer:
                with tracer.invoke(**forward.model_inputs(rows)):
                    pass
                for point, part in places:
                    with tracer.invoke():
                        for _ in tracer.iter[point.call]:
                            hidden[point.name] = part.input.save() if point.entering else part.output.save()
        named = {point.name: point for point in points}
        tensors = {name: shaped(first_tensor(value, name), rows, named[name]) for name, value in hidden.items()}
        return checked(tensors, points), forward.logits(rows) if to_the_end else None


@contextmanager
def _as_it_was(model: nn.Module) -> Iterator[None]:
    """Take off what nnsight puts into every module, which it would leave there."""
    before = [(module, dict(vars(module))) for module in model.modules()]
    try:
        yield
    finally:
        for module, attributes in before:
            vars(module).clear()
            vars(module).update(attributes)
