"""captum's `LLMAttributionResult`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interpreto.attributions.exchange.foreign import as_pieces, as_scores, scored_output
from interpreto.attributions.result import Attribution
from interpreto.errors import InputError, MissingExtraError
from interpreto.types import InferenceMode

if TYPE_CHECKING:
    import captum.attr


def to_captum(result: Attribution) -> captum.attr.LLMAttributionResult:
    """A result of a model that writes as captum's, with its `plot_token_attr` and `plot_seq_attr`.

    `token_attr` has a row a target and a column an element of the source; `seq_attr` is the sum over targets, which for
    logits and log-probabilities explains the score of the whole output.

    Lost: scores of earlier output elements (captum explains the prompt only), standard errors, settings, the model's
    own scores.

    Args:
        result: Of a model that writes.

    Raises:
        InputError: A result of another task.
        MissingExtraError: captum is not installed.
    """
    if not result.task.generates:
        raise InputError(f"result: expected one of a model that writes, got one of {result.task.value}")
    try:
        from captum.attr import LLMAttributionResult
    except ImportError:
        raise MissingExtraError("captum", "bench", "to_captum()") from None
    output = len(result.sample.parts) - 1
    columns = [k for k, element in enumerate(result.elements) if element.part < output]
    if not columns:
        raise InputError("result: expected at least one element of the source, got none")
    scores = result.scores[:, columns].nan_to_num(0.0)
    return LLMAttributionResult(
        seq_attr=scores.sum(dim=0),
        token_attr=scores,
        input_tokens=[result.elements[k].text for k in columns],
        output_tokens=list(result.target_names),
    )


def from_captum(
    given: Any, *, method: str = "captum", inference_mode: InferenceMode | str = InferenceMode.LOG_SOFTMAX
) -> Attribution:
    """captum's result, or anything that has its four fields, as a result.

    Without `token_attr` the whole output is the only target. Lost: `output_probs`, the interpretable input. Token ids
    are not known to captum's result, so that metrics, which ask the model again, refuse it.

    Args:
        given: Has `seq_attr`, `token_attr` (or `None`), `input_tokens` and `output_tokens`.
        method: What to call the method in the result.
        inference_mode: The space of the target scores; captum's perturbation methods explain log-probabilities.

    Raises:
        InputError: Something else.

    >>> from types import SimpleNamespace
    >>> given = SimpleNamespace(
    ...     seq_attr=[1.0, 3.0], token_attr=[[1.0, 3.0]], input_tokens=["a", " b"], output_tokens=[" c"]
    ... )
    >>> from_captum(given)
    Attribution(captum, causal-lm, log_softmax: 1 target (' c'), 2 elements of 'a b /  c')
    """
    missing = [name for name in ("seq_attr", "input_tokens", "output_tokens") if not hasattr(given, name)]
    if missing:
        raise InputError(f"given: expected captum's LLMAttributionResult, got {type(given).__name__} without {missing}")
    source, output = as_pieces(given.input_tokens, "input_tokens"), as_pieces(given.output_tokens, "output_tokens")
    by_token = getattr(given, "token_attr", None)
    if by_token is None:
        output, scores = ["".join(output)], as_scores(given.seq_attr, "seq_attr")[None]
    else:
        scores = as_scores(by_token, "token_attr")
    return scored_output(source, output, scores, method=method, mode=InferenceMode(inference_mode))
