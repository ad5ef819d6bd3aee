"""A change of a model's hidden states that holds inside a `with` block and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import nn

from interpreto.concepts.steering.edits import Edit, moved
from interpreto.concepts.steering.passes import Pass, Positions, Where
from interpreto.errors import ModelError
from interpreto.model_wrapping.hooks import first_tensor, hooked, with_first_tensor
from interpreto.model_wrapping.readers import places_of
from interpreto.model_wrapping.split_points import SplitPoint
from interpreto.model_wrapping.traits import Traits


@final
@dataclass(frozen=True, eq=False)
class Intervention(AbstractContextManager["Intervention"]):
    """What is done to the hidden states at one split point, in every pass of the model inside the `with` block.

    `Steering` makes them. Blocks inside blocks act in the order in which they are entered; at one split point the
    inner one sees what the outer one has changed. The same intervention can be entered again.

    Args:
        name: What is done, for people.
        traits: The model.
        point: The split point.
        edits: What is added to a row; all of them see the row as it comes.
        positions: Which tokens are changed.
        width: How many numbers a row has.
        strength: The factor, value or strength, where there is one.
        kl: The shift of the next-token distribution that the strength was chosen for, as it was reached.
    """

    name: str
    traits: Traits
    point: SplitPoint
    edits: tuple[Edit, ...]
    positions: Where
    width: int
    strength: float | None = None
    kl: float | None = None
    _open: list[ExitStack] = field(default_factory=list, init=False, repr=False)

    def __repr__(self) -> str:
        reached = "" if self.kl is None else f", kl {self.kl:.3g}"
        where = (
            ""
            if self.positions is Positions.ALL
            else f", positions={getattr(self.positions, 'value', self.positions)!r}"
        )
        return f"<{self.name} at split point {self.point.name!r}{where}{reached}>"

    def __enter__(self) -> Intervention:
        with ExitStack() as stack:
            stack.enter_context(self._applied())
            self._open.append(stack.pop_all())
        return self

    def __exit__(self, *_error: object) -> None:
        self._open.pop().close()

    @contextmanager
    def _applied(self) -> Iterator[None]:
        place = places_of(self.traits, [self.point])[self.point.name]
        running = Pass(self.traits, self.point)

        def change(value: Any) -> Any:
            if not running.is_the_call():
                return None
            found = first_tensor(value, self.point.name)
            states = running.as_rows(found)
            if states.shape[-1] != self.width:
                raise ModelError(
                    f"split point {self.point.name!r}: expected the width {self.width}, got {states.shape[-1]}"
                )
            changed = moved(states, running.chosen(states, self.positions), self.edits)
            return None if changed is None else with_first_tensor(value, changed.reshape(found.shape))

        def leaving(_module: nn.Module, _args: Any, output: Any) -> Any:
            return change(output)

        def entering(_module: nn.Module, args: Any) -> Any:
            return change(args)

        generation = self.positions in (Positions.PROMPT, Positions.GENERATED)
        with running.watched(generation=generation), _not_compiled(self.traits.model):
            if place.entering:
                handle = place.module.register_forward_pre_hook(entering)
            else:
                handle = place.module.register_forward_hook(leaving)
            with hooked([handle]):
                yield


@contextmanager
def _not_compiled(model: nn.Module) -> Iterator[None]:
    """Run compiled code as it was written: code that was compiled before does not see new hooks.

    Raises:
        ModelError: A compiled model, and a torch that cannot do this.
    """
    stance = getattr(torch.compiler, "set_stance", None)  # from torch 2.6 on
    if stance is not None:
        with stance("force_eager"):
            yield
        return
    if hasattr(model, "_orig_mod") or any(getattr(m, "_compiled_call_impl", None) for m in model.modules()):
        raise ModelError("model: expected one that is not compiled, for this torch passes over hooks; take torch 2.6")
    yield
