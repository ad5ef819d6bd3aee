"""One table of architectures: how to build a tiny random model of each, and what each can do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from interpreto.types import Task
from tests.tiny import byte_bpe, metaspace, roberta_bpe, wordpiece

CLASSES, LABELS, ANSWERS = Task.CLASSIFICATION, Task.TOKEN_CLASSIFICATION, Task.QUESTION_ANSWERING
CAUSAL, SEQ2SEQ, MASKED = Task.CAUSAL_LM, Task.SEQ2SEQ_LM, Task.MASKED_LM

AUTO = {
    CLASSES: AutoModelForSequenceClassification,
    LABELS: AutoModelForTokenClassification,
    ANSWERS: AutoModelForQuestionAnswering,
    CAUSAL: AutoModelForCausalLM,
    SEQ2SEQ: AutoModelForSeq2SeqLM,
    MASKED: AutoModelForMaskedLM,
}

WIDTH, LAYERS, HEADS, POSITIONS = 32, 2, 4, 64


@dataclass(frozen=True)
class Architecture:
    """How to build a tiny model.

    Args:
        kind: The name that `AutoConfig` knows it by.
        tokenizer: Of the kind that such models come with.
        tasks: What it has a head for.
        settings: Its configuration, beyond what is common to all.
    """

    kind: str
    tokenizer: Callable[[], PreTrainedTokenizerFast]
    tasks: tuple[Task, ...]
    settings: dict[str, Any] = field(default_factory=dict)

    def config(self, task: Task, **changes: Any) -> PretrainedConfig:
        tokenizer = self.tokenizer()
        names = ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")
        common = {name: getattr(tokenizer, name) for name in names}
        common |= {"vocab_size": len(tokenizer), "num_labels": 2 if task is ANSWERS else 3}
        if task is CAUSAL and MASKED in self.tasks:
            common["is_decoder"] = True  # an encoder made to write
        return AutoConfig.for_model(self.kind, **{**common, **self.settings, **changes})


ENCODER = {
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": 48,
    "max_position_embeddings": POSITIONS,
}
DECODER = {**ENCODER, "num_key_value_heads": 2, "head_dim": 8}
GPT = {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "n_positions": POSITIONS, "n_inner": 48}
BART = {
    "d_model": WIDTH,
    "encoder_layers": LAYERS,
    "decoder_layers": LAYERS,
    "encoder_attention_heads": HEADS,
    "decoder_attention_heads": HEADS,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": POSITIONS,
    "scale_embedding": True,
}
FALCON = {**ENCODER, "bias": True, "ffn_hidden_size": 48}

ARCHITECTURES = {
    "albert": Architecture("albert", wordpiece, (CLASSES, LABELS, ANSWERS, MASKED), {**ENCODER, "embedding_size": 16}),
    "bart": Architecture(
        "bart",
        roberta_bpe,
        (CLASSES, ANSWERS, CAUSAL, SEQ2SEQ),
        {**BART, "decoder_start_token_id": 2, "forced_eos_token_id": None},
    ),
    "bert": Architecture("bert", wordpiece, (CLASSES, LABELS, ANSWERS, CAUSAL, MASKED), ENCODER),
    "codegen": Architecture("codegen", byte_bpe, (CAUSAL,), {**GPT, "rotary_dim": 4}),
    "deberta-v2": Architecture(
        "deberta-v2",
        wordpiece,
        (CLASSES, LABELS, ANSWERS, MASKED),
        {
            **ENCODER,
            "relative_attention": True,
            "position_buckets": 8,
            "pos_att_type": "p2c|c2p",
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
            "position_biased_input": False,
            "type_vocab_size": 0,
        },
    ),
    "distilbert": Architecture(
        "distilbert",
        wordpiece,
        (CLASSES, LABELS, ANSWERS, MASKED),
        {"dim": WIDTH, "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": 48, "max_position_embeddings": POSITIONS},
    ),
    "electra": Architecture(
        "electra", wordpiece, (CLASSES, LABELS, ANSWERS, CAUSAL, MASKED), {**ENCODER, "embedding_size": 16}
    ),
    "falcon": Architecture("falcon", byte_bpe, (CLASSES, LABELS, ANSWERS, CAUSAL), FALCON),
    "falcon-alibi": Architecture("falcon", byte_bpe, (CLASSES, LABELS, ANSWERS, CAUSAL), {**FALCON, "alibi": True}),
    "gemma3": Architecture(
        "gemma3_text",
        metaspace,
        (CLASSES, CAUSAL),
        {
            **DECODER,
            "sliding_window": 4,
            "layer_types": ["sliding_attention", "full_attention"],
            "final_logit_softcapping": 5.0,
            "query_pre_attn_scalar": 8,
        },
    ),
    "gpt2": Architecture("gpt2", byte_bpe, (CLASSES, LABELS, ANSWERS, CAUSAL), GPT),
    "gpt_neo": Architecture(
        "gpt_neo",
        byte_bpe,
        (CLASSES, LABELS, ANSWERS, CAUSAL),
        {
            "hidden_size": WIDTH,
            "num_layers": LAYERS,
            "num_heads": HEADS,
            "intermediate_size": 48,
            "max_position_embeddings": POSITIONS,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 4,
        },
    ),
    "gptj": Architecture("gptj", byte_bpe, (CLASSES, ANSWERS, CAUSAL), {**GPT, "rotary_dim": 4}),
    "llama": Architecture("llama", metaspace, (CLASSES, LABELS, ANSWERS, CAUSAL), DECODER),
    "mamba": Architecture(
        "mamba", byte_bpe, (CAUSAL,), {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "state_size": 4}
    ),
    "mbart": Architecture(
        "mbart",
        metaspace,
        (CLASSES, ANSWERS, CAUSAL, SEQ2SEQ),
        {**BART, "decoder_start_token_id": 1, "forced_eos_token_id": None},
    ),
    "mistral": Architecture("mistral", metaspace, (CLASSES, LABELS, ANSWERS, CAUSAL), {**DECODER, "sliding_window": 4}),
    "mixtral": Architecture(
        "mixtral", metaspace, (CLASSES, LABELS, ANSWERS, CAUSAL), {**DECODER, "num_local_experts": 4}
    ),
    "modernbert": Architecture(
        "modernbert",
        wordpiece,
        (CLASSES, LABELS, ANSWERS, MASKED),
        {**ENCODER, "local_attention": 4, "layer_types": ["full_attention", "sliding_attention"]},
    ),
    "opt": Architecture(
        "opt", byte_bpe, (CLASSES, ANSWERS, CAUSAL), {**ENCODER, "ffn_dim": 48, "word_embed_proj_dim": 16}
    ),
    "phi3": Architecture("phi3", byte_bpe, (CLASSES, LABELS, CAUSAL), {**DECODER, "sliding_window": None}),
    "qwen3": Architecture("qwen3", byte_bpe, (CLASSES, LABELS, ANSWERS, CAUSAL), DECODER),
    "roberta": Architecture(
        "roberta", roberta_bpe, (CLASSES, LABELS, ANSWERS, CAUSAL, MASKED), {**ENCODER, "type_vocab_size": 1}
    ),
    "starcoder2": Architecture("starcoder2", byte_bpe, (CLASSES, LABELS, CAUSAL), DECODER),
    "t5": Architecture(
        "t5",
        metaspace,
        (CLASSES, LABELS, ANSWERS, SEQ2SEQ),
        {
            "d_model": WIDTH,
            "d_kv": 8,
            "d_ff": 48,
            "num_layers": LAYERS,
            "num_heads": HEADS,
            "decoder_start_token_id": 0,
        },
    ),
    "xlm-roberta": Architecture(
        "xlm-roberta", roberta_bpe, (CLASSES, LABELS, ANSWERS, CAUSAL, MASKED), {**ENCODER, "type_vocab_size": 1}
    ),
}

PAIRS = [(name, task) for name, architecture in ARCHITECTURES.items() for task in architecture.tasks]


@cache
def shared_model(name: str, task: Task) -> PreTrainedModel:
    """A model for reading only; `build` makes one that a test may change."""
    return build(name, task)


def build(name: str, task: Task, *, attention: str | None = None, seed: int = 0, **changes: Any) -> PreTrainedModel:
    """A tiny random model in evaluation mode, with weights so large that every word matters."""
    architecture = ARCHITECTURES[name]
    options = {} if attention is None else {"attn_implementation": attention}
    torch.manual_seed(seed)
    model = AUTO[task].from_config(architecture.config(task, **changes), **options)
    return enlarge(model)


def enlarge(model: PreTrainedModel, scale: float = 0.2) -> PreTrainedModel:
    """Give every weight, bias and constant a size at which it shows in the output."""
    with torch.no_grad():
        for name, values in [*model.named_parameters(), *model.named_buffers()]:
            if name.endswith("bias") and values.is_floating_point():
                values.normal_(std=0.1)
            elif values.dim() > 1 and isinstance(values, torch.nn.Parameter) and not name.endswith("A_log"):
                values.normal_(std=scale)
    return model.eval()


def model_and_tokenizer(name: str, task: Task) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    return shared_model(name, task), ARCHITECTURES[name].tokenizer()
