"""`interpreto concepts`: four steps, each from the files of the one before."""

import json

import pytest
import torch

from interpreto import ModelWithSplitPoints
from interpreto.concepts import ConceptImportance, Interpretations, SemiNMFConcepts, TopKInputs
from interpreto.concepts.interpretations import OutputReadings
from interpreto.demo import load
from tests.cli.running import error_of, run

TEXTS = [f"{name} is the {n}th album by the rock band The {name}s." for name in ("Ash", "Elm") for n in (4, 5, 6)]
TOPIC = ("--model", "demo:topic", "--device", "cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("concepts")
    (place / "texts.txt").write_text("\n".join(TEXTS) + "\n")
    code, out, err = run(
        *("concepts", "fit", *TOPIC, "--split-point", 2, "--nb-concepts", 4, "--granularity", "word", "--seed", 1),
        *("--file", place / "texts.txt", "--out", place / "c", "--json"),
    )
    assert code == 0, err
    assert json.loads(out)["n_rows"] > 50
    assert err.endswith("4 concepts of 6 texts\n")
    return place


@pytest.fixture(scope="module")
def learned():
    model, tokenizer = load("topic")
    split = ModelWithSplitPoints(model, 2, tokenizer=tokenizer)
    concepts = SemiNMFConcepts(split, nb_concepts=4, seed=1)
    concepts.fit(split.get_activations(TEXTS, "word"))
    return concepts


def test_fitted_concepts_are_those_of_the_library(folder, learned):
    found = SemiNMFConcepts.load(folder / "c")
    torch.testing.assert_close(found.dictionary, learned.dictionary, rtol=1e-3, atol=1e-4)


def test_the_steps(folder, learned):
    words = (folder / "c", "--file", folder / "texts.txt", "--device", "cpu")
    code, out, err = run("concepts", "interpret", *words, "--option", "k_examples=3", "--out", folder / "i.json")
    assert (code, out) == (0, ""), err
    found = Interpretations.load(folder / "i.json")
    wanted = TopKInputs(learned, activation_granularity="word", k_examples=3).interpret("all", TEXTS)
    assert [[e.text for e in r.examples] for r in found.values()] == [
        [e.text for e in r.examples] for r in wanted.values()
    ]

    code, out, err = run("concepts", "importance", *words, "--out", folder / "w.json", "--json")
    assert code == 0, err
    weights = ConceptImportance.load(folder / "w.json")
    assert json.loads(out) == weights.to_dict()
    torch.testing.assert_close(
        weights.absolute, learned.importance(TEXTS, activation_granularity="word").absolute, rtol=1e-3, atol=1e-4
    )
    code, out, _ = run("concepts", "importance", *words, "--top", 2)
    assert code == 0
    assert len(out.splitlines()) == 1 + 2 * len(weights.target_names)

    ask = ("concepts", "importance", *words, "--json")
    for given, targets, method in (
        (("--target", "Company"), [[1]] * len(TEXTS), "gradient_x_concept"),
        (("--target", "Album", "--target", 0, "--method", "gradient"), [[8, 0]] * len(TEXTS), "gradient"),
        (("--method", "gradient-x-concept"), None, "gradient_x_concept"),
        (("--method", "gradient_x_concept"), None, "gradient_x_concept"),
    ):
        code, out, err = run(*ask, *given)
        assert code == 0, err
        wanted = learned.importance(TEXTS, targets, "word", method=method)
        found = ConceptImportance.from_dict(json.loads(out))
        assert (found.target_names, found.method) == (wanted.target_names, wanted.method)
        torch.testing.assert_close(found.absolute, wanted.absolute, rtol=1e-3, atol=1e-4)

    page = folder / "page.html"
    code, out, err = run(
        "concepts", "plot", "--interpretations", folder / "i.json", "--importance", folder / "w.json", "--out", page
    )
    assert (code, out) == (0, ""), err
    assert "</html>" in page.read_text()


def test_tokens_are_drawn_in_the_place_of_examples(tmp_path):
    model = ("--model", "demo:stories", "--device", "cpu")
    fit = ("concepts", "fit", *model, "--split-point", 1, "--nb-concepts", 2, "--text", TEXTS[0])
    assert run(*fit, "--out", tmp_path / "c")[0] == 0
    tokens = ("concepts", "interpret", tmp_path / "c", "--method", "vocab-proj", "--device", "cpu")
    assert run(*tokens, "--out", tmp_path / "v.json")[0] == 0
    code, _, err = run("concepts", "plot", "--interpretations", tmp_path / "v.json", "--out", tmp_path / "p.html")
    assert code == 0, err
    raised = OutputReadings.load(tmp_path / "v.json")[1].lists[0].tokens[0].text
    assert json.dumps(raised)[1:-1] in (tmp_path / "p.html").read_text()
    (tmp_path / "v.json").write_text("{}")
    plot = ("concepts", "plot", "--interpretations", tmp_path / "v.json", "--out", tmp_path / "q.html")
    assert error_of(*plot).startswith("file: expected saved interpretations")


def test_readings_on_standard_output(folder):
    code, out, _ = run("concepts", "interpret", folder / "c", "--file", folder / "texts.txt", "--concepts", "0,2")
    assert code == 0
    assert [line.split()[1] for line in out.splitlines() if line.startswith("concept")] == ["0", "2"]


def test_what_is_asked_wrongly(folder, tmp_path):
    fit = ("concepts", "fit", *TOPIC, "--split-point", 2, "--text", "a")
    assert "out: expected a new or empty folder" in error_of(*fit, "--out", folder)
    assert "method: expected one of" in error_of(*fit, "--out", tmp_path / "c", "--method", "neurons-as-concepts")
    assert "needs more options" in error_of(*fit, "--out", tmp_path / "c", "--method", "top-k-sae", "--nb-concepts", 3)
    assert "at least as many rows" in error_of(*fit, "--out", tmp_path / "c", "--nb-concepts", 99)
    assert not (tmp_path / "c").exists()
    assert "expected one that `interpreto concepts fit` saved" in error_of(
        "concepts", "interpret", tmp_path, "--text", "a"
    )
    weigh = ("concepts", "importance", folder / "c", "--text", TEXTS[0])
    assert "expected one of the labels" in error_of(*weigh, "--target", "Gardening")
    assert "method: expected one of gradient, gradient-x-concept, got 'nothing'" in error_of(
        *weigh, "--method", "nothing"
    )
    ask = ("concepts", "interpret", folder / "c", "--text", "a")
    assert "concepts: expected numbers" in error_of(*ask, "--concepts", "first")
    assert "llm: expected the name" in error_of(*ask, "--method", "llm-labels")
    assert "expected something to draw" in error_of("concepts", "plot", "--out", tmp_path / "p.html")


def test_kinds_are_those_of_the_library():
    from interpreto.cli.concepts.fit import Aggregated, RowKind
    from interpreto.cli.concepts.importance import _WEIGHTS
    from interpreto.concepts import ImportanceMethod
    from interpreto.model_wrapping import ActivationGranularity, Aggregation

    for ours, theirs in ((RowKind, ActivationGranularity), (Aggregated, Aggregation)):
        assert [kind.value for kind in ours] == [kind.value for kind in theirs]
    assert list(_WEIGHTS) == [kind.value for kind in ImportanceMethod]


def test_no_key_is_ever_shown(folder, monkeypatch):
    secret = "sk-secret-0123456789"
    monkeypatch.setenv("OPENAI_API_KEY", secret)
    ask = ("concepts", "interpret", folder / "c", "--text", TEXTS[0], "--method", "llm-labels", "--llm", "m")
    code, out, err = run(*ask, "--llm-url", "http://127.0.0.1:9", "--debug", "--option", "k_examples=x")
    assert code == 2
    assert secret not in out + err
    code, out, err = run("info", "--json")
    assert secret not in out + err
