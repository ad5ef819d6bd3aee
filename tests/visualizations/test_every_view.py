"""What holds for every picture: valid and small pages, keys alone, paper, other colours, two on one page."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import html5lib
import pytest

from interpreto.visualizations import Plot
from tests.visualizations.every_view import EVERY_VIEW
from tests.visualizations.hostile import HOSTILE

Open = Callable[..., Any]
SCRIPTED = [name for name in EVERY_VIEW if name != "sweep"]  # which is a still page
OF_PAGE = ("html", "head", "meta", "title", "style", "body", "main", "script", "noscript")


@pytest.mark.parametrize("name", EVERY_VIEW)
def test_pages_are_valid_small_and_say_their_charset(name: str) -> None:
    page = EVERY_VIEW[name](None).html()
    html5lib.HTMLParser(strict=True).parse(page)
    for text in HOSTILE[:-1]:
        html5lib.HTMLParser(strict=True).parse(EVERY_VIEW[name](text).html())
    assert page.startswith("<!DOCTYPE html>\n")
    assert '<meta charset="utf-8">' in page.encode()[:1024].decode()
    without_data = re.sub(r'(<script type="application/json" id="data">).*?</script>', r"\1</script>", page, flags=re.S)
    assert len(without_data.encode()) < 60_000


@pytest.mark.parametrize("name", EVERY_VIEW)
def test_two_on_one_page_have_names_of_their_own(show: Open, name: str) -> None:
    """And what is picked in the first leaves the second as it was."""
    plot = EVERY_VIEW[name](None)
    if not isinstance(plot, Plot):
        pytest.skip("one picture a page")
    page = show(Plot(plot.figures * 2, plot.title).html())
    first, second = page.locator("section.figure").all()
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(node => node.id)")
    assert len(ids) == len(set(ids))
    named = page.evaluate(
        """() => [...document.querySelectorAll("[aria-labelledby], [aria-controls], [for]")].every((node) => {
          const id = node.getAttribute("aria-labelledby") || node.getAttribute("aria-controls") || node.htmlFor;
          const other = document.getElementById(id);
          return other && other.closest(".figure") === node.closest(".figure");
        })"""
    )
    assert named
    before, after = second.inner_html(), first.inner_html()
    for group in first.get_by_role("radiogroup").all():
        if group.is_visible():
            group.get_by_role("radio").last.dispatch_event("click")
    page.mouse.move(0, 0)
    assert second.inner_html() == before
    assert first.inner_html() != after or not first.get_by_role("radio").count()


STOPS = "[role=radiogroup], [role=slider], [role=grid], select, input, summary"
WHERE = f"""() => {{
  const stops = [...document.querySelectorAll("{STOPS}")];
  return stops.indexOf(document.activeElement.closest("{STOPS}"));
}}"""
SEEN = """() => [document.activeElement, ...document.activeElement.children].some((node) => {
  const { outlineStyle, strokeWidth } = getComputedStyle(node);
  return outlineStyle !== "none" || strokeWidth === "3px";
})"""
FOCUSED = "document.activeElement.outerHTML"


@pytest.mark.parametrize("name", SCRIPTED)
def test_everything_is_reached_and_picked_by_keys_alone(show: Open, name: str) -> None:
    """Tab comes through every group of choices, arrow keys move within it, and the focus is always seen."""
    page = show(EVERY_VIEW[name](None).html())
    stops = page.locator(STOPS)
    visible = {k for k, stop in enumerate(stops.all()) if stop.is_visible()}
    assert visible
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        at = page.evaluate(WHERE)
        if at < 0 or at in reached:
            continue
        reached.add(at)
        assert page.evaluate(SEEN), f"the focus in stop {at} is not seen"
        stop, was = stops.nth(at), page.evaluate(FOCUSED)
        if stop.get_attribute("role") == "slider":
            page.keyboard.press("ArrowRight")
            assert page.evaluate(FOCUSED) != was
        elif stop.get_attribute("role") == "radiogroup" and stop.get_by_role("radio").count() > 1:
            there, back = "ArrowRight", "ArrowLeft"
            page.keyboard.press(there)
            if page.evaluate(FOCUSED) == was:  # it was the last one
                there, back = back, there
                page.keyboard.press(there)
            assert page.evaluate(FOCUSED) != was
            assert page.evaluate(WHERE) == at
            assert page.evaluate("document.activeElement.getAttribute('aria-checked')") == "true"
            page.keyboard.press(back)
    assert visible <= reached


# What means something keeps its colour where a reader's own colours rule; what has none has none there, too.
FILLS = """() => [...document.querySelectorAll("[data-element], .meter span, td")].map((node) => {
  const colour = getComputedStyle(node).backgroundColor;
  return colour.endsWith(", 0)") ? "none" : colour;
})"""


@pytest.mark.parametrize("name", EVERY_VIEW)
@pytest.mark.parametrize("media", [{"forced_colors": "active"}, {"reduced_motion": "reduce"}, {"media": "print"}])
def test_other_media_show_the_same(show: Open, name: str, media: dict[str, str]) -> None:
    page = show(EVERY_VIEW[name](None).html())
    text, colours = page.evaluate("document.body.innerText"), page.evaluate(FILLS)
    page.emulate_media(**media)
    assert page.evaluate("document.body.innerText") == text
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.evaluate(FILLS) == colours
    assert page.evaluate("document.getAnimations().length") == 0
