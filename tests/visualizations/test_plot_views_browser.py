"""The views of an attribution in a real browser: classes side by side, bars that add up, sums of tokens, the matrix."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from interpreto.attributions.result import Attribution
from interpreto.visualizations import plot_attributions
from tests.visualizations.handmade import NAN, make_classification, make_generation
from tests.visualizations.test_plot_browser import CLEAR

Open = Callable[..., Any]
OUTPUT = " Yes it is. No."


def drawn(result: Attribution) -> str:
    return plot_attributions(result).html()


def to(page: Any, view: str) -> None:
    page.get_by_label("View").get_by_role("radio", name=view).click()


def number(text: str) -> float:
    """A number as it is shown, without its error."""
    return float(text.split("±")[0].strip().replace("−", "-"))


def views(page: Any) -> list[str]:
    return [name.strip() for name in page.get_by_label("View").get_by_role("radio").all_inner_texts()]


def bars(page: Any) -> list[tuple[str, float]]:
    """Names and numbers of the bars."""
    names = page.locator(".bars .name").all_inner_texts()
    return list(zip(names, map(number, page.locator(".bars .number").all_inner_texts()), strict=True))


def ends(page: Any) -> list[tuple[float, float]]:
    """Where each bar begins and ends, in pixels from the left."""
    spans = "nodes => nodes.map(n => n.getBoundingClientRect()).map(r => [r.left, r.right])"
    return [tuple(pair) for pair in page.locator(".bars .bar").evaluate_all(spans)]


def test_views_are_those_that_make_sense(show: Open, classification: Attribution, generation: Attribution) -> None:
    assert views(show(drawn(classification))) == ["Text", "All classes", "Bars", "Matrix"]
    assert views(show(drawn(make_classification(names=["a"])))) == ["Text", "Bars", "Matrix"]
    assert views(show(drawn(generation))) == ["Text", "Bars", "Matrix"]


# All classes


def test_all_classes_are_shown_on_one_scale(show: Open, classification: Attribution) -> None:
    page = show(drawn(classification))
    to(page, "All classes")
    names = [text.split("\n")[0] for text in page.locator(".side h3").all_inner_texts()]
    assert [re.sub(r"\W*[\d.]+$", "", name) for name in names] == list(classification.target_names)
    assert page.get_by_label("Targets", exact=True).is_hidden()
    assert page.locator(".legend").inner_text().split("\n")[0] == "−3.2"
    largest = float(classification.scores.abs().max())
    for k, side in enumerate(page.locator(".side").all()):
        texts = side.locator(".text").all_inner_texts()
        assert texts == list(classification.sample.parts)
        ground = "nodes => nodes.map(n => getComputedStyle(n).backgroundColor)"
        colours = side.locator("[data-element]").evaluate_all(ground)
        for colour, score in zip(colours, classification.scores[k].tolist(), strict=True):
            share = abs(score) / largest
            if colour == CLEAR:
                assert share <= 0.02
            else:
                red, _, blue, alpha = map(float, re.findall(r"[\d.]+", colour))
                assert (red > blue) == (score > 0)
                assert alpha == pytest.approx(0.85 * share, abs=0.02)


def test_of_many_classes_the_strongest_come_first(show: Open) -> None:
    result = make_classification("Good film", names=[f"class {k}" for k in range(40)])
    page = show(drawn(result))
    to(page, "All classes")
    assert result.target_scores is not None
    order = [f"class {k}" for k in result.target_scores.argsort(descending=True).tolist()]

    def shown() -> list[str]:
        return [str(name) for name in page.locator(".side h3 bdi").all_inner_texts()]

    assert shown() == order[:12]
    page.get_by_role("button", name="Show the other 28").click()
    assert shown() == order
    assert page.get_by_role("button", name="Show the other").is_hidden()


def test_words_of_all_classes_tell_their_numbers_to_keys(show: Open, classification: Attribution) -> None:
    page = show(drawn(classification))
    to(page, "All classes")
    page.locator(".side").nth(1).locator("[data-element]").nth(1).click()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "thrilled: +3.2 ± 0.02"
    assert page.locator(".tip").inner_text().split("\n")[0] == "joy"


# Bars


def test_bars_lead_from_the_baseline_to_the_score(show: Open) -> None:
    result = make_classification("One two three four five six seven eight nine ten eleven twelve thirteen fourteen")
    page = show(drawn(result))
    to(page, "Bars")
    found = bars(page)
    t = int(result.target_scores.argmax())
    assert found[0][0].startswith("score with nothing left")
    assert found[0][1] == pytest.approx(float(result.baseline_scores[t]), rel=1e-2)
    assert found[-1][0] == "score of the text"
    strongest = result.scores[t].abs().sort(descending=True).values.tolist()
    assert [abs(value) for _, value in found[1:13]] == pytest.approx(strongest[:12], rel=1e-2)
    assert found[13][0] == "all others (2)"
    assert sum(value for _, value in found[:-1]) == pytest.approx(found[-1][1], abs=0.05)
    spans = ends(page)
    at = spans[0][0] + 1
    for (left, right), (_, value) in zip(spans[1:-1], found[1:-1], strict=True):
        assert (left if value > 0 else right) == pytest.approx(at, abs=2.1)
        at = right if value > 0 else left
    assert spans[-1][0] + 1 == pytest.approx(at, abs=6)  # the gap is too small for a bar of its own


def test_a_gap_that_counts_has_a_bar(show: Open, classification: Attribution) -> None:
    page = show(drawn(replace(classification, target_scores=classification.target_scores + 2)))
    to(page, "Bars")
    names = dict(bars(page))
    assert names["not explained (gap)"] == pytest.approx(2.01)


def test_whiskers_span_the_interval(show: Open, classification: Attribution) -> None:
    errors = torch.full_like(classification.scores, 0.25)
    errors[:, 3] = torch.inf
    page = show(drawn(replace(classification, std_errors=errors, baseline_scores=None)))
    to(page, "Bars")
    spans = dict(zip([name for name, _ in bars(page)], ends(page), strict=True))
    pixels = (spans["thrilled"][1] - spans["thrilled"][0]) / 3.2
    wide = "nodes => nodes.map(n => n.getBoundingClientRect().width)"
    widths = page.locator(".bars .whisker").evaluate_all(wide)
    assert widths == pytest.approx([2 * 1.96 * 0.25 * pixels] * 7, rel=0.02)  # of eight words one is not known
    zero = page.locator(".bars .zero").first.evaluate("node => node.getBoundingClientRect().left")
    for name, value in bars(page):
        assert spans[name][0 if value > 0 else 1] == pytest.approx(zero, abs=2.1)


def test_bars_follow_the_class_that_is_picked(show: Open, classification: Attribution) -> None:
    page = show(drawn(classification))
    to(page, "Bars")
    before = bars(page)
    page.get_by_label("Targets").get_by_role("radio", name="fear").click()
    assert bars(page) != before
    assert bars(page)[-1][1] == pytest.approx(float(classification.target_scores[4]), rel=1e-2)


def test_output_is_picked_above_its_bars(show: Open, generation: Attribution) -> None:
    page = show(drawn(generation))
    to(page, "Bars")
    page.locator(".pick", has_text="models").click()
    assert bars(page)[0] == ("language", 2.5)
    assert page.locator(".text").first.is_hidden()


# Words, sentences, the answer


def test_a_sentence_has_the_sum_of_its_tokens(show: Open) -> None:
    result = make_generation("Say it now", OUTPUT)
    page = show(drawn(result))
    page.get_by_label("What is picked").get_by_role("radio", name="sentence").click()
    assert [text.strip() for text in page.locator(".pick").all_inner_texts()] == ["Yes it is.", "No."]
    page.locator(".pick").nth(1).click()
    assert "sum of the explanations of 2 tokens" in page.locator(".facts").inner_text()
    sums = result.scores[4:6].nansum(dim=0)
    for k, element in enumerate(result.elements):
        page.locator(f".text [data-element='{k}']").hover()
        name, told = page.locator(".tip").inner_text().split("\n")
        assert name == element.text.strip()
        assert number(told) == pytest.approx(float(sums[k]), abs=6e-3 * abs(float(sums[k])) + 1e-6)
    score = page.locator(".facts .fact").first.inner_text()
    assert number(score.removesuffix("score")) == pytest.approx(float(result.target_scores[4:6].sum()), rel=1e-2)


def test_an_element_of_a_sentence_counts_for_the_tokens_after_it(show: Open) -> None:
    result = make_generation("Say it now", OUTPUT)
    page = show(drawn(result))
    page.get_by_label("What is picked").get_by_role("radio", name="answer").click()
    page.locator(".text [data-element]", has_text="is").last.hover()
    g = next(k for k, element in enumerate(result.elements) if element.text == " is")
    told = page.locator(".tip").inner_text().split("\n")[1]
    assert number(told) == pytest.approx(float(result.scores[:, g].nansum()), rel=1e-2)
    assert result.scores[:3, g].isnan().all()


def test_errors_of_sums_are_not_made_up(show: Open) -> None:
    result = make_generation("Say it now", OUTPUT)
    page = show(drawn(replace(result, std_errors=torch.full_like(result.scores, 0.01))))
    page.locator(".text [data-element='0']").hover()
    assert "± 0.01" in page.locator(".tip").inner_text()
    page.get_by_label("What is picked").get_by_role("radio", name="answer").click()
    page.locator(".text [data-element='0']").hover()
    assert "±" not in page.locator(".tip").inner_text()
    assert "standard errors of sums are not known" in page.locator(".facts").inner_text()
    to(page, "Bars")
    assert page.locator(".bars .whisker").count() == 0


def test_what_was_picked_stays_picked_when_units_change(show: Open) -> None:
    page = show(drawn(make_generation("Say it now", OUTPUT)))
    page.locator(".pick").last.click()
    for label, text in (("sentence", "No."), ("token", "No"), ("answer", OUTPUT.strip())):
        page.get_by_label("What is picked").get_by_role("radio", name=label).click()
        assert page.locator(".pick[aria-checked=true]").inner_text().strip() == text
        assert page.locator(".text").last.evaluate("node => node.textContent") == OUTPUT
    page.locator(".pick").focus()
    page.keyboard.press("End")
    assert page.locator(".pick[aria-checked=true]").count() == 1


@pytest.mark.parametrize("method", ["Sobol", "ContextCite", "Saliency", "VarGrad"])
def test_no_sums_are_offered_where_they_would_be_wrong(show: Open, method: str) -> None:
    page = show(drawn(replace(make_generation("Say it now", OUTPUT), method=method)))
    assert page.get_by_label("What is picked").count() == 0


# Matrix


def test_matrix_has_a_row_a_class_and_a_column_an_element(show: Open, classification: Attribution) -> None:
    page = show(drawn(classification))
    to(page, "Matrix")
    assert page.locator(".heat tbody th").all_inner_texts() == list(classification.target_names)
    columns = [element.text.strip() for element in classification.elements]
    assert page.locator(".heat thead th").all_inner_texts() == columns
    cell = page.locator(".heat tbody tr").nth(1).locator("td").nth(2)
    assert cell.get_attribute("aria-label") == "output joy, input thrilled: +3.2 ± 0.02"
    ground = cell.evaluate("node => getComputedStyle(node).backgroundColor")
    assert ground == "rgba(240, 110, 30, 0.85)"
    assert page.locator(".heat tr.here th").inner_text() == "joy"


def test_matrix_is_one_stop_and_walked_in_two_directions(show: Open, classification: Attribution) -> None:
    page = show(drawn(classification))
    to(page, "Matrix")
    assert page.locator(".heat [tabindex='0']").count() == 1
    page.locator(".heat [tabindex='0']").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowUp", "ArrowRight"):
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("output joy, input thrilled")
    assert page.locator(".tip").inner_text().split("\n") == ["joy ← thrilled", "+3.2 ± 0.02"]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.locator(".heat tr.here th").inner_text() == "love"
    assert page.locator("[aria-label=Targets] [aria-checked=true]").inner_text().startswith("love")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("output love, input thrilled")


def test_what_is_written_later_is_left_open(show: Open, generation: Attribution) -> None:
    page = show(drawn(generation))
    to(page, "Matrix")
    empty = page.locator(".heat td.none")
    assert empty.count() == int(generation.scores.isnan().sum())
    assert empty.first.get_attribute("aria-label").endswith("no score: written after the target")


def test_matrix_shows_the_units_that_are_picked(show: Open) -> None:
    page = show(drawn(make_generation("Say it now", OUTPUT)))
    to(page, "Matrix")
    assert page.locator(".heat tbody tr").count() == 6
    page.get_by_label("What is picked").get_by_role("radio", name="sentence").click()
    assert page.locator(".heat tbody th").all_inner_texts() == ["Yes it is.", "No."]


def test_a_large_matrix_is_one_canvas(show: Open) -> None:
    result = make_classification("word " * 1500, names=["a", "b", "c"])
    scores = torch.zeros_like(result.scores)
    scores[1, 700], scores[2, 3] = 1.0, -1.0
    page = show(drawn(replace(result, scores=scores)))
    to(page, "Matrix")
    assert page.locator(".heat td").count() == 0
    pixels = """canvas => { const size = [canvas.width, canvas.height];
      const data = canvas.getContext("2d").getImageData(0, 0, ...size).data;
      const at = (x, y) => [...data.slice(4 * (y * size[0] + x), 4 * (y * size[0] + x) + 4)];
      return [size, at(700, 1), at(3, 2), at(0, 0)]; }"""
    size, raised, lowered, none = page.locator(".heat canvas").evaluate(pixels)
    assert (size, raised, lowered, none[3]) == ([1500, 3], [240, 110, 30, 255], [70, 140, 240, 255], 0)
    frame = page.locator(".heat .frame")
    frame.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    assert frame.get_attribute("aria-label") == "output c, input word: −1 ± 0.02"
    assert page.locator(".heat .facts").inner_text().startswith("c ← word")
    page.keyboard.press("Enter")
    assert page.locator("[aria-label=Targets] [aria-checked=true]").inner_text().startswith("c")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


# Every view


@pytest.mark.parametrize("text", ["أحببت هذا الفيلم كثيرا", "我 非常 喜欢 这 部 电影 。"], ids=["Arabic", "Chinese"])
def test_other_scripts_read_their_own_way(show: Open, text: str) -> None:
    rtl = text.startswith("أ")
    result = make_classification(text, names=[text.split()[0], "b"])
    page = show(drawn(result))
    direction = "nodes => nodes.map(n => getComputedStyle(n).direction)"
    to(page, "All classes")
    assert page.locator(".side .text").evaluate_all(direction) == ["rtl" if rtl else "ltr"] * 2
    to(page, "Bars")
    own = page.locator(".bars [data-bar] .name")
    assert set(own.evaluate_all(direction)) == {"rtl" if rtl else "ltr"} | ({"ltr"} if "。" in text else set())
    assert set(page.locator(".bars .track").evaluate_all(direction)) == {"ltr"}  # numbers grow to the right
    to(page, "Matrix")
    lefts = page.locator(".heat thead th").evaluate_all("nodes => nodes.map(n => n.getBoundingClientRect().left)")
    assert lefts == sorted(lefts, reverse=rtl)
    page.locator(".heat [tabindex='0']").focus()
    page.keyboard.press("ArrowLeft" if rtl else "ArrowRight")
    assert text.split()[1] in page.evaluate("document.activeElement.getAttribute('aria-label')")


@pytest.mark.parametrize("view", ["All classes", "Bars", "Matrix"])
def test_phone_shows_every_view_without_scrolling_sideways(show: Open, view: str) -> None:
    result = make_classification("An extraordinarily long sentence of unbelievably many words " * 3)
    page = show(drawn(result))
    page.set_viewport_size({"width": 320, "height": 640})
    to(page, view)
    assert page.evaluate("document.documentElement.scrollWidth") == 320


@pytest.mark.parametrize("view", ["All classes", "Bars", "Matrix"])
def test_hostile_words_stay_words_in_every_view(show: Open, view: str) -> None:
    text = "<img src=x onerror=alert(1)>"
    page = show(drawn(make_classification(text, names=[text, "</script><b>b"])))
    to(page, view)
    assert page.locator("main img, main b b, main script").count() == 0


def test_results_without_numbers_are_drawn(show: Open) -> None:
    plain = make_classification(names=["a", "b"])
    nothing = replace(plain, scores=torch.full_like(plain.scores, NAN), std_errors=None)
    for result in (nothing, replace(nothing, scores=torch.zeros_like(plain.scores)), make_generation("a", "b")):
        page = show(drawn(result))
        for view in views(page):
            to(page, view)


def test_the_page_is_small_beside_its_data(classification: Attribution) -> None:
    page = drawn(classification)
    data = re.search(r'<script type="application/json" id="data">.*?</script>', page, re.DOTALL)
    assert data is not None
    assert len(page.encode()) - len(data[0].encode()) < 60_000
