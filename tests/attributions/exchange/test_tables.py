"""Results as one table: every number once, beside what it belongs to."""

import sys

import pandas
import pytest

from interpreto import InputxGradient, KernelShap, Occlusion
from interpreto.attributions.exchange import to_dataset, to_pandas
from interpreto.errors import InputError, MissingExtraError
from tests.tiny import byte_bpe, classifier, language_model, wordpiece

TEXTS = ["The quick fox.", "A sad day"]


def found():
    model, tokenizer = classifier(), wordpiece()
    return [
        *Occlusion(model, tokenizer)(TEXTS, [[0, 2], [1, 0]]),
        *KernelShap(model, tokenizer, n_perturbations=20)("The lazy dog jumped over", [1]),
    ]


def test_a_frame_has_a_row_a_score():
    results = found()
    table = to_pandas(results)
    assert list(table.columns) == ["result", "method", "target", "position", "element", "score", "std_error"]
    assert len(table) == sum(result.scores.numel() for result in results)
    for number, result in enumerate(results):
        own = table[table["result"] == number]
        assert set(own["method"]) == {result.method}
        assert own["score"].tolist() == result.scores.flatten().tolist()
        assert own["element"].tolist()[: len(result.elements)] == [element.text for element in result.elements]
        assert own["std_error"].isna().all() == (result.std_errors is None)
    assert list(table.index) == list(range(len(table)))


def test_a_dataset_has_a_row_a_target(tmp_path):
    results = found()
    rows = to_dataset(results)
    targets = [(k, t) for k, result in enumerate(results) for t in range(len(result.targets))]
    assert len(rows) == len(targets)
    for row, (k, t) in zip(rows, targets, strict=True):
        result = results[k]
        assert (row["result"], row["method"], row["target"]) == (k, result.method, result.target_names[t])
        assert row["scores"] == result.scores[t].tolist()
        assert row["target_score"] == float(result.target_scores[t])
        assert (row["std_errors"] is None) == (result.std_errors is None)
        for text, part, start, end in zip(row["elements"], row["parts"], row["starts"], row["ends"], strict=True):
            assert row["text"][part][start:end] == text
    rows.to_parquet(tmp_path / "rows.parquet")
    assert len(pandas.read_parquet(tmp_path / "rows.parquet")) == len(rows)


def test_what_is_written_later_is_missing():
    (result,) = InputxGradient(language_model(), byte_bpe())("The fox", " ran home")
    rows = result.to_dataset()
    assert rows[0]["text"] == ["The fox", " ran home"]
    assert [score is None for score in rows[0]["scores"]] == result.scores[0].isnan().tolist()
    assert any(score is None for score in rows[0]["scores"])
    assert rows[0]["task"] == "causal-lm"


@pytest.mark.parametrize("make", [to_pandas, to_dataset])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], r"^results: expected at least one result of an explainer, got \[\]"),
        ("text", r"^results\[0\]: expected a result of an explainer, got str"),
        (3, "^results: expected at least one result of an explainer, got 3"),
    ],
)
def test_refused(make, given, message):
    with pytest.raises(InputError, match=message):
        make.__wrapped__(given)


@pytest.mark.parametrize(("make", "package"), [(to_pandas, "pandas"), (to_dataset, "datasets")])
def test_missing_packages(make, package, monkeypatch):
    results = found()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"needs the package '{package}'.*interpreto\[data\]"):
        make(results)
