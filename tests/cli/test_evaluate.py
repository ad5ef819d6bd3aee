"""`interpreto evaluate`: the library's metrics, as a table."""

import csv
import io
import json
from statistics import mean, stdev

import pytest

from interpreto import KernelShap, Occlusion, Saliency
from interpreto.attributions.metrics import Deletion, Infidelity
from interpreto.cli.names import public_names
from interpreto.demo import load
from tests.cli.running import ANGRY, LOVING, MODEL, SCARED, error_of, json_lines, run

TEXTS = [SCARED, LOVING, ANGRY]


def test_figures_are_those_of_the_library(tmp_path):
    path = tmp_path / "t.txt"
    path.write_bytes("\n".join([*TEXTS, "\xff", "x " * 3000]).encode("latin-1"))
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


def test_options_of_single_methods_and_of_all_that_have_them(monkeypatch):
    asked = {}
    monkeypatch.setattr(Occlusion, "__post_init__", lambda self: asked.update(occlusion=self))
    monkeypatch.setattr(KernelShap, "__post_init__", lambda self: asked.update(kernel_shap=self))
    words = ["evaluate", *MODEL, "--text", SCARED, "--seed", 5, "--granularity", "token"]
    for option in ("kernel-shap.n_perturbations=64", "KernelShap.seed=7", "tolerance=null", "removal=delete"):
        words += ["--option", option]
    run(*words)  # explains nothing, for what was asked is not even looked at
    assert (asked["occlusion"].removal, asked["occlusion"].seed) == ("delete", 5)
    assert (asked["kernel_shap"].removal, asked["kernel_shap"].seed) == ("delete", 7)
    assert asked["kernel_shap"].n_perturbations == 64
    assert {one.granularity for one in asked.values()} == {"token"}


def test_options_change_figures():
    words = ("evaluate", *MODEL, "--text", SCARED, "--methods", "kernel-shap,occlusion", "--metrics", "infidelity")
    found = []
    for option in ("kernel-shap.inference_mode=softmax", "inference_mode=softmax", "occlusion.seed=0"):
        code, out, _ = run(*words, "--option", option, "--json")
        assert code == 0
        found.append([row["score"] for row in json_lines(out)])
    single, both, none = found
    assert single == [both[0], none[1]]
    assert both[0] != none[0]
    assert both[1] != none[1]


@pytest.mark.parametrize("metric", ["deletion", "sensitivity-max"])
def test_the_seed_of_a_method_is_that_of_its_metrics(metric):
    words = ("evaluate", *MODEL, "--text", SCARED, "--methods", "saliency,occlusion", "--metrics", metric, "--json")

    def figures(*more):
        code, out, _ = run(*words, *more)
        assert code == 0
        return [(row["score"], row["beside"]) for row in json_lines(out)]

    nought, five = figures(), figures("--seed", 5)
    assert figures("--option", "seed=5") == five
    assert figures("--option", "occlusion.seed=5") == [nought[0], five[1]]
    assert nought[1] != five[1]


def test_what_is_asked_wrongly():
    ask = ("evaluate", *MODEL, "--text", SCARED)
    for option, said in (
        (
            "kernel-sharp.seed=1",
            "option: expected one of occlusion, kernel-shap, got 'kernel-sharp'; did you mean kernel-shap?",
        ),
        ("lime.seed=1", "option: expected one of occlusion, kernel-shap, got 'lime'"),
        ("occlusion.n_perturbations=3", "n_perturbations: Occlusion has no such option"),
        ("n_perturbation=3", "n_perturbation: no method here has such an option, they have granularity"),
        ("model=3", "model: no method here has such an option"),
        ("kernel-shap.n_perturbations=many", "n_perturbations: expected a whole number"),
        ("seed", "option: expected name=value, got 'seed'"),
    ):
        assert error_of(*ask, "--option", option).startswith(said), option
    assert "seed is given twice" in error_of(*ask, "--option", "occlusion.seed=1", "--option", "occlusion.seed=2")
    assert "seed is given twice" in error_of(*ask, "--seed", 1, "--option", "seed=2")
    error = error_of(*ask, "--methods", "saliency", "--metrics", "deletion", "--option", "inference_mode=odds")
    assert error.startswith("inference_mode: ")
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
