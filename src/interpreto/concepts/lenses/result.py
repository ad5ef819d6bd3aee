"""What a lens saw in one text: plain frozen data, all that pictures and tables need."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interpreto.errors import InputError, MissingExtraError
from interpreto.saving import SavedAsJson

if TYPE_CHECKING:
    import pandas

FORMAT = 1
NONE = -1
"""In the place of an id, where there is no token to name."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LensResult(SavedAsJson):
    """The distributions that a lens reads from the hidden states of one text: `s` layers, `l` positions, the top `k`.

    Args:
        method: Name of the lens.
        task: What the model does at a position: `"causal-lm"` and `"seq2seq-lm"` predict the next token,
            `"masked-lm"` the token itself.
        layers: The split points.
        tokens: Ids of the text that the model reads `(l,)`.
        actual: The token that is there to be predicted at each position, as the text has it `(l,)`; -1 where the text
            does not say: after its end, at a mask.
        final: The token that the model itself finds most probable `(l,)`.
        top: Ids of the most probable tokens, the first one first `(s, l, k)`.
        probabilities: Theirs, from 0 to 1 `(s, l, k)`.
        actual_ranks: Rank of the actual token `(s, l)`, 1 for the most probable one; 0 where there is none.
        actual_probabilities: Its probability `(s, l)`; NaN where there is none.
        final_ranks: Rank of the model's own choice `(s, l)`.
        final_probabilities: Its probability `(s, l)`.
        entropies: Of the distribution, in nats `(s, l)`.
        divergences: Kullback-Leibler divergence of the model's own distribution from the lens's,
            `sum_v p_v log(p_v / q_v)`, in nats `(s, l)`; 0 where the lens says what the model says.
        names: What tokens look like, by id.
        number: Which of the inputs.
        settings: The options, as plain values.
    """

    saved_as: ClassVar[str] = "a lens's result"

    method: str
    task: str
    layers: tuple[str, ...]
    tokens: Int[Tensor, " l"]
    actual: Int[Tensor, " l"]
    final: Int[Tensor, " l"]
    top: Int[Tensor, "s l k"]
    probabilities: Float[Tensor, "s l k"]
    actual_ranks: Int[Tensor, "s l"]
    actual_probabilities: Float[Tensor, "s l"]
    final_ranks: Int[Tensor, "s l"]
    final_probabilities: Float[Tensor, "s l"]
    entropies: Float[Tensor, "s l"]
    divergences: Float[Tensor, "s l"]
    names: Mapping[int, str]
    number: int = 0
    settings: dict[str, Any] = field(default_factory=dict)

    def name(self, token: int) -> str:
        """What a token looks like; nothing for none."""
        return "" if token == NONE else self.names[token]

    def top_tokens(self, layer: int | str, position: int) -> list[tuple[str, float]]:
        """The most probable tokens at a position, with their probabilities.

        Args:
            layer: The name of a split point, or its place among the layers.
            position: Which token of the text.

        Raises:
            InputError: No such layer or position.
        """
        if isinstance(layer, str) and layer not in self.layers:
            raise InputError(f"layer: expected one of {list(self.layers)}, got {layer!r}")
        row = self.layers.index(layer) if isinstance(layer, str) else layer
        if not -len(self.layers) <= row < len(self.layers) or not -len(self.tokens) <= position < len(self.tokens):
            raise InputError(
                f"layer, position: expected ones of {len(self.layers)} layers and {len(self.tokens)} tokens, got "
                f"{layer!r} and {position}"
            )
        ids, values = self.top[row, position].tolist(), self.probabilities[row, position].tolist()
        return [(self.names[token], value) for token, value in zip(ids, values, strict=True)]

    def __repr__(self) -> str:
        layers, length, k = self.top.shape
        return f"LensResult({self.method}, input {self.number}: {layers} layers, {length} tokens, top {k})"

    def text(self) -> str:
        """The most probable token of each layer and position as a plain table, the last layer above."""
        width = 12

        def cell(text: str) -> str:
            shown = "".join(char if char.isprintable() else " " for char in text)
            return (shown if len(shown) < width else shown[: width - 2] + "…").ljust(width)

        positions = range(len(self.tokens))
        lines = [
            cell(layer) + "".join(cell(self.names[int(self.top[row, at, 0])]) for at in positions)
            for row, layer in reversed(list(enumerate(self.layers)))
        ]
        lines.append(cell("") + "".join(cell(self.names[int(token)]) for token in self.tokens))
        return "\n".join(line.rstrip() for line in lines)

    def to_dict(self) -> dict[str, Any]:
        """As plain values, ready for JSON; `None` for what is no number."""
        tensors = {name: getattr(self, name) for name in (*_IDS, *_NUMBERS)}
        return {
            "format": FORMAT,
            "kind": "lens",
            "method": self.method,
            "task": self.task,
            "number": self.number,
            "layers": list(self.layers),
            "names": [[token, self.names[token]] for token in sorted(self.names)],
            "settings": self.settings,
            **{name: _plain(tensor.tolist()) for name, tensor in tensors.items()},
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LensResult:
        """The inverse of `to_dict`.

        Raises:
            InputError: No saved result of a lens, one of another format, or tables that do not fit each other.
        """
        if data.get("kind") != "lens" or data.get("format") != FORMAT:
            raise InputError(
                f"file: expected the result of a lens of format {FORMAT}, got the kind {data.get('kind')!r:.60} of "
                f"format {data.get('format')!r:.60}; read a newer file with a newer version of interpreto"
            )
        try:
            tensors = {name: torch.tensor(_whole(data[name]), dtype=torch.long) for name in _IDS}
            tensors |= {name: torch.tensor(_nan(data[name]), dtype=torch.float32) for name in _NUMBERS}
            layers, names = tuple(data["layers"]), {int(token): name for token, name in data["names"]}
            texts = [data["method"], data["task"], *layers, *names.values()]
            number, settings = int(data["number"]), dict(data["settings"])
            length, k = len(tensors["tokens"]), tensors["top"].shape[-1]
        except (LookupError, TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise InputError(f"file: expected the result of a lens, got a damaged one ({error!s:.120})") from error
        for name, tensor in tensors.items():
            shape = (len(layers), length, k)[: 3 if name in _TOPS else 2]
            wanted = (length,) if name in _ROWS else shape
            if tuple(tensor.shape) != wanted:
                raise InputError(f"file: expected {name} of shape {wanted}, got {tuple(tensor.shape)}")
        if not all(isinstance(text, str) for text in texts):
            raise InputError("file: expected names that are texts, got others")
        shown = {name: set(tensors[name].flatten().tolist()) for name in (*_ROWS, "top")}
        unnamed = set.union(*shown.values()) - set(names) - ({NONE} if NONE in shown["actual"] else set())
        unnamed |= {NONE} & (shown["tokens"] | shown["final"] | shown["top"])
        if unnamed:
            raise InputError(f"file: expected a name for every token, got none for {sorted(unnamed)[:5]}")
        return cls(
            method=data["method"],
            task=data["task"],
            layers=layers,
            names=names,
            number=number,
            settings=settings,
            **tensors,
        )

    def to_pandas(self) -> pandas.DataFrame:
        """One row a layer and position.

        Columns: `layer, position, token, top, probability, actual, actual_rank, actual_probability, final, final_rank,
        final_probability, entropy, divergence`.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise MissingExtraError("pandas", "data", "to_pandas()") from None
        columns = {
            "layer": [layer for layer in self.layers for _ in self.tokens],
            "position": list(range(len(self.tokens))) * len(self.layers),
            "token": [self.name(token) for token in self.tokens.tolist()] * len(self.layers),
            "top": [self.name(token) for token in self.top[..., 0].flatten().tolist()],
            "probability": self.probabilities[..., 0].flatten().tolist(),
            "actual": [self.name(token) for token in self.actual.tolist()] * len(self.layers),
            "actual_rank": self.actual_ranks.flatten().tolist(),
            "actual_probability": self.actual_probabilities.flatten().tolist(),
            "final": [self.name(token) for token in self.final.tolist()] * len(self.layers),
            "final_rank": self.final_ranks.flatten().tolist(),
            "final_probability": self.final_probabilities.flatten().tolist(),
            "entropy": self.entropies.flatten().tolist(),
            "divergence": self.divergences.flatten().tolist(),
        }
        return pandas.DataFrame(columns)


_ROWS = ("tokens", "actual", "final")
_TOPS = ("top", "probabilities")
_IDS = (*_ROWS, "top", "actual_ranks", "final_ranks")
_NUMBERS = ("probabilities", "actual_probabilities", "final_probabilities", "entropies", "divergences")


def _plain(values: Any) -> Any:
    if isinstance(values, list):
        return [_plain(value) for value in values]
    return values if isinstance(values, int) or math.isfinite(values) else None


def _whole(values: Any) -> Any:
    if isinstance(values, list):
        return [_whole(value) for value in values]
    if isinstance(values, bool) or not isinstance(values, int):
        raise TypeError(f"expected a whole number, got {values!r:.60}")
    return values


def _nan(values: Any) -> Any:
    if isinstance(values, list):
        return [_nan(value) for value in values]
    return math.nan if values is None else values
