"""Every kind of explained function, on tiny models: what to explain, and what the answer must look like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from transformers import (
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForTokenClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from tests.tiny import bert, byte_bpe, classifier, language_model, metaspace, sequence_to_sequence, wordpiece


@dataclass(frozen=True)
class Case:
    """Inputs of one task.

    Args:
        model: Makes the same model anew at each call.
        tokenizer: Makes its tokenizer.
        inputs: Three of them.
        targets: One entry an input.
        shapes: Targets and words of each input.
    """

    model: Callable[[], PreTrainedModel]
    tokenizer: Callable[[], PreTrainedTokenizerFast]
    inputs: list[Any]
    targets: list[Any] | None
    shapes: list[tuple[int, int]]


@cache
def cases() -> dict[str, Case]:
    return {
        "classification": Case(
            classifier,
            wordpiece,
            ["The quick fox.", "A sad day", "you"],
            [[0, 2], [1, 0], [2, 2]],
            [(2, 4), (2, 3), (2, 1)],
        ),
        "pair": Case(
            classifier,
            wordpiece,
            [("The lazy dog.", "A sad dog"), ("He ran", "home"), ("you", "we are")],
            [1, 0, 2],
            [(1, 7), (1, 3), (1, 3)],
        ),
        "causal": Case(
            language_model,
            byte_bpe,
            ["The quick fox", "What a sad, sad", "Once"],
            [" jumps over", " day", " upon a time"],
            [(5, 5), (1, 5), (4, 3)],
        ),
        "seq2seq": Case(
            sequence_to_sequence,
            metaspace,
            ["The quick fox", "What a sad, sad", "Once"],
            [" jumps", " day", " upon a"],
            [(2, 4), (1, 5), (3, 3)],
        ),
        "masked": Case(
            lambda: bert(BertForMaskedLM, num_labels=2, seed=1),
            wordpiece,
            ["The [MASK] fox.", "A [MASK] day", "you [MASK]"],
            ["dog", "sad", "are"],
            [(1, 3), (1, 2), (1, 1)],
        ),
        "tokens": Case(
            lambda: bert(BertForTokenClassification, num_labels=4, seed=1),
            wordpiece,
            ["The quick fox.", "A sad day", "you"],
            None,
            [(4, 4), (3, 3), (1, 1)],
        ),
        "answers": Case(
            lambda: bert(BertForQuestionAnswering, num_labels=2, seed=1),
            wordpiece,
            [("Who is sad?", "The lazy dog."), ("Who", "He ran home"), ("what day", "a sad day")],
            None,
            [(2, 8), (2, 4), (2, 5)],
        ),
    }
