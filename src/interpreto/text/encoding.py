"""Inputs to ids, once. Nothing is decoded and encoded again, no space is added, nothing is cut off in silence."""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from transformers import BatchEncoding, PreTrainedTokenizerBase

from interpreto.errors import InputError, ModelError
from interpreto.text.inputs import Input, Message, Segments, TokenRow
from interpreto.text.sample import Sample, Token

Region = tuple[int, int, int]


def encode_source(
    tokenizer: PreTrainedTokenizerBase, item: Input, *, where: str, limit: int | None = None, truncation: bool = False
) -> Sample:
    """Tokenise one input with the tokenizer's own special tokens.

    Args:
        tokenizer: A fast tokenizer; it is the same afterwards, to the bit.
        item: One input, of any kind that `split_inputs` gives.
        where: What to call the input in an error, as `inputs[3]`.
        limit: The most tokens that the model reads.
        truncation: Whether to cut a longer text to the limit (with a warning) in place of an error.

    Raises:
        InputError: Blank, not Unicode, without any token, or longer than the limit.
        ModelError: The tokenizer cannot say where its tokens are in the text.
    """
    if not tokenizer.is_fast:
        raise ModelError(
            f"tokenizer: expected a fast tokenizer, which knows where each token is in the text, got "
            f"{type(tokenizer).__name__}; load it with AutoTokenizer.from_pretrained(..., use_fast=True)"
        )
    if isinstance(item, TokenRow):
        sample = _from_ids(tokenizer, item)
        _check_length(len(sample.tokens), limit, where)
        return sample
    texts, regions, special = _texts(tokenizer, item, where)
    for text in texts:
        _check_text(text, where)
    room = limit if truncation else None
    encoding = _call(tokenizer, texts, add_special_tokens=special, max_length=None)
    if room is not None and len(encoding["input_ids"]) > room:
        warnings.warn(
            f"{where}: cut from {len(encoding['input_ids'])} to the {room} tokens that the model reads", stacklevel=2
        )
        encoding = _call(tokenizer, texts, add_special_tokens=special, max_length=room)
    tokens = _tokens(tokenizer, encoding, texts, regions)
    _check_length(len(tokens), limit, where)
    if all(token.fixed for token in tokens):
        raise InputError(f"{where}: expected a text with at least one token of its own, got {texts[0]!r:.80}")
    return Sample(
        parts=tuple(texts),
        tokens=tokens,
        source_length=len(tokens),
        output_start=len(tokens),
        regions=regions,
        own_segments=isinstance(item, Segments),
        uses_type_ids="token_type_ids" in encoding,
    )


def encode_output(
    tokenizer: PreTrainedTokenizerBase, source: Sample, output: str | Sequence[int], *, where: str, joined: bool
) -> tuple[str, tuple[Token, ...]]:
    """The text and the tokens of an output that follows a source.

    Ids are taken as they are. A text is tokenised without special tokens. Where source and output are one row
    (`joined`, causal language models) and the tokenizer splits prompt + output exactly at their border, that split is
    taken, so that tokenizers which put a space before every text put none here; otherwise the output is tokenised
    alone.

    Raises:
        InputError: A blank text, no ids, or ids out of the tokenizer's range.
    """
    if not isinstance(output, str):
        ids = [int(i) for i in output]
        if not ids:
            raise InputError(f"{where}: expected at least one token, got none")
        return token_spans(tokenizer, ids)
    _check_text(output, where)
    if joined and len(source.parts) == 1:
        start = len(source.parts[0])
        with_specials = any(token.fixed and token.start == token.end for token in source.tokens)
        whole = _call(tokenizer, [source.parts[0] + output], add_special_tokens=with_specials, max_length=None)
        tokens = _tokens(tokenizer, whole, [source.parts[0] + output], None)
        rest = tokens[len(source.tokens) :]
        same = [token.id for token in tokens[: len(source.tokens)]] == source.ids
        if same and rest and all(token.start >= start for token in rest):
            return output, tuple(replace(t, start=t.start - start, end=t.end - start, fixed=False) for t in rest)
    encoding = _call(tokenizer, [output], add_special_tokens=False, max_length=None)
    tokens = _tokens(tokenizer, encoding, [output], None)
    if not tokens:
        raise InputError(f"{where}: expected a text with at least one token, got {output!r:.80}")
    return output, tuple(replace(token, fixed=False) for token in tokens)


def token_spans(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> tuple[str, tuple[Token, ...]]:
    """The text that ids stand for, and each id's characters in it; for display only, the ids stay as they are.

    The text is grown token by token, so that pieces of one character all get that character. Linear in the ids.

    Raises:
        InputError: An id that the tokenizer does not know.
    """
    size = len(tokenizer)
    for i in ids:
        if not 0 <= i < size:
            raise InputError(f"ids: expected ids from 0 to {size - 1}, got {i}")
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    text, tokens = "", []
    context, pending = 0, 0  # ids[context:pending] are shown already and decoded again for the joints' sake

    def shown(start: int, end: int) -> str:
        decoded = tokenizer.decode(list(ids[start:end]), clean_up_tokenization_spaces=False)
        assert isinstance(decoded, str)
        return decoded

    for i in range(len(ids)):
        before, now = shown(context, pending), shown(context, i + 1)
        if now.endswith("\ufffd") and i + 1 < len(ids):  # a piece of a character: wait for the rest of it
            continue
        piece = now[len(before) :] if now.startswith(before) else now
        for k in range(pending, i + 1):
            tokens.append(Token(ids[k], 0, len(text), len(text) + len(piece), fixed=ids[k] in special))
        text += piece
        context, pending = pending, i + 1
    return text, tuple(tokens)


@contextmanager
def untouched(tokenizer: PreTrainedTokenizerBase) -> Iterator[None]:
    """Put back the truncation and padding that calling a fast tokenizer sets on its backend."""
    backend: Any = tokenizer.backend_tokenizer
    truncation, padding = backend.truncation, backend.padding
    specials = backend.encode_special_tokens
    try:
        yield
    finally:
        backend.encode_special_tokens = specials
        backend.no_truncation() if truncation is None else backend.enable_truncation(**truncation)
        backend.no_padding() if padding is None else backend.enable_padding(**padding)


def _call(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, add_special_tokens: bool, max_length: int | None
) -> BatchEncoding:
    with untouched(tokenizer):
        encoding: BatchEncoding = tokenizer(
            *texts,
            add_special_tokens=add_special_tokens,
            truncation=max_length is not None,
            max_length=max_length,
            padding=False,
            verbose=False,
        )
    return encoding


def _tokens(
    tokenizer: PreTrainedTokenizerBase,
    encoding: BatchEncoding,
    texts: Sequence[str],
    regions: Sequence[Region] | None,
) -> tuple[Token, ...]:
    encoded = encoding.encodings[0]  # type: ignore[index]  # fast tokenizers always have it
    names = {tokenizer.convert_ids_to_tokens(i) for i in tokenizer.all_special_ids if i != tokenizer.unk_token_id}
    kinds = encoding.get("token_type_ids", [0] * len(encoded.ids))
    tokens: list[Token] = []
    part = 0
    for i, (start, end), sequence, special, kind in zip(
        encoded.ids, encoded.offsets, encoded.sequence_ids, encoded.special_tokens_mask, kinds, strict=True
    ):
        if special or sequence is None:
            place = max((token.end for token in tokens if token.part == part), default=0)
            tokens.append(Token(i, part, place, place, fixed=True, type_id=kind))
            continue
        part = sequence
        fixed = texts[part][start:end].strip() in names
        if regions is not None:
            fixed = fixed or not any(p == part and start < stop and end > begin for p, begin, stop in regions)
        tokens.append(Token(i, part, start, end, fixed=fixed, type_id=kind))
    return tuple(tokens)


def _from_ids(tokenizer: PreTrainedTokenizerBase, row: TokenRow) -> Sample:
    text, tokens = token_spans(tokenizer, row.ids)
    if row.type_ids is not None:
        tokens = tuple(replace(token, type_id=kind) for token, kind in zip(tokens, row.type_ids, strict=True))
    size = len(tokens)
    return Sample((text,), tokens, size, size, uses_type_ids=row.type_ids is not None)


def _texts(
    tokenizer: PreTrainedTokenizerBase, item: Input, where: str
) -> tuple[list[str], tuple[Region, ...] | None, bool]:
    """The texts of an input, its explained regions, and whether the tokenizer adds its special tokens."""
    if isinstance(item, str):
        return [item], None, True
    if isinstance(item, Segments):
        return [item.text], tuple((0, start, end) for start, end in item.spans), True
    if isinstance(item, tuple):
        return [str(text) for text in item], None, True
    text, regions = _render_chat(tokenizer, item, where)  # type: ignore[arg-type]  # the one kind left
    return [text], regions, False


def _render_chat(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], where: str
) -> tuple[str, tuple[Region, ...]]:
    """A chat through the tokenizer's template, and where the messages' contents are in it.

    The template is rendered a second time with random words in place of the contents: what stands around those words
    is the template's own, so contents are found even where they look like it.
    """
    if tokenizer.chat_template is None:
        raise InputError(f"{where}: a chat needs a tokenizer with a chat template, this one has none; pass a text")
    contents = [message["content"] for message in messages]
    if not all(isinstance(content, str) for content in contents):
        raise InputError(f"{where}: expected messages whose content is text, got {contents!r:.80}")

    def render(chat: Sequence[Message]) -> str:
        return str(tokenizer.apply_chat_template([dict(m) for m in chat], tokenize=False, add_generation_prompt=True))

    text = render(messages)
    words = [f"x{secrets.token_hex(8)}x" for _ in messages]
    frame = render([{**message, "content": word} for message, word in zip(messages, words, strict=True)])
    regions: list[Region] = []
    position = read = 0
    for word, content in zip(words, contents, strict=True):
        found = frame.find(word, read)
        if found < 0:
            continue  # the template leaves this message out
        position += found - read
        read = found + len(word)
        for shown in (content, content.strip(), content.rstrip(), content.lstrip()):
            if text.startswith(shown, position) and text.startswith(frame[read : read + 1], position + len(shown)):
                break
        else:
            raise InputError(
                f"{where}: the tokenizer's chat template changes the content of a message ({content!r:.60}), so it "
                "cannot be told from the template; pass the rendered text with Segments for the parts to explain"
            )
        if shown.strip():
            regions.append((0, position, position + len(shown)))
        position += len(shown)
    if not regions:
        raise InputError(f"{where}: expected a chat with some text in it, got only blank messages")
    return text, tuple(regions)


def _check_text(text: str, where: str) -> None:
    if not text.strip():
        raise InputError(f"{where}: expected a text, got {'an empty one' if not text else 'only white space'}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{where}: expected Unicode text, got a lone surrogate at character {error.start}; "
            "clean it with text.encode('utf-8', 'replace').decode()"
        ) from None


def _check_length(length: int, limit: int | None, where: str) -> None:
    if limit is not None and length > limit:
        raise InputError(
            f"{where}: the text has {length} tokens, the model reads at most {limit}; shorten it, "
            "or pass truncation=True to have it cut"
        )
