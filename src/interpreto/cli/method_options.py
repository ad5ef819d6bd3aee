"""Options of methods: those that have a name on the command line, and any other as `--option name=value`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from inspect import get_annotations
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from interpreto.cli.names import find_name
from interpreto.errors import InputError


def method_options(
    method: type, named: Mapping[str, Any], others: Sequence[str] | None, ours: Sequence[str] = ()
) -> dict[str, Any]:
    """The options of a method, as its class takes them.

    Args:
        method: The class, a dataclass.
        named: Options with a name of their own; `None` where they were not given.
        others: `name=value` pairs; values are JSON, and what is no JSON is text.
        ours: Fields that are no options.

    Raises:
        InputError: No such option, one given twice, or a value of another kind.
    """
    options = {name: value for name, value in named.items() if value is not None}
    for pair in others or ():
        name, text = _parted(pair)
        if name in options:
            raise InputError(f"option: {name} is given twice")
        options[name] = _value(text)
    known = _known(method, ours)
    hints = _hints(method)
    for name, value in options.items():
        if name not in known:
            raise InputError(
                f"{name}: {method.__name__} has no such option, it has {', '.join(known)}{_near(name, known)}"
            )
        if not _fits(value, hints[name]):
            raise InputError(f"{name}: expected {_words(hints[name])}, got {value!r:.60}")
    return options


def options_by_method(
    methods: Mapping[str, type], named: Mapping[str, Any], others: Sequence[str] | None, ours: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    """The options of several methods.

    Args:
        methods: The classes, by name.
        named: Options with a name of their own, for all of them.
        others: `name=value` pairs for those that have such an option, and `method.name=value` pairs for one of them,
            which come before anything that is said for all.
        ours: Fields that are no options.

    Raises:
        InputError: No such method, an option that none of them has, one given twice, or a value of another kind.
    """
    said, own = list[str](), {name: list[str]() for name in methods}
    for pair in others or ():
        name, _ = _parted(pair)
        if "." in name:
            wanted, _, rest = pair.partition(".")
            own[find_name("option", wanted.strip(), list(methods))].append(rest)
        elif any(name in _known(kind, ours) for kind in methods.values()):
            said.append(pair)
        else:
            known = list(dict.fromkeys(name for kind in methods.values() for name in _known(kind, ours)))
            raise InputError(
                f"{name}: no method here has such an option, they have {', '.join(known)}{_near(name, known)}"
            )
    chosen = {}
    for name, kind in methods.items():
        fits = [pair for pair in said if _parted(pair)[0] in _known(kind, ours)]
        chosen[name] = {**method_options(kind, named, fits, ours), **method_options(kind, {}, own[name], ours)}
    return chosen


def _parted(pair: str) -> tuple[str, str]:
    """The name and the value.

    Raises:
        InputError: There is no value.
    """
    name, separator, text = pair.partition("=")
    if not separator:
        raise InputError(f"option: expected name=value, got {pair!r:.60}")
    return name.strip().replace("-", "_"), text


def _known(method: type, ours: Sequence[str]) -> list[str]:
    return [field.name for field in fields(method) if field.init and field.name not in ours]


def _near(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _hints(method: type) -> dict[str, Any]:
    """The kinds of a dataclass's fields; `get_type_hints` of Python 3.10 does not take `KW_ONLY` for one."""
    hints: dict[str, Any] = {}
    for base in reversed(method.__mro__):
        hints |= get_annotations(base, eval_str=True)
    return hints


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value may be of the kind; kinds that cannot be written on a command line are left to the method."""
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, kind) for kind in get_args(hint))
    if origin is Literal:
        return value in get_args(hint)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in (str, bool, type(None)):
        return isinstance(value, hint)
    return hint is Any or isinstance(value, (str, list, dict))


def _words(hint: Any) -> str:
    """A kind of value in words."""
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(dict.fromkeys(_words(kind) for kind in get_args(hint)))
    if get_origin(hint) is Literal:
        return " or ".join(repr(value) for value in get_args(hint))
    named = {float: "a number", int: "a whole number", str: "a text", bool: "true or false", type(None): "null"}
    return named.get(hint) or str(getattr(hint, "__name__", hint))
