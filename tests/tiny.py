"""Tiny random models and tokenizers, so that every test runs offline.

Trainers of WordPiece and Unigram give another vocabulary at every start, so theirs are written out.
"""

from __future__ import annotations

from functools import cache

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

# T5 of earlier releases computes its attention where nobody can look.
T5_HIDES_ATTENTION = tuple(int(part) for part in transformers.__version__.split(".")[:2]) < (5, 15)

LINES = [
    "The quick brown fox jumps over the lazy dog.",
    "We are thrilled to present you this library, it is great!",
    "An interpretability open-source library is great, but, for language models, it is even better.",
    "She said: what a sad, sad day. He laughed and ran home with 3 cats.",
    "Once upon a time, there was a little dog named Spot. Spot loved to play in the park.",
]

WORDS = [
    "a",
    "it",
    "the",
    "is",
    "are",
    "we",
    "you",
    "he",
    "to",
    "on",
    "in",
    "and",
    "was",
    "great",
    "sad",
    "day",
    "dog",
    "cat",
    "lazy",
    "library",
    "little",
    "once",
    "this",
    "for",
    "but",
    "even",
    "what",
    "said",
    "with",
    "time",
    "there",
    "upon",
    "open",
    "source",
    "model",
    "language",
    "spot",
    "play",
    "park",
    "love",
    "jump",
]
"""Whole words of the written vocabularies; other words are spelled."""
ENDS = [
    "##s",
    "##ed",
    "##ing",
    "##er",
    "##ck",
    "##ow",
    "##mp",
    "##ver",
    "##at",
    "##ll",
    "##ome",
    "##ot",
    "##ri",
    "##th",
]
"""Ends of words of the written vocabularies."""


@cache
def wordpiece() -> PreTrainedTokenizerFast:
    """BERT's kind: lower-cased pieces, [CLS] and [SEP], a mask token."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = sorted(set("".join(LINES).lower()) - {" "})
    pieces = [*special, *letters, *(f"##{letter}" for letter in letters if letter.isalnum()), *WORDS, *ENDS]
    pieces += [f"[unused{k}]" for k in range(150 - len(set(pieces)))]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


@cache
def byte_bpe() -> PreTrainedTokenizerFast:
    """GPT-2's kind: bytes, spaces before words, nothing added, no padding token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(LINES, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>")


@cache
def metaspace() -> PreTrainedTokenizerFast:
    """T5's and Llama's kind: a space before every text, </s> after it."""
    letters = sorted(set("".join(LINES)) - {" "})
    words = [f"▁{word}" for word in (*WORDS, "fox", "The", "We", "He", "Spot") if len(word) > 1]
    scores = dict.fromkeys(["<pad>", "</s>", "<unk>"], 0.0) | dict.fromkeys(["▁", *letters], -8.0)
    scores |= dict.fromkeys([end.removeprefix("##") for end in ENDS], -6.0) | dict.fromkeys(words, -5.0)
    tokenizer = Tokenizer(models.Unigram(list(scores.items()), unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def bert(kind: type[PreTrainedModel], num_labels: int, seed: int) -> PreTrainedModel:
    """A small random BERT with a head of this kind."""
    torch.manual_seed(seed)
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


def classifier(n_classes: int = 3, seed: int = 0) -> PreTrainedModel:
    """A small random BERT classifier whose words matter."""
    return bert(BertForSequenceClassification, n_classes, seed)


def language_model(seed: int = 0) -> PreTrainedModel:
    """A small random GPT-2."""
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=len(byte_bpe()),
        n_positions=128,
        n_embd=32,
        n_layer=2,
        n_head=4,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=0,
    )
    return GPT2LMHeadModel(config).eval()


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
def roberta_bpe() -> PreTrainedTokenizerFast:
    """RoBERTa's and BART's kind: bytes between <s> and </s>, padding that is not id 0, a mask token."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(LINES, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    )
