"""The picture of a sweep: self-contained, without a script, and unmoved by what names hold."""

import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html import unescape
from xml.etree import ElementTree

import pytest

from interpreto.concepts.supervised import Probe, ProbeSweep, SweepRow
from interpreto.errors import InputError
from interpreto.visualizations.sweeps import plot_sweep
from tests.concepts.supervised.planted import planted_rows
from tests.visualizations.hostile import HOSTILE, LONE_SURROGATES


def some_sweep(names=("0", "1", "2")):
    rows = []
    for k, name in enumerate(names):
        for kind in ("logistic", "svm"):
            x, classes, _ = planted_rows(n=80, distance=float(k), seed=k)
            rows.append(SweepRow(name, Probe(kind=kind).fit(x, [("low", "high")[c] for c in classes]).report))
    return ProbeSweep(tuple(rows), "cls_token", 80)


def svg_of(page):
    return ElementTree.fromstring(re.search(r"<svg.*?</svg>", page, re.S)[0])


def test_the_chart_shows_every_probe_at_its_height():
    sweep = some_sweep()
    chart = svg_of(plot_sweep(sweep).html())
    dots = chart.findall(".//circle")
    assert len(dots) == 6
    ticks = {float(t.text): float(t.get("y")) for t in chart.findall("text") if t.get("text-anchor") == "end"}
    low, high = min(ticks), max(ticks)
    for group, kind in zip(chart.findall("g"), sweep.kinds, strict=True):
        for dot, row in zip(group.findall("circle"), sweep.of_kind(kind), strict=True):
            share = (float(dot.get("cy")) - ticks[low]) / (ticks[high] - ticks[low])
            assert low + share * (high - low) == pytest.approx(row.report.accuracy, abs=0.002)
            assert f"{row.report.accuracy:.3f}" in dot.find("title").text
    xs = [float(dot.get("cx")) for dot in dots[:3]]
    assert xs == sorted(xs)
    assert [t.text for t in chart.findall("text") if t.get("text-anchor") == "middle"] == ["0", "1", "2"]


def test_the_page_is_self_contained_and_runs_nothing():
    page = plot_sweep(some_sweep()).html()
    assert "<script" not in page
    assert not re.search(r"https?:|url\(|@import|\bon\w+=|style=|src=|href=", page)
    style = re.search(r"<style>(.*?)</style>", page, re.S)[1]
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in page


@pytest.mark.parametrize("text", [*HOSTILE, LONE_SURROGATES], ids=lambda text: repr(text[:12]))
def test_hostile_names_stay_words(text):
    plain = plot_sweep(some_sweep(names=("a", "b"))).html()
    sweep = some_sweep(names=(text, "b"))
    named = [replace(row, report=replace(row.report, classes=(text, "c"))) for row in sweep.rows]
    plot = plot_sweep(replace(sweep, rows=tuple(named)))
    page = plot.html()
    page.encode()
    assert re.findall(r"<(/?\w+)", page) == re.findall(r"<(/?\w+)", plain)
    svg_of(page)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", page)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", plot.text(color=False))


def test_one_split_point_many_and_missing_numbers():
    assert len(svg_of(plot_sweep(some_sweep(names=("5",))).html()).findall(".//circle")) == 2
    one = some_sweep(names=("0",)).rows[0]
    many = ProbeSweep(tuple(SweepRow(f"model.layers.{k}.mlp", one.report) for k in range(60)), "token", 80)
    names = [t for t in svg_of(plot_sweep(many).html()).findall("text") if t.get("text-anchor") == "middle"]
    assert len(names) == 15
    bare = replace(one.report, control_accuracy=None, std_error=float("nan"), calibration=None)
    page = plot_sweep(ProbeSweep((SweepRow("0", bare),), "token", 80)).html()
    assert not re.search(r"\bnan\b", page)
    assert "control task" not in page


def test_text_and_notebook():
    sweep = some_sweep()
    plot = plot_sweep(sweep)
    lines = str(plot).splitlines()
    assert len(lines) == 7
    assert all(f"{row.report.accuracy:.3f}" in line for row, line in zip(sweep.rows, lines[1:], strict=True))
    assert "\x1b" in plot.text()
    assert "\x1b" not in str(plot)
    frame = plot._repr_html_()
    assert unescape(re.search(r'srcdoc="(.*?)"></iframe>', frame, re.S)[1]) == plot.html()
    assert 'sandbox=""' in frame


def test_save_and_bad_input(tmp_path):
    plot = plot_sweep(some_sweep())
    plot.save(tmp_path / "probes.html")
    assert (tmp_path / "probes.html").read_bytes().decode() == plot.html()
    with pytest.raises(InputError, match=r"\.html"):
        plot.save(tmp_path / "probes.pdf")
    with pytest.raises(InputError, match="expected what sweep"):
        plot_sweep(some_sweep().rows)


def test_names_that_begin_alike_are_told_apart():
    chart = svg_of(plot_sweep(some_sweep(names=("model.layers.0.mlp", "model.layers.1.mlp"))).html())
    assert [t.text for t in chart.findall("text") if t.get("text-anchor") == "middle"] == ["0", "1"]


def test_a_phone_gets_a_chart_of_its_own(browser):
    page = browser.new_page(viewport={"width": 900, "height": 700})
    page.set_content(plot_sweep(some_sweep()).html())
    assert [page.locator(f"svg.{kind}").is_visible() for kind in ("broad", "narrow")] == [True, False]
    page.set_viewport_size({"width": 360, "height": 700})
    assert [page.locator(f"svg.{kind}").is_visible() for kind in ("broad", "narrow")] == [False, True]
    letters = page.locator("svg.narrow text").first
    assert letters.bounding_box()["height"] > 9
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.close()
