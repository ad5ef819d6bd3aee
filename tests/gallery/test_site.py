"""The gallery as files: what is written, where, and what is never overwritten."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from interpreto.errors import InputError, StoreError
from interpreto.gallery.catalogue import Catalogue, Explanation, Instance, Step, Walk
from interpreto.gallery.site import Site
from interpreto.visualizations import plot_attributions
from tests.gallery.handmade import CATALOGUE, CLASSES, GENERAL, write
from tests.visualizations.handmade import make_classification
from tests.visualizations.hostile import HOSTILE, LONE_SURROGATES
from tests.visualizations.test_page import Reader


def one(text: int | None = 0, method: str = "Lime") -> Explanation:
    return Explanation(CLASSES, method, plot_attributions(make_classification()), "print(1)\n", text)


SMALL = replace(CATALOGUE, walks=())


def small(out: Path, *explanations: Explanation, catalogue: Catalogue = SMALL, force: bool = False) -> None:
    with Site(out, catalogue, force) as site:
        for explanation in explanations or [one()]:
            site.add(explanation)


def manifest(page: str) -> Any:
    reader = Reader()
    reader.feed(page)
    reader.close()
    return json.loads(dict(reader.blocks)["application/json"])


def data(out: Path, name: str) -> Any:
    """What a data file hands over, by a small reader of string literals of our own."""
    text = (out / "data" / f"{name}.js").read_bytes().decode()
    found = re.fullmatch(r"arrived\('([0-9a-f]{16})','((?:[^'\\\n\r\u2028\u2029]|\\[\\'])*)'\);\n", text)
    assert found, text[:200]
    assert found[1] == name
    return json.loads(re.sub(r"\\([\\'])", r"\1", found[2]))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_explanation_has_a_file_that_the_page_names(tmp_path):
    explanation = one()
    small(tmp_path / "out", explanation)
    page = manifest((tmp_path / "out" / "index.html").read_text(encoding="utf-8"))
    (shelf,) = page["shelves"]
    assert [shelf[key] for key in ("task", "model", "data", "family", "form")] == [
        "classification",
        "emotion",
        "diaries",
        "attributions",
        "all classes",
    ]
    ((method, ((text, name),)),) = shelf["methods"]
    assert (method, text) == ("Lime", 0)
    (figure,) = explanation.plot.figures
    expected = {"figures": [{"view": "attribution", **figure.payload()}], "snippet": "print(1)\n"}
    assert data(tmp_path / "out", name) == json.loads(json.dumps(expected))
    texts = data(tmp_path / "out", page["sets"][shelf["set"]])
    assert texts[1] == ["I feel so abandoned and lonely today, 2", "joy", "joy"]
    assert {path.name for path in (tmp_path / "out" / "data").iterdir()} == {f"{name}.js", f"{page['sets'][0]}.js"}


def test_an_explanation_is_written_when_it_is_added(tmp_path):
    with Site(tmp_path / "out", SMALL) as site:
        site.add(one())
        (hidden,) = tmp_path.iterdir()
        assert len(list((hidden / "data").iterdir())) == 1
        assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_two_builds_are_equal_byte_by_byte(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert len(contents(tmp_path / "a")) > 100


def test_policy_lets_the_own_style_and_scripts_run_and_nothing_else(tmp_path):
    small(tmp_path / "out")
    reader = Reader()
    reader.feed((tmp_path / "out" / "index.html").read_text(encoding="utf-8"))
    policy = next(value for _, name, value in reader.attributes if name == "content" and "default-src" in value)
    blocks = dict(reader.blocks)
    hashes = {k: b64encode(sha256(blocks[k].encode()).digest()).decode() for k in ("script", "style")}
    assert policy == (
        f"default-src 'none'; script-src 'self' 'sha256-{hashes['script']}'; style-src 'sha256-{hashes['style']}'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert not {name for _, name, _ in reader.attributes} & {"src", "style", "onclick", "onload"}
    assert not re.search(
        r"https?:|//cdn|url\(|@import|\bfetch\(|XMLHttpRequest|innerHTML|insertAdjacent|\beval\b",
        "".join(blocks.values()),
    )


def test_page_has_the_code_of_the_views_that_occur(tmp_path):
    small(tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "views.attribution =" in page
    assert "views.concepts =" not in page
    assert len(page.encode()) < 120_000


@pytest.mark.parametrize("text", [*HOSTILE, LONE_SURROGATES], ids=lambda text: repr(text[:12]))
def test_hostile_words_stay_data(tmp_path, text):
    shelf = replace(CLASSES, model=text, data=text, form=text)
    walk = Walk(text, (Step(text, shelf, (text,), 0),))
    catalogue = Catalogue(text, text, {(text, text): (Instance(text, text, text),)}, (walk,))
    result = replace(make_classification(text, names=[text, "b"]), method=text, settings={text: text})
    small(tmp_path / "out", Explanation(shelf, text, plot_attributions(result), text, 0), catalogue=catalogue)
    small(tmp_path / "plain")
    plain, reader = Reader(), Reader()
    plain.feed((tmp_path / "plain" / "index.html").read_text(encoding="utf-8"))
    reader.feed((tmp_path / "out" / "index.html").read_bytes().decode())
    assert reader.tags == plain.tags
    assert len(reader.attributes) == len(plain.attributes)
    seen = re.sub("[\ud800-\udfff]", "\ufffd", text)
    page = manifest((tmp_path / "out" / "index.html").read_bytes().decode())
    assert page["title"] == page["about"] == page["shelves"][0]["model"] == page["walks"][0]["steps"][0]["text"] == seen
    ((method, ((_, name),)),) = page["shelves"][0]["methods"]
    assert method == seen
    assert data(tmp_path / "out", name)["snippet"] == seen
    assert data(tmp_path / "out", page["sets"][0]) == [[seen, seen, seen]]


def test_an_earlier_gallery_is_replaced(tmp_path):
    write(tmp_path / "out")
    small(tmp_path / "out")
    assert len(contents(tmp_path / "out")) == 3
    small(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_empty_folder_is_filled_and_parents_are_made(tmp_path):
    (tmp_path / "empty").mkdir()
    small(tmp_path / "empty")
    small(tmp_path / "some" / "where")
    assert (tmp_path / "empty" / "index.html").is_file()
    assert (tmp_path / "some" / "where" / "index.html").is_file()


def test_what_is_no_gallery_is_left_alone(tmp_path):
    out = tmp_path / "out"
    out.write_text("a file")
    with pytest.raises(InputError, match=r"out: expected a folder .* got the file"):
        small(out)
    out.unlink()
    out.mkdir()
    for name in ("notes.txt", "index.html", ".git"):
        (out / name).write_text("mine")
        with pytest.raises(InputError, match=r"out: .*name another folder"):
            small(out)
        assert (out / name).read_text() == "mine"
        (out / name).unlink()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("name", ["CNAME", "data/notes.txt", ".git"])
def test_a_gallery_with_something_of_others_is_left_alone(tmp_path, name):
    small(tmp_path / "out")
    (tmp_path / "out" / name).write_text("mine")
    with pytest.raises(InputError, match=f"holds '{Path(name).name}', no file of a gallery"):
        small(tmp_path / "out")
    assert (tmp_path / "out" / name).read_text() == "mine"


def test_force_replaces_whatever_there_is(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    small(tmp_path / "out", force=True)
    assert not (tmp_path / "out" / "notes.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def failing(out: Path, error: BaseException) -> None:
    with Site(out, CATALOGUE) as site:
        site.add(one())
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_build_that_fails_leaves_what_was_there(tmp_path, error):
    write(tmp_path / "out")
    before = contents(tmp_path / "out")
    with pytest.raises(error):
        failing(tmp_path / "out", error())
    assert contents(tmp_path / "out") == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="could not be written"):
        small(tmp_path / "file" / "out")


@pytest.mark.parametrize("text", [24, -1])
def test_texts_must_be_known(tmp_path, text):
    with pytest.raises(InputError, match=f"one of the 24 texts of 'diaries', got {text}"):
        small(tmp_path / "out", one(text))
    assert not list(tmp_path.iterdir())


def test_one_method_explains_a_text_once(tmp_path):
    with pytest.raises(InputError, match="'Lime' explains text 0 of 'diaries' twice"):
        small(tmp_path / "out", one(), one(1), one())


def test_an_empty_gallery_is_refused(tmp_path):
    with pytest.raises(InputError, match="at least one explanation, got none"), Site(tmp_path / "out", SMALL):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Step("", GENERAL), r"walks\[0\].steps\[1\].shelf: expected one that has explanations"),
        (Step("", CLASSES, ("Rise",)), r"steps\[1\].methods: expected some of \['Lime', 'Occlusion'\], got 'Rise'"),
        (Step("", CLASSES, (), 7), r"steps\[1\].instance: no method of its shelf explains text 7"),
        (Step("", CLASSES, ("Occlusion",), 0), r"steps\[1\].methods: 'Occlusion' does not explain text 0"),
    ],
)
def test_tours_lead_to_what_is_there(tmp_path, step, message):
    catalogue = replace(CATALOGUE, walks=(Walk("a", (Step("words alone"), step)),))
    with pytest.raises(InputError, match=message):
        small(tmp_path / "out", one(), one(1, "Occlusion"), catalogue=catalogue)
    assert not list(tmp_path.iterdir())
