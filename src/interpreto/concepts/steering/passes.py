"""Which tokens the hidden states of a running forward pass belong to, whoever called the model, and how."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import wraps
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from interpreto.errors import InputError, ModelError
from interpreto.model_wrapping.hooks import hooked
from interpreto.model_wrapping.split_points import SplitPoint
from interpreto.model_wrapping.traits import Traits


class Positions(str, Enum):
    """Which tokens are changed. Padding, which no token sees, does not matter."""

    ALL = "all"
    """Every token, special tokens included."""
    PROMPT = "prompt"
    """The tokens that `model.generate` was called with; every token where the model is called by itself."""
    GENERATED = "generated"
    """The tokens that `model.generate` has written; none where the model is called by itself."""


Where = Positions | slice
"""Named tokens, or `slice(start, stop)` of each text's own tokens, special ones counted, padding not."""


@dataclass(eq=False)
class Pass:
    """The forward pass that is running.

    Args:
        traits: The model.
        point: Where its hidden states are looked at.
    """

    traits: Traits
    point: SplitPoint
    calls: int = 0
    inputs: dict[str, Any] = field(default_factory=dict)
    past: int = 0
    generating: bool = False
    prompt: int | None = None

    @contextmanager
    def watched(self, *, generation: bool) -> Iterator[None]:
        """Follow the model's passes, whoever starts them.

        Args:
            generation: Whether to know what `model.generate` has written from what it was given.
        """
        base: Any = self.traits.base
        roots: list[Any] = [base, base.base_model]
        if self.traits.is_encoder_decoder:
            roots.append(base.get_encoder())  # generate calls it by itself
        unique = list({id(root): root for root in roots}.values())
        with hooked([root.register_forward_pre_hook(self._begin, with_kwargs=True) for root in unique]):
            if not generation:
                yield
                return
            before, generate = vars(base).get("generate"), base.generate

            @wraps(generate)
            def noted(*args: Any, **options: Any) -> Any:
                settings = options.get("generation_config") or getattr(base, "generation_config", None)
                if options.get("prefill_chunk_size", getattr(settings, "prefill_chunk_size", None)) is not None:
                    raise ModelError(
                        "positions: 'prompt' and 'generated' need a prompt that is read at once, got "
                        "prefill_chunk_size; leave it out, or take positions='all'"
                    )
                self.generating, self.prompt = True, None
                try:
                    return generate(*args, **options)
                finally:
                    self.generating, self.prompt = False, None

            vars(base)["generate"] = noted
            try:
                yield
            finally:
                vars(base).pop("generate")
                if before is not None:
                    vars(base)["generate"] = before

    def is_the_call(self) -> bool:
        """Whether this call of the module is the split point's; counts it."""
        self.calls += 1
        return self.calls - 1 == self.point.call

    def as_rows(self, states: Tensor) -> Float[Tensor, "b l d"]:
        """Hidden states as `(b, l, d)`, also where a module sees all tokens of a batch in one row.

        Raises:
            ModelError: One row for something that is no token.
        """
        tokens = self._tokens()
        if states.dim() == 3 and (tokens is None or states.shape[:2] == tokens):
            return states
        if states.dim() == 2 and tokens is not None and states.shape[0] == tokens[0] * tokens[1]:
            return states.reshape(*tokens, -1)
        shown = "one row a token" if tokens is None else f"hidden states of the tokens {tuple(tokens)}"
        raise ModelError(
            f"split point {self.point.name!r}: expected {shown}, got {tuple(states.shape)}; "
            "take the block's own output, or a module inside it"
        )

    def chosen(self, states: Float[Tensor, "b l d"], where: Where) -> Bool[Tensor, "b l"]:
        """Which of the rows are changed.

        A token that is hidden from the others, as attribution methods hide tokens, is one like any other: the model's
        output may be read at its place.
        """
        b, length = states.shape[:2]
        total = self.past + length
        columns = torch.arange(self.past, total, device=states.device).expand(b, -1)
        if isinstance(where, slice):
            places = columns - self._first_visible(b, total).to(states.device)
            return (places >= (where.start or 0)) & (places < (total if where.stop is None else where.stop))
        if where is Positions.ALL:
            return torch.ones_like(columns, dtype=torch.bool)
        prompt = total if self.prompt is None else self.prompt
        return (columns < prompt) == (where is Positions.PROMPT)

    def _begin(self, module: nn.Module, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        names = list(inspect.signature(module.forward).parameters)
        self.inputs = {**dict(zip(names, args, strict=False)), **options}
        embeddings = self.traits.embeddings
        decodes = self.inputs.get("encoder_outputs") is not None
        shared = decodes and len(embeddings) == 2 and embeddings[0] is embeddings[1]
        looked_up = shared and self.traits.base.get_submodule(self.point.path) is embeddings[0]
        self.calls = int(looked_up)  # the encoder's lookup was made before
        own = self.point.in_decoder or not self.traits.is_encoder_decoder
        self.past = _length(self.inputs.get("past_key_values")) if own else 0
        tokens = self._tokens()
        if self.generating and module is self.traits.base and self.prompt is None and tokens is not None:
            self.prompt = self.past + tokens[1]

    def _named(self, name: str) -> Any:
        decoder = self.point.in_decoder and self.traits.is_encoder_decoder
        return self.inputs.get(f"decoder_{name}" if decoder else name)

    def _tokens(self) -> torch.Size | None:
        """Rows and tokens that the pass was given, where it is known."""
        for name in ("input_ids", "inputs_embeds"):
            given = self._named(name)
            if isinstance(given, Tensor):
                return given.shape[:2]
        return None

    def _first_visible(self, b: int, total: int) -> Int[Tensor, "_ 1"]:
        """Where each row begins after padding on the left."""
        mask = self._named("attention_mask")
        if mask is None:
            return torch.zeros(1, 1, dtype=torch.long)
        if not isinstance(mask, Tensor) or mask.shape != (b, total):
            raise ModelError(
                f"positions: a slice needs an attention mask of all tokens {(b, total)}, got "
                f"{tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__}; generate with the dynamic "
                "cache, or take positions='all'"
            )
        return mask.bool().int().argmax(dim=1, keepdim=True)


def _length(past: Any) -> int:
    """How many tokens a cache of keys and values holds."""
    if past is None:
        return 0
    return int(past.get_seq_length()) if hasattr(past, "get_seq_length") else int(past[0][0].shape[-2])


def checked_positions(positions: Any, traits: Traits, point: SplitPoint) -> Where:
    """The tokens that a user asks for.

    Raises:
        InputError: Neither a name nor a slice from 0 on, or tokens that the model or the point does not have.
    """
    if isinstance(positions, slice):
        ends = [end for end in (positions.start, positions.stop) if end is not None]
        whole = all(isinstance(end, int) and not isinstance(end, bool) and end >= 0 for end in ends)
        if not whole or positions.step not in (None, 1):
            raise InputError(
                f"positions: expected a slice of whole numbers from 0 on and without steps, got {positions!r}; the end "
                "of a text that is still written is not known"
            )
        return positions
    try:
        where = Positions(positions)
    except ValueError:
        names = [member.value for member in Positions]
        raise InputError(f"positions: expected one of {names} or a slice, got {positions!r:.60}") from None
    if where is not Positions.ALL and not traits.base.can_generate():
        raise InputError(f"positions: {where.value!r} is for a model that writes; pass 'all' or a slice")
    if where is Positions.GENERATED and traits.is_encoder_decoder and not point.in_decoder:
        raise InputError(
            f"positions: at split point {point.name!r} there is the source alone, nothing generated; pass 'all'"
        )
    return where
