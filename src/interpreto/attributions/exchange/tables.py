"""Results of many texts, and of several methods, as one table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from interpreto.attributions.result import Attribution
from interpreto.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    import datasets
    import pandas


def to_pandas(results: Attribution | Iterable[Attribution]) -> pandas.DataFrame:
    """One row a result, target and element, for counting and plotting.

    Columns: `result` (its number), `method`, `target`, `position`, `element`, `score`, and `std_error` where any of the
    results has standard errors. Lost: where elements stand in the text, the model's own scores, settings; `to_dataset`
    keeps the first two, `save` everything.

    Args:
        results: Of one explainer or of several.

    Raises:
        InputError: Something else, or nothing.
        MissingExtraError: pandas is not installed.

    >>> from interpreto import Occlusion
    >>> from interpreto.demo import load
    >>> table = to_pandas(Occlusion(*load("emotion"))(["I was scared.", "So happy!"]))
    >>> table.groupby("result")["score"].idxmax().map(table["element"]).tolist()
    [' scared', ' happy']
    """
    found = as_results(results)
    try:
        import pandas
    except ImportError:
        raise MissingExtraError("pandas", "data", "to_pandas()") from None
    tables = []
    for number, result in enumerate(found):
        table = result.to_pandas()
        table.insert(0, "method", result.method)
        table.insert(0, "result", number)
        tables.append(table)
    return pandas.concat(tables, ignore_index=True)


def to_dataset(results: Attribution | Iterable[Attribution]) -> datasets.Dataset:
    """One row a result and target, with lists for its elements, for the hub and for `map` and `filter`.

    Columns: `result` (its number), `method`, `task`, `inference_mode`, `text` (its parts as a list: prompt and output,
    premise and hypothesis), `target`, `target_score` and `baseline_score` (or `None`), and as lists with an entry an
    element `elements`, `parts`, `starts`, `ends` (where they stand), `scores` and `std_errors` (or `None`). A score is
    `None` where an element is written after the target. Lost: token ids, settings; `save` keeps everything.

    Args:
        results: Of one explainer or of several.

    Raises:
        InputError: Something else, or nothing.
        MissingExtraError: datasets is not installed.
    """
    found = as_results(results)
    try:
        import datasets
    except ImportError:
        raise MissingExtraError("datasets", "data", "to_dataset()") from None
    number = datasets.Value("float32")
    features = {
        "result": datasets.Value("int64"),
        **dict.fromkeys(("method", "task", "inference_mode"), datasets.Value("string")),
        "text": datasets.Sequence(datasets.Value("string")),
        "target": datasets.Value("string"),
        **dict.fromkeys(("target_score", "baseline_score"), number),
        "elements": datasets.Sequence(datasets.Value("string")),
        **dict.fromkeys(("parts", "starts", "ends"), datasets.Sequence(datasets.Value("int64"))),
        **dict.fromkeys(("scores", "std_errors"), datasets.Sequence(number)),
    }
    rows = [row for k, result in enumerate(found) for row in _rows(k, result)]
    return datasets.Dataset.from_list(rows, features=datasets.Features(features))


def as_results(results: Any) -> list[Attribution]:
    """Results as a list of at least one.

    Raises:
        InputError: Something else, or nothing.
    """
    given = [results] if isinstance(results, Attribution) else list(results) if isinstance(results, Iterable) else []
    for k, result in enumerate(given):
        if not isinstance(result, Attribution):
            raise InputError(f"results[{k}]: expected a result of an explainer, got {type(result).__name__}")
    if not given:
        raise InputError(f"results: expected at least one result of an explainer, got {results!r:.60}")
    return given


def _rows(number: int, result: Attribution) -> list[dict[str, Any]]:
    shared = {
        "result": number,
        "method": result.method,
        "task": result.task.value,
        "inference_mode": result.inference_mode.value,
        "text": list(result.sample.parts),
        "elements": [element.text for element in result.elements],
        "parts": [element.part for element in result.elements],
        "starts": [element.start for element in result.elements],
        "ends": [element.end for element in result.elements],
    }
    return [
        {
            **shared,
            "target": name,
            "target_score": None if result.target_scores is None else float(result.target_scores[t]),
            "baseline_score": None if result.baseline_scores is None else float(result.baseline_scores[t]),
            "scores": _numbers(result.scores[t].tolist()),
            "std_errors": None if result.std_errors is None else _numbers(result.std_errors[t].tolist()),
        }
        for t, name in enumerate(result.target_names)
    ]


def _numbers(values: list[float]) -> list[float | None]:
    return [None if value != value else value for value in values]
