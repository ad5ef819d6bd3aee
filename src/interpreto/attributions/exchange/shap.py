"""shap's `Explanation`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from interpreto.attributions.exchange.foreign import as_pieces, as_scores, scored_classes
from interpreto.attributions.exchange.tables import as_results
from interpreto.attributions.result import Attribution
from interpreto.errors import InputError, MissingExtraError
from interpreto.types import InferenceMode

if TYPE_CHECKING:
    import shap


def to_shap(results: Attribution | Iterable[Attribution]) -> shap.Explanation:
    """Results as a `shap.Explanation`, for `shap.plots.text`, `shap.plots.bar` and others.

    `values` has a row an element and a column a target, `data` the elements' texts, `base_values` the scores with
    everything removed (or, for methods that know none, the model's score less the sum). Of several results these are
    one entry a text, as shap has them itself. Take one target of a text for `bar`: `to_shap(result)[:, "joy"]`.

    Lost: standard errors, settings, the space of the scores, the text between elements, and which elements a target
    cannot see (their values are 0). Methods that are not additive are shown by shap as if they were.

    Args:
        results: One result, or several of the same targets.

    Raises:
        InputError: Results of several targets.
        MissingExtraError: shap is not installed.
    """
    found = as_results(results)
    try:
        from shap import Explanation
    except ImportError:
        raise MissingExtraError("shap", "bench", "to_shap()") from None
    names = list(found[0].target_names)
    for k, result in enumerate(found):
        if list(result.target_names) != names:
            raise InputError(
                f"results[{k}]: expected the targets of the first result, {names!r:.120}, got "
                f"{list(result.target_names)!r:.120}; pass results one by one, or explain the same targets of all texts"
            )
    values = [result.scores.nan_to_num(0.0).T.numpy() for result in found]
    data = [np.array([element.text for element in result.elements]) for result in found]
    base = np.stack([_base_values(result) for result in found])
    if isinstance(results, Attribution):
        return Explanation(values=values[0], base_values=base[0], data=data[0], output_names=names)
    return Explanation(values=_ragged(values), base_values=base, data=_ragged(data), output_names=names)


def from_shap(
    explanation: Any, *, method: str = "shap", inference_mode: InferenceMode | str = InferenceMode.SOFTMAX
) -> list[Attribution]:
    """A `shap.Explanation` of texts as results, one a text, for this library's pictures, tables and files.

    Each output becomes a class of its name. Lost: `clustering`, `error_std`, interaction values. Token ids are not
    known to shap, so that metrics, which ask the model again, refuse these results.

    Args:
        explanation: Of one text (`data` holds its pieces), or of several.
        method: What to call the method in the results.
        inference_mode: The space of the scores, which shap's explanation does not tell. shap explains probabilities of
            a transformers pipeline; give `"logits"` for a function of logits, and for what `to_shap` made of logits.

    Raises:
        InputError: Not an explanation of texts, or no such space.

    >>> from types import SimpleNamespace
    >>> given = SimpleNamespace(values=[0.5, 2.0], base_values=0.1, data=["so ", "sad"], output_names="sadness")
    >>> from_shap(given)[0]
    Attribution(shap, classification, softmax: 1 target ('sadness'), 2 elements of 'so sad')
    """
    if inference_mode not in list(InferenceMode):
        raise InputError(
            f"inference_mode: expected one of {[mode.value for mode in InferenceMode]}, got {inference_mode!r:.60}"
        )
    mode = InferenceMode(inference_mode)
    missing = [name for name in ("values", "data") if getattr(explanation, name, None) is None]
    if missing:
        raise InputError(
            f"explanation: expected a shap.Explanation of texts, got {type(explanation).__name__} without {missing}"
        )
    values, data, base = explanation.values, explanation.data, getattr(explanation, "base_values", None)
    if isinstance(data, str) or not len(data):
        raise InputError(f"explanation: expected texts in pieces as data, got {data!r:.60}")
    names = getattr(explanation, "output_names", None)
    if isinstance(data[0], str):
        return [_result(values, data, base, names, method, mode)]
    bases = [None] * len(data) if base is None else base
    return [_result(*one, names, method, mode) for one in zip(values, data, bases, strict=True)]


def _result(values: Any, data: Any, base: Any, names: Any, method: str, mode: InferenceMode) -> Attribution:
    scores = as_scores(np.asarray(values, dtype=np.float64), "values")
    scores = scores[:, None] if scores.dim() == 1 else scores
    if scores.dim() != 2:
        raise InputError(f"values: expected one a piece of text and output, got shape {tuple(scores.shape)}")
    known = [names] if isinstance(names, str) else names if names is not None else []
    named = [str(name) for name in known] if len(known) == scores.shape[1] else []
    named = named or [f"output {k}" for k in range(scores.shape[1])]
    offsets = None if base is None else as_scores(np.asarray(base, dtype=np.float64), "base_values")
    if offsets is not None:
        offsets = torch.broadcast_to(offsets.flatten(), (scores.shape[1],))
    pieces = as_pieces(data, "data")
    return scored_classes(pieces, scores.T, named, method=method, mode=mode, base_scores=offsets)


def _base_values(result: Attribution) -> np.ndarray:
    if result.baseline_scores is not None:
        return result.baseline_scores.numpy()
    if result.target_scores is not None:
        return (result.target_scores - result.scores.nansum(dim=1)).numpy()
    return np.zeros(len(result.targets), dtype=np.float32)


def _ragged(rows: list[np.ndarray]) -> np.ndarray:
    """An array of arrays, also where all are of one shape."""
    found = np.empty(len(rows), dtype=object)
    for k, row in enumerate(rows):
        found[k] = row
    return found
