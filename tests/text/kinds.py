"""Tokenizers of every kind that the text layer meets, trained on a few lines or written by hand."""

from __future__ import annotations

from functools import cache

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizer, PreTrainedTokenizerFast

from tests.tiny import LINES, byte_bpe, metaspace, wordpiece

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA_2 = (
    "{% for message in messages %}{% if message.role == 'user' %}<s>[INST] {{ message.content | trim }} [/INST]"
    "{% else %} {{ message.content | trim }} </s>{% endif %}{% endfor %}"
)
SYSTEM_FIRST = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nYou help the user.<|im_end|>\n{% endif %}" + CHATML
)
SYSTEM_IN_USER = (
    "{% set system = messages[0].content if messages[0].role == 'system' else '' %}"
    "{% for message in messages if message.role != 'system' %}"
    "{% if message.role not in ('user', 'assistant') %}{{ raise_exception('unknown role ' + message.role) }}{% endif %}"
    "[INST] {% if loop.first and system %}<<SYS>>\n{{ system }}\n<</SYS>>\n\n{% endif %}{{ message.content }} [/INST]"
    "{% endfor %}"
)
SHOUTING = "{% for message in messages %}{{ message.content | upper }}{% endfor %}"


@cache
def byte_fallback() -> PreTrainedTokenizerFast:
    """Llama's kind: <s> first, a space before every text, bytes for characters that it does not know."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁"]
    pieces += sorted({letter for line in LINES for letter in line if letter != " "} | set("INST[]/<>|_x"))
    merges = [("▁", letter) for letter in "tfbdqTw"] + [
        ("▁t", "h"),
        ("▁th", "e"),
        ("▁f", "o"),
        ("▁fo", "x"),
        ("i", "n"),
    ]
    pieces += [left + right for left, right in merges]
    vocab = {piece: k for k, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


@cache
def two_words() -> PreTrainedTokenizerFast:
    """A vocabulary with tokens across two words: "▁New▁York", "▁of▁the"."""
    pieces = [("<unk>", 0.0), ("▁New▁York", -1.0), ("▁of▁the", -1.0), ("▁", -3.0)]
    pieces += [(letter, -5.0) for letter in "abcdefghijklmnopqrstuvwxyzNYITn.,"[:-1]]
    tokenizer = Tokenizer(models.Unigram(list(dict(pieces).items()), unk_id=0))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<unk>")


@cache
def accentless() -> PreTrainedTokenizerFast:
    """Normalises as SentencePiece models do: compatibility forms, no accents, no repeated spaces."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKD(), normalizers.StripAccents(), normalizers.Replace(pattern(r" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>")
    tokenizer.train_from_iterator(LINES, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def pattern(regex: str):
    from tokenizers import Regex

    return Regex(regex)


def chatty(template: str) -> PreTrainedTokenizerFast:
    """The byte tokenizer with a chat template and its special tokens."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(byte_bpe().backend_tokenizer.to_str()),
        bos_token="<|endoftext|>",
        eos_token="<|endoftext|>",
    )
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = template
    return tokenizer


class SlowTokenizer(PreTrainedTokenizer):
    """One character, one token, in Python."""

    def __init__(self, **kwargs):
        self.letters = {letter: k for k, letter in enumerate("?abcdefghijklmnopqrstuvwxyz ")}
        super().__init__(unk_token="?", pad_token="?", **kwargs)

    @property
    def vocab_size(self):
        return len(self.letters)

    def get_vocab(self):
        return dict(self.letters)

    def _tokenize(self, text, **kwargs):
        return list(text)

    def _convert_token_to_id(self, token):
        return self.letters.get(token, 0)

    def _convert_id_to_token(self, index):
        return list(self.letters)[index]


KINDS = {
    "wordpiece": wordpiece,
    "byte_bpe": byte_bpe,
    "metaspace": metaspace,
    "byte_fallback": byte_fallback,
    "two_words": two_words,
    "accentless": accentless,
}
