"""Pictures of faithfulness curves."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from interpreto.attributions.metrics.faithfulness import Evaluation
from interpreto.errors import InputError
from interpreto.visualizations.curves import CurvesFigure, checked, plot_curves
from tests.visualizations.hostile import HOSTILE

Open = Callable[..., Any]
NAN = float("nan")
BINS = (0.01, 0.05, 0.1, 0.2, 0.5)


def make_deletion(power: float = 2.0, n_texts: int = 3, random: float = 0.45) -> Evaluation:
    """Curves of texts with 4, 5, ... elements; the second target of each sees one element less."""
    curves, scores = [], []
    for k in range(n_texts):
        points = torch.linspace(0, 1, 5 + k)
        fewer = torch.linspace(0, 1, 4 + k)
        lines = [(1 - points) ** (power + 0.3 * k), 0.8 * (1 - fewer) ** power]
        scores.append(torch.stack([torch.trapezoid(line) / (len(line) - 1) for line in lines]))
        curves.append(torch.nn.utils.rnn.pad_sequence(lines, batch_first=True, padding_value=NAN))
    randoms = tuple(torch.full((2,), random + 0.01 * k) for k in range(n_texts))
    return Evaluation("Deletion", False, tuple(scores), randoms, tuple(curves))


def make_comprehensiveness(metric: str = "Comprehensiveness") -> Evaluation:
    curves = (torch.tensor([[0.9, 0.8, 0.6, 0.5, 0.2]]), torch.tensor([[0.9, 0.7, 0.6, 0.4, 0.1]]))
    scores = tuple(1 - curve.mean(dim=1) for curve in curves)
    return Evaluation(metric, True, scores, (torch.tensor([0.1]), torch.tensor([0.2])), curves)


def figure_of(plot: Any) -> CurvesFigure:
    (figure,) = plot.figures
    assert isinstance(figure, CurvesFigure)
    return figure


def test_the_mean_curve_against_a_plain_loop() -> None:
    evaluation = make_deletion()
    mean, error = figure_of(plot_curves(evaluation)).mean("explanations")
    for at in (0, 13, 50, 100):
        of_texts = []
        for curves in evaluation.curves:
            values = []
            for line in curves.tolist():
                points = [value for value in line if value == value]
                place = at / 100 * (len(points) - 1)
                low = min(int(place), len(points) - 2)
                values.append(points[low] + (place - low) * (points[low + 1] - points[low]))
            of_texts.append(sum(values) / len(values))
        expected = sum(of_texts) / len(of_texts)
        spread = (sum((x - expected) ** 2 for x in of_texts) / (len(of_texts) - 1)) ** 0.5
        assert mean[at] == pytest.approx(expected, abs=1e-6)
        assert error[at] == pytest.approx(spread / len(of_texts) ** 0.5, abs=1e-6)


def test_the_area_under_the_mean_curve_is_the_figure() -> None:
    evaluation = make_deletion(
        n_texts=2
    )  # curves of 4, 3, 5 and 4 steps: knots are at most half a percent off the grid
    mean, _ = figure_of(plot_curves(evaluation)).mean("explanations")
    assert float(torch.trapezoid(torch.from_numpy(mean), dx=0.01)) == pytest.approx(evaluation.score, abs=1e-4)


def test_the_figures_are_those_of_the_evaluations() -> None:
    lime, saliency = make_deletion(3.0), make_deletion(1.0)
    payload = figure_of(plot_curves({"Lime": lime, "Saliency": saliency})).payload()
    assert (payload["better"], payload["n_texts"], payload["grid"][:2]) == ("lower", 3, [0.0, 0.01])
    for row, one in zip(payload["rows"], (lime, saliency), strict=True):
        assert row["score"] == pytest.approx(one.score, rel=1e-4)
        assert row["random"] == pytest.approx(one.random_score, rel=1e-4)
        assert row["gain"] == pytest.approx(one.gain, rel=1e-3)
        assert row["gain_error"] == pytest.approx(one.gain_std_error, rel=1e-3)
        means = [float(score.mean()) for score in one.scores]
        assert row["score_error"] == pytest.approx(np.std(means, ddof=1) / 3**0.5, rel=1e-3)


def test_bins_are_points_at_the_shares_given_or_numbered() -> None:
    evaluation = make_comprehensiveness()
    payload = figure_of(plot_curves(evaluation, shares=BINS)).payload()
    assert (payload["shares"], payload["grid"]) == (True, list(BINS))
    assert payload["rows"][0]["mean"] == pytest.approx([0.9, 0.75, 0.6, 0.45, 0.15])
    assert payload["rows"][0]["error"] == pytest.approx([0, 0.05, 0, 0.05, 0.05], abs=1e-6)
    backwards = figure_of(plot_curves(evaluation, shares=BINS[::-1])).payload()
    assert backwards["grid"] == list(BINS)
    assert backwards["rows"][0]["mean"] == pytest.approx([0.15, 0.45, 0.6, 0.75, 0.9])
    numbered = figure_of(plot_curves(evaluation)).payload()
    assert (numbered["shares"], numbered["grid"]) == (False, [1, 2, 3, 4, 5])


def test_one_text_has_no_error() -> None:
    plot = plot_curves(make_deletion(n_texts=1))
    row = figure_of(plot).payload()["rows"][0]
    assert set(row["error"]) == {None}
    assert (row["score_error"], row["gain_error"]) == (None, None)
    assert "±" not in str(plot)


def test_the_text_is_a_table_with_small_curves() -> None:
    lime = make_deletion(3.0)
    plot = plot_curves({"Lime": lime, "Saliency\x1b[31m": make_deletion(1.0)})
    lines = str(plot).splitlines()
    assert lines[0] == "Deletion of 3 texts, lower is better, ± standard error over texts"
    assert re.split(r"\s{2,}", lines[1].strip()) == ["curve", "figure", "random order", "gain"]
    assert lines[2].startswith("Lime")
    assert f"  {lime.score:.3g} ± " in lines[2]
    assert f"{lime.gain:+.3g} ± {lime.gain_std_error:.2g}" in lines[2]
    bars = re.findall("[▁-█]+", lines[2])[0]
    assert (len(bars), bars[0], bars[-1]) == (20, "█", "▁")
    assert "\x1b" not in str(plot)
    assert "\x1b[38" in plot.text(color=True)


def test_infinite_scores_leave_gaps() -> None:
    curves = (torch.tensor([[0.0, -1.0, float("-inf")]]), torch.tensor([[0.0, -2.0, -3.0]]))
    scores = (torch.tensor([-1.0]), torch.tensor([-2.0]))
    payload = figure_of(plot_curves(Evaluation("Deletion", False, scores, scores, curves))).payload()
    mean = payload["rows"][0]["mean"]
    assert mean[0] == 0
    assert mean[-1] is None
    assert payload["rows"][0]["gain"] == 0


@pytest.mark.parametrize(
    ("given", "shares", "message"),
    [
        ([], None, "expected an Evaluation, or a mapping from names to them, got list"),
        ({}, None, "at least one Evaluation, got none"),
        ({1: make_deletion()}, None, "expected texts as names, got 1"),
        ({"a": 3}, None, r"evaluations\['a'\]: expected an Evaluation, got int"),
        ({"a": make_deletion(), "b": make_comprehensiveness()}, None, "the metric of .*'a'.*Deletion, got Compre"),
        ({"a": make_deletion(), "b": make_deletion(n_texts=2)}, None, "expected the texts and targets"),
        (make_deletion(), (0.0, 1.0), "one for each point of the curves, which have 4 to 7 points, got 2"),
        (make_comprehensiveness(), (0.1, 0.1, 0.2, 0.3, 0.4), "different numbers from 0 to 1"),
        (make_comprehensiveness(), (0.1, 2.0, 0.2, 0.3, 0.4), "different numbers from 0 to 1"),
        (Evaluation("Deletion", False, (), (), ()), None, "expected a curve for each of its texts"),
        (
            Evaluation("Deletion", False, (torch.zeros(1),), (torch.zeros(1),), (torch.tensor([[NAN, NAN]]),)),
            None,
            "expected numbers in each curve",
        ),
    ],
)
def test_what_cannot_be_drawn(given: Any, shares: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        plot_curves(checked(given), shares)


def test_unknown_metrics_with_curves_of_different_lengths() -> None:
    mixed = make_deletion()
    other = Evaluation("Mine", False, mixed.scores, mixed.random_scores, mixed.curves)
    with pytest.raises(InputError, match="expected curves of one length, got 4 to 7 points"):
        plot_curves(other)


def test_saved_and_shown(tmp_path: Path) -> None:
    plot = plot_curves(make_deletion())
    plot.save(tmp_path / "curves.html")
    assert (tmp_path / "curves.html").read_text(encoding="utf-8") == plot.html()
    assert plot._repr_html_().startswith("<iframe")


def test_bringing_out_methods_and_reading_the_curves(show: Open) -> None:
    given = {"Lime": make_deletion(3.0), "Saliency": make_deletion(1.0), "Occlusion": make_deletion(2.0)}
    page = show(plot_curves(given).html())
    assert page.locator(".field .line").count() == 3
    assert page.locator(".field .band").count() == 3
    methods = page.get_by_role("radiogroup", name="method to bring out").get_by_role("radio")
    assert methods.nth(0).get_attribute("aria-checked") == "true"
    assert page.locator(".field g.aside").count() == 0
    methods.nth(1).click()
    page.keyboard.press("ArrowRight")
    assert methods.nth(2).get_attribute("aria-checked") == "true"
    assert page.locator(".field g.aside").evaluate_all("nodes => nodes.map(n => n.dataset.row)") == ["0", "2"]
    assert page.locator("tbody tr.front th").inner_text().strip() == "Saliency"

    slider = page.get_by_role("slider", name="share of the elements removed")
    slider.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    assert slider.get_attribute("aria-valuenow") == "2"
    mean, error = figure_of(plot_curves(given)).mean("Lime")
    expected = f"2 % of the elements removed: Lime {mean[2]:.3g} ±\xa0{error[2]:.2g}; Saliency "
    assert slider.get_attribute("aria-valuetext").startswith(expected)
    page.keyboard.press("End")
    assert slider.get_attribute("aria-valuenow") == "100"
    slider.hover(position={"x": 60, "y": 100})
    assert int(slider.get_attribute("aria-valuenow")) < 10

    cells = page.locator("tbody tr").nth(0).locator("td").all_inner_texts()
    lime = given["Lime"]
    assert cells[0].startswith(f"{lime.score:.3g} ±")
    assert cells[1] == f"{lime.random_score:.3g}"
    assert cells[2].startswith(f"{lime.gain:+.3g} ±")
    assert "does not keep its curves" in page.locator(".hint").inner_text()


def test_a_single_evaluation_has_nothing_to_pick(show: Open) -> None:
    page = show(plot_curves(make_comprehensiveness(), shares=BINS).html())
    assert page.get_by_role("radio").count() == 0
    assert page.locator(".field g[data-row] circle").count() == 5
    assert "a low curve is good" in page.locator(".hint").inner_text()
    assert "1 of 2" not in page.locator(".hint").inner_text()
    assert page.get_by_role("slider").get_attribute("aria-valuemax") == "4"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_lines_stand_out_from_the_ground_and_from_each_other(show: Open, theme: str) -> None:
    page = show(plot_curves({str(k): make_deletion(1 + k) for k in range(12)}).html(), color_scheme=theme)

    def luminance(colour: str) -> float:
        parts = [int(x) / 255 for x in re.findall(r"\d+", colour)[:3]]
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    ground = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    styles = page.locator(".field .line").evaluate_all(
        "nodes => nodes.map(n => [getComputedStyle(n).stroke, getComputedStyle(n).strokeDasharray])"
    )
    assert len({tuple(style) for style in styles}) == 12
    for stroke, _ in styles:
        light, dark = sorted((luminance(stroke), ground), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_stay_text(show: Open, text: str) -> None:
    page = show(plot_curves({text: make_deletion(), "b": make_deletion(1.0)}).html())
    assert page.locator(".curves script, .curves a, .curves img").count() == 0
    assert page.locator("tbody tr").count() == 2


def test_phone_width_needs_no_sideways_scrolling(show: Open) -> None:
    page = show(plot_curves({"Integrated Gradients": make_deletion(3.0), "Lime": make_deletion()}).html())
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.wait_for_function("document.querySelector('.field svg').clientWidth <= 328")
    assert page.locator(".scroll").evaluate("node => node.scrollWidth <= node.clientWidth")
