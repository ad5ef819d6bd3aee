"""What the pictures of concepts show, in the page's data and in the terminal."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
import torch

from interpreto.concepts.importance import ConceptImportance, LocalImportance
from interpreto.concepts.interpretations.result import ConceptReading, Example, Interpretations, Mark
from interpreto.errors import InputError
from interpreto.visualizations import Figure, plot_concepts
from interpreto.visualizations.concepts_named import excerpts
from tests.visualizations.hostile import HOSTILE
from tests.visualizations.test_page import Reader, read
from tests.visualizations.test_plot_attributions import plain

CLASSES = ("Business", "Sports", "World")
LABELS = ["names of teams", None, "prices and shares", None]
unchecked = inspect.unwrap(plot_concepts)  # as users call it, without the run-time types of the tests


def make_interpretations(labels: Sequence[str | None] = LABELS, word: str = "won") -> Interpretations:
    """Four concepts: with a context, with words alone, with whole texts, dead."""
    context = Example(
        word,
        2.5,
        "The team ",
        " the game",
        input=0,
        start=9,
        end=9 + len(word),
        marks=(Mark(4, 8, 1.25), Mark(9, 9 + len(word), 2.5), Mark(14 + len(word), 18 + len(word), -0.5)),
    )
    examples = [
        (context, Example("scored", 2.0, "She ", " twice")),
        (Example("bank", 4.0), Example("money", 3.0), Example("bank", 2.0)),
        (Example("A long text about prices. " * 40, 1.0), Example("Shares fell.", 0.5)),
        (),
    ]
    return Interpretations(
        tuple(ConceptReading(c, label, examples[c]) for c, label in enumerate(labels)),
        "TopKInputs",
        {"k_examples": 5, "seed": 0},
    )


def make_importance(names: Sequence[str] = CLASSES, concepts: int = 4) -> ConceptImportance:
    rng = torch.Generator().manual_seed(0)
    absolute = torch.rand(len(names), concepts, generator=rng) + 0.1
    signed = absolute * (2 * torch.rand(len(names), concepts, generator=rng) - 1)
    return ConceptImportance("gradient_x_concept", tuple(names), torch.arange(3, 3 + len(names)), signed, absolute)


def make_local(text: str = "The bank won  money", names: Sequence[str] = ("Business", "Sports")) -> LocalImportance:
    """Words as rows, without the white space around them; about half of the codes are 0."""
    spans = tuple((0, match.start(), match.end()) for match in re.finditer(r"\S+", text))
    rng = torch.Generator().manual_seed(1)
    codes = torch.relu(torch.randn(len(spans), 4, generator=rng))
    weights = torch.randn(len(names), len(spans), 4, generator=rng) * codes
    return LocalImportance(0, tuple(names), (text,), spans, torch.linspace(2, 1, len(names)), codes, weights)


def payload(*given, **options) -> dict:
    data = plot_concepts(*given, **options).figures[0].payload()
    return json.loads(json.dumps(data, allow_nan=False))


# Global and by class


def test_each_class_ranks_its_concepts_by_their_share():
    importance = make_importance()
    data = payload(make_interpretations(), importance)
    assert [group["name"] for group in data["groups"]] == ["Overall", *CLASSES]
    assert [group["texts"] for group in data["groups"]] == [12, 3, 4, 5]
    assert [group["overall"] for group in data["groups"]] == [True, False, False, False]
    tables = [importance.overall()[None], *importance.absolute[:, None]]
    signs = [importance.overall("signed")[None], *importance.signed[:, None]]
    for group, absolute, signed in zip(data["groups"], tables, signs, strict=True):
        order = absolute[0].argsort(descending=True).tolist()
        assert [data["concepts"][place]["number"] for place, *_ in group["entries"]] == order
        numbers = torch.tensor([numbers for _, *numbers in group["entries"]])
        torch.testing.assert_close(numbers[:, 0], (absolute[0] / absolute.sum())[order], rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(numbers[:, 1:], torch.stack([absolute[0], signed[0]], 1)[order], rtol=1e-3, atol=0)
        assert numbers[:, 0].sum() == pytest.approx(1, abs=1e-3)


def test_concepts_say_how_much_they_matter_to_each_class():
    importance = make_importance()
    data = payload(None, importance)
    shares = importance.table(normalized=True)
    for concept in data["concepts"]:
        column = shares[:, concept["number"]]
        assert [which for which, *_ in concept["across"]] == [1 + t for t in column.argsort(descending=True).tolist()]
        assert [share for _, share, *_ in concept["across"]] == pytest.approx(sorted(column.tolist())[::-1], rel=1e-3)


def test_top_leaves_the_weak_ones_out():
    importance = make_importance()
    data = payload(make_interpretations(), importance, top=2)
    assert all(len(group["entries"]) == 2 and group["total"] == 4 for group in data["groups"])
    shown = {place for group in data["groups"] for place, *_ in group["entries"]}
    assert shown == set(range(len(data["concepts"])))
    assert "  ... and 2 more" in str(plot_concepts(None, importance, top=2))
    assert all(len(group["entries"]) == 4 for group in payload(None, importance, top=None)["groups"])


def test_concepts_that_weigh_nothing_are_not_ranked():
    zero = torch.zeros(1, 3)
    some = replace(make_importance(("a",), 3), absolute=torch.tensor([[0.0, 2.0, float("nan")]]), signed=zero)
    assert [numbers for _, *numbers in payload(None, some)["groups"][0]["entries"]] == [[1.0, 2.0, 0.0]]
    none = replace(some, absolute=zero)
    assert payload(None, none)["groups"][0]["entries"] == []
    assert str(plot_concepts(None, none)) == "Class: a\n  no concept weighs anything"


def test_one_class_needs_no_overall():
    assert [group["name"] for group in payload(None, make_importance(("a",)))["groups"]] == ["a"]


def test_concepts_without_a_reading_have_a_number():
    (partial,) = (Interpretations(make_interpretations().readings[:1], "TopKInputs"),)
    data = payload(partial, make_importance())
    unread = next(concept for concept in data["concepts"] if concept["number"] == 3)
    assert (unread["label"], unread["words"], unread["read"], unread["examples"]) == (None, [], False, [])
    assert re.search(r"importance 0\.\d{3}  concept 3\n", str(plot_concepts(partial, make_importance())))


def test_text_has_a_line_a_concept_under_its_class():
    importance = make_importance(("Sports",))
    order = importance.top("Sports")
    shares = importance.table(normalized=True)[0]
    names = ["names of teams", "bank · money", "prices and shares", "concept 3 (never active)"]
    wanted = ["Class: Sports", *(f"  importance {shares[c]:.3f}  {names[c]}" for c in order)]
    plot = plot_concepts(make_interpretations(), importance)
    assert str(plot).splitlines() == wanted
    assert plain(plot.text()).splitlines() == wanted
    assert "\x1b" in plot.text()


# Classes with concepts of their own


def test_concepts_of_each_class_are_kept_apart():
    readings = {
        "Sports": make_interpretations(["a", "b", "c", "d"]),
        "World": make_interpretations(["e", "f", "g", "h"]),
    }
    weights = {"Sports": make_importance(("Sports",)), "World": make_importance(("World", "Sports"))}
    data = payload(readings, weights)
    assert [group["name"] for group in data["groups"]] == ["Sports", "World"]
    found = [
        [(data["concepts"][place]["number"], data["concepts"][place]["label"]) for place, *_ in group["entries"]]
        for group in data["groups"]
    ]
    assert found[0] == [(c, "abcd"[c]) for c in weights["Sports"].top("Sports")]
    assert found[1] == [(c, "efgh"[c]) for c in weights["World"].top("World")]
    assert len(data["concepts"]) == 8
    assert not any(concept["across"] for concept in data["concepts"])
    text = str(plot_concepts(readings, weights))
    assert re.match(
        r"Class: Sports\n(  importance 0\.\d{3}  [abcd]\n){4}\nClass: World\n(  importance 0\.\d{3}  [efgh]\n?){4}$",
        text,
    )


def test_classes_may_share_concepts_or_have_no_importance():
    weights = {name: make_importance((name,)) for name in CLASSES}
    shared = payload(make_interpretations(), weights)
    assert [group["name"] for group in shared["groups"]] == list(CLASSES)
    assert all(len(concept["across"]) == 3 for concept in shared["concepts"])
    data = payload({name: make_interpretations() for name in CLASSES})
    assert [group["name"] for group in data["groups"]] == list(CLASSES)
    assert [len(group["entries"]) for group in data["groups"]] == [4, 4, 4]


def test_labels_by_class_name_its_own_concepts():
    weights = {"a": make_importance(("a",), 2), "b": make_importance(("b",), 3)}
    data = payload(None, weights, labels={"a": ["x", "y"], "b": {2: "z"}})
    named = [[data["concepts"][place]["label"] for place, *_ in group["entries"]] for group in data["groups"]]
    assert sorted(named[0]) == ["x", "y"]
    assert sorted(named[1], key=str) == [None, None, "z"]


# Concepts and examples


def test_interpretations_alone_list_concepts_with_their_examples():
    data = payload(make_interpretations())
    (group,) = data["groups"]
    assert (group["name"], group["texts"], group["total"]) == (None, None, 4)
    assert group["entries"] == [[0], [1], [2], [3]]
    assert [concept["label"] for concept in data["concepts"]] == LABELS
    assert data["settings"] == [["k_examples", "5"], ["seed", "0"]]
    first, second = data["concepts"][0]["examples"]
    assert first == [
        2.5,
        [["The ", None, 0], ["team", 1.25, 0], [" ", None, 0], ["won", 2.5, 1], [" the ", None, 0], ["game", -0.5, 0]],
    ]
    assert second == [2.0, [["She ", None, 0], ["scored", 2.0, 1], [" twice", None, 0]]]
    assert data["concepts"][1]["words"] == ["bank", "money"]
    assert data["concepts"][3]["examples"] == []


def test_text_of_interpretations_marks_the_examples():
    lines = str(plot_concepts(make_interpretations())).splitlines()
    assert lines[:3] == [
        "concept 0    names of teams",
        "     2.5  The team [won] the game",
        "       2  She [scored] twice",
    ]
    assert lines[-1] == "concept 3    concept 3 (never active)"
    coloured = plot_concepts(make_interpretations()).text()
    assert "\x1b[38;2;0;0;0;48;2;255;125;50mwon\x1b[0m" in coloured
    assert plain(coloured) == str(plot_concepts(make_interpretations())).replace("[", "").replace("]", "")


def test_examples_are_few_and_of_bounded_length():
    data = payload(make_interpretations(), examples=1)
    assert [len(concept["examples"]) for concept in data["concepts"]] == [1, 1, 1, 0]
    ((_, pieces),) = data["concepts"][2]["examples"]
    assert 400 < sum(len(text) for text, *_ in pieces) < 600
    assert pieces[-1][0] == "…"
    long = Example("here", 1.0, "before " * 500, " after" * 500)
    shown = excerpts(long)
    assert [piece.text for piece in shown if piece.own] == ["here"]
    assert (shown[0].text, shown[-1].text) == ("…", "…")
    assert sum(len(piece.text) for piece in shown) < 600
    assert payload(make_interpretations(), examples=0)["concepts"][0]["examples"] == []


def test_marks_that_do_not_fit_the_text_lose_no_letter():
    example = Example("won", 1.0, "they ", "", marks=(Mark(-3, 2, 0.5), Mark(1, 7, 0.7), Mark(6, 99, 0.9)))
    assert "".join(piece.text for piece in excerpts(example)) == "they won"


def test_labels_are_given_by_number():
    named = payload(make_interpretations(), labels={1: "money", 3: "dead"})["concepts"]
    assert [concept["label"] for concept in named] == ["names of teams", "money", "prices and shares", "dead"]
    assert [c["label"] for c in payload(make_interpretations(), labels=list("abcd"))["concepts"]] == list("abcd")


# One text


def test_text_is_cut_into_rows_and_what_is_between_them():
    data = payload(None, None, make_local())
    ((text,), label) = ([part["pieces"] for part in data["parts"]], data["parts"][0]["label"])
    assert label == "Text"
    assert "".join(letters for letters, _, _ in text) == "The bank won  money"
    assert [(letters, row) for letters, row, _ in text if row >= 0] == [
        ("The", 0),
        ("bank", 1),
        ("won", 2),
        ("money", 3),
    ]


def test_codes_and_weights_are_those_of_the_result_without_zeros():
    local = make_local()
    data = payload(make_interpretations(), None, local)
    numbers = [concept["number"] for concept in data["concepts"]]
    codes, weights = torch.zeros_like(local.codes), torch.zeros_like(local.weights)
    for k, (row, place) in enumerate(zip(data["rows"], data["of"], strict=True)):
        assert data["codes"][k] != 0
        codes[row, numbers[place]] = data["codes"][k]
        weights[:, row, numbers[place]] = torch.tensor([of_target[k] for of_target in data["weights"]])
    torch.testing.assert_close(codes, local.codes, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(weights, local.weights, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(torch.tensor(data["totals"]), local.weights.sum(dim=2), rtol=1e-3, atol=1e-5)
    assert data["active"] == (local.codes != 0).sum(dim=1).tolist()
    for concept in data["concepts"]:
        column = local.weights[:, :, concept["number"]]
        torch.testing.assert_close(torch.tensor(concept["net"]), column.sum(dim=1), rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(torch.tensor(concept["absolute"]), column.abs().sum(dim=1), rtol=1e-3, atol=1e-5)
    assert data["targets"] == [["Business", 2.0], ["Sports", 1.0]]
    assert data["chosen"] == 0


def test_saved_and_fresh_results_look_alike():
    """A gradient has weights where the code is 0, which a saved result does not keep."""
    local = make_local()
    gradients = replace(local, weights=torch.ones_like(local.weights))
    assert payload(None, None, gradients) == payload(None, None, LocalImportance.from_dict(gradients.to_dict()))
    assert payload(None, None, gradients)["totals"][0] == (local.codes != 0).sum(dim=1).tolist()


def test_page_of_a_sparse_text_is_small():
    rows, concepts, targets = 300, 4000, 3
    rng = torch.Generator().manual_seed(0)
    codes = torch.zeros(rows, concepts).scatter_(1, torch.randint(concepts, (rows, 16), generator=rng), 1.0)
    spans = tuple((0, 5 * k, 5 * k + 4) for k in range(rows))
    local = LocalImportance(
        0,
        ("a", "b", "c"),
        ("word " * rows,),
        spans,
        torch.zeros(targets),
        codes,
        torch.randn(targets, rows, concepts, generator=rng),
    )
    data = plot_concepts(None, None, local).figures[0].payload()
    assert rows * 10 <= len(data["codes"]) <= rows * 16
    assert len(json.dumps(data)) < 1_000_000


def test_rows_without_letters_or_with_shared_ones_get_names():
    local = replace(
        make_local("Hi 👩"),
        parts=("Hi 👩", "there"),
        spans=((0, 0, 0), (0, 3, 4), (0, 3, 4), (1, 0, 5)),
        codes=torch.ones(4, 2),
        weights=torch.ones(1, 4, 2),
        target_names=("a",),
        target_scores=torch.zeros(1),
    )
    first, second = payload(None, None, local)["parts"]
    assert first["pieces"] == [["special token", 0, 1], ["Hi ", -1, 0], ["👩", 1, 0], ["👩", 2, 1]]
    assert second["pieces"] == [["there", 3, 0]]
    assert (first["label"], second["label"]) == ("Text 1", "Text 2")
    assert "special token" in str(plot_concepts(None, None, local))


def test_text_tells_where_concepts_weigh():
    local = make_local()
    text = str(plot_concepts(make_interpretations(), None, local))
    assert text.splitlines()[:3] == ["Text:", "  The bank won  money", "Business: 2"]
    strongest = local.top(0, 1)[0]
    row = int(local.weights[0, :, strongest].abs().argmax())
    name = ["names of teams", "bank · money", "prices and shares", "concept 3 (never active)"][strongest]
    assert f"  {name}  <- {local.texts[row]} " in text.splitlines()[3]
    assert plain(plot_concepts(make_interpretations(), None, local).text()).count("The bank won  money") == 2


def test_several_texts_and_the_ranking_share_a_page():
    plot = plot_concepts(make_interpretations(), make_importance(), [make_local(), make_local("won")])
    assert [figure.view for figure in plot.figures] == ["concepts", "concepts_local", "concepts_local"]
    assert all(isinstance(figure, Figure) and figure.height > 100 for figure in plot.figures)
    assert "<title>Concepts - Interpreto</title>" in plot.html()
    assert '<iframe title="Concepts"' in plot._repr_html_()
    assert [figure.view for figure in plot_concepts(make_interpretations(), local=make_local()).figures] == [
        "concepts_local"
    ]


def test_texts_of_unusual_shape_are_drawn():
    local = make_local()
    nothing = replace(local, target_names=(), target_scores=torch.zeros(0), weights=torch.zeros(0, 4, 4))
    empty = replace(local, parts=("",), spans=(), codes=torch.zeros(0, 4), weights=torch.zeros(2, 0, 4))
    odd = replace(local, codes=torch.full((4, 4), float("nan")), target_scores=torch.full((2,), float("nan")))
    for result in (nothing, empty, odd, replace(local, codes=torch.zeros(4, 4))):
        plot = plot_concepts(None, None, result)
        assert plot.html()
        assert plain(plot.text())
        assert str(plot)
    assert "more targets" in str(plot_concepts(None, None, make_local(names=[f"class {k}" for k in range(14)])))


# Pages and terminals


def everything(text: str = "won") -> list:
    readings = make_interpretations([text, None, text, None], word=text[:100])
    local = replace(make_local(text if text.split() else "a"), target_names=(text, "b"))
    return [
        plot_concepts(readings, make_importance([text, "b"]), local),
        plot_concepts({text: readings, "b": readings}),
    ]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:12]))
def test_hostile_labels_and_texts_stay_text(text):
    for plot, usual in zip(everything(text), everything(), strict=True):
        page = plot.html()
        page.encode()
        reader, data = read(page)
        harmless: Reader = read(usual.html())[0]
        assert reader.tags == harmless.tags
        assert len(reader.attributes) == len(harmless.attributes)
        assert data["figures"][0]["concepts"][0]["label"] in (text, None)
        assert text in [group["name"] for group in data["figures"][0]["groups"]]


def test_text_cannot_command_the_terminal():
    text = "red\x1b[31m\r\x9b2J \u202egnp.exe \ud800 \x00\x7f\x08"
    for plot in everything(text):
        for told in (plot.text(color=False), plain(plot.text())):
            told.encode()
            assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", told)
            assert "red␛[31m" in told


def test_page_is_small_beside_its_data_and_asks_for_nothing():
    plot = plot_concepts(make_interpretations(), make_importance(), make_local())
    page = plot.html()
    assert len(page.encode()) < 60_000
    assert not re.search(
        r"https?:|//cdn|url\(|@import|\bfetch\(|XMLHttpRequest|innerHTML|insertAdjacent|\beval\b", page
    )
    assert not {name for _, name, _ in read(page)[0].attributes} & {"src", "href", "onclick", "onload", "style"}


def test_save_writes_the_page(tmp_path):
    plot = plot_concepts(make_interpretations())
    plot.save(tmp_path / "concepts.html")
    assert (tmp_path / "concepts.html").read_bytes().decode() == plot.html()


# What cannot be drawn


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "expected something to draw, got None"),
        ({"interpretations": "joy"}, "interpretations: expected Interpretations, .* got str"),
        ({"interpretations": {}}, "at least one class"),
        ({"interpretations": {"a": 1}}, "from class names to Interpretations, got 'a': int"),
        ({"importance": torch.ones(3)}, "importance: expected ConceptImportance, .* got Tensor"),
        ({"importance": make_interpretations()}, "from class names to ConceptImportance, got 0: ConceptReading"),
        ({"local": make_importance()}, "local: expected a LocalImportance or a list of them, got ConceptImportance"),
        ({"local": [make_local(), None]}, r"local\[1\]: expected a LocalImportance, got NoneType"),
        ({"local": []}, "at least one text"),
        ({"importance": make_importance(), "top": 0}, "top: expected a whole number, at least 1"),
        ({"importance": make_importance(), "examples": -1}, "examples: expected a whole number, at least 0"),
        (
            {"interpretations": make_interpretations(), "importance": make_importance(concepts=3)},
            "0 to 2, .* concept 3",
        ),
        ({"importance": make_importance(concepts=3), "local": make_local()}, r"3 in importance, 4 in local\[0\]"),
        ({"importance": make_importance(), "labels": list("abcde")}, "each of the 4 concepts, got 5"),
        ({"interpretations": make_interpretations(), "labels": ["a"]}, "each of the 4 concepts, got 1"),
        ({"importance": make_importance(), "labels": "abcd"}, "expected a list of texts"),
        ({"importance": make_importance(), "labels": [1, 2, 3, 4]}, "expected a list of texts"),
        ({"importance": make_importance(), "labels": {4: "a"}}, "numbers from 0 to 3 as keys, got 4"),
        ({"importance": make_importance(), "labels": {0: None}}, "expected texts, got None for concept 0"),
        ({"interpretations": make_interpretations(), "labels": {7: "a"}}, r"some of \[0, 1, 2, 3\] as keys, got 7"),
        ({"interpretations": {"a": make_interpretations()}, "local": make_local()}, "local: expected none"),
        ({"interpretations": {"a": make_interpretations()}, "importance": make_importance()}, "got one for all"),
        (
            {"interpretations": {"a": make_interpretations()}, "importance": {"b": make_importance(("b",))}},
            r"interpretations: expected the classes \['b'\], got \['a'\]",
        ),
        (
            {
                "interpretations": make_interpretations(),
                "importance": {"a": make_importance(("a",)), "b": make_importance(("b",), 5)},
            },
            r"4 in importance\['a'\], 5 in importance\['b'\]",
        ),
        ({"importance": {"a": make_importance()}}, r"importance\['a'\]: expected one target, or one of that name"),
        ({"importance": {"a": make_importance(("a",))}, "labels": list("abcd")}, r"mapping from the classes \['a'\]"),
        (
            {"importance": {"a": make_importance(("a",))}, "labels": {"a": ["b"]}},
            r"labels\['a'\]: .* 4 concepts, got 1",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(given: Mapping, message: str):
    with pytest.raises(InputError, match=message):
        unchecked(**given)


def test_labels_of_some_concepts_need_their_numbers():
    some = Interpretations(make_interpretations().readings[1:3], "TopKInputs")
    with pytest.raises(InputError, match=r"only the concepts \[1, 2\] are there"):
        plot_concepts(some, labels=["a", "b"])
    assert [concept["label"] for concept in payload(some, labels={2: "b"})["concepts"]] == [None, "b"]
