"""Interpretations as data: saved, read, shown."""

import json

import pytest

from interpreto.concepts.interpretations import ConceptReading, Example, Interpretations, Mark
from interpreto.errors import InputError

HOSTILE = '</script><b>\u202e😀 "quoted" \\ \n\x1b[31m Ġ'


@pytest.fixture
def found():
    marks = (Mark(0, 1, 0.25), Mark(2, 6, 2.5))
    return Interpretations(
        (
            ConceptReading(3, "names of pets", (Example("Spot", 2.5, "a ", " ran home", 1, 2, 6, 0, marks),)),
            ConceptReading(1, None, ()),
            ConceptReading(7, HOSTILE, (Example(HOSTILE, 0.1, HOSTILE, HOSTILE), Example("the", 0.05))),
        ),
        "LLMLabels",
        {"k_examples": 2, "llm": {"model": "tiny"}},
    )


def test_a_mapping_in_the_order_asked_for(found):
    assert list(found) == [3, 1, 7]
    assert len(found) == 3
    assert found[3].label == "names of pets"
    assert found.labels == {3: "names of pets", 1: None, 7: HOSTILE}
    assert 2 not in found
    with pytest.raises(KeyError, match=r"there are \[3, 1, 7\]"):
        found[2]


def test_json_both_ways(found, tmp_path):
    again = Interpretations.from_json(found.to_json())
    assert again.readings == found.readings
    assert (again.method, again.settings) == (found.method, found.settings)
    found.save(tmp_path / "found.json")
    assert Interpretations.load(tmp_path / "found.json").to_json() == found.to_json()
    assert found.to_json().isascii()
    assert "\n" not in found.to_json()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"kind": "attribution"}',
        '{"kind": "interpretations", "format": 99}',
        '{"kind": "interpretations", "format": 1, "method": "x", "settings": {}, "readings": [{"concept": 1}]}',
    ],
)
def test_something_else_is_refused(text, tmp_path):
    with pytest.raises(InputError, match="file: expected"):
        Interpretations.from_json(text)
    (tmp_path / "x").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="file: expected"):
        Interpretations.load(tmp_path / "x")


def test_damaged_readings_are_refused(found):
    data = json.loads(found.to_json())
    data["readings"][0]["examples"][0]["colour"] = "red"
    with pytest.raises(InputError, match="JSON of interpretations"):
        Interpretations.from_json(json.dumps(data))
    data = json.loads(found.to_json())
    data["readings"][0]["label"] = 7
    with pytest.raises(InputError, match="labels that are texts"):
        Interpretations.from_json(json.dumps(data))


def test_a_table(found):
    table = found.to_pandas()
    assert table["concept"].tolist() == [3, 1, 7, 7]
    assert table["rank"].tolist() == [0, 0, 0, 1]
    assert table["text"].tolist() == ["Spot", "", HOSTILE, "the"]
    assert table["before"].tolist()[0] == "a "


def test_short_representations(found):
    assert repr(found).startswith("Interpretations({3: 'names of pets', 1: '(never active)', 7: ")
    assert repr(found[3]) == "ConceptReading(3, label='names of pets', examples=['Spot'])"
    many = Interpretations(tuple(ConceptReading(c, "x" * 500, ()) for c in range(1000)), "LLMLabels")
    assert len(repr(many)) < 1000


def test_plain_text(found):
    lines = found.text().split("\n")
    assert lines[:3] == ["concept 3: names of pets", "     2.500  a [Spot] ran home", "concept 1: never active"]
    assert len(lines) == 6  # no line break of a text breaks a line
    assert all(line.isprintable() for line in lines)


def test_frozen(found):
    with pytest.raises(AttributeError):
        found[3].label = "dogs"
    with pytest.raises(TypeError):
        found[3] = None
