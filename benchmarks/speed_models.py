"""The models whose explanations are timed: real configurations, random weights, one token a word."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import WordLevel
from torch import Tensor
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
HIDDEN = "[UNK]"
"""What stands in the place of a removed word of a language model, for all contestants."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A model that is explained.

    Args:
        name: What to call it.
        model: A transformers model with random weights.
        tokenizer: Its tokenizer, one token a word.
        backbone: The model without its head.
        blocks: Its blocks.
        head: The module whose rows and columns are read.
        writes: Whether it is a language model.
        head_reads: Rows and columns of the head that the floor reads with a copy of the columns.
    """

    name: str
    model: Any
    tokenizer: PreTrainedTokenizerFast
    backbone: Any
    blocks: Sequence[torch.nn.Module]
    head: torch.nn.Linear
    writes: bool
    head_reads: list[tuple[int, int]] = field(default_factory=list)

    @property
    def device(self) -> torch.device:
        return self.head.weight.device

    def ids(self, text: str) -> Tensor:
        """The row of tokens `(l,)` that the model is given."""
        return torch.tensor(self.tokenizer(text)["input_ids"], device=self.device)

    def removed_id(self) -> int:
        """The id that stands in the place of a removed word."""
        return int(self.tokenizer.convert_tokens_to_ids(HIDDEN if self.writes else "[MASK]"))

    def embed(self, ids: Tensor) -> Tensor:
        with torch.no_grad():
            return self.model.get_input_embeddings()(ids).detach()


def words(count: int, seed: int) -> str:
    """So many random words, one token each, different from each other."""
    return " ".join(f"w{k}" for k in random.Random(seed).sample(range(1000), count))


def word_tokenizer(vocabulary: int, classifies: bool) -> PreTrainedTokenizerFast:
    """A tokenizer of the words `w0`, `w1`, ... that fills a vocabulary of this size."""
    names = [*SPECIAL, *(f"w{k}" for k in range(vocabulary - len(SPECIAL)))]
    tokenizer = Tokenizer(WordLevel({name: k for k, name in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.WordPiece()
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]"}
    if classifies:
        special |= {"cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def _bert(labels: int, quick: bool) -> Any:
    small: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 64,
    }
    return BertForSequenceClassification(
        BertConfig(num_labels=labels, **({**small, "vocab_size": 1100} if quick else {}))
    )


def _gpt2(quick: bool) -> Any:
    small: dict[str, Any] = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 1100}
    return GPT2LMHeadModel(GPT2Config(bos_token_id=0, eos_token_id=0, **(small if quick else {})))


def _large_vocabulary(quick: bool) -> Any:
    """Six blocks under a head that costs more than they do."""
    width = 32 if quick else 512
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=1100 if quick else 151_936,
            hidden_size=width,
            intermediate_size=3 * width,
            num_hidden_layers=2 if quick else 6,
            num_attention_heads=width // 8 if quick else 8,
            num_key_value_heads=width // 8 if quick else 8,
            head_dim=8 if quick else 64,
            tie_word_embeddings=True,
            eos_token_id=0,
            bos_token_id=0,
        )
    )


@lru_cache(maxsize=1)
def subject(name: str, quick: bool = False, device: str = "cpu") -> Subject:
    """One of `bert-2`, `bert-6`, `gpt2` and `vocabulary-151936`; the last one is kept in memory."""
    torch.manual_seed(0)
    if name.startswith("bert-"):
        model = _bert(int(name.removeprefix("bert-")), quick).eval().to(device)
        tokenizer = word_tokenizer(model.config.vocab_size, classifies=True)
        return Subject(name, model, tokenizer, model.bert, list(model.bert.encoder.layer), model.classifier, False)
    model = (_gpt2 if name == "gpt2" else _large_vocabulary)(quick).eval().to(device)
    backbone = model.base_model
    blocks = list(backbone.h if name == "gpt2" else backbone.layers)
    tokenizer = word_tokenizer(model.config.vocab_size, classifies=False)
    return Subject(name, model, tokenizer, backbone, blocks, model.lm_head, True)
