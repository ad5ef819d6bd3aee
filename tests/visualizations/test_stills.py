"""Pictures for papers: what a PNG and an SVG show, and what they never do."""

from __future__ import annotations

import math
import re
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.image import imread

from interpreto.attributions.result import Attribution
from interpreto.errors import InputError, MissingExtraError, StoreError
from interpreto.visualizations import plot_attributions, plot_concepts
from interpreto.visualizations.blocks import (
    Bar,
    Bars,
    Block,
    ColouredText,
    Curve,
    Curves,
    Grid,
    Heading,
    Links,
    Note,
    Scale,
)
from interpreto.visualizations.stills import colour, draw
from tests.visualizations.every_view import EVERY_VIEW
from tests.visualizations.handmade import make_classification, make_generation
from tests.visualizations.hostile import HOSTILE, LONE_SURROGATES, LONG
from tests.visualizations.test_plot_concepts import make_importance, make_interpretations

SVG = "{http://www.w3.org/2000/svg}"
ORANGE, BLUE = "#f28440", "#629df2"  # 85 % of the page's colours on white
MANY = " ".join([*HOSTILE[:-1], LONE_SURROGATES, r"$\frac{a}{b}$ \n $$ %d {} -- -->", "العربية עברית 日本語 ไทย नमस्ते"])


def svg_of(blocks: Sequence[Block]) -> ElementTree.Element:
    return ElementTree.fromstring(draw(blocks, "svg", "Test"))


def boxes(root: ElementTree.Element) -> list[tuple[str, float, float, float, float]]:
    """Filled rectangles: colour, left, right, top, bottom."""
    found = []
    for path in root.iter(f"{SVG}path"):
        fill = re.match(r"fill: (#\w{6})", path.get("style", ""))
        corners = re.fullmatch(
            r"M (\S+) (\S+)\s+L (\S+) (\S+)\s+L (\S+) (\S+)\s+L (\S+) (\S+)\s+z\s*", path.get("d", "")
        )
        if fill and corners:
            numbers = [float(x) for x in corners.groups()]
            found.append((fill[1], min(numbers[::2]), max(numbers[::2]), min(numbers[1::2]), max(numbers[1::2])))
    return found


def written(svg: str) -> list[tuple[str, float, float]]:
    """Each drawn word, and where its base line begins."""
    found = re.findall(r"<!-- (.*?) -->\s*<g [^>]*transform=\"translate\((\S+) (\S+)\)", svg)
    return [(text, float(x), float(y)) for text, x, y in found]


# Every figure


@pytest.mark.parametrize("view", EVERY_VIEW)
def test_every_picture_is_saved_in_both_formats(view: str, tmp_path: Path) -> None:
    plot = EVERY_VIEW[view](None)
    for name in ("a.png", "a.svg", "b.svg"):
        plot.save(tmp_path / name)
    png, svg = (tmp_path / "a.png").read_bytes(), (tmp_path / "a.svg").read_bytes()
    assert svg == (tmp_path / "b.svg").read_bytes()  # the same file again; of PNG see the settings below
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", png[16:24])
    assert width == 1350  # 6.75 inches at 200 dots an inch
    assert 150 < height < 4000
    pixels = imread(tmp_path / "a.png")
    assert np.all(pixels[[0, -1]] == 1)  # white margins
    assert np.all(pixels[:, [0, -1]] == 1)
    assert 0.002 < (pixels[..., :3] < 0.6).any(axis=-1).mean() < 0.5
    check_safe(svg)
    root = ElementTree.fromstring(svg)
    assert root.get("width") == "486pt"
    assert float(root.get("height", "").removesuffix("pt")) == pytest.approx(height * 72 / 200, abs=0.5)


def check_safe(svg: bytes) -> None:
    text = svg.decode()
    assert "<!DOCTYPE" not in text
    assert "<?xml" in text
    root = ElementTree.fromstring(text)
    assert root.tag == f"{SVG}svg"
    kinds = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert kinds <= {"svg", "title", "defs", "style", "g", "path", "use", "clipPath", "rect"}
    for element in root.iter():
        for name, value in element.attrib.items():
            assert not name.lower().startswith("on")
            assert not name.endswith("href") or value.startswith("#")
            assert "url(" not in value or "url(#" in value


@pytest.mark.parametrize("view", EVERY_VIEW)
@pytest.mark.parametrize("text", [MANY, LONG], ids=["many", "long"])
def test_hostile_texts_are_drawn_as_they_are(view: str, text: str, tmp_path: Path) -> None:
    """Warnings fail, as in all tests: no letter is missing, nothing is taken for a formula."""
    plot = EVERY_VIEW[view](text)
    plot.save(tmp_path / "a.svg")
    check_safe((tmp_path / "a.svg").read_bytes())


def test_nothing_is_written_beyond_the_margins() -> None:
    for text in (MANY, LONG, "שלום " * 300):
        cells: Any = ((text[:300],) * 30,)
        blocks: list[Block] = [
            Heading(text, text),
            ColouredText(((text, 0.5), ("\n\n", -1.0), (text, None)), text, text),
            Scale(text, text),
            Bars((Bar(text, 1.0, low=-0.5, high=1.5), Bar(text, -2.0)), text, text),
            Grid((text,), (text[:300],) * 30, ((0.5,) * 30,), cells, ((text, 20), (text, 10)), text, text),
            Curves((Curve(text, (0.0, 1.0), (0.0, 1.0)),), text, text, ((0.0, text), (1.0, text))),
            Links(((text, (text, text)), (text, (text,)), (text, (text,))), ((0, 0, 0, 1.0), (1, 0, 0, -1.0))),
            Note(text),
        ]
        png = draw(blocks, "png", "Test")
        width, height = struct.unpack(">II", png[16:24])
        assert width == 1350
        assert height < 9000
        pixels = imread(BytesIO(png))
        assert np.all(pixels[:, :12] == 1)
        assert np.all(pixels[:, -12:] == 1)


# What is shown


def test_the_word_with_the_largest_score_is_the_most_orange() -> None:
    result = make_classification(names=["sadness", "joy"])  # "thrilled" has 3.2 for joy, all others have less
    for sign, shade in ((1, ORANGE), (-1, BLUE)):
        (block, *_) = [
            block
            for block in plot_attributions(replace(result, scores=sign * result.scores)).figures[0].blocks()
            if isinstance(block, ColouredText) and block.label == "joy"
        ]
        svg = draw([block], "svg", "Test").decode()
        (word,) = [place for place in written(svg) if place[0] == "thrilled"]
        (full,) = [box for box in boxes(ElementTree.fromstring(svg)) if box[0] == shade]
        assert full[1] < word[1] < full[2]
        assert full[3] < word[2] < full[4]


def test_grounds_are_in_the_pixels_as_well() -> None:
    png = draw([ColouredText((("one ", 1.0), ("two ", -1.0), ("three", None)))], "png", "Test")
    pixels = (imread(BytesIO(png))[..., :3] * 255).round().astype(int).reshape(-1, 3)
    shades = {tuple(pixel) for pixel in pixels.tolist()}
    assert (242, 132, 64) in shades
    assert (98, 157, 242) in shades
    counts = [int((pixels == shade).all(axis=1).sum()) for shade in ((242, 132, 64), (98, 157, 242))]
    assert min(counts) > 300


def test_colours_grow_with_their_levels() -> None:
    assert colour(1.0) == ORANGE
    assert colour(-1.0) == BLUE
    assert colour(5.0) == ORANGE
    assert [colour(level) for level in (None, 0.0, math.nan)] == [None, None, None]
    reds = [int(str(colour(-level))[1:3], 16) for level in (0.2, 0.4, 0.8)]
    assert reds == sorted(reds, reverse=True)


def test_blanks_around_a_piece_are_white_and_blank_pieces_are_not() -> None:
    svg = draw([ColouredText((("one", None), (" two ", 1.0), ("three", None), ("  ", -1.0), ("\n", -1.0)))], "svg", "T")
    grounds = [box for box in boxes(ElementTree.fromstring(svg)) if box[0] in (ORANGE, BLUE)]
    places = {text: x for text, x, _ in written(svg.decode())}
    (orange,) = [box for box in grounds if box[0] == ORANGE]
    assert places["two"] - 1 <= orange[1] <= places["two"]
    assert orange[2] < places["three"] - 1
    assert len(grounds) == 3
    assert "↵" in places


def test_lengths_of_bars_are_proportional() -> None:
    values = [3.0, 1.5, -0.75, 0.3]
    root = svg_of([Bars(tuple(Bar(f"bar {k}", value) for k, value in enumerate(values)))])
    found = [box for box in boxes(root) if box[0] in (ORANGE, BLUE)]
    assert [box[0] for box in found] == [BLUE if value < 0 else ORANGE for value in values]
    unit = (found[0][2] - found[0][1]) / values[0]
    zero = found[0][1]
    for (_, left, right, *_), value in zip(found, values, strict=True):
        assert right - left == pytest.approx(abs(value) * unit, rel=1e-3)
        assert (right if value < 0 else left) == pytest.approx(zero, abs=0.01)


def test_whiskers_end_at_the_interval() -> None:
    root = svg_of([Bars((Bar("a", 2.0, low=1.0, high=4.0),))])
    ((_, left, right, *_),) = [box for box in boxes(root) if box[0] == ORANGE]
    lines = [path.get("d", "") for path in root.iter(f"{SVG}path") if "stroke: #16181d" in path.get("style", "")]
    ends = [re.fullmatch(r"M (\S+) (\S+)\s+L (\S+) (\S+)\s*", line) for line in lines]
    level = [(float(end[1]), float(end[3])) for end in ends if end and end[2] == end[4]]
    unit = (right - left) / 2
    assert level == [pytest.approx((left + unit, left + 4 * unit), abs=0.01)]


def test_every_class_has_its_text_the_strongest_six_first() -> None:
    result = make_classification()
    blocks = plot_attributions(result).figures[0].blocks()
    texts = [block for block in blocks if isinstance(block, ColouredText)]
    order = [result.target_names[t] for t in result.target_scores.argsort(descending=True).tolist()]  # type: ignore[union-attr]
    assert [text.label for text in texts] == order[:6]
    assert all("".join(piece for piece, _ in text.pieces) == result.sample.parts[0] for text in texts)
    assert any(isinstance(block, Note) and "1 more target" in block.text for block in blocks)
    most = float(result.scores.abs().max())
    for text in texts:
        row = result.scores[result.target_names.index(text.label)]
        assert [level for _, level in text.pieces] == pytest.approx((row / most).tolist())


def test_a_short_output_is_a_matrix_and_a_long_one_a_text() -> None:
    result = make_generation()
    (grid,) = [block for block in plot_attributions(result).figures[0].blocks() if isinstance(block, Grid)]
    assert (len(grid.rows), len(grid.columns)) == tuple(result.scores.shape)
    assert grid.groups == (("Input", 9), ("Output", 11))
    most = float(result.scores.nan_to_num().abs().max())
    for row, levels in zip(result.scores.tolist(), grid.levels, strict=True):
        for score, level in zip(row, levels, strict=True):
            assert level is None if math.isnan(score) else level == pytest.approx(score / most)
    long = plot_attributions(make_generation("so it is " * 30)).figures[0].blocks()
    assert not any(isinstance(block, Grid) for block in long)
    assert [block.label for block in long if isinstance(block, ColouredText)] == [
        "for “but” · Input",
        "for “but” · Output",
    ]


def test_concepts_have_their_shares_and_examples() -> None:
    importance = make_importance()
    blocks = plot_concepts(make_interpretations(), importance).figures[0].blocks()
    bars = {block.label: block for block in blocks if isinstance(block, Bars)}
    sports = importance.absolute[1] / importance.absolute[1].sum()
    assert [bar.value for bar in bars["Sports"].rows] == pytest.approx(sports.sort(descending=True).values.tolist())
    ways = (importance.signed[1] / importance.absolute[1])[sports.argsort(descending=True)]
    assert [bar.level for bar in bars["Sports"].rows] == pytest.approx(ways.tolist())
    examples = {
        block.label: "".join(text for text, _ in block.pieces) for block in blocks if isinstance(block, ColouredText)
    }
    assert examples["names of teams"] == "2.5  The team won the game\n2  She scored twice"


def test_curves_are_where_their_points_are() -> None:
    line = Curve("falls", (0.0, 0.5, 1.0), (1.0, 0.5, 0.0))
    root = svg_of([Curves((line, Curve("broken", (0.0, 0.5, 1.0), (0.2, math.nan, 0.4))), "x", "y")])
    strokes = [
        re.findall(r"[ML] (\S+) (\S+)", path.get("d", ""))
        for path in root.iter(f"{SVG}path")
        if "stroke: #c2500a" in path.get("style", "")
    ]
    ((start, middle, end),) = [[(float(x), float(y)) for x, y in points] for points in strokes if len(points) == 3]
    assert middle == pytest.approx(((start[0] + end[0]) / 2, (start[1] + end[1]) / 2), abs=0.01)
    assert start[1] < end[1]  # downward


def test_long_texts_are_cut_off_and_say_so(tmp_path: Path) -> None:
    plot = plot_attributions(make_classification("word after word " * 1667))
    plot.save(tmp_path / "a.svg")
    svg = (tmp_path / "a.svg").read_text()
    texts = [block for block in plot.figures[0].blocks() if isinstance(block, ColouredText)]
    kept = len("".join(piece for piece, _ in texts[0].pieces[:-1]).split())
    assert texts[0].pieces[-1][0] == f" … {5001 - kept} more words"
    assert f"{5001 - kept}" in [text for text, _, _ in written(svg)]


def test_many_results_are_cut_off_and_say_so() -> None:
    png = draw([Heading("one of many")] * 200, "png", "Test")
    assert 4800 < struct.unpack(">II", png[16:24])[1] < 5200
    svg = draw([Heading("one of many")] * 200, "svg", "Test").decode()
    assert "cut" in [text for text, _, _ in written(svg)]


def test_letters_without_a_font_are_named() -> None:
    svg = draw([ColouredText((("a \U0010fffd b", 0.5),))], "svg", "Test").decode()
    words = [text for text, _, _ in written(svg)]
    assert "□" in words
    assert "U+10FFFD" in words


def test_formulas_stay_letters() -> None:
    svg = draw([ColouredText((("$\\frac{a}{b}$", 1.0),))], "svg", "Test").decode()
    assert [text for text, _, _ in written(svg)] == ["$\\frac{a}{b}$"]


# What a user has set, and what is missing


def test_settings_of_the_user_neither_change_the_picture_nor_are_changed() -> None:
    blocks = plot_attributions(make_classification()).figures[0].blocks()
    plain = [draw(blocks, "png", "Test"), draw(blocks, "svg", "Test")]
    own = {"font.size": 40.0, "font.family": ["monospace"], "text.usetex": True, "savefig.facecolor": "black"}
    own |= {"svg.fonttype": "none", "svg.hashsalt": "mine", "savefig.dpi": 20, "path.sketch": (1, 100, 2)}
    with matplotlib.rc_context(own):
        before = dict(matplotlib.rcParams)
        assert [draw(blocks, "png", "Test"), draw(blocks, "svg", "Test")] == plain
        assert dict(matplotlib.rcParams) == before


def test_without_matplotlib_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawing = ("interpreto.visualizations.stills", "interpreto.visualizations.lettering")
    for name in [name for name in sys.modules if name.startswith(drawing)]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    plot = plot_attributions(make_classification())
    for name in ("a.png", "a.svg"):
        with pytest.raises(MissingExtraError, match=r"pip install 'interpreto\[viz\]'"):
            plot.save(tmp_path / name)
    assert not list(tmp_path.iterdir())
    plot.save(tmp_path / "a.html")


def test_matplotlib_is_loaded_only_for_a_still_picture(tmp_path: Path) -> None:
    program = """
import sys
from interpreto.visualizations import plot_attributions
from tests.visualizations.handmade import make_classification
plot = plot_attributions(make_classification())
plot.save(sys.argv[1] + "/a.html")
assert "matplotlib" not in sys.modules
plot.save(sys.argv[1] + "/a.svg")
assert "matplotlib" in sys.modules
assert "matplotlib.pyplot" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_a_picture_that_cannot_be_drawn_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plot = plot_attributions(make_classification())
    monkeypatch.setattr(type(plot.figures[0]), "blocks", lambda self: (Heading("a"), 1 / 0))
    (tmp_path / "old.png").write_bytes(b"old")
    for name in ("a.png", "old.png"):
        with pytest.raises(ZeroDivisionError):
            plot.save(tmp_path / name)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("old.png", b"old")]


def test_endings_and_places(tmp_path: Path) -> None:
    result: Attribution = make_classification("a b", names=["x"])
    plot = plot_attributions(replace(result, scores=torch.zeros_like(result.scores)))
    plot.save(tmp_path / "A.PNG")
    plot.save(str(tmp_path / "b.Svg"))
    with pytest.raises(InputError, match=r"\.html, \.png or \.svg, got 'a\.pdf'"):
        plot.save(tmp_path / "a.pdf")
    with pytest.raises(StoreError, match="could not be written"):
        plot.save(tmp_path / "none" / "a.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["A.PNG", "b.Svg"]
