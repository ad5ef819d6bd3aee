"""`interpreto evaluate`: the library's metrics, as a table."""

import csv
import io
import json
from statistics import mean, stdev

import pytest

from interpreto import Occlusion, Saliency
from interpreto.attributions.metrics import Deletion, Infidelity
from interpreto.cli.names import public_names
from interpreto.demo import load
from tests.cli.running import ANGRY, LOVING, MODEL, SCARED, error_of, json_lines, run

TEXTS = [SCARED, LOVING, ANGRY]


def test_figures_are_those_of_the_library(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("\n".join([*TEXTS, "", "x " * 3000]))
    words = ("evaluate", *MODEL, "--file", path, "--methods", "occlusion,saliency", "--metrics", "deletion,infidelity")
    assert "line 4" in error_of(*words)
    code, out, err = run(*words, "--on-error", "skip", "--json", "--out", tmp_path / "t.csv")
    assert code == 1
    assert [line.split(":")[0] for line in err.splitlines()[:2]] == ["line 4", "line 5"]
    rows = json_lines(out)
    assert [(row["method"], row["metric"]) for row in rows] == [
        (method, metric) for method in ("occlusion", "saliency") for metric in ("deletion", "infidelity")
    ]
    model, tokenizer = load("emotion")
    for row, method, metric in zip(
        rows, (Occlusion, Occlusion, Saliency, Saliency), (Deletion, Infidelity) * 2, strict=True
    ):
        said = metric(model, tokenizer)(method(model, tokenizer)(TEXTS))
        assert row["score"] == pytest.approx(said.score, abs=1e-5)
        figures = [float(score.mean()) for score in said.scores]
        assert row["score_std_error"] == pytest.approx(stdev(figures) / 3**0.5, abs=1e-5)
        if metric is Deletion:
            assert row["beside"] == pytest.approx(said.random_score, abs=1e-5)
            assert row["gain"] == pytest.approx(said.gain, abs=1e-5)
            assert row["gain_std_error"] == pytest.approx(said.gain_std_error, abs=1e-5)
            assert row["beside_is"] == "random order"
        else:
            assert row["beside"] == pytest.approx(said.reference, rel=1e-4)
            gains = [float((nothing - own).mean()) for own, nothing in zip(said.scores, said.references, strict=True)]
            assert row["gain"] == pytest.approx(mean(gains), rel=1e-3, abs=1e-4)
    table = list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text())))
    assert [float(row["score"]) for row in table] == [row["score"] for row in rows]
    assert {row["n_texts"] for row in table} == {"3"}


def test_the_table_for_people_and_json_file(tmp_path):
    words = ("evaluate", *MODEL, "--text", SCARED, "--methods", "saliency", "--metrics", "insertion,sensitivity-max")
    code, out, _ = run(*words, "--out", tmp_path / "t.json", "--quiet")
    assert (code, out) == (0, "")
    insertion, sensitivity = json.loads((tmp_path / "t.json").read_text())
    assert (insertion["score_std_error"], sensitivity["beside"], sensitivity["gain"]) == (None, None, None)
    code, out, _ = run(*words)
    head, first, second = out.splitlines()
    assert head.split()[:3] == ["method", "metric", "texts"]
    assert first.split()[:3] == ["saliency", "insertion", "1"]
    assert second.split()[-1] == "lower"


def test_what_is_asked_wrongly():
    ask = ("evaluate", *MODEL, "--text", SCARED)
    assert "metrics: expected one of" in error_of(*ask, "--metrics", "accuracy")
    assert "methods: expected one of" in error_of(*ask, "--methods", "occlusion,nothing")
    assert "methods: expected at least one" in error_of(*ask, "--methods", ",")
    assert "out: expected a name that ends in .csv, .json" in error_of(*ask, "--out", "t.html")


def test_every_metric_is_one():
    from interpreto.cli.evaluate import _NO_METRICS, load_class

    for name in public_names("attributions.metrics"):
        assert (name in _NO_METRICS) == (
            getattr(load_class("attributions.metrics", name), "higher_is_better", None) is None
        )
