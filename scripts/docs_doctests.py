"""Doctests of docstrings as blocks of code in the documentation."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_DOCTEST = re.compile(r"^>>> .*(?:\n(?!\s*$).*)*", re.MULTILINE)


class Doctests(Extension):
    """Fences every run of lines that begins with a prompt, up to the next empty line."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rewrite the docstring of each thing once."""
        if obj.docstring is not None:
            obj.docstring.value = _DOCTEST.sub(lambda match: f"```pycon\n{match[0]}\n```", obj.docstring.value)
