"""The page: self-contained, locked by its policy, and unmoved by whatever the data holds."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html import unescape
from html.parser import HTMLParser

import pytest

from interpreto.errors import InputError
from interpreto.visualizations import Figure, plot_attributions
from interpreto.visualizations.html import embed
from tests.visualizations.handmade import make_classification, make_generation
from tests.visualizations.hostile import HOSTILE


class Reader(HTMLParser):
    """What a parser makes of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.blocks: list[tuple[str, str]] = []
        self.open: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag in ("script", "style"):
            kind = dict(attrs).get("type") or tag
            self.blocks.append((kind, ""))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem:
            kind, text = self.blocks[-1]
            self.blocks[-1] = (kind, text + data)


def read(page: str) -> tuple[Reader, dict]:
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader, json.loads(dict(reader.blocks)["application/json"])


def test_page_is_one_complete_document(classification):
    reader, _ = read(plot_attributions(classification).html())
    assert " ".join(reader.tags) == ("html head meta meta meta meta title style body main noscript script script")
    assert ("meta", "charset", "utf-8") in reader.attributes
    assert ("html", "lang", "en") in reader.attributes


def test_policy_names_exactly_the_style_and_the_script_of_the_page(classification):
    reader, _ = read(plot_attributions(classification).html())
    policy = next(value for tag, name, value in reader.attributes if name == "content" and "default-src" in value)
    for kind in ("script", "style"):
        text = dict(reader.blocks)[kind]
        digest = b64encode(sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_page_asks_for_nothing_from_elsewhere(classification, generation):
    page = plot_attributions([classification, generation]).html()
    reader, _ = read(page)
    assert not re.search(
        r"https?:|//cdn|url\(|@import|\bfetch\(|XMLHttpRequest|innerHTML|insertAdjacent|\beval\b", page
    )
    assert not {name for _, name, _ in reader.attributes} & {"src", "href", "onclick", "onload", "style"}


def test_page_is_small_beside_its_data(classification):
    plot = plot_attributions(classification)
    assert len(plot.html().encode()) < 60_000


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:12]))
def test_hostile_words_stay_words(text):
    plain, _ = read(plot_attributions(make_classification()).html())
    result = replace(make_classification(text, names=[text, "b"]), method=text, settings={text: text})
    page = plot_attributions(result).html()
    page.encode()
    reader, data = read(page)
    assert reader.tags == plain.tags
    assert len(reader.attributes) == len(plain.attributes)
    (figure,) = data["figures"]
    assert "".join(piece for piece, _, _ in figure["parts"][0]["pieces"]) == text
    assert [target["name"] for target in figure["targets"]] == [text, "b"]
    assert figure["method"] == text
    assert figure["settings"] == [[text, text]]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:12]))
def test_data_is_free_of_letters_that_a_parser_or_a_reader_stumbles_over(text):
    assert not re.search("[<>&\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufffe]", embed([text]))
    assert json.loads(embed([text])) == [text]


def test_lone_surrogates_become_replacement_characters():
    page = plot_attributions(make_classification("a \ud800 b\udfff", names=["\udc00"])).html()
    page.encode()
    _, data = read(page)
    assert [text for text, _, _ in data["figures"][0]["parts"][0]["pieces"]] == ["a", " \ufffd", " b", "\ufffd"]
    assert data["figures"][0]["targets"][0]["name"] == "\ufffd"


def test_notebook_frame_holds_the_same_page_in_a_sandbox(classification):
    plot = plot_attributions(replace(classification, method='"><script>alert(1)</script>'))
    reader = Reader()
    reader.feed(plot._repr_html_())
    assert reader.tags == ["iframe"]
    attributes = {name: value for _, name, value in reader.attributes}
    assert attributes["srcdoc"] == plot.html()
    assert attributes["sandbox"] == "allow-scripts"
    assert unescape(plot._repr_html_()).count("<iframe") == 1


def test_save_writes_the_page(tmp_path, classification):
    plot = plot_attributions(classification)
    for name in ("plot.html", "plot.HTML"):
        plot.save(tmp_path / name)
        assert (tmp_path / name).read_bytes().decode() == plot.html()
    plot.save(str(tmp_path / "named by a string.html"))


@pytest.mark.parametrize("name", ["plot.pdf", "plot", "plot.html.gz", ".html"])
def test_save_says_what_is_possible(tmp_path, classification, name):
    with pytest.raises(InputError, match=r"saved as \.html, \.png or \.svg, got '.*'"):
        plot_attributions(classification).save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_figures_of_every_kind_fit_the_page(classification):
    (figure,) = plot_attributions(classification).figures
    assert isinstance(figure, Figure)
    assert make_generation().task.generates
