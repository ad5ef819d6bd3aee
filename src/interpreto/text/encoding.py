"""Inputs to ids, once. Nothing is decoded and encoded again, no space is added, nothing is cut off in silence."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import RLock
from typing import Any

from jinja2 import TemplateError
from transformers import BatchEncoding, PreTrainedTokenizerBase

from interpreto.errors import InputError, ModelError, warn
from interpreto.text.inputs import Input, Message, Segments, TokenRow, is_pair
from interpreto.text.sample import Sample, Token

Region = tuple[int, int, int]


def encode_source(
    tokenizer: PreTrainedTokenizerBase,
    item: Input,
    *,
    where: str,
    limit: int | None = None,
    truncation: bool = False,
    room: int = 0,
    replies: bool = True,
) -> Sample:
    """Tokenise one input with the tokenizer's own special tokens.

    Args:
        tokenizer: A fast tokenizer; it is the same afterwards, to the bit.
        item: One input, of any kind that `split_inputs` gives. Ids are taken as they are and never cut.
        where: What to call the input in an error, as `inputs[3]`.
        limit: The most tokens that the model reads.
        truncation: Whether to cut a longer text to the limit (with a warning) in place of an error.
        room: How many of the limit's tokens a text that may be cut leaves free for an output.
        replies: Whether the model writes the next message of a chat: the template then ends where that begins, or
            where a last message by the assistant ends, so that the model goes on with it.

    Raises:
        InputError: Blank, not Unicode, without any token of its own, or longer than the limit.
        ModelError: The tokenizer cannot say where its tokens are in the text.
    """
    if not tokenizer.is_fast:
        raise ModelError(
            f"tokenizer: expected a fast tokenizer, which knows where each token is in the text, got "
            f"{type(tokenizer).__name__}; load it with AutoTokenizer.from_pretrained(..., use_fast=True)"
        )
    if isinstance(item, TokenRow):
        sample = _from_ids(tokenizer, item, where)
        hint = "tokenise it with truncation=True"
    else:
        room = room if limit is not None and room < limit else 0
        sample = _from_texts(tokenizer, item, where, limit if truncation else None, room, replies)
        hint = "pass truncation=True to have it cut"
    if limit is not None and len(sample.tokens) > limit:
        raise InputError(
            f"{where}: expected at most the {limit} tokens that the model reads, got a text of {len(sample.tokens)}; "
            f"shorten it, or {hint}"
        )
    if all(token.fixed for token in sample.tokens):
        raise InputError(
            f"{where}: expected a text with at least one token to explain, got {sample.parts[0]!r:.80}, which is "
            "nothing but special tokens or fixed context"
        )
    return sample


def encode_output(
    tokenizer: PreTrainedTokenizerBase, source: Sample, output: str | Sequence[int], *, where: str, joined: bool
) -> tuple[str, tuple[Token, ...]]:
    """The text and the tokens of an output that follows a source.

    Ids are taken as they are. A text is tokenised without special tokens. Where source and output are one row
    (`joined`, causal language models) and the tokenizer splits prompt + output exactly at their border, that split is
    taken, so that tokenizers which put a space before every text put none here. Otherwise (the output goes on in the
    middle of a token) it is tokenised as after a line break, and alone where the tokenizer does not split there.

    Raises:
        InputError: An empty text, no ids, or negative ones.
    """
    if not isinstance(output, str):
        if not len(output):
            raise InputError(f"{where}: expected at least one token, got none")
        return token_spans(tokenizer, output, where=where, before=source.ids[-_CONTEXT:] if joined else ())
    _check_text(output, where, blank=True)
    if joined and len(source.parts) == 1:
        special = any(token.fixed and token.start == token.end for token in source.tokens)
        for before, with_special, ids in ((source.parts[0], special, source.ids), ("\n", False, [])):
            whole, start = before + output, len(before)
            tokens = _tokens(tokenizer, _call(tokenizer, [whole], special=with_special), [whole], None)
            count = len(ids) or sum(token.end <= start for token in tokens)
            rest = tokens[count:]
            same = [token.id for token in tokens[: len(ids)]] == ids
            if same and rest and all(token.start >= start for token in rest):
                return output, tuple(replace(token, start=token.start - start, end=token.end - start) for token in rest)
    tokens = _tokens(tokenizer, _call(tokenizer, [output], special=False), [output], None)
    if not tokens:
        raise InputError(f"{where}: expected a text with at least one token, got {output!r:.80}")
    return output, tokens


_ONE_AT_A_TIME = RLock()  # what a thread sets on a tokenizer another would take for the user's own
_CONTEXT = 8  # ids decoded with the first ones of an output, whose space before them some decoders would drop
_LONGEST_CHARACTER = 16  # tokens; four would do, were there no tokens that end one character and begin the next


def token_spans(
    tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], *, where: str = "ids", before: Sequence[int] = ()
) -> tuple[str, tuple[Token, ...]]:
    """The text that ids stand for, and each id's characters in it; for display only, the ids stay as they are.

    The text is grown token by token, so that pieces of one character all get that character. Ids beyond the
    tokenizer's vocabulary (models often have a few more) stand for no character. Linear in the ids.

    Args:
        tokenizer: Any tokenizer.
        ids: The ids.
        where: What to call them in an error.
        before: Ids that stand before them and are not shown.

    Raises:
        InputError: A negative id.
    """
    if min(ids) < 0:
        raise InputError(f"{where}: expected ids from 0 on, got {min(ids)}")
    special = _special_ids(tokenizer)
    known = len(tokenizer)
    row = [*before, *ids]
    text, tokens = "", []

    def shown(start: int, end: int) -> str:
        with _ONE_AT_A_TIME:
            decoded = tokenizer.decode([i for i in row[start:end] if i < known], clean_up_tokenization_spaces=False)
        assert isinstance(decoded, str)
        return decoded

    context, pending = 0, len(before)  # row[context:pending] is shown already and decoded again for the joints' sake
    for i in range(len(before), len(row)):
        old, new = shown(context, pending), shown(context, i + 1)
        if new.endswith("\ufffd") and i + 1 < len(row) and i - pending < _LONGEST_CHARACTER:
            continue  # a piece of a character: wait for the rest of it
        piece = new[len(old) :] if new.startswith(old) else shown(pending, i + 1)
        for k in range(pending, i + 1):
            tokens.append(Token(row[k], 0, len(text), len(text) + len(piece), fixed=row[k] in special))
        text += piece
        context, pending = pending, i + 1
    return text, tuple(tokens)


def text_ids(tokenizer: PreTrainedTokenizerBase, text: str, *, where: str) -> list[int]:
    """The ids of a text by itself, without special tokens.

    Raises:
        InputError: An empty text, or one that is not Unicode.
    """
    _check_text(text, where, blank=True)
    return list(_call(tokenizer, [text], special=False)["input_ids"])


@contextmanager
def untouched(tokenizer: PreTrainedTokenizerBase) -> Iterator[None]:
    """Put back the truncation and padding that calling a fast tokenizer sets on its backend; one thread at a time."""
    backend: Any = tokenizer.backend_tokenizer
    with _ONE_AT_A_TIME:
        truncation, padding = backend.truncation, backend.padding
        specials = backend.encode_special_tokens
        try:
            yield
        finally:
            backend.encode_special_tokens = specials
            backend.no_truncation() if truncation is None else backend.enable_truncation(**truncation)
            backend.no_padding() if padding is None else backend.enable_padding(**padding)


def _call(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, special: bool, max_length: int | None = None
) -> BatchEncoding:
    with untouched(tokenizer):
        encoding: BatchEncoding = tokenizer(
            *texts,
            add_special_tokens=special,
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
    names = _special_ids(tokenizer)
    kinds = encoding.get("token_type_ids", [0] * len(encoded.ids))
    tokens: list[Token] = []
    reached = [0] * len(texts)
    part = 0
    for i, (start, end), sequence, added, kind in zip(
        encoded.ids, encoded.offsets, encoded.sequence_ids, encoded.special_tokens_mask, kinds, strict=True
    ):
        if added or sequence is None:
            tokens.append(Token(i, part, reached[part], reached[part], fixed=True, type_id=kind))
            continue
        part = sequence
        token = Token(i, part, start, end, fixed=i in names, type_id=kind)
        if regions is not None and not token.fixed:
            first, last = token.letters(texts[part])
            token = replace(token, fixed=not any(p == part and first < stop and last > at for p, at, stop in regions))
        tokens.append(token)
        reached[part] = max(reached[part], end)
    return tuple(tokens)


def _special_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Ids that stand for no text; the unknown one does, unless it also begins or ends texts, as GPT-2's."""
    text = {tokenizer.unk_token_id} - {tokenizer.bos_token_id, tokenizer.eos_token_id}
    return set(tokenizer.all_special_ids) - text


def _from_ids(tokenizer: PreTrainedTokenizerBase, row: TokenRow, where: str) -> Sample:
    text, tokens = token_spans(tokenizer, row.ids, where=where)
    if row.type_ids is not None:
        tokens = tuple(replace(token, type_id=kind) for token, kind in zip(tokens, row.type_ids, strict=True))
    size = len(tokens)
    return Sample((text,), tokens, size, size, uses_type_ids=row.type_ids is not None)


def _from_texts(
    tokenizer: PreTrainedTokenizerBase, item: Input, where: str, limit: int | None, room: int, replies: bool
) -> Sample:
    regions: tuple[Region, ...] | None = None
    special = True
    if isinstance(item, str):
        texts = [str(item)]
    elif isinstance(item, Segments):
        texts, regions = [item.text], tuple((0, start, end) for start, end in item.spans)
    elif is_pair(item):
        texts = [str(text) for text in item]  # type: ignore[union-attr]
    else:
        text, regions = _render_chat(tokenizer, item, where, replies)  # type: ignore[arg-type]  # the one kind left
        texts, special = [text], False  # the template writes its own
    for text in texts:
        _check_text(text, where)
    encoding = _call(tokenizer, texts, special=special)
    length = len(encoding["input_ids"])
    if limit is not None and length > limit - room:
        output = f", less {room} for the output" if room else ""
        warn(f"{where}: cut from {length} to the {limit} tokens that the model reads{output}")
        encoding = _call(tokenizer, texts, special=special, max_length=limit - room)
    tokens = _tokens(tokenizer, encoding, texts, regions)
    return Sample(
        parts=tuple(texts),
        tokens=tokens,
        source_length=len(tokens),
        output_start=len(tokens),
        regions=regions,
        own_segments=isinstance(item, Segments),
        uses_type_ids="token_type_ids" in encoding,
    )


def _render_chat(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], where: str, replies: bool
) -> tuple[str, tuple[Region, ...]]:
    """A chat through the tokenizer's template, and where the messages' contents are in it.

    The template is rendered a second time with random words in place of the contents: what stands around those words
    is the template's own, so contents are found even where they look like it.
    """
    if tokenizer.chat_template is None:
        raise InputError(f"{where}: a chat needs a tokenizer with a chat template, this one has none; pass a text")
    contents = [message["content"] for message in messages]
    for content in contents:
        if not isinstance(content, str):
            raise InputError(f"{where}: expected messages whose content is text, got {content!r:.80}")
    if not any(content.strip() for content in contents):
        raise InputError(f"{where}: expected a chat with some text in it, got only blank messages")
    goes_on = replies and messages[-1]["role"] == "assistant"
    words = {f"x{secrets.token_hex(8)}x": content for content in contents if content.strip()}
    stand_ins = iter(words)
    framed = [next(stand_ins) if content.strip() else content for content in contents]

    def render(shown: Sequence[str]) -> str:
        rendered = tokenizer.apply_chat_template(
            [{**message, "content": content} for message, content in zip(messages, shown, strict=True)],
            tokenize=False,
            add_generation_prompt=replies and not goes_on,
            continue_final_message=goes_on,
        )
        return str(rendered)

    try:
        text, frame = render(contents), render(framed)
    except (TemplateError, ValueError) as error:
        raise InputError(f"{where}: the tokenizer's chat template refuses this chat: {error}") from error
    first, *rest = re.split(f"({'|'.join(words)})", frame)  # what the template writes, and the words between
    regions: list[Region] = []
    position = len(first)
    fits = text.startswith(first)
    for word, after in zip(rest[::2], rest[1::2], strict=True):
        content = words[word]
        forms = (content, content.strip(), content.rstrip(), content.lstrip())
        form = next((form for form in forms if text.startswith(form + after, position)), None)
        fits = fits and form is not None
        end = position + len(form or "")
        regions.append((0, position, end))
        position = end + len(after)
    if not fits or not regions or position != len(text):
        raise InputError(
            f"{where}: the tokenizer's chat template changes the contents of messages, so they cannot be told from the "
            "template; pass the rendered text with Segments for the parts to explain"
        )
    return text, tuple(regions)


def _check_text(text: str, where: str, *, blank: bool = False) -> None:
    if not text or not (blank or text.strip()):
        raise InputError(
            f"{where}: expected a text, got {'only white space' if text else 'an empty one'}; leave it out"
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{where}: expected Unicode text, got a lone surrogate at character {error.start}; "
            "clean it with text.encode('utf-8', 'replace').decode()"
        ) from None
