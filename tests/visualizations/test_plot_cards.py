"""Cards of concepts: what the page holds, and what a reader does with it."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from interpreto.concepts import ConceptCards
from interpreto.concepts.cards import Band, ClassWeight, ConceptCard, Histogram, Neighbour
from interpreto.concepts.interpretations.output_result import TokenList, TokenWeight
from interpreto.concepts.interpretations.result import Example, Mark
from interpreto.concepts.label_metrics import Estimate
from interpreto.errors import InputError
from interpreto.visualizations import plot_cards

Open = Callable[..., Any]
unchecked = inspect.unwrap(plot_cards)  # as users call it, without the run-time types of the tests


def make_card(number: int, label: str | None, active: int = 20, **options: Any) -> ConceptCard:
    marks = (Mark(4, 7, 2.0), Mark(8, 11, 1.0))
    example = Example("cat", 2.0, "The ", " sat", input=0, start=4, end=7, marks=marks)
    known: dict[str, Any] = {
        "histogram": Histogram(0.0, 0.5, (90, 0, 9, 1)) if active else Histogram(0.0, 1.0, ()),
        "strongest": (example, Example("dog", 1.5, "a ", "")) if active else (),
        "bands": (Band(0.0, 0.5, 2.0, 1.0, (example,)), Band(0.5, 1.0, 0.9, 0.1, (Example("hat", 0.2),))),
        "similar": (Neighbour(7, 0.9), Neighbour(99, 0.1)),
    }
    largest, mean = (2.0, 0.5) if active else (0.0, 0.0)
    return ConceptCard(number, label, active, active / 1000, largest, mean, **{**known, **options})


def make_cards(extra: Sequence[ConceptCard] = ()) -> ConceptCards:
    cat = make_card(
        3,
        "names of cats",
        tokens=(
            TokenList("raised", (TokenWeight("purr", 1, 2.0), TokenWeight("meow", 2, 1.0))),
            TokenList("lowered", (TokenWeight("bark", 3, -1.5),)),
        ),
        overall=0.2,
        importance=(ClassWeight("Pets", 0.4, 2.0, -1.0), ClassWeight("Cars", 0.1, 0.5, 0.5)),
        scores={"Detection": Estimate(0.75, 0.05)},
        together=(Neighbour(5, 0.3),),
    )
    dead = make_card(5, "nothing", active=0, bands=(), similar=(), overall=0.0)
    other = make_card(7, None, active=400, overall=0.5, scores={"Detection": Estimate(0.9, 0.05)})
    return ConceptCards((cat, dead, other, *extra), 1000, 100, {"activation_granularity": "word"})


def names(page: Any) -> list[str]:
    return [str(text) for text in page.locator(".frame .name bdi").all_inner_texts()]


def test_the_page_holds_what_the_cards_hold() -> None:
    cards = make_cards()
    data = json.loads(json.dumps(plot_cards(cards, first=7).figures[0].payload(), allow_nan=False))
    assert data["chosen"] == 2
    assert data["rows"] == [1000, "word", "words"]
    assert [one["number"] for one in data["cards"]] == [3, 5, 7]
    shown = data["cards"][0]
    assert shown["histogram"] == [0.0, 0.5, [90, 0, 9, 1]]
    assert shown["tokens"][0] == ["raised", [["purr", 2.0], ["meow", 1.0]]]
    assert shown["similar"] == [[7, 0.9], [99, 0.1]]
    assert shown["importance"][0] == ["Pets", 0.4, 2.0, -1.0]
    assert shown["scores"] == [["Detection", 0.75, 0.05]]
    assert shown["bands"][1][:4] == [0.5, 1.0, 0.9, 0.1]
    assert [piece[0] for piece in shown["bands"][0][4][0][1]] == ["The ", "cat", " ", "sat"]


def test_the_text_says_the_same_in_short() -> None:
    text = str(plot_cards(make_cards()))
    assert text.startswith("3 of 100 concepts, over 1000 words")
    assert "concept 3: names of cats\n  active in 2 % of the words, 0.5 on average, at most 2" in text
    assert "Detection: 0.75 ± 0.05" in text
    assert "concept 5: nothing\n  never active" in text
    assert "\x1b" not in text
    assert "\x1b" in plot_cards(make_cards()).text()


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(InputError, match="concept_cards"):
        unchecked([1])
    with pytest.raises(InputError, match="at least one card"):
        plot_cards(ConceptCards((), 10, 10))
    with pytest.raises(InputError, match="first: expected a concept with a card"):
        plot_cards(make_cards(), first=4)


def test_a_card_tells_all_that_is_known(show: Open) -> None:
    page = show(plot_cards(make_cards()).html())
    panel = page.locator(".panel")
    assert panel.locator(".title").inner_text() == "names of catsconcept 3"
    text = panel.inner_text().replace("\u202f", " ")
    assert "2 %of words active (20)" in text
    for words in (
        "0.75 ± 0.05",
        "strongest 50 % (1 to 2)",
        "weakest 50 % (0.1 to 0.9)",
        "purr",
        "−1.5",
        "Pets",
        "0.400",
    ):
        assert words in text
    grounds = dict(
        panel.locator(".tokens bdi").evaluate_all(
            "nodes => nodes.map(n => [n.textContent, getComputedStyle(n).backgroundColor])"
        )
    )
    assert grounds == {
        "purr": "rgba(240, 110, 30, 0.6)",
        "meow": "rgba(240, 110, 30, 0.3)",
        "bark": "rgba(70, 140, 240, 0.6)",
    }


def test_bars_are_logarithms_of_counts(show: Open) -> None:
    page = show(plot_cards(make_cards()).html())
    heights = page.locator(".bar > span").evaluate_all("nodes => nodes.map(n => n.getBoundingClientRect().height)")
    many, none, nine, one = heights
    assert none == 0
    assert many > nine > one > 5
    assert (many - one) / (nine - one) == pytest.approx(1.954 / 0.954, abs=0.02)  # log10 of 90 and of 9
    page.locator(".bar").nth(2).hover()
    assert page.locator(".tip").inner_text() == "activation 1 to 1.5\n9 words"


def test_searching_and_sorting(show: Open) -> None:
    page = show(plot_cards(make_cards()).html())
    assert names(page) == ["names of cats", "nothing", "cat · dog"]
    by = page.get_by_label("Sorted by")
    assert by.locator("option").all_inner_texts() == ["as given", "how often active", "importance", "Detection"]
    by.select_option("how often active")
    assert names(page) == ["cat · dog", "names of cats", "nothing"]
    assert [text.replace("\u202f", " ") for text in page.locator(".frame .number").all_inner_texts()] == [
        "40 %",
        "2 %",
        "0 %",
    ]
    by.select_option("Detection")
    assert names(page) == ["cat · dog", "names of cats", "nothing"]
    page.get_by_label("Search concepts").fill("NAMES cat")
    assert names(page) == ["names of cats"]
    assert page.locator(".left .hint").inner_text() == "1 of 100 concepts"
    page.get_by_label("Search concepts").fill("no such")
    assert page.locator(".frame").inner_text() == "No concept matches."


def test_picking_cards_by_keys_and_links(show: Open) -> None:
    page = show(plot_cards(make_cards(), first=3).html())
    page.get_by_role("radio", name="names of cats").focus()
    page.keyboard.press("ArrowDown")
    assert "Never active" in page.locator(".panel").inner_text()
    page.keyboard.press("Home")
    near = page.locator(".near").first
    assert near.locator("button").all_inner_texts() == ["cat · dog"]
    assert near.locator("span.link").all_inner_texts() == ["concept 99"]
    near.locator("button").click()
    assert page.locator(".panel .title").inner_text().startswith("Concept 7")
    assert page.evaluate("document.activeElement.className") == "title"
    assert page.locator("[role=radio][aria-checked=true]").all_inner_texts() == ["7\ncat · dog"]
    page.get_by_role("button", name="back to names of cats").click()
    assert page.locator(".panel .title").inner_text().startswith("names of cats")
    assert page.locator(".back").count() == 0


def test_a_single_card_needs_no_list(show: Open) -> None:
    page = show(plot_cards(ConceptCards((make_card(3, "cats"),), 1000, 1, {"activation_granularity": "token"})).html())
    assert page.locator(".left").count() == 0
    assert page.locator(".title").count() == 1
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_thousands_of_cards_do_not_lag(show: Open) -> None:
    many = make_cards([make_card(100 + k, f"label {k} of a feature", active=k + 1) for k in range(2000)])
    start = time.perf_counter()
    page = show(plot_cards(many).html())
    assert page.locator(".frame [role=radio]").count() == 200  # only what is looked at is drawn
    assert page.locator(".panel").count() == 1
    assert time.perf_counter() - start < 20
    clicked = page.evaluate(
        """() => {
            const row = document.querySelectorAll(".frame [role=radio]")[150];
            const start = performance.now();
            row.click();
            document.body.getBoundingClientRect();
            return performance.now() - start;
        }"""
    )
    assert clicked < 500  # milliseconds, on a busy machine
    page.get_by_label("Search concepts").fill("concept 2099")
    assert names(page) == ["label 1999 of a feature"]
    page.get_by_label("Search concepts").fill("")
    page.get_by_role("button", name="Show 200 more").click()
    assert page.locator(".frame [role=radio]").count() == 400
    assert page.evaluate("[...document.querySelectorAll('.frame [role=radio]')].indexOf(document.activeElement)") == 200
