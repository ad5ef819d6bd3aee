"""Every picture, with texts that try to run, to load, to leave their box, or to turn what stands beside them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from interpreto.visualizations import plot_attributions, plot_comparison, plot_concepts
from tests.visualizations.every_view import EVERY_VIEW
from tests.visualizations.handmade import make_classification
from tests.visualizations.hostile import HOSTILE, LONE_SURROGATES, LONG
from tests.visualizations.test_accessibility import states
from tests.visualizations.test_plot_concepts import make_importance, make_local

Open = Callable[..., Any]
pytestmark = pytest.mark.slow
# Tags that no picture has, handlers, whatever could load or lead elsewhere; markup of the page itself is not counted.
FOREIGN = """() => {
  const tags = "a, area, audio, base, embed, form, frame, iframe, image, img, link, object, picture, source, video";
  const nodes = [...document.querySelectorAll("*")];
  const loads = /^(on|src|href|action|formaction|data$|srcset|ping|poster|background|xlink)/i;
  return [
    ...[...document.querySelectorAll(tags)].map((node) => node.outerHTML.slice(0, 200)),
    ...nodes.flatMap((node) => [...node.attributes].map(({ name }) => name).filter((name) => loads.test(name))),
  ];
}"""
# Text with marks that turn the direction, outside of a text that is shown as it was written, which stands in a line
# with something else: a node of its own keeps the turn to itself where it is isolated, or no part of a line.
TURNED = """() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const node = walker.currentNode, parent = node.parentElement;
    if (!/[\\u202a-\\u202e\\u2066-\\u2069]/.test(node.data) || parent.closest(".text, script, style, title")) continue;
    const style = getComputedStyle(parent);
    const apart = style.unicodeBidi !== "normal" || parent instanceof SVGElement || style.display !== "inline";
    if (!apart || parent.childNodes.length > 1) found.push(parent.outerHTML.slice(0, 300));
  }
  return found;
}"""
TOO_WIDE = "document.documentElement.scrollWidth - window.innerWidth"


TOURED = (HOSTILE[0], HOSTILE[7], HOSTILE[12])  # markup, a long line without blanks, a turn of the direction


def check(page: Any, tags: set[str], state: str) -> None:
    assert page.evaluate(FOREIGN) == [], state
    assert page.evaluate(TURNED) == [], state
    assert page.evaluate(TOO_WIDE) <= 0, state
    assert set(page.evaluate("[...document.querySelectorAll('*')].map(node => node.tagName)")) <= tags, state


@pytest.mark.parametrize("name", EVERY_VIEW)
def test_hostile_texts_run_nothing_and_stay_in_their_box(show: Open, name: str) -> None:
    usual = show(EVERY_VIEW[name](None).html())
    scripts = usual.evaluate("document.scripts.length")
    tags = {"SMALL", "H4"}  # of notes that the usual picture has no need of
    for _ in states(usual):
        tags |= set(usual.evaluate("[...document.querySelectorAll('*')].map(node => node.tagName)"))
    # All of them where texts come from users most; elsewhere every third, and those that are toured.
    some = HOSTILE[:-1] if name in ("classification", "generation") else dict.fromkeys([*HOSTILE[:-1:3], *TOURED])
    for text in [*some, LONE_SURROGATES]:
        page = show(EVERY_VIEW[name](text).html())
        page.set_viewport_size({"width": 360, "height": 700})
        for state in states(page) if text in TOURED else ["at first"]:
            check(page, tags, f"{text!r}, {state}")
        assert page.evaluate("document.scripts.length") == scripts
        word = re.search(r"\w{3,}|\w", text)
        assert word is not None
        assert word[0] in page.evaluate("document.body.textContent")
        for kind in ("[data-element]", ".concept > .number", "td"):  # what they tell is shown beside them
            if page.locator(kind).count():
                page.locator(kind).first.dispatch_event("pointerover")
                assert page.evaluate(TURNED) == [], text
        page.close()


@pytest.mark.parametrize("name", EVERY_VIEW)
def test_a_word_of_a_megabyte_stays_in_its_box(show: Open, name: str) -> None:
    page = show(EVERY_VIEW[name](LONG).html())
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate(TOO_WIDE) <= 0
    # Each choice of a few; with the time that it takes, layout included: seconds on a busy machine, not minutes.
    slowest = page.evaluate(
        """() => Math.max(0, ...[...document.querySelectorAll("[role=radio]")].slice(0, 8).map((node) => {
          const start = performance.now();
          node.dispatchEvent(new MouseEvent("click", { bubbles: true }));
          document.body.getBoundingClientRect();
          return performance.now() - start;
        }))"""
    )
    assert slowest < 20_000
    assert page.evaluate(TOO_WIDE) <= 0


NAMES = [f"label number {k}" for k in range(10_000)]
MANY = {
    "classification": lambda: plot_attributions(make_classification("one two three", names=NAMES)),
    "comparison": lambda: plot_comparison({name: make_classification("a b", names=NAMES[:1000]) for name in "ab"}),
    "concepts": lambda: plot_concepts(None, make_importance(NAMES)),
    "concepts-local": lambda: plot_concepts(None, None, make_local(names=NAMES)),
}


@pytest.mark.parametrize("name", MANY)
def test_ten_thousand_labels_stay_in_hand(show: Open, name: str) -> None:
    page = show(MANY[name]().html())
    assert page.evaluate(TOO_WIDE) <= 0
    last = page.locator(".targets").last.locator("[role=radio]").last
    last.click()
    assert last.get_attribute("aria-checked") == "true"
