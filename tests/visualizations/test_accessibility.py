"""Every picture, light and dark, on a desk and on a phone: what axe-core finds, and a screenshot to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.visualizations.every_view import EVERY_VIEW

Open = Callable[..., Any]
SCREENSHOTS = Path(__file__).parents[2] / "artifacts" / "screenshots"
WIDTHS = (1000, 360)


@cache
def axe() -> str:
    pytest.importorskip("axe_playwright_python")
    return files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


def violations(page: Any) -> list[str]:
    """What axe-core's rules, all those that are on by default, find wrong, a line each node.

    Playwright evaluates its script from outside of the page, whose policy would not let it in.
    """
    page.evaluate(axe())
    found = page.evaluate("async () => (await axe.run(document, { resultTypes: ['violations'] })).violations")
    return [f"{rule['id']}: {node['html'][:200]} {node['failureSummary']}" for rule in found for node in rule["nodes"]]


def states(page: Any) -> Iterator[str]:
    """The picture as it opens, then with each of a few choices, as of the form, and with all unfolded."""
    yield "at first"
    for summary in page.locator("summary").all():
        summary.click()
    alike = ("Classes", "method to bring out")  # their choices look the same
    groups = [group for group in page.locator(".targets").all() if group.get_attribute("aria-label") not in alike]
    for group in groups:
        names = group.locator("[role=radio]")
        for k in range(names.count() if names.count() <= 4 else 0):
            if group.is_visible():
                names.nth(k).click()
                yield f"{group.get_attribute('aria-label')}: {names.nth(k).inner_text()}"


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", EVERY_VIEW)
def test_nothing_hinders_a_reader(show: Open, name: str, scheme: str) -> None:
    page = show(EVERY_VIEW[name](None).html(), color_scheme=scheme)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    found = {}
    for number, state in enumerate(states(page)):
        if number and scheme == "dark":  # the same markup as in light, in colours that the first state has shown
            break
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            picture = f"{name}-{scheme}-{width}{f'-{number}' if number else ''}.png"
            page.screenshot(path=SCREENSHOTS / picture, full_page=True)
            if number == 0 or width == WIDTHS[number % 2]:
                found[f"{state}, {width} px"] = violations(page)
    assert {state: lines for state, lines in found.items() if lines} == {}


def test_the_check_finds_what_is_wrong(show: Open) -> None:
    """A check that never fails would say nothing."""
    page = show("<!DOCTYPE html><html><title>a</title><p style='color:#ccc'>faint<input><img src='data:,'>")
    assert {line.split(":")[0] for line in violations(page)} >= {
        "color-contrast",
        "html-has-lang",
        "image-alt",
        "label",
    }
