"""Every kind of explained function, on tiny models: what to explain, and what the answer must look like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForTokenClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from tests.tiny import byte_bpe, classifier, language_model, metaspace, wordpiece


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


def _bert(kind: type[PreTrainedModel], num_labels: int = 2) -> PreTrainedModel:
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(wordpiece()),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        num_labels=num_labels,
        initializer_range=0.3,
    )
    return kind(config).eval()


def sequence_to_sequence() -> PreTrainedModel:
    """A small random T5."""
    torch.manual_seed(1)
    config = T5Config(
        vocab_size=len(metaspace()),
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=1,
        initializer_factor=1.0,
    )
    return T5ForConditionalGeneration(config).eval()


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
            lambda: _bert(BertForMaskedLM),
            wordpiece,
            ["The [MASK] fox.", "A [MASK] day", "you [MASK]"],
            ["dog", "sad", "are"],
            [(1, 3), (1, 2), (1, 1)],
        ),
        "tokens": Case(
            lambda: _bert(BertForTokenClassification, num_labels=4),
            wordpiece,
            ["The quick fox.", "A sad day", "you"],
            None,
            [(4, 4), (3, 3), (1, 1)],
        ),
        "answers": Case(
            lambda: _bert(BertForQuestionAnswering),
            wordpiece,
            [("Who is sad?", "The lazy dog."), ("Who", "He ran home"), ("what day", "a sad day")],
            None,
            [(2, 8), (2, 4), (2, 5)],
        ),
    }
