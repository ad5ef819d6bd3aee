"""Pages in a real browser: picking, keys, two plots side by side, texts that try to run."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interpreto.attributions.result import Attribution
from interpreto.visualizations import plot_attributions
from tests.visualizations.handmade import make_classification, make_generation
from tests.visualizations.hostile import HOSTILE

CLEAR = "rgba(0, 0, 0, 0)"
Open = Callable[..., Any]


def drawn(result: Attribution | list[Attribution]) -> str:
    return plot_attributions(result).html()


def grounds(scope: Any) -> dict[str, str]:
    """Colour behind each piece of text."""
    pieces = "nodes => nodes.map(n => [n.textContent, getComputedStyle(n).backgroundColor])"
    return dict(scope.locator(".text [data-element]").evaluate_all(pieces))


def checked(scope: Any) -> str:
    picked = "[aria-label=Targets] [aria-checked=true], .pick[aria-checked=true]"
    return str(scope.locator(picked).inner_text()).strip()


def to_targets(page: Any) -> None:
    """To the buttons of the classes, past those of the views."""
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")


def test_picking_a_class_changes_the_colours(show: Open, classification: Attribution) -> None:
    page = show(drawn(classification))
    assert checked(page).startswith("joy")
    before = grounds(page)
    assert re.match(r"rgba\(240, 110, 30", before[" thrilled"])
    page.get_by_role("radio", name="fear").click()
    assert checked(page).startswith("fear")
    assert grounds(page) != before
    assert page.locator(".facts").inner_text().startswith("fear")
    word = page.locator(".text [data-element]").nth(2)
    word.click()
    assert word.get_attribute("role") == "img"
    label = word.get_attribute("aria-label")
    assert label == f"thrilled: {'−' if classification.scores[4, 2] < 0 else '+'}0.197 ± 0.02"
    page.get_by_role("radio", name="joy").click()
    assert word.get_attribute("aria-label") is None  # nothing outdated is left


def test_classes_are_picked_by_keys(show: Open, classification: Attribution) -> None:
    page = show(drawn(classification))
    to_targets(page)
    assert page.evaluate("document.activeElement.textContent").startswith("joy")
    for key, name in (("ArrowRight", "love"), ("ArrowLeft", "joy"), ("End", "neutral"), ("Home", "sadness")):
        page.keyboard.press(key)
        assert checked(page).startswith(name)
        assert page.evaluate("document.activeElement.textContent").startswith(name)


def test_words_are_one_stop_and_tell_their_numbers(show: Open, classification: Attribution) -> None:
    page = show(drawn(classification))
    to_targets(page)
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "thrilled: +3.2 ± 0.02"
    assert page.locator(".tip").inner_text().split("\n") == ["thrilled", "+3.2 ± 0.02"]
    page.keyboard.press("Escape")
    assert page.locator(".tip").is_hidden()
    page.locator(".text [data-element]").nth(6).hover()
    assert "Interpreto" in page.locator(".tip").inner_text()


def test_scale_names_its_numbers(show: Open, classification: Attribution) -> None:
    page = show(drawn(classification))
    page.get_by_role("radio", name="sadness").click()
    assert page.locator(".legend").inner_text().split("\n")[0] == "−3.2"
    faint = grounds(page)
    page.get_by_label("one scale for all targets").uncheck()
    assert page.locator(".legend").inner_text().split("\n")[0] == "−0.846"
    assert grounds(page) != faint


def test_picking_an_output_token_colours_what_came_before_it(show: Open, generation: Attribution) -> None:
    page = show(drawn(generation))
    assert checked(page) == "but"
    page.locator(".pick", has_text="models").click()
    assert checked(page) == "models"
    colours = grounds(page)
    assert re.match(r"rgba\(240, 110, 30, 0\.8[45]", colours[" language"])
    row = generation.scores[generation.target_names.index(" models")]
    for element, score in zip(generation.elements, row.tolist(), strict=True):
        if element.text != "," and score == score:  # there are several commas; the first of 25 steps begins at 1 / 50
            assert (colours[element.text] != CLEAR) == (abs(score) >= 2.5 / 50), element.text
    assert {colours[text] for text in (" models", " it", " is", " even", " better")} == {CLEAR}
    page.keyboard.press("ArrowRight")
    assert checked(page) == ","
    assert grounds(page)[" models"] != CLEAR
    page.keyboard.press("ArrowLeft")
    assert grounds(page) == colours


def test_output_is_shown_as_written(show: Open) -> None:
    page = show(drawn(make_generation("List  two\n\tfruits:", "\n- apple\n\n- pear  ")))
    texts = page.locator(".text").evaluate_all("nodes => nodes.map(node => node.textContent)")
    assert texts == ["List  two\n\tfruits:", "\n- apple\n\n- pear  "]


def test_plots_do_not_disturb_each_other(show: Open, classification: Attribution, generation: Attribution) -> None:
    plots = [plot_attributions(classification), plot_attributions(classification), plot_attributions(generation)]
    page = show("<!DOCTYPE html><meta charset=utf-8>" + "".join(plot._repr_html_() for plot in plots))
    first, second, third = page.frames[1:]
    before = grounds(second)
    first.get_by_role("radio", name="fear").click()
    assert checked(first).startswith("fear")
    assert checked(second).startswith("joy")
    assert grounds(second) == before
    third.locator(".pick", has_text="models").click()
    assert checked(third) == "models"
    assert page.evaluate("document.querySelectorAll('.tip, .figure').length") == 0


def test_results_of_one_page_are_picked_apart(show: Open, classification: Attribution, generation: Attribution) -> None:
    page = show(drawn([classification, generation, classification]))
    sections = page.locator("section")
    assert sections.locator("h2").all_inner_texts()[1].startswith("2. Occlusion")
    sections.nth(2).get_by_role("radio", name="anger").click()
    assert checked(sections.nth(0)).startswith("joy")
    assert checked(sections.nth(2)).startswith("anger")
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(node => node.id)")
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("text", HOSTILE[:-1], ids=lambda text: repr(text[:12]))
def test_hostile_texts_run_nothing_and_are_shown(show: Open, text: str) -> None:
    result = replace(make_classification(text, names=[text, "b"]), method=text, settings={text: text})
    page = show(drawn([result, make_generation(text, text)]))
    assert page.locator(".text").first.evaluate("node => node.textContent") == text
    assert page.evaluate("document.scripts.length") == 2
    assert page.locator("img, iframe, b b, svg").count() == 0


def test_policy_stops_what_gets_in_all_the_same(browser: Any, tmp_path: Path, classification: Attribution) -> None:
    broken = drawn(classification).replace("<main", "<img src=x onerror='hit=1'><script>hit=1</script><main")
    (tmp_path / "broken.html").write_text(broken, encoding="utf-8")
    page = browser.new_page()
    page.goto((tmp_path / "broken.html").as_uri())
    assert page.evaluate("typeof hit") == "undefined"
    assert checked(page).startswith("joy")
    page.close()


@pytest.mark.parametrize("text", [HOSTILE[-1], "The quick brown fox. " * 1000], ids=["one long word", "5,000 elements"])
def test_large_texts_stay_in_hand(show: Open, text: str) -> None:
    page = show(drawn(make_classification(text, names=["a", "b", "c"])))
    for name in "abc":
        page.get_by_label("Targets").get_by_role("radio", name=name).click()
        assert checked(page).startswith(name)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stay_readable_on_every_colour(show: Open, scheme: str, classification: Attribution) -> None:
    scores = classification.scores.clone()
    scores[1, 3] = -3.2
    page = show(drawn(replace(classification, scores=scores)), color_scheme=scheme)
    ratios = page.evaluate(
        """() => {
          const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
          const linear = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
          const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
          const card = parse(getComputedStyle(document.querySelector(".text")).backgroundColor);
          return [...document.querySelectorAll(".text [data-element]")].map((node) => {
            const style = getComputedStyle(node);
            const [r, g, b, alpha = 1] = parse(style.backgroundColor);
            const ground = [r, g, b].map((v, k) => alpha * v + (1 - alpha) * card[k]);
            const pair = [light(parse(style.color)), light(ground)].sort((x, y) => y - x);
            return (pair[0] + 0.05) / (pair[1] + 0.05);
          });
        }"""
    )
    assert min(ratios) >= 4.5


def test_phone_shows_everything_without_scrolling_sideways(show: Open, classification: Attribution) -> None:
    page = show(drawn([classification, make_generation()]))
    page.set_viewport_size({"width": 320, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth") == 320


def test_text_from_right_to_left_reads_and_walks_that_way(show: Open) -> None:
    page = show(drawn(make_classification("أحببت هذا الفيلم كثيرا", names=["a"])))
    assert page.locator(".text").evaluate("node => getComputedStyle(node).direction") == "rtl"
    to_targets(page)
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.textContent") == " هذا"
