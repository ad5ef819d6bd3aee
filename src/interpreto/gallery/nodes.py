"""A YAML file as values that know where they stand, so that an error names the place."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from keyword import iskeyword
from pathlib import Path
from typing import Any

import yaml

from interpreto.errors import InputError

_DEEPEST = 20


def read_yaml(path: Path) -> Node:
    """The value of a YAML file.

    Raises:
        InputError: No file, no YAML, or what a plain value does not need: tags, references, keys that come twice.
    """
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected a YAML file in UTF-8, got {error}") from error
    try:
        _refuse_surprises(text)
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" in line {mark.line + 1}"
        problem = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise InputError(f"{path.name}: expected plain YAML, got a problem{where}: {problem:.200}") from error
    except RecursionError:
        raise InputError(f"{path.name}: expected plain YAML, got lists in lists in lists without end") from None
    return Node(value, path.name, "")


def _refuse_surprises(text: str) -> None:
    """Refuse references, of which a few lines can stand for gigabytes, and keys of which only the last would count."""
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="a reference (*name); write it out", problem_mark=event.start_mark)
    nodes = [yaml.compose(text, yaml.SafeLoader)]
    while nodes:
        node = nodes.pop()
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                if str(key.value) in seen:
                    problem = f"the key {str(key.value)!r:.60} comes twice"
                    raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
                seen.add(str(key.value))
                nodes.append(value)
        elif isinstance(node, yaml.SequenceNode):
            nodes += node.value


@dataclass(frozen=True, slots=True)
class Node:
    """A value of a file.

    Args:
        value: What YAML made of it.
        file: Name of the file.
        path: The keys that lead there, as `explanations[2].methods`.
    """

    value: Any
    file: str
    path: str

    @property
    def where(self) -> str:
        """File and keys, as errors begin."""
        return f"{self.file}: {self.path}" if self.path else self.file

    def wrong(self, expected: str, hint: str = "") -> InputError:
        """The error that something else was expected here."""
        got = "nothing" if self.value is None else _shown(self.value)
        return InputError(f"{self.where}: expected {expected}, got {got}{'; ' + hint if hint else ''}")

    def keys(self, *known: str, needed: Collection[str] = ()) -> dict[str, Node]:
        """The values of a mapping whose keys are known; those without a value are left out.

        Raises:
            InputError: No mapping, a key that is not known, or one that is missing.
        """
        nodes = self.named()
        for key in nodes:
            if key not in known:
                near = get_close_matches(key, known, 1)
                meant = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known))}"
                raise InputError(f"{nodes[key].where}: no such key; {meant}")
        found = {key: node for key, node in nodes.items() if node.value is not None}
        for key in needed:
            if key not in found:
                raise InputError(f"{self._below(key)}: expected a value, got nothing")
        return found

    def named(self) -> dict[str, Node]:
        """The values of a mapping whose keys are names.

        Raises:
            InputError: No mapping, or keys that are no texts.
        """
        if not isinstance(self.value, dict):
            raise self.wrong("a mapping (key: value)")
        for key in self.value:
            if not isinstance(key, str) or not key.strip():
                raise InputError(f"{self.where}: expected keys that are texts, got {key!r:.60}; put it in quotes")
        return {key: Node(value, self.file, self._path(key)) for key, value in self.value.items()}

    def items(self, least: int = 1) -> list[Node]:
        """The values of a list.

        Raises:
            InputError: No list, or too short a one.
        """
        if not isinstance(self.value, list) or len(self.value) < least:
            raise self.wrong(f"a list of at least {least}" if least else "a list")
        return [Node(value, self.file, f"{self.path}[{k}]") for k, value in enumerate(self.value)]

    def text(self) -> str:
        """A text with something in it.

        Raises:
            InputError: Something else.
        """
        if isinstance(self.value, str) and self.value.strip():
            return self.value
        quote = isinstance(self.value, (bool, int, float)) or not isinstance(self.value, (str, list, dict, type(None)))
        raise self.wrong("a text", "put it in quotes" if quote else "")

    def texts(self) -> tuple[str, ...]:
        """A list of texts."""
        return tuple(node.text() for node in self.items())

    def count(self, least: int = 0) -> int:
        """A whole number.

        Raises:
            InputError: Something else, or too small a one.
        """
        if isinstance(self.value, bool) or not isinstance(self.value, int) or self.value < least:
            raise self.wrong(f"a whole number, at least {least}")
        return self.value

    def one_of(self, known: Collection[str]) -> str:
        """One of some words.

        Raises:
            InputError: Another.
        """
        if self.value not in list(known):
            near = get_close_matches(self.value, known, 1) if isinstance(self.value, str) else []
            raise self.wrong(f"one of {', '.join(known)}", f"did you mean {near[0]!r}?" if near else "")
        return str(self.value)

    def flag(self) -> bool:
        """Yes or no.

        Raises:
            InputError: Something else.
        """
        if not isinstance(self.value, bool):
            raise self.wrong("true or false")
        return self.value

    def number_or_text(self) -> int | str:
        """A whole number, or a text.

        Raises:
            InputError: Something else.
        """
        if isinstance(self.value, int) and not isinstance(self.value, bool):
            return self.value
        return self.text()

    def plain(self) -> Any:
        """A plain value, which a program can write as a literal.

        Raises:
            InputError: A date, a set, an infinite number.
        """
        self.check_plain()
        return self.value

    def options(self) -> dict[str, Any]:
        """Plain values by name, for a function's keywords.

        Raises:
            InputError: No mapping, or what no program would write as a literal.
        """
        for name, node in self.named().items():
            if not name.isidentifier() or iskeyword(name):
                raise InputError(f"{node.where}: expected the name of an option")
            node.check_plain()
        return dict(self.value)

    def check_plain(self, depth: int = 0) -> None:
        """Refuse dates, sets, infinite numbers and the like, which are no literals of a program.

        Raises:
            InputError: The message names the place.
        """
        if depth > _DEEPEST:
            raise InputError(f"{self.where}: expected a plain value, got lists in lists without end")
        if isinstance(self.value, (list, dict)):
            children = self.items(0) if isinstance(self.value, list) else list(self.named().values())
            for node in children:
                node.check_plain(depth + 1)
        elif not isinstance(self.value, (str, int, float, type(None))) or self.value in _NO_LITERALS or _is_nan(self):
            raise self.wrong("a plain value (text, number, yes or no, list, mapping)", "put it in quotes")

    def __iter__(self) -> Iterator[Node]:
        return iter(self.items())

    def _below(self, key: str) -> str:
        return f"{self.file}: {self._path(key)}"

    def _path(self, key: str) -> str:
        shown = key if key.isprintable() and len(key) <= 60 else repr(key)[:60]
        return f"{self.path}.{shown}" if self.path else shown


_NO_LITERALS = (float("inf"), float("-inf"))


def _is_nan(node: Node) -> bool:
    return isinstance(node.value, float) and node.value != node.value


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    return f"{value!r:.80}"
