"""Pictures of concepts in a real browser: picking classes, concepts, rows and targets, by pointer and by keys."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch

from interpreto.visualizations import plot_attributions, plot_concepts
from tests.visualizations.handmade import make_classification
from tests.visualizations.test_plot_concepts import make_importance, make_interpretations, make_local

CLEAR = "rgba(0, 0, 0, 0)"
Open = Callable[..., Any]


def ranked() -> str:
    return plot_concepts(make_interpretations(), make_importance()).html()


def local(**options: Any) -> str:
    return plot_concepts(make_interpretations(), None, make_local(**options)).html()


def checked(scope: Any, group: str) -> str:
    picked = scope.get_by_role("radiogroup", name=group).locator("[role=radio][aria-checked=true]")
    return str(picked.inner_text()).strip()


def numbers(scope: Any) -> list[str]:
    return [str(text) for text in scope.locator(".concept .number").all_inner_texts()]


def grounds(scope: Any) -> dict[str, str]:
    pieces = "nodes => nodes.map(n => [n.textContent, getComputedStyle(n).backgroundColor])"
    return dict(scope.locator("[data-element]").evaluate_all(pieces))


def test_picking_a_class_ranks_its_concepts(show: Open) -> None:
    page = show(ranked())
    assert checked(page, "Classes").startswith("Overall")
    page.get_by_role("radio", name="Sports").click()
    shares = make_importance().table(normalized=True)[1].sort(descending=True)
    assert numbers(page) == [f"{share:.3f}" for share in shares.values.tolist()]
    assert page.locator(".panel .title").inner_text().lower().endswith(f"concept {shares.indices[0]}")
    assert page.locator(".hint").first.inner_text() == "4 concepts, over 4 texts"


def test_picking_a_concept_shows_its_examples(show: Open) -> None:
    page = show(ranked())
    page.locator(".concept", has_text="names of teams").click()
    assert checked(page, "Concepts").splitlines()[1:] == ["names of teams", "won · scored"]
    assert page.locator(".examples li").all_inner_texts() == ["2.5\nThe team won the game", "2\nShe scored twice"]
    pieces = dict(
        page.locator(".examples li")
        .first.locator("[data-activation]")
        .evaluate_all("nodes => nodes.map(n => [n.textContent, getComputedStyle(n).backgroundColor])")
    )
    assert re.match(r"rgba\(240, 110, 30, 0\.8[45]", pieces["won"])
    assert re.match(r"rgba\(240, 110, 30, 0\.42", pieces["team"])
    assert re.match(r"rgba\(70, 140, 240, 0\.1[67]", pieces["game"])
    page.locator(".concept", has_text="never active").click()
    assert "No example" in page.locator(".panel").inner_text()


def test_picked_concept_stays_from_class_to_class(show: Open) -> None:
    page = show(ranked())
    page.locator(".concept", has_text="prices and shares").click()
    for name in ("World", "Business", "Overall"):
        page.get_by_role("radio", name=name).first.click()
        assert "prices and shares" in checked(page, "Concepts")
    assert page.locator(".across li").count() == 3


def test_bars_are_as_long_as_the_shares(show: Open) -> None:
    page = show(ranked())
    page.get_by_role("radio", name="World").click()
    importance = make_importance()
    order = importance.top("World")
    absolute, signed = importance.absolute[2][order], importance.signed[2][order]
    boxes = page.locator(".concept .meter").evaluate_all(
        """nodes => nodes.map((node) => [node, node.firstChild, node.firstChild.firstChild].map(
            (part) => part.getBoundingClientRect().width))"""
    )
    for (whole, long, solid), one, net in zip(boxes, absolute.tolist(), signed.tolist(), strict=True):
        assert long / whole == pytest.approx(one / float(absolute[0]), abs=0.02)
        assert solid / long == pytest.approx(abs(net) / one, abs=0.02)
    classes = page.locator(".concept .meter > span").evaluate_all("nodes => nodes.map(n => n.className)")
    assert classes == ["plus" if net >= 0 else "minus" for net in signed.tolist()]


def test_classes_and_concepts_are_picked_by_keys(show: Open) -> None:
    page = show(ranked())
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    assert checked(page, "Classes").startswith("Business")
    page.keyboard.press("Tab")
    first = checked(page, "Concepts")
    facts = page.locator(".panel .facts").inner_text()
    assert facts.startswith(f"{float(first.split()[0]):.3g}share")
    page.keyboard.press("ArrowDown")
    assert checked(page, "Concepts") != first
    assert page.evaluate("document.activeElement.getAttribute('aria-checked')") == "true"
    page.keyboard.press("End")
    assert page.locator(".concept").last.get_attribute("aria-checked") == "true"


def test_value_shows_on_hover(show: Open) -> None:
    page = show(ranked())
    page.locator(".concept .meter").nth(1).hover()
    share = numbers(page)[1]
    assert f"share {share}, mean |weight| " in page.locator(".tip").inner_text()


def test_concepts_alone_are_listed_with_their_numbers(show: Open) -> None:
    page = show(plot_concepts(make_interpretations()).html())
    assert numbers(page) == ["0", "1", "2", "3"]
    assert page.locator(".meter").count() == 0
    assert page.get_by_role("radiogroup").count() == 1
    page.locator("summary").click()
    assert "k_examples" in page.locator("details").inner_text()


def test_examples_stay_beside_the_list_and_below_it_on_a_phone(show: Open) -> None:
    page = show(ranked())
    rows = page.locator(".concept")
    heights = [row.bounding_box()["height"] for row in rows.all()]
    assert max(heights) < 80
    panel = page.locator(".panel").bounding_box()
    assert panel["x"] > rows.first.bounding_box()["width"]
    page.set_viewport_size({"width": 320, "height": 640})
    assert page.locator(".panel").bounding_box()["y"] > rows.first.bounding_box()["y"] + 30
    assert page.evaluate("document.documentElement.scrollWidth") == 320


def test_picking_a_row_shows_its_concepts(show: Open) -> None:
    result = make_local()
    page = show(local())
    assert numbers(page)[0].startswith("−" if result.weights[0].sum() < 0 else "+")
    for row, name in enumerate(("The", "bank", "won", "money")):
        page.get_by_role("radio", name=name).and_(page.locator("[data-element]")).click()
        assert page.locator(".right h3").inner_text().startswith(f"Concepts at “{name}”")
        weights = result.weights[0, row]
        active = int((result.codes[row] != 0).sum())
        found = page.locator(".concept:not([data-concept='-1'])")
        assert found.count() == active
        if active:
            c = int(weights.abs().argmax())
            label = ["names of teams", "bank · money", "prices and shares", "concept 3"][c]
            assert label in found.first.inner_text()
            assert f"activation {float(result.codes[row, c]):.3g}" in found.first.inner_text()
    page.get_by_role("button", name="whole text").click()
    assert page.locator(".right h3").inner_text() == "Concepts in the whole text"


def test_picking_a_concept_colours_its_rows(show: Open) -> None:
    result = make_local()
    page = show(local())
    before = grounds(page)
    page.locator(".concept", has_text="bank · money").click()
    assert grounds(page) != before
    for row, name in enumerate(("The", "bank", "won", "money")):
        weight = float(result.weights[0, row, 1])
        colour = grounds(page)[name]
        assert (colour == CLEAR) == (weight == 0)
        if weight:
            assert colour.startswith("rgba(240, 110, 30" if weight > 0 else "rgba(70, 140, 240")
    page.get_by_role("radio", name="activation", exact=True).click()
    coloured = {name for name, colour in grounds(page).items() if colour.startswith("rgba(240, 110, 30")}
    assert coloured == {name for row, name in enumerate(("The", "bank", "won", "money")) if result.codes[row, 1]}
    label = page.locator("[data-element]").nth(int(result.codes[:, 1].argmax())).get_attribute("aria-label")
    assert label.endswith(f"activation {float(result.codes[:, 1].max()):.3g}")


def test_picking_a_target_changes_weights_and_keeps_the_rest(show: Open) -> None:
    page = show(local())
    assert checked(page, "Targets").startswith("Business")
    page.locator(".concept", has_text="prices and shares").click()
    before = grounds(page), numbers(page)
    page.get_by_role("radio", name="Sports").click()
    assert "prices and shares" in checked(page, "Concepts")
    assert (grounds(page), numbers(page)) != before
    total = float(make_local().weights[1].sum())
    assert page.locator(".facts").inner_text().startswith("Sports\n1score")
    assert page.locator(".concept .number").first.inner_text() == f"{total:+.3g}".replace("-", "−")


def test_rows_are_walked_and_left_by_keys(show: Open) -> None:
    page = show(local(text="Shares fell again today", names=["a"]))
    for _ in range(3):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.element") == "0":
            break
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.textContent") == "again"
    assert "“again”" in page.locator(".right h3").inner_text()
    assert page.locator("[data-element][aria-checked=true]").all_inner_texts() == ["again"]
    page.keyboard.press("Escape")
    assert page.locator("[data-element][aria-checked=true]").count() == 0
    assert page.locator(".right h3").inner_text() == "Concepts in the whole text"
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    assert page.locator(".concept").nth(1).get_attribute("aria-checked") == "true"


def test_text_from_right_to_left_reads_and_walks_that_way(show: Open) -> None:
    page = show(local(text="أحببت هذا الفيلم كثيرا", names=["a"]))
    assert page.locator(".text").evaluate("node => getComputedStyle(node).direction") == "rtl"
    page.locator("[data-element]").first.click()
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.textContent") == "هذا"


def test_figures_of_one_page_do_not_disturb_each_other(show: Open) -> None:
    plot = plot_concepts(make_interpretations(), make_importance(), [make_local(), make_local()])
    page = show(plot.html())
    sections = page.locator("section")
    before = grounds(sections.nth(2))
    sections.nth(1).locator(".concept").nth(1).click()
    sections.nth(1).locator("[data-element]").first.click()
    assert grounds(sections.nth(2)) == before
    assert checked(sections.nth(2), "Concepts").endswith("All concepts")
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(node => node.id)")
    assert len(ids) == len(set(ids))


def test_plots_of_one_notebook_do_not_disturb_each_other(show: Open) -> None:
    plots = [plot_concepts(make_interpretations(), make_importance()), plot_attributions(make_classification())]
    page = show("<!DOCTYPE html><meta charset=utf-8>" + "".join(plot._repr_html_() for plot in [*plots, plots[0]]))
    first, second, third = page.frames[1:]
    first.get_by_role("radio", name="World").click()
    assert checked(first, "Classes").startswith("World")
    assert checked(second, "Targets").startswith("joy")
    assert checked(third, "Classes").startswith("Overall")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_examples_and_rows_stay_readable_on_every_colour(show: Open, scheme: str) -> None:
    page = show(plot_concepts(make_interpretations(), make_importance(), make_local()).html(), color_scheme=scheme)
    page.locator(".concept", has_text="names of teams").first.click()
    ratios = page.evaluate(
        """() => {
          const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
          const linear = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
          const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
          const over = (node, ground) => {
            const [r, g, b, alpha = 1] = parse(getComputedStyle(node).backgroundColor);
            return [r, g, b].map((v, k) => alpha * v + (1 - alpha) * ground[k]);
          };
          const page = parse(getComputedStyle(document.body).backgroundColor);
          const shown = "[data-element], .examples span, .examples mark, .concept small, .hint";
          return [...document.querySelectorAll(shown)].map((node) => {
            const box = node.closest(".text, .concept") || document.body;
            const pair = [light(parse(getComputedStyle(node).color)), light(over(node, over(box, page)))];
            pair.sort((x, y) => y - x);
            return (pair[0] + 0.05) / (pair[1] + 0.05);
          });
        }"""
    )
    assert len(ratios) > 12
    assert min(ratios) >= 4.5


def test_phone_shows_a_text_without_scrolling_sideways(show: Open) -> None:
    page = show(local(text="A long word " + "x" * 400))
    page.set_viewport_size({"width": 320, "height": 640})
    page.locator("[data-element]").last.click()
    assert page.evaluate("document.documentElement.scrollWidth") == 320


def test_long_texts_stay_in_hand(show: Open) -> None:
    page = show(local(text="The quick brown fox. " * 500, names=["a", "b", "c"]))
    assert torch.tensor([len(page.locator("[data-element]").all())]) == 2000
    for name in "bca":
        page.get_by_role("radio", name=name, exact=False).first.click()
    page.locator(".concept").nth(1).click()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
