"""Layers that pass no gradients back: those of whole numbers, and kernels that nobody wrote a derivative of."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from interpreto.errors import ModelError
from interpreto.model_wrapping.batching import is_out_of_memory
from interpreto.model_wrapping.explained_text import ExplainedText
from interpreto.model_wrapping.forward import Forward, untouched_rows
from interpreto.model_wrapping.hooks import hooked, untouched, visited
from interpreto.model_wrapping.readers import places_of
from interpreto.model_wrapping.split_points import SplitPoint


def refuse_lost_gradients(forward: Forward, text: ExplainedText, point: SplitPoint | None = None) -> None:
    """Try, once a model, whether gradients come back through each of its quantised layers.

    Around a layer that loses them lead other ways, residual streams above all: what comes back by those alone looks
    like a gradient and is none. Cost: nothing for models of plain layers, else a pass, and the way back through each
    of the other layers.

    Args:
        forward: How the model is run.
        text: What it is run on.
        point: Where gradients are taken, so that no layer below needs any; without one, at the embeddings.

    Raises:
        ModelError: A layer loses them.
    """
    traits = forward.traits
    asked = f"gradients come back to {point.name if point else 'the embeddings'}"
    layers = [module for module in traits.base.modules() if hasattr(module, "in_features") and not _is_plain(module)]
    if not layers or asked in traits.found_out:
        return
    lost: list[nn.Module] = []

    def begin(output: Tensor) -> Tensor:
        return output.detach().requires_grad_()

    def look(layer: nn.Module, args: tuple[Any, ...], options: dict[str, Any], output: Any) -> None:
        entering = [x for x in (*args, *options.values()) if isinstance(x, Tensor) and x.requires_grad]
        leaving = output[0] if isinstance(output, tuple) and output else output
        if not lost and entering and isinstance(leaving, Tensor) and not _comes_back(leaving, entering[0]):
            lost.append(layer)

    places = places_of(traits, [point]) if point else {}
    with untouched(traits.model, constant_parameters=True), torch.enable_grad():
        handles = [layer.register_forward_hook(look, with_kwargs=True) for layer in layers]
        if point is None:
            handles += [m.register_forward_hook(lambda _module, _args, found: begin(found)) for m in traits.embeddings]
        with hooked(handles), visited(places, lambda _name, hidden: begin(hidden)):
            forward.read(forward.rows([text], untouched_rows([text]), [(0, 0)]), [text])
    if lost:
        (layer,) = lost
        weight = getattr(layer, "weight", None)
        kind = f" of {type(weight).__name__}" if type(layer) is nn.Linear and isinstance(weight, Tensor) else ""
        raise ModelError(
            f"model: expected one through which gradients flow, got layers without any, {type(layer).__name__}{kind}; "
            "take a method without gradients, such as KernelShap, or the model before it was quantised"
        )
    traits.found_out[asked] = True


def _is_plain(layer: nn.Module) -> bool:
    return type(layer) is nn.Linear and type(layer.weight) is nn.Parameter


def _comes_back(leaving: Tensor, entering: Tensor) -> bool:
    if not leaving.requires_grad:
        return False
    ones = torch.ones_like(leaving)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch's, at some kernels without a derivative; others fail
        try:
            (found,) = torch.autograd.grad(leaving, entering, ones, retain_graph=True, allow_unused=True)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            return False
    return found is not None
