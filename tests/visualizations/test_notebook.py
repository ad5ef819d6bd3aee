"""Plots in notebooks: who carries the code, and what a page of outputs shows, whatever is left of it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from interpreto.attributions.result import Attribution
from interpreto.visualizations import Plot, html, notebook, plot_attributions, plot_comparison, plot_concepts
from tests.visualizations.handmade import make_classification, make_generation
from tests.visualizations.hostile import HOSTILE
from tests.visualizations.test_page import read
from tests.visualizations.test_plot_concepts import make_importance, make_interpretations

Open = Callable[..., Any]
Kernel = Callable[..., str]


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    """A call runs a cell that shows plots, as Jupyter's kernel would, and returns its outputs."""
    for name in notebook._APART_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    notebook.repeat_code()
    count = 0

    def run(cell: str | None, *plots: Plot, kind: str = "execute_request") -> str:
        nonlocal count
        count += 1
        parent = {"header": {"msg_type": kind}, "metadata": {} if cell is None else {"cellId": cell}}
        shell = SimpleNamespace(kernel=object(), get_parent=lambda: parent, execution_count=count)
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
        return "\n".join(plot._repr_html_() for plot in plots)

    yield run
    notebook.repeat_code()


@pytest.fixture
def plot(classification: Attribution) -> Plot:
    return plot_attributions(classification)


def blocks(output: str, name: str) -> list[Any]:
    return [json.loads(text) for text in re.findall(rf"data-{name}>([^<]*)</script>", output)]


def carried(output: str) -> list[int]:
    """How many pieces of code each output of a cell carries."""
    return [box.count("data-code>") and len(blocks(box, "code")[0]) for box in output.split("<div class=")[1:]]


def document(*outputs: str) -> str:
    """Outputs below each other, as a notebook that is written as a page has them."""
    cells = "".join(f"<section><p>Cell {k}</p><div>{output}</div></section>" for k, output in enumerate(outputs))
    return f"<!DOCTYPE html><html lang=en><meta charset=utf-8><title>Notebook</title><body>{cells}</body></html>"


def picked(frame: Any) -> str:
    targets = frame.get_by_role("radiogroup", name="Targets")
    return str(targets.locator("[role=radio][aria-checked=true]").inner_text()).strip()


# The kernel's side


def test_outside_of_a_kernel_the_whole_page_is_in_the_frame(plot: Plot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert plot._repr_html_().startswith("<iframe ")
    for shell in (None, SimpleNamespace(execution_count=1)):  # IPython without a notebook
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda shell=shell: shell))
        assert plot._repr_html_().startswith("<iframe ")


def test_front_ends_that_keep_outputs_apart_get_whole_pages(
    plot: Plot, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kernel("a", plot, kind="comm_msg").startswith("<iframe ")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "google.colab", SimpleNamespace())
        assert kernel("a", plot).startswith("<iframe ")
    with monkeypatch.context() as patch:
        patch.setenv("VSCODE_PID", "7")
        assert kernel("a", plot).startswith("<iframe ")
    assert kernel("a", plot).startswith("<div ")


def test_each_view_brings_its_code_once(plot: Plot, kernel: Kernel, generation: Attribution) -> None:
    concepts = plot_concepts(make_interpretations(), make_importance())
    assert carried(kernel("a", plot, plot)) == [5, 0]  # styles and scripts of page and view, and what starts them
    assert carried(kernel("b", plot_attributions(generation))) == [0]
    assert carried(kernel("c", concepts, plot)) == [2, 0]
    assert carried(kernel("d", concepts)) == [0]


def test_ten_plots_cost_one_code_and_ten_data(plot: Plot, kernel: Kernel) -> None:
    alone = len(plot.html())
    outputs = [kernel(f"cell {k}", plot) for k in range(10)]
    data = len(json.dumps(plot.figures[0].payload()))
    assert len(outputs[0]) < alone + data + 6000
    assert all(len(output) < data + 5000 for output in outputs[1:])


def test_the_cell_that_carried_the_code_carries_it_again(plot: Plot, kernel: Kernel) -> None:
    assert carried(kernel("a", plot)) == [5]
    assert carried(kernel("b", plot)) == [0]
    assert carried(kernel("a", plot, plot)) == [5, 0]
    assert carried(kernel("c", plot)) == [0]


def test_a_cell_without_code_gets_it_when_it_is_run_again(plot: Plot, kernel: Kernel) -> None:
    """The kernel cannot know that the cell with the code was deleted; its reader does, and runs the cell again."""
    kernel("a", plot)
    kernel("b", plot)
    kernel("c", plot)
    assert carried(kernel("b", plot, plot)) == [5, 0]
    assert carried(kernel("c", plot)) == [0]
    assert carried(kernel("c", plot)) == [5]


def test_running_all_cells_again_costs_one_code(plot: Plot, kernel: Kernel) -> None:
    for _ in range(3):
        assert [carried(kernel(cell, plot)) for cell in "abc"] == [[5], [0], [0]]


def test_cells_without_a_name_carry_the_code_once_a_run(plot: Plot, kernel: Kernel) -> None:
    assert carried(kernel(None, plot, plot)) == [5, 0]
    assert carried(kernel(None, plot, plot)) == [5, 0]


def test_repeat_code_brings_the_code_back(plot: Plot, kernel: Kernel) -> None:
    kernel("a", plot)
    notebook.repeat_code()
    assert carried(kernel("b", plot)) == [5]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:12]))
def test_nothing_of_the_data_is_markup(kernel: Kernel, text: str) -> None:
    def tags(text: str) -> list[str]:
        result = replace(make_classification(text, names=[text, "b"]), method=text, settings={text: text})
        return re.findall(r"<[^>]*>?", kernel(text, plot_attributions(result)))

    notebook.repeat_code()
    usual = [len(tag) for tag in tags("usual")]
    notebook.repeat_code()
    assert [len(tag) for tag in tags(text)] == usual


def test_long_texts_are_cut_off_in_the_plain_text_only(kernel: Kernel) -> None:
    long = plot_attributions(make_classification("word " * 2000))
    output = kernel("a", long)
    assert len(re.findall(r"<pre[^>]*>(.*?)</pre>", output, re.S)[0]) < 6000
    assert sum(len(piece) for piece, *_ in blocks(output, "data")[0]["figures"][0]["parts"][0]["pieces"]) == 10_000


# The notebook's side


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 0, 3, 2)], ids=["in order", "reversed", "mixed"])
def test_outputs_are_drawn_in_any_order(show: Open, kernel: Kernel, plot: Plot, order: tuple[int, ...]) -> None:
    plots = [plot, plot_concepts(make_interpretations(), make_importance()), plot, plot_attributions(make_generation())]
    outputs = [kernel(str(k), one) for k, one in enumerate(plots)]
    page = show(document(*(outputs[k] for k in order)))
    frames = page.locator("iframe")
    assert frames.count() == 4
    for place, k in enumerate(order):
        assert frames.nth(place).get_attribute("srcdoc") == plots[k].html()
        assert frames.nth(place).get_attribute("sandbox") == "allow-scripts"
        assert frames.nth(place).content_frame.locator("section.figure").count() == 1
    assert page.get_by_text("as plain text").count() == 0


def test_plots_of_a_notebook_do_not_disturb_each_other(show: Open, kernel: Kernel, plot: Plot) -> None:
    page = show(document(*(kernel(cell, plot) for cell in "abc")))
    first, second, third = (page.locator("iframe").nth(k).content_frame for k in range(3))
    first.get_by_role("radio", name="fear").click()
    third.get_by_role("radio", name="love").click()
    assert [picked(frame)[:3] for frame in (first, second, third)] == ["fea", "joy", "lov"]
    assert (
        page.evaluate("[document.querySelectorAll('.tip, .figure, style').length, typeof views].join()")
        == "0,undefined"
    )


def test_without_its_code_a_plot_is_text_until_the_code_comes(show: Open, kernel: Kernel, plot: Plot) -> None:
    outputs = [kernel(cell, plot) for cell in "abc"]
    comparison = kernel("d", plot_comparison([make_classification(), replace(make_classification(), method="B")]))
    page = show(document(*outputs[1:], comparison))
    assert page.locator("iframe").count() == 0
    assert page.locator("pre").first.inner_text() == str(plot)
    assert page.get_by_text("Run this cell again to draw it.").count() == 3
    assert page.locator("pre").nth(2).is_visible()
    # What a front end does with an output that it draws late, while others are out of sight and not in the page.
    page.evaluate(
        """(output) => {
          const away = document.querySelectorAll("section")[1];
          away.remove();
          const host = document.createElement("div");
          host.innerHTML = output;
          for (const old of host.querySelectorAll("script")) {
            const script = document.createElement("script");
            for (const { name, value } of old.attributes) script.setAttribute(name, value);
            script.textContent = old.textContent;
            old.replaceWith(script);
          }
          document.body.append(host, away);
        }""",
        outputs[0],
    )
    assert page.locator("iframe").count() == 4
    assert page.locator("pre").count() == 0
    for k in range(4):
        assert page.locator("iframe").nth(k).content_frame.locator("section.figure").count() == 1


def test_outputs_of_two_releases_share_a_window(show: Open, kernel: Kernel, plot: Plot, monkeypatch: Any) -> None:
    first = kernel("a", plot)
    old = html._asset
    monkeypatch.setattr(html, "_asset", lambda name: old(name) + "\n/* newer */")
    second, third = kernel("b", plot), kernel("c", plot)
    assert [carried(output) for output in (first, second, third)] == [[5], [5], [0]]
    page = show(document(third, first, second))
    sources = page.locator("iframe").evaluate_all("frames => frames.map(frame => frame.srcdoc.includes('newer'))")
    assert sources == [True, False, True]


@pytest.mark.parametrize("text", HOSTILE[:-1], ids=lambda text: repr(text[:12]))
def test_hostile_texts_run_nothing_in_the_notebook(show: Open, kernel: Kernel, text: str) -> None:
    result = replace(make_classification(text, names=[text, "b"]), method=text, settings={text: text})
    drawn, left = kernel("a", plot_attributions(result)), kernel("b", plot_attributions(result))
    page = show(document(drawn, left))
    assert page.locator("iframe").count() == 2
    page = show(document(left))
    assert page.locator("iframe, img").count() == 0
    assert page.locator("pre").inner_text() == str(plot_attributions(result))


def test_page_of_a_frame_keeps_its_policy(kernel: Kernel, plot: Plot) -> None:
    """The frame's page is byte for byte the one that `html` writes, which other tests read; so it must be whole."""
    output = kernel("a", plot)
    (page,), (code,) = blocks(output, "page"), blocks(output, "code")
    data = re.findall(r"data-data>([^<]*)<", output)[0]
    whole = "".join(
        part if isinstance(part, str) else code[part["code"]] if "code" in part else data for part in page["page"]
    )
    assert whole == plot.html()
    assert "sha256-" in page["page"][0]
    assert read(whole)[1] == json.loads(data)
