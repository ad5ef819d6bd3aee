"""Where a model can be split: blocks by number, any module by path or pattern."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
from torch import nn

from interpreto.errors import InputError
from interpreto.model_wrapping.traits import Traits


@dataclass(frozen=True, slots=True)
class SplitPoint:
    """What leaves, or enters, one module in one forward pass.

    Args:
        name: What the user calls it: `"5"`, `"encoder.5"`, the module's path, or the path and `":input"`.
        path: The module's path in the model.
        call: Which of the module's calls in one pass; models that share a layer call it once a depth.
        entering: Whether it is what enters the module, as the neurons of an MLP enter its last projection.
        in_decoder: Whether its rows belong to the output of an encoder-decoder, not to its source.
    """

    name: str
    path: str
    call: int = 0
    entering: bool = False
    in_decoder: bool = False


def blocks(traits: Traits) -> dict[str, SplitPoint]:
    """The blocks of a model by number, `"0"` first; `"encoder.0"`, `"decoder.0"` for encoder-decoders.

    The output of a block is the residual stream.
    """
    config = traits.base.config
    if getattr(config, "is_encoder_decoder", False):
        found: dict[str, SplitPoint] = {}
        for stack in ("encoder", "decoder"):
            for path, module in traits.base.named_modules():
                if path.split(".")[-1] == stack and _lists(module):
                    inner, layers = _lists(module)[0]
                    found |= {
                        f"{stack}.{i}": SplitPoint(f"{stack}.{i}", f"{path}.{inner}.{i}", in_decoder=stack == "decoder")
                        for i in range(len(layers))
                    }
                    break
        return found
    count = int(traits.config.num_hidden_layers)
    for path, layers in _lists(traits.base):
        if len(layers) == count:
            return {str(i): SplitPoint(str(i), f"{path}.{i}") for i in range(count)}
    groups = int(getattr(traits.config, "num_hidden_groups", 0))
    for path, layers in _lists(traits.base):
        if groups and len(layers) == groups:  # ALBERT: depths share the layers of their group
            each = count // groups
            return {str(i): SplitPoint(str(i), f"{path}.{i // each}", i % each) for i in range(count)}
    return {}


def _lists(module: nn.Module) -> list[tuple[str, nn.ModuleList]]:
    """Lists of modules, those nearest to the root first."""
    found = [(path, child) for path, child in module.named_modules() if isinstance(child, nn.ModuleList)]
    return sorted(found, key=lambda item: item[0].count("."))


def find_split_points(traits: Traits, wanted: int | str | Sequence[int | str]) -> list[SplitPoint]:
    """The split points that a user names, in the user's order.

    Args:
        traits: The model.
        wanted: Block numbers (negative from the end), `"encoder.5"`, module paths, patterns with `*` and `**`, paths
            with `":input"` for what enters the module, or several of these.

    Raises:
        InputError: No such block or module; the message lists near names.
    """
    numbered = blocks(traits)
    found: dict[str, SplitPoint] = {}
    several = isinstance(wanted, Sequence) and not isinstance(wanted, str)
    items: list[Any] = list(wanted) if several else [wanted]  # type: ignore[arg-type]
    for item in items:
        matches = _matches(traits, item, numbered)
        if not matches:
            near = get_close_matches(str(item), [*numbered, *_paths(traits)], n=5, cutoff=0.4)
            raise InputError(
                f"split_points: expected a block number, a module path or a pattern, got {item!r}; "
                f"near names: {', '.join(near) or 'none'}; .layers lists all"
            )
        found |= {point.name: point for point in matches}
    if not found:
        raise InputError("split_points: expected at least one, got none")
    return list(found.values())


def _paths(traits: Traits) -> list[str]:
    return [path for path, _ in traits.base.named_modules() if path]


def _matches(traits: Traits, item: int | str, numbered: dict[str, SplitPoint]) -> list[SplitPoint]:
    number = int(item) if isinstance(item, (int, np.integer)) and not isinstance(item, bool) else _number(item)
    if number is not None:
        stack, number = number if isinstance(number, tuple) else ("", number)
        own = {name: point for name, point in numbered.items() if name.rpartition(".")[0] == stack}
        if not own and numbered and not stack:
            raise InputError(
                f"split_points: this model has an encoder and a decoder, so {item} is not clear; "
                f"write 'encoder.{number}' or 'decoder.{number}'"
            )
        if own and not -len(own) <= number < len(own):
            raise InputError(f"split_points: expected a block from {-len(own)} to {len(own) - 1}, got {item!r}")
        return [list(own.values())[number]] if own else []
    if not isinstance(item, str):
        return []
    pattern, entering = item.removesuffix(":input").removeprefix("base_model.model."), item.endswith(":input")
    suffix = ":input" if entering else ""
    shape = re.compile("".join(_PATTERNS.get(piece, re.escape(piece)) for piece in re.split(r"(\*\*|\*)", pattern)))
    paths = [path for path in _paths(traits) if shape.fullmatch(path)]
    decoder = bool(getattr(traits.base.config, "is_encoder_decoder", False))
    return [
        SplitPoint(path + suffix, path, entering=entering, in_decoder=decoder and "decoder" in path.split("."))
        for path in paths
    ]


_PATTERNS = {"*": "[^.]*", "**": ".*"}


def _number(item: object) -> int | tuple[str, int] | None:
    """`"5"` as 5, `"encoder.5"` as `("encoder", 5)`; `None` for everything else."""
    found = re.fullmatch(r"(?:(encoder|decoder)\.)?(-?\d+)", item) if isinstance(item, str) else None
    if found is None:
        return None
    return int(found[2]) if found[1] is None else (found[1], int(found[2]))
