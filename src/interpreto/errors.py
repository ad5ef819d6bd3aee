"""Everything this library raises on purpose, as one small tree.

A message says what was expected, what came, where, and what to do:

    targets: expected 2 rows (one per input), got shape (1, 6); pass torch.tensor([[0], [3]])
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Mapping
from operator import index
from types import FrameType
from typing import Any


class InterpretoError(Exception):
    """Root of the errors of this library."""

    results: Mapping[int, Any] = {}
    """What an explainer had finished when it failed, by the number of the input; so has a `KeyboardInterrupt`."""


class InputError(InterpretoError, ValueError):
    """A text, target, option or file that cannot be explained as it was given."""


class ModelError(InterpretoError, ValueError):
    """A model or tokenizer that cannot be explained, or that answered with something unusable (NaN scores)."""


class NotFittedError(InterpretoError, RuntimeError):
    """Concepts that were asked for before they were learned."""


class StoreError(InterpretoError, OSError):
    """A folder that cannot be written: a full disk, no permission."""


class ModelCallError(InterpretoError, RuntimeError):
    """A language model that cannot be asked at all: no key, a wrong one, no such model, nothing left to pay with."""


class MissingExtraError(InterpretoError, ImportError):
    """An optional dependency that a call needs is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package {package!r}; install it with: pip install 'interpreto[{extra}]'")


def check_count(name: str, value: Any, least: int) -> None:
    """Refuse an option that is no whole number, or too small a one.

    Raises:
        InputError: The message names the option.

    >>> check_count("n_steps", 0, 1)
    Traceback (most recent call last):
    interpreto.errors.InputError: n_steps: expected a whole number, at least 1, got 0
    """
    try:
        whole = None if isinstance(value, bool) else index(value)
    except TypeError:
        whole = None
    if whole is None or whole < least:
        raise InputError(f"{name}: expected a whole number, at least {least}, got {value!r}")


def keep_results(error: BaseException, results: Mapping[int, Any], total: int) -> None:
    """Give an exception what was finished before it, and say so in its note."""
    error.results = results  # type: ignore[attr-defined]
    if results and hasattr(error, "add_note"):  # from Python 3.11 on
        error.add_note(f"{len(results)} of {total} texts were finished; their results are in this exception's .results")


class InterpretoWarning(UserWarning):
    """Everything this library warns of: what was done is right, but perhaps not what was meant.

    To silence it all: `warnings.filterwarnings("ignore", category=InterpretoWarning)`, or `python -W
    "ignore::interpreto.errors.InterpretoWarning"`; to stop at it: `"error"` in the place of `"ignore"`. What is worth
    knowing but no reason to warn is said to the logger `"interpreto"` and those below it, silent until a program sets
    up `logging`.
    """


class NotConvergedWarning(InterpretoWarning, RuntimeWarning):
    """An estimator that stopped before it was done; what it found so far is kept."""


def warn(message: str, category: type[Warning] = InterpretoWarning) -> None:
    """Warn at the user's line, which called what was called first of this library."""
    frame: FrameType | None = sys._getframe(1)
    level = users = 2
    while frame is not None:
        if _is_ours(frame):
            users = level + 1
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=users)


def _is_ours(frame: FrameType) -> bool:
    """Whether the library's code is run, or the `__init__` that was written for a dataclass."""
    code = frame.f_code
    return code.co_filename.startswith(_HERE) or (code.co_filename, code.co_name) == ("<string>", "__init__")


_HERE = os.path.dirname(__file__) + os.sep
