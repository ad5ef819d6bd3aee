"""Pictures of several attributions of one text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from interpreto.attributions.result import Attribution
from interpreto.errors import InputError
from interpreto.visualizations.comparison import ComparisonFigure, checked, plot_comparison, rank_correlation
from tests.visualizations.handmade import make_classification, make_generation
from tests.visualizations.hostile import HOSTILE

Open = Callable[..., Any]


def make_three(text: str = "We are thrilled to present you Interpreto!") -> list[Attribution]:
    first = make_classification(text)
    return [
        first,
        replace(first, scores=first.scores * 0.5, method="Occlusion"),
        replace(make_classification(text, seed=3), method="Saliency"),
    ]


def figure_of(plot: Any) -> ComparisonFigure:
    (figure,) = plot.figures
    assert isinstance(figure, ComparisonFigure)
    return figure


def test_agreement_is_the_rank_correlation_of_scipy() -> None:
    results = make_three()
    figure = figure_of(plot_comparison(results))
    payload = figure.payload()
    for t in range(7):
        expected = spearmanr(torch.stack([result.scores[t] for result in results]).numpy(), axis=1).statistic
        assert np.allclose(payload["agreement"][t], expected, atol=1e-4)
        assert np.allclose(figure.agreement(t), expected)
        assert figure.agreement(t)[0][1] == pytest.approx(1)


def test_rank_correlation_with_ties_gaps_and_nothing_to_compare() -> None:
    one, other = torch.tensor([1.0, 1.0, 2.0, 5.0, 9.0]), torch.tensor([2.0, 0.0, 0.0, 3.0, float("nan")])
    expected = spearmanr(one[:4].numpy(), other[:4].numpy()).statistic
    assert rank_correlation(one, other) == pytest.approx(expected)
    assert rank_correlation(other, one) == pytest.approx(expected)
    assert str(rank_correlation(one, torch.zeros(5))) == "nan"
    assert str(rank_correlation(one[:1], other[:1])) == "nan"


def test_methods_that_come_again_are_numbered_and_names_are_kept() -> None:
    first = make_classification()
    payload = figure_of(plot_comparison([first, first, first])).payload()
    assert [method["name"] for method in payload["methods"]] == ["Lime", "Lime (2)", "Lime (3)"]
    payload = figure_of(plot_comparison({"mine": first, "yours": first})).payload()
    assert [method["name"] for method in payload["methods"]] == ["mine", "yours"]


def test_the_text_is_a_table_of_scores_and_of_agreement() -> None:
    results = make_three()
    lines = str(plot_comparison(results)).splitlines()
    assert lines[0] == "joy (1 of 7 targets): scores of each method"
    assert lines[1].split() == ["Lime", "Occlusion", "Saliency"]
    words = {line.split()[0]: line.split()[1:] for line in lines[2:10]}
    assert words["thrilled"] == ["+3.2", "+1.6", "+3.2"]
    assert list(words) == ["We", "are", "thrilled", "to", "present", "you", "Interpreto", "!"]
    assert lines[10] == "agreement (Spearman's rank correlation)"
    assert lines[12].split()[:3] == ["Lime", "+1", "+1"]
    assert "\x1b[38" in plot_comparison(results).text(color=True)
    long = str(plot_comparison(make_three(" ".join(f"word{k}" for k in range(30)))))
    assert "... and 18 elements with lower scores" in long


def test_what_cannot_be_compared() -> None:
    first = make_classification()
    with pytest.raises(InputError, match="at least two attributions to compare, got 1; plot_attributions draws one"):
        checked(first)
    with pytest.raises(InputError, match="at least two"):
        checked([])
    with pytest.raises(InputError, match=r"results\[1\]: expected an Attribution, got str"):
        checked([first, "Lime"])
    with pytest.raises(InputError, match=r"results\['b'\]: expected an Attribution, got int"):
        checked({"a": first, "b": 3})
    with pytest.raises(InputError, match="expected texts as names, got 1"):
        checked({1: first, 2: first})
    with pytest.raises(InputError, match=r"results\['Lime \(2\)'\]: expected the text of results\['Lime'\], 'We are"):
        checked([first, make_classification("Another text")])
    with pytest.raises(InputError, match="expected the targets of"):
        checked([first, make_classification(names=["sadness", "joy"])])
    fewer = replace(first, elements=first.elements[:-1], scores=first.scores[:, :-1], std_errors=None)
    with pytest.raises(InputError, match=r"expected the 8 elements of .* got 7 elements.*the same granularity"):
        checked([first, fewer])


def test_saved_and_shown(tmp_path: Path) -> None:
    plot = plot_comparison(make_three())
    plot.save(tmp_path / "comparison.html")
    assert (tmp_path / "comparison.html").read_text(encoding="utf-8") == plot.html()
    assert plot._repr_html_().startswith("<iframe")


def test_words_are_coloured_on_the_scale_of_each_method(show: Open) -> None:
    page = show(plot_comparison(make_three()).html())
    rows = page.locator(".row")
    assert rows.count() == 3
    colours = [
        row.locator("[data-element]").evaluate_all("nodes => nodes.map(n => n.style.backgroundColor)")
        for row in rows.all()
    ]
    assert colours[0] == colours[1]  # half the scores, the same shares
    assert colours[0] != colours[2]
    assert "0.85" in colours[0][2]
    assert "full colour = 3.2 (logits)" in rows.nth(0).locator("h3").inner_text()
    assert "full colour = 1.6 (logits)" in rows.nth(1).locator("h3").inner_text()
    matrix = page.get_by_role("table").locator("tbody tr").nth(0).locator("td").all_inner_texts()
    expected = float(spearmanr(make_three()[0].scores[1].numpy(), make_three()[2].scores[1].numpy()).statistic)
    assert matrix[:2] == ["+1", "+1"]
    assert float(matrix[2].replace("−", "-")) == pytest.approx(expected, abs=0.006)


def test_picking_classes_and_walking_through_words(show: Open) -> None:
    results = make_three()
    page = show(plot_comparison(results).html())
    classes = page.get_by_role("radiogroup", name="Targets").get_by_role("radio")
    assert page.locator("[role=radio][aria-checked=true]").inner_text() == "joy"
    classes.nth(1).focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("[role=radio][aria-checked=true]").inner_text() == "love"
    words = page.locator(".row").nth(1).locator("[data-element]")
    words.nth(0).focus()
    page.keyboard.press("ArrowRight")
    number = f"{float(results[1].scores[2, 1]):+.3g}".replace("-", "−")
    assert words.nth(1).get_attribute("aria-label") == f" are: {number}".strip()
    assert page.locator(".same").count() == 3
    told = page.locator(".tip div").all_inner_texts()
    assert [line.split(":")[0].strip() for line in told] == ["are", "Lime", "Saliency", "Occlusion"]
    assert told[-1].endswith(number)


def test_a_single_target_has_nothing_to_pick(show: Open) -> None:
    first = make_classification(names=["joy"])
    page = show(plot_comparison([first, first]).html())
    assert page.get_by_role("radio").count() == 0
    assert page.locator(".hint").nth(0).inner_text() == "for joy"


def test_outputs_are_picked_by_their_words(show: Open) -> None:
    first = make_generation()
    page = show(plot_comparison([first, replace(first, method="Lime")]).html())
    assert page.locator(".row .label").all_inner_texts() == ["Input", "Output"] * 2
    page.get_by_role("radio", name="models").click()
    assert [node.strip() for node in page.locator(".here").all_inner_texts()] == ["models", "models"]
    assert page.locator(".row").nth(0).locator("[aria-label$='no score']").count() > 0
    strongest = page.locator(".row").nth(0).locator("[aria-label='language: +2.5']")
    assert "0.85" in strongest.get_attribute("style")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_and_names_stay_text(show: Open, text: str) -> None:
    first = make_classification(f"we {text[:5000]} were", names=[text, "joy"])
    page = show(plot_comparison({text: first, "b": first}).html())
    assert page.locator(".comparison script, .comparison a, .comparison img").count() == 0
    assert page.locator(".row").count() == 2
    assert "\x1b" not in str(plot_comparison({text: first, "b": first}))


def test_phone_width_needs_no_sideways_scrolling(show: Open) -> None:
    page = show(plot_comparison(make_three()).html())
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
