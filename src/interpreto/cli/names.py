"""Names of methods on the command line, from the `__all__` of their modules, which is read without loading torch."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

from interpreto.errors import InputError

_PACKAGE = Path(__file__).parents[1]
_WORDS = {"ReLU": "Relu", "SAE": "Sae", "ConSim": "Consim", "Inputx": "InputX"}  # whose capitals begin no word


def public_names(module: str) -> list[str]:
    """The names in the `__all__` of a module of this package.

    >>> public_names("attributions.methods")[:3]
    ['AttentionRollout', 'AttnLRP', 'ContextCite']
    """
    source = _PACKAGE.joinpath(*module.split("."), "__init__.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "__all__":
            return [str(name) for name in ast.literal_eval(node.value)]
    raise LookupError(module)


def kebab(name: str) -> str:
    """A class's name as it is written on the command line.

    >>> kebab("KernelShap"), kebab("AttnLRP"), kebab("JumpReLUSAEConcepts"), kebab("InputxGradient")
    ('kernel-shap', 'attn-lrp', 'jump-relu-sae-concepts', 'input-x-gradient')
    """
    for word, written in _WORDS.items():
        name = name.replace(word, written)
    return re.sub("(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_", "-", name).lower()


def find_name(option: str, wanted: str, names: Sequence[str], ending: str = "") -> str:
    """The class that is meant, however it is written.

    Args:
        option: The option, for the error.
        wanted: What the user wrote: `kernel-shap`, `KernelShap`, `kernel_shap`.
        names: The classes there are.
        ending: An ending of the classes' names that may be left out.

    Raises:
        InputError: No such class.

    >>> find_name("method", "semi-nmf", ["SemiNMFConcepts"], "Concepts")
    'SemiNMFConcepts'
    """
    for name in names:
        if _plain(wanted) in (_plain(name), _plain(name.removesuffix(ending))):
            return name
    shown = [kebab(name.removesuffix(ending)) for name in names]
    near = get_close_matches(wanted.lower(), shown, n=1)
    guess = f"; did you mean {near[0]}?" if near else ""
    raise InputError(f"{option}: expected one of {', '.join(shown)}, got {wanted!r:.60}{guess}")


def load_class(module: str, name: str) -> Any:
    """The class of that name; from here on torch is loaded."""
    return getattr(import_module(f"interpreto.{module}"), name)


def _plain(name: str) -> str:
    return re.sub("[-_ ]", "", name).lower()
