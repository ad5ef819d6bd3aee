"""Plots in notebooks: one output carries the code that draws them, every output its own data.

An output is built by a small script from its data and the code, which may be in any output of the notebook, into the
same page that `Plot.html` writes, in a frame of its own. Where no script runs, or where the output with the code is
gone, it shows the plot as plain text. The kernel cannot see that an output was deleted: running a cell a second time
brings its code back, and so does `repeat_code`. Front ends that keep outputs apart get the whole page in each.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from typing import Any

from interpreto.visualizations.html import assets, embed

_DATA = re.compile('(?<=<script type="application/json" id="data">)([^<]*)')
_MOST_TEXT = 4000  # letters of the plain text
_GONE = (
    "This is a picture as plain text: the cell that carries the code of the pictures is gone, or this notebook is not "
    "trusted. Run this cell again to draw it."
)
# One of these marks a front end that shows each output in a document of its own, or that is not known well enough.
_APART_MODULES = ("google.colab",)
_APART_VARIABLES = ("VSCODE_PID", "VSCODE_CWD", "PYCHARM_HOSTED", "DATABRICKS_RUNTIME_VERSION")


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a notebook's cell.

    Args:
        cell: The cell's name; `None` where the front end does not tell it.
        count: Which run of the kernel it is.
    """

    cell: str | None
    count: int


# Of each piece of code: the run whose output carries it; of cell and code: the run that relied on it, and on which.
_carried: dict[str, Run] = {}
_relied: dict[tuple[str | None, str], tuple[Run, Run]] = {}


def repeat_code() -> None:
    """The next plot of each kind carries its code again, as after the output that carried it was deleted.

    >>> repeat_code()
    """
    _carried.clear()
    _relied.clear()


def output(
    page: str, styles: Sequence[str], scripts: Sequence[str], title: str, height: int, text: Callable[[], str]
) -> str:
    """A plot as the output of a notebook's cell.

    Args:
        page: The whole page.
        styles: Its styles, each of which pages share, in their order.
        scripts: Its scripts, in the same way.
        title: What the frame is called.
        height: Of the frame, in pixels.
        text: The plot without colours, for where it cannot be drawn.

    Returns:
        HTML: the page in a frame, or what builds that frame in the notebook. Nothing of the data is markup in it.
    """
    run = current_run()
    if run is None:
        return (
            f'<iframe title="{escape(title)}" sandbox="allow-scripts" width="100%" height="{height}" '
            f'style="border:0;resize:vertical" srcdoc="{escape(page)}"></iframe>'
        )
    head, data, tail = _DATA.split(page, maxsplit=1)
    parts = [*_cut(head, styles), {"data": "all"}, *_cut(tail, scripts)]
    code = {_name(piece): piece for piece in (*styles, *scripts) if _carries(run, _name(piece))}
    block = '<script type="application/json" data-{}>{}</script>\n'
    plain = text()
    shown = plain if len(plain) <= _MOST_TEXT else plain[:_MOST_TEXT] + "…"
    return (
        '<div class="interpreto-plot">\n'
        f'<pre style="white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate">{escape(shown)}</pre>\n'
        f"<p><small>{_GONE}</small></p>\n"
        + block.format("page", embed({"title": title, "height": height, "page": parts}))
        + block.format("data", data)
        + (block.format("code", embed(code)) if code else "")
        + f"<script>{assets('js', ['notebook'])}</script>\n</div>"
    )


def current_run() -> Run | None:
    """The run of a Jupyter cell that is going on; `None` elsewhere, and where outputs cannot share anything."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if shell is None or not hasattr(shell, "kernel") or not hasattr(shell, "get_parent"):
        return None
    if any(name in sys.modules for name in _APART_MODULES) or any(name in os.environ for name in _APART_VARIABLES):
        return None
    parent = shell.get_parent()
    if parent.get("header", {}).get("msg_type") != "execute_request":  # a widget: nobody knows where its output goes
        return None
    return Run(parent.get("metadata", {}).get("cellId"), shell.execution_count)


def _carries(run: Run, code: str) -> bool:
    """Whether the output of this run carries a piece of code.

    It does if no other output is known to, or none may be left: if an earlier run of this cell carried it, or already
    relied on the output that carries it, and the cell is run again, which is what a reader does who sees only text.
    """
    where = _carried.get(code)
    if where == run:
        return False
    relied = _relied.get((run.cell, code))
    again = relied is not None and relied[0] != run and relied[1] == where
    if where is None or run.cell is None or where.cell == run.cell or again:
        _carried[code] = run
        return True
    _relied[run.cell, code] = (run, where)
    return False


def _cut(page: str, shared: Sequence[str]) -> list[Any]:
    """A piece of a page, with the names of what it shares in place of it."""
    parts: list[Any] = []
    for code in shared:
        before, page = page.split(code, maxsplit=1)
        parts += [before, {"code": _name(code)}]
    return [*parts, page]


def _name(code: str) -> str:
    return sha256(code.encode()).hexdigest()[:16]
