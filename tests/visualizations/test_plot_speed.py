"""Long texts without lag: how long a browser takes to draw them, and to answer a click.

Times are those of a machine that has nothing else to do: what was measured, times the share of it in which the page's
thread was really running. Of each time the best of several rounds counts, and of clicks the slowest of these.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from interpreto.attributions.result import Attribution
from interpreto.visualizations import plot_attributions
from tests.visualizations.handmade import make_classification, make_generation

FIRST_PAINT, CLICK = 300, 50  # milliseconds
ROUNDS = 8  # at most; no more than it takes
PLACES = (0.9, 0.1, 0.6, 0.3)  # of what is clicked, among all that can be

PAINTED = """() => new Promise(done => new PerformanceObserver(list => done(list.getEntries()[0].startTime))
  .observe({ type: "paint", buffered: true }))"""
# Until the frame after the click is painted: a message that is posted in an animation frame comes after its painting.
CLICKED = """([selector, share]) => {
  const nodes = document.querySelectorAll(selector), node = nodes[Math.floor(share * nodes.length)];
  const start = performance.now();
  node.click();
  document.body.getBoundingClientRect();
  return new Promise(done => requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => done(performance.now() - start);
    channel.port2.postMessage(0);
  }));
}"""


@cache
def classification() -> Attribution:
    """5,000 words, 6 classes."""
    return make_classification("The quick brown fox jumps over dogs, again. " * 500, names="abcdef")


@cache
def generation(scale: int = 1) -> Attribution:
    """2,500 tokens in, 500 tokens out, or a part of either."""
    prompt, answer = "The quick brown fox jumps over dogs, again. ", " It is so, and it is not so."
    return make_generation(prompt * (250 // scale), answer * (56 // scale))


LONG: dict[str, tuple[Callable[[], Attribution], str]] = {
    "classification": (classification, "[aria-label=Targets] [role=radio]"),
    "generation": (generation, ".pick"),
}


class Clock:
    """How long the page's thread was busy, by the wall and by the processor."""

    def __init__(self, page: Any) -> None:
        self.sessions = []
        for domain in ("timeTicks", "threadTicks"):
            session = page.context.new_cdp_session(page)
            session.send("Performance.enable", {"timeDomain": domain})
            self.sessions.append(session)
        self.before = [0.0, 0.0]

    def busy(self) -> list[float]:
        values = (session.send("Performance.getMetrics")["metrics"] for session in self.sessions)
        return [next(one["value"] for one in found if one["name"] == "TaskDuration") for found in values]

    def start(self) -> None:
        self.before = self.busy()

    def share(self) -> float:
        """The part of the time since the start in which the thread was running, not waiting for a processor."""
        wall, processor = (now - before for now, before in zip(self.busy(), self.before, strict=True))
        return min(processor / wall, 1.0)


def slowest_click(found: dict[str, list[float]]) -> float:
    return max(min(found[f"click at {place}"]) for place in PLACES)


def quick(found: dict[str, list[float]]) -> bool:
    return min(found["first paint"]) < FIRST_PAINT and slowest_click(found) < CLICK


@pytest.fixture(scope="module", params=list(LONG))
def measured(request: Any, browser: Any, tmp_path_factory: Any) -> dict[str, list[float]]:
    """Milliseconds of first paints and of clicks."""
    make, selector = LONG[request.param]
    path = Path(tmp_path_factory.mktemp("long")) / "page.html"
    plot_attributions(make()).save(path)
    found: dict[str, list[float]] = {"first paint": [], **{f"click at {place}": [] for place in PLACES}, "wall": []}
    for _ in range(ROUNDS):
        page = browser.new_page(viewport={"width": 900, "height": 700})
        clock = Clock(page)
        clock.start()
        page.goto(path.as_uri())
        paint = page.evaluate(PAINTED)
        found["first paint"].append(paint * clock.share())
        found["wall"].append(paint)
        page.wait_for_timeout(300)
        for place in PLACES:
            clock.start()
            click = page.evaluate(CLICKED, [selector, place])
            found[f"click at {place}"].append(click * clock.share())
            found["wall"].append(click)
            page.wait_for_timeout(150)
        page.close()
        if quick(found):
            break
    print(request.param, {key: [round(value) for value in values] for key, values in found.items()})
    return found


def test_first_paint_is_quick(measured: dict[str, list[float]]) -> None:
    assert min(measured["first paint"]) < FIRST_PAINT


def test_a_click_is_answered_at_once(measured: dict[str, list[float]]) -> None:
    assert slowest_click(measured) < CLICK


def test_a_large_page_is_no_larger_than_its_numbers() -> None:
    """350,000 numbers and what is written to them."""
    result = generation(2)
    known = int((~result.scores.isnan()).sum())
    assert len(plot_attributions(result).html()) < 4.1 * known + 130_000
