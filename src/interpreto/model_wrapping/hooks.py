"""Everything that is done to the user's model while it runs, undone when the `with` block ends, however it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock, RLock
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from interpreto.errors import ModelError

_LOCKS: WeakKeyDictionary[nn.Module, RLock] = WeakKeyDictionary()
_NEW_LOCK = Lock()


@contextmanager
def untouched(model: nn.Module, *, constant_parameters: bool = False) -> Iterator[None]:
    """Run the model in evaluation mode and leave every module and parameter as it was.

    Modules that were compiled in place run uncompiled inside the block: compiled code passes over hooks. Other threads
    that would run the same model wait: hooks know no threads.

    Args:
        model: The user's model.
        constant_parameters: Whether parameters are constants inside the block, so that a backward pass keeps no graph
            for their gradients.
    """
    with lock_of(model):
        yield from _untouched(model, constant_parameters)


def lock_of(model: nn.Module) -> RLock:
    """What a thread holds while it changes how a model runs; one for a model and all that is wrapped around it."""
    core: Any = model
    while hasattr(core, "_orig_mod") or hasattr(core, "get_base_model"):
        core = core._orig_mod if hasattr(core, "_orig_mod") else core.get_base_model()
    with _NEW_LOCK:
        return _LOCKS.setdefault(core, RLock())


def _untouched(model: nn.Module, constant_parameters: bool) -> Iterator[None]:
    modules = list(model.modules())
    training = [module for module in modules if module.training]
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad] if constant_parameters else []
    compiled = [(m, m._compiled_call_impl) for m in modules if getattr(m, "_compiled_call_impl", None)]
    try:
        for module, _ in compiled:
            module._compiled_call_impl = None
        for module in training:
            module.training = False
        for parameter in learned:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, call in compiled:
            module._compiled_call_impl = call
        for module in training:
            module.training = True
        for parameter in learned:
            parameter.requires_grad_(True)


@contextmanager
def hooked(handles: Sequence[RemovableHandle]) -> Iterator[None]:
    """Take hooks off when the block ends."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def replaced_embeddings(modules: Sequence[nn.Module], streams: Sequence[Float[Tensor, "b _ d"]]) -> Iterator[list[int]]:
    """Let the embedding layers answer with given tensors in place of what they look up.

    The model still gets its `input_ids`, so it finds positions, padding and last tokens by itself, and models that
    refuse `inputs_embeds` can be explained too.

    Args:
        modules: The embedding layers of the model: one, or the encoder's and the decoder's.
        streams: What they answer, in the order in which the model asks: the encoder's (or only) input, then the
            decoder's. Where an encoder-decoder classifier feeds its own input, shifted by one, to its decoder, one
            stream serves for both.

    Yields:
        A list that grows by one entry a replaced lookup.
    """
    calls: list[int] = []

    def answer(_module: nn.Module, _args: Any, looked_up: Tensor) -> Tensor:
        calls.append(len(calls))
        if len(calls) <= len(streams):
            return streams[len(calls) - 1].to(looked_up.dtype).clone()
        return torch.cat([looked_up[:, :1], streams[0][:, : looked_up.shape[1] - 1].to(looked_up.dtype)], dim=1)

    unique = list({id(module): module for module in modules}.values())
    with hooked([module.register_forward_hook(answer) for module in unique]):
        yield calls


class _EndOfForward(Exception):  # noqa: N818  # no error: it ends a pass that has done its work
    """Raised in a hook to end a forward pass that has done its work."""


@contextmanager
def captured_output(module: nn.Module) -> Iterator[list[Tensor]]:
    """Catch what a module answers and end the forward pass there.

    Yields:
        A list that holds the module's output after the block.
    """
    caught: list[Tensor] = []

    def catch(_module: nn.Module, _args: Any, output: Tensor) -> None:
        caught.append(output)
        raise _EndOfForward

    with hooked([module.register_forward_hook(catch)]):
        try:
            yield caught
        except _EndOfForward as stop:
            stop.__traceback__ = None  # a kept traceback keeps every activation of the pass alive


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look into a forward pass.

    Args:
        module: Which module.
        call: Which of its calls in one pass; models that share a layer call it once a depth.
        entering: Whether to look at what enters the module, not at what leaves it.
    """

    module: nn.Module
    call: int = 0
    entering: bool = False


@contextmanager
def visited(
    places: Mapping[str, Place], visit: Callable[[str, Tensor], Tensor | None], *, stop: bool = False
) -> Iterator[None]:
    """Look at hidden states, and put others in their place.

    Args:
        places: By name.
        visit: Gets the name and the hidden states; what it returns takes their place, `None` leaves them.
        stop: Whether the pass ends after the last of the places.
    """
    calls = dict.fromkeys({(id(place.module), place.entering) for place in places.values()}, 0)
    left = set(places)

    def look(module: nn.Module, value: Any, *, entering: bool) -> Any:
        key = (id(module), entering)
        number, calls[key] = calls[key], calls[key] + 1
        changed = False
        for name, place in places.items():
            if place.module is module and place.call == number and place.entering is entering:
                answer = visit(name, first_tensor(value, name))
                left.discard(name)
                if answer is not None:
                    value, changed = with_first_tensor(value, answer), True
        if stop and not left:
            raise _EndOfForward
        return value if changed else None

    modules = {(id(place.module), place.entering): place for place in places.values()}
    handles = [
        place.module.register_forward_pre_hook(lambda module, args: look(module, args, entering=True))
        if entering
        else place.module.register_forward_hook(lambda module, _args, output: look(module, output, entering=False))
        for (_, entering), place in modules.items()
    ]
    with hooked(handles):
        try:
            yield
        except _EndOfForward as end:
            end.__traceback__ = None


def first_tensor(value: Any, name: str) -> Tensor:
    """The hidden states in what a module takes or answers: alone, first of a tuple, or first field of an output.

    Raises:
        ModelError: None there.
    """
    found = value if isinstance(value, Tensor) else value[0] if value is not None and len(value) else None
    if not isinstance(found, Tensor):
        raise ModelError(f"split point {name!r}: expected a module with hidden states, got {type(found).__name__}")
    return found


def with_first_tensor(value: Any, tensor: Tensor) -> Any:
    """The same answer of a module with other hidden states in it."""
    if isinstance(value, Tensor):
        return tensor
    if isinstance(value, dict):  # a transformers output: a dict with attributes
        changed = type(value)(**value)
        changed[next(iter(value))] = tensor
        return changed
    return type(value)((tensor, *value[1:])) if type(value) in (tuple, list) else (tensor, *value[1:])
