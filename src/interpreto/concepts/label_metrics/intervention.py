"""What a model writes while one of its concepts is held at another strength."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.concepts.base import ConceptExplainer
from interpreto.concepts.concept_model import ConceptModel
from interpreto.model_wrapping.hooks import first_tensor, hooked, with_first_tensor
from interpreto.model_wrapping.readers import places_of

Change = Callable[[Tensor], Tensor]
"""From the codes `(n,)` of a concept to those that take their place."""


@contextmanager
def changed_concept(explainer: ConceptExplainer, concept: int, change: Change) -> Iterator[None]:
    """Let the model run with `h + decode(z') - decode(z)` in the place of every row `h` at the split point.

    `z = encode(h)`, and `z'` is the same but for one concept: what the concepts do not explain stays as it is. Unlike
    `hooks.visited`, this holds for every pass through the model inside the block, as writing takes one pass a token.

    Args:
        explainer: The concepts of a split model.
        concept: Which of them is changed.
        change: What becomes of its codes.
    """
    traits, point, model = explainer.split.traits, explainer.point, explainer.concept_model
    place = places_of(traits, [point])[point.name]
    calls = [0]

    def begin(_module: Any, _args: Any) -> None:
        calls[0] = 0

    def edit(value: Any) -> Any:
        number, calls[0] = calls[0], calls[0] + 1
        if number != place.call:
            return None
        hidden = first_tensor(value, point.name)
        return with_first_tensor(value, hidden + _shift(model, hidden, concept, change))

    base: Any = traits.base
    handles = [base.register_forward_pre_hook(begin)]
    if place.entering:
        handles.append(place.module.register_forward_pre_hook(lambda _module, args: edit(args)))
    else:
        handles.append(place.module.register_forward_hook(lambda _module, _args, output: edit(output)))
    with hooked(handles):
        yield


def _shift(model: ConceptModel, hidden: Float[Tensor, "... d"], concept: int, change: Change) -> Float[Tensor, "... d"]:
    with torch.no_grad():
        codes = model.encode(hidden.reshape(-1, hidden.shape[-1]).to(model.dictionary))
        changed = codes.clone()
        changed[:, concept] = change(codes[:, concept])
        return (model.decode(changed) - model.decode(codes)).to(hidden).reshape(hidden.shape)
