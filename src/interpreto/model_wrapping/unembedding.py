"""From hidden states after the last block to the vocabulary, by the model's own layers.

What stands there differs by architecture: a norm, a projection, a transform with a norm of its own (BERT), a scaling
(T5), soft-capping. Nothing of it is written a second time here: the model runs on one token, and the hidden states that
are asked about take the place of what leaves its last block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from interpreto.errors import InputError, ModelError
from interpreto.model_wrapping.heads import AfterHead, after_head, is_plain
from interpreto.model_wrapping.hooks import Place, untouched, visited
from interpreto.model_wrapping.readers import places_of
from interpreto.model_wrapping.split_points import SplitPoint, blocks
from interpreto.model_wrapping.traits import Traits

_NUMBERS_AT_ONCE, _NUMBERS_AT_ONCE_ON_GPU = 1 << 22, 1 << 27
_PROBE = 3  # tokens


@dataclass(frozen=True, eq=False)
class Unembedding:
    """What a model does after its last block.

    Args:
        traits: A model with a vocabulary: one that writes, or that fills masks.

    Raises:
        ModelError: A model without vocabulary, or one whose end cannot be run by itself.
    """

    traits: Traits

    def __post_init__(self) -> None:
        if self.traits.head is None or not blocks(self.traits):
            raise ModelError(
                "model: expected one with blocks and an output head over a vocabulary, such as AutoModelForCausalLM "
                f"loads, got {type(self.traits.base).__name__}"
            )
        if "unembedding" not in self.traits.found_out:
            self.traits.found_out["unembedding"] = self._width_if_its_own()
        if not self.traits.found_out["unembedding"]:
            raise ModelError(
                "model: expected an end that reads one token's hidden state at a time, got "
                f"{type(self.traits.base).__name__}, whose logits are not those of its last block's output alone"
            )

    @cached_property
    def point(self) -> SplitPoint:
        """The last block: the decoder's where there are an encoder and a decoder."""
        return list(blocks(self.traits).values())[-1]

    @property
    def head(self) -> nn.Linear:
        """The output head, `W_U` its weight `(v, d)`.

        Raises:
            ModelError: It is no plain linear layer.
        """
        head = self.traits.head
        if not is_plain(head):
            raise ModelError(
                f"model: expected an output head that is a plain linear layer, got {type(head).__name__} or one with "
                "hooks; load the model without quantisation or adapters of its head"
            )
        return head

    @cached_property
    def width(self) -> int:
        """How many numbers leave the last block for each token."""
        return int(self.traits.found_out["unembedding"])

    def check(self, point: SplitPoint, width: int) -> None:
        """Refuse hidden states that are not of the stream that ends at the head.

        Raises:
            InputError: They are an encoder's where a decoder writes, or of another width.
        """
        if point.in_decoder != self.point.in_decoder:
            raise InputError(
                f"split point {point.name!r}: expected one in the decoder, whose rows become logits, got one in the "
                "encoder; split the model at 'decoder.0', say"
            )
        if width != self.width:
            raise InputError(
                f"split point {point.name!r}: expected the residual stream, of width {self.width}, got width {width}; "
                "take the output of a block"
            )

    @property
    def nb_tokens(self) -> int:
        """How many tokens of the vocabulary have a name; models have some rows to spare."""
        return min(len(self.traits.tokenizer), self.nb_logits)

    @property
    def nb_logits(self) -> int:
        """How many logits a row has."""
        head: Any = self.traits.head
        return int(head.weight.shape[0])

    @cached_property
    def is_linear(self) -> bool:
        """Whether logits are a linear function of what enters the head, up to its bias."""
        if not is_plain(self.traits.head):
            return False
        with untouched(self.traits.model), torch.no_grad():
            return after_head(self.traits.head, lambda: self._run(_PROBE).logits) is AfterHead.NOTHING

    def rows_at_once(self, columns: int) -> int:
        """How many rows of so many numbers are kept at a time."""
        limit = _NUMBERS_AT_ONCE_ON_GPU if self.traits.device.type == "cuda" else _NUMBERS_AT_ONCE
        return max(1, limit // max(1, columns))

    def logits(self, states: Float[Tensor, "n d"]) -> Float[Tensor, "n v"]:
        """The logits of hidden states, as the model makes them of what leaves its last block; differentiable in them.

        Args:
            states: As many as `rows_at_once(v)` says; all logits are in memory at once.
        """
        with visited(places_of(self.traits, [self.point]), _answer(states)):
            logits: Tensor = self._run(1).logits
        return logits.reshape(len(states), -1).float()

    def normed(self, states: Float[Tensor, "n d"]) -> Float[Tensor, "n e"]:
        """What enters the head for hidden states: `LN_f(h)`, and whatever else stands there."""
        caught: list[Tensor] = []
        answer = _answer(states)

        def visit(name: str, hidden: Tensor) -> Tensor | None:
            if name != _HEAD:
                return answer(name, hidden)
            caught.append(hidden)
            return None

        with visited({**places_of(self.traits, [self.point]), **self.entry}, visit, stop=True):
            self._run(1)
        return caught[0].reshape(len(states), -1).float()

    @property
    def entry(self) -> dict[str, Place]:
        """Where to look for what enters the head."""
        return {_HEAD: Place(self.head, entering=True)}

    def extremes(
        self, vectors: Float[Tensor, "n e"], k: int
    ) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"], Float[Tensor, "n k"], Int[Tensor, "n k"]]:
        """The tokens `t` with the largest and the smallest `W_U[t] . x`, in float32, without the head's bias.

        A part of the rows and of the vocabulary at a time, so that no `(n, v)` is kept.

        Args:
            vectors: What would enter the head.
            k: How many of each; at most `nb_tokens`.

        Returns:
            Values and ids of the largest, the largest first; values and ids of the smallest, the smallest first.
        """
        weight = self.head.weight.detach()
        found = []
        for part in torch.split(vectors, _ROWS):
            rows = part.to(weight.device)
            both = _Running(k), _Running(k)
            for first in range(0, self.nb_tokens, size := self.rows_at_once(max(len(rows), weight.shape[1]))):
                last = min(first + size, self.nb_tokens)
                scores = rows @ weight[first:last].float().T
                for sign, running in zip((1, -1), both, strict=True):
                    running.add(sign * scores, first)
            (most, most_ids), (least, least_ids) = (running.found for running in both)
            found.append((most.cpu(), most_ids.cpu(), -least.cpu(), least_ids.cpu()))
        values, ids, low, low_ids = (torch.cat(parts) for parts in zip(*found, strict=True))
        return values, ids, low, low_ids

    def _width_if_its_own(self) -> int:
        """The width of what leaves the last block, if the logits of a short text are those of it, token by token."""
        kept: list[Tensor] = []
        with untouched(self.traits.model), torch.no_grad():
            with visited(places_of(self.traits, [self.point]), lambda _name, hidden: kept.append(hidden)):
                answer = self._run(_PROBE)
            whole = getattr(answer, "logits", None)
            if whole is None or not kept or kept[0].shape[:-1].numel() != _PROBE or whole.dim() != 3:
                return 0
            try:
                first, *others = torch.split(kept[0].reshape(_PROBE, -1), 1)
                alone = torch.cat([self.logits(first), self.logits(torch.cat(others[::-1])).flip(0)])
            except (RuntimeError, ValueError, IndexError, AttributeError):
                return 0
        slack = torch.finfo(whole.dtype).eps ** 0.5 * float(whole.abs().max())
        same = alone.shape == whole.shape[1:] and torch.allclose(alone, whole[0].float(), rtol=0.0, atol=slack)
        return kept[0].shape[-1] if same else 0

    def _run(self, length: int) -> Any:
        """A pass over a row of neutral tokens."""
        traits = self.traits
        ids = torch.arange(length, device=traits.device)[None] % max(1, len(traits.tokenizer))
        inputs: dict[str, Any] = {"input_ids": ids}
        if "attention_mask" in traits.arguments:
            inputs["attention_mask"] = torch.ones_like(ids)
        if traits.is_encoder_decoder:
            inputs["decoder_input_ids"] = ids.clone()
        if "use_cache" in traits.arguments:
            inputs["use_cache"] = False
        return traits.runner(**inputs)


class _Running:
    """The `k` largest numbers of each row so far."""

    def __init__(self, k: int) -> None:
        self._k = k
        self._values: list[Tensor] = []
        self._ids: list[Tensor] = []

    def add(self, scores: Float[Tensor, "n m"], first: int) -> None:
        """Some more columns, numbered from `first` on."""
        values, ids = scores.topk(min(self._k, scores.shape[1]), dim=1)
        self._values.append(values)
        self._ids.append(ids + first)
        self._values, self._ids = ([tensor] for tensor in self.found)

    @property
    def found(self) -> tuple[Tensor, Tensor]:
        values, ids = torch.cat(self._values, dim=1), torch.cat(self._ids, dim=1)
        best, places = values.topk(min(self._k, values.shape[1]), dim=1)
        return best, ids.gather(1, places)


def _answer(states: Float[Tensor, "n d"]) -> Callable[[str, Tensor], Tensor]:
    """Put hidden states in the place of those of one token."""

    def answer(_name: str, hidden: Tensor) -> Tensor:
        if states.shape[1] != hidden.shape[-1]:
            raise ModelError(
                f"hidden states: expected the width {hidden.shape[-1]} of what leaves the model's last block, got "
                f"{states.shape[1]}"
            )
        placed = states.to(hidden)
        return placed if hidden.dim() == 2 else placed[None]

    return answer


_HEAD, _ROWS = ":head", 1024  # a name that no module has
