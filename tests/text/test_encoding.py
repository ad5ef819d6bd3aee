"""Ids: exactly the tokenizer's own, encoded once; outputs without a space that nobody wrote; tokenizers untouched."""

import sys
import warnings
from copy import deepcopy
from threading import Thread

import pytest
import torch
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from interpreto.errors import InputError, ModelError
from interpreto.text import Segments, encode_output, encode_source, split_inputs
from interpreto.text.encoding import token_spans, untouched
from tests.text.kinds import (
    CHATML,
    KINDS,
    LLAMA_2,
    SHOUTING,
    SYSTEM_FIRST,
    SYSTEM_IN_USER,
    SlowTokenizer,
    byte_fallback,
    chatty,
)
from tests.tiny import byte_bpe, wordpiece

TEXTS = ["The quick fox, élan ﬁ 😀!", "  two  spaces\n\tand tabs ", "日本語 and [MASK] </s> <|endoftext|>", "x"]


def source(tokenizer, item, **options):
    return encode_source(tokenizer, item, where="inputs[0]", **options)


def output(tokenizer, prompt, text, joined=True):
    prompt = source(tokenizer, prompt) if isinstance(prompt, str) else prompt
    return encode_output(tokenizer, prompt, text, where="targets[0]", joined=joined)


def state(tokenizer):
    """All that a user could find changed."""
    known = {name: repr(value) for name, value in vars(tokenizer).items() if name != "_tokenizer"}
    return known, tokenizer.backend_tokenizer.to_str(), len(tokenizer), tokenizer.all_special_tokens


# Sources


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", TEXTS)
def test_ids_are_the_tokenizers_own(kind, text):
    tokenizer = KINDS[kind]()
    assert source(tokenizer, text).ids == tokenizer(text).input_ids
    segments = Segments(text, ((0, len(text)),))
    assert source(tokenizer, segments).ids == tokenizer(text).input_ids


def test_pairs_keep_their_token_types():
    sample = source(wordpiece(), ("The fox", "a dog"))
    encoding = wordpiece()("The fox", "a dog")
    assert sample.ids == encoding.input_ids
    assert [token.type_id for token in sample.tokens] == encoding.token_type_ids
    assert sample.uses_type_ids


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("form", ["pt", "np", None])
def test_rows_of_a_batch_encoding_are_taken_as_they_are(side, form):
    tokenizer = deepcopy(wordpiece())
    tokenizer.padding_side = side
    texts = ["The fox", "the lazy dog jumps", "a"]
    rows = split_inputs(tokenizer(texts, padding=True, return_tensors=form))
    for row, text in zip(rows, texts, strict=True):
        sample = source(tokenizer, row)
        assert sample.ids == tokenizer(text).input_ids
        assert sample.uses_type_ids
        assert [token.fixed for token in sample.tokens] == [True] + [False] * (len(sample.ids) - 2) + [True]
    pair = split_inputs(tokenizer("The fox", "a dog", return_tensors=form))
    assert [t.type_id for t in source(tokenizer, pair[0]).tokens] == tokenizer("The fox", "a dog").token_type_ids


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", TEXTS)
def test_ids_are_shown_without_loss_of_a_token(kind, text):
    tokenizer = KINDS[kind]()
    ids = tokenizer(text).input_ids
    shown, tokens = token_spans(tokenizer, ids)
    assert [token.id for token in tokens] == ids
    assert shown == tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    assert all(0 <= token.start <= token.end <= len(shown) for token in tokens)
    assert {k for token in tokens for k in range(token.start, token.end)} == set(range(len(shown)))


def test_bytes_of_one_character_share_it():
    shown, tokens = token_spans(byte_bpe(), byte_bpe()("a😀é").input_ids)
    assert shown == "a😀é"
    assert [(t.start, t.end) for t in tokens] == [(0, 1)] + [(1, 2)] * 4 + [(2, 3)] * 2


def test_ids_beyond_the_vocabulary_stand_for_nothing():
    shown, tokens = token_spans(byte_bpe(), [*byte_bpe()("a").input_ids, len(byte_bpe()) + 3])
    assert shown == "a"
    assert [(t.start, t.end) for t in tokens] == [(0, 1), (1, 1)]
    with pytest.raises(InputError, match="from 0 on, got -100"):
        token_spans(byte_bpe(), [3, -100])


def test_broken_bytes_do_not_take_quadratic_time():
    broken = byte_bpe().convert_tokens_to_ids("ĺ")  # a byte that no character begins with
    shown, tokens = token_spans(byte_bpe(), [broken] * 3000)
    assert len(tokens) == 3000
    assert set(shown) == {"\ufffd"}


# Outputs


@pytest.mark.parametrize("kind", ["byte_bpe", "byte_fallback", "two_words"])
@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("the quick", " brown fox"),
        ("the quick", "er fox"),
        ("th", "e fox"),
        ("the quick\n", "the fox"),
        ("the fo", "x"),
        ("the", "  two"),
        ("the", "\n"),
        ("the", " "),
        ("the ", "fox"),
        ("the", "😀"),
    ],
)
def test_an_output_text_keeps_its_spaces(kind, prompt, text):
    tokenizer = KINDS[kind]()
    shown, tokens = output(tokenizer, prompt, text)
    assert shown == text
    ids = [token.id for token in tokens]
    if tokenizer.unk_token_id in ids:
        return
    row = source(tokenizer, prompt).ids
    alone = tokenizer.decode(row, clean_up_tokenization_spaces=False)
    assert tokenizer.decode(row + ids, clean_up_tokenization_spaces=False) == alone + text
    assert {k for token in tokens for k in range(token.start, token.end)} == set(range(len(text)))


def test_an_output_splits_as_the_prompt_and_it_do_together():
    tokenizer = byte_fallback()
    together = tokenizer("the quick the fox").input_ids
    prompt = tokenizer("the quick").input_ids
    assert together[: len(prompt)] == prompt
    _, tokens = output(tokenizer, "the quick", " the fox")
    assert [token.id for token in tokens] == together[len(prompt) :]


def test_an_output_has_no_special_tokens_of_its_own():
    for kind in KINDS:
        tokenizer = KINDS[kind]()
        for joined in (True, False):
            _, tokens = output(tokenizer, "the fox", " the dog", joined)
            assert not {token.id for token in tokens} & (set(tokenizer.all_special_ids) - {tokenizer.unk_token_id})
            assert not any(token.fixed for token in tokens)


def test_an_encoder_decoders_output_is_tokenised_alone():
    tokenizer = KINDS["metaspace"]()
    _, tokens = output(tokenizer, "the fox", "the dog", joined=False)
    assert [token.id for token in tokens] == tokenizer("the dog", add_special_tokens=False).input_ids


def test_output_ids_are_taken_as_they_are_and_shown_with_their_space():
    tokenizer = byte_fallback()
    ids = tokenizer("the quick the fox").input_ids[len(tokenizer("the quick").input_ids) :]
    shown, tokens = output(tokenizer, "the quick", [*ids, tokenizer.eos_token_id])
    assert shown == " the fox</s>"
    assert [token.id for token in tokens] == [*ids, tokenizer.eos_token_id]
    assert [token.fixed for token in tokens] == [False] * len(ids) + [True]


def test_special_tokens_written_in_an_output_stay_special():
    _, tokens = output(byte_bpe(), "the fox", " jumps<|endoftext|>")
    assert [token.fixed for token in tokens][-2:] == [False, True]


def test_an_unknown_token_stands_for_text_unless_it_also_ends_texts():
    sample = source(wordpiece(), "the 日")
    assert wordpiece().unk_token_id in [token.id for token in sample.tokens if not token.fixed]
    like_gpt2 = PreTrainedTokenizerFast(
        tokenizer_object=byte_bpe().backend_tokenizer, eos_token="<|endoftext|>", unk_token="<|endoftext|>"
    )
    assert [token.fixed for token in source(like_gpt2, "a<|endoftext|>").tokens] == [False, True]


def test_an_output_needs_a_token():
    for empty in ("", []):
        with pytest.raises(InputError, match=r"targets\[0\]: expected"):
            output(byte_bpe(), "the fox", empty)


# Chats


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        (CHATML, ["You are kind.", "user", " assistant\n<|im_start|>user ", "bye"]),
        (SYSTEM_FIRST, ["You are kind.", "user", " assistant\n<|im_start|>user ", "bye"]),
        (SYSTEM_IN_USER, ["You are kind.", "user", " assistant\n<|im_start|>user ", "bye"]),
        (LLAMA_2, ["user", "assistant\n<|im_start|>user", "bye"]),
    ],
)
def test_contents_are_found_even_where_they_look_like_the_template(template, shown):
    chat = [
        {"role": "system", "content": "You are kind."},
        {"role": "user", "content": "user"},
        {"role": "assistant", "content": " assistant\n<|im_start|>user "},
        {"role": "user", "content": "bye"},
    ]
    if template is LLAMA_2:
        chat = chat[1:]
    tokenizer = chatty(template)
    sample = source(tokenizer, chat)
    assert [sample.parts[0][start:end] for _, start, end in sample.regions] == shown
    rendered = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert sample.parts[0] == rendered
    assert sample.ids == tokenizer(rendered, add_special_tokens=False).input_ids
    free = {k for token in sample.tokens if not token.fixed for k in range(*token.letters(rendered))}
    assert free <= {k for _, start, end in sample.regions for k in range(start, end)}


@pytest.mark.parametrize("content", ["a", "a\n", "\na ", "[/INST]", " [/INST] ", "x<|im_end|>\n", "{{ 1 }}", "ab\nab"])
@pytest.mark.parametrize("template", [CHATML, LLAMA_2, SYSTEM_FIRST, SYSTEM_IN_USER])
def test_a_content_is_found_whatever_it_is(template, content):
    chat = [
        {"role": "user", "content": content},
        {"role": "assistant", "content": content},
        {"role": "user", "content": "end"},
    ]
    sample = source(chatty(template), chat)
    shown = [sample.parts[0][start:end] for _, start, end in sample.regions]
    wanted = content.strip() if template is LLAMA_2 else content
    assert shown == [wanted, wanted, "end"]


def test_a_blank_message_is_no_element():
    chat = [{"role": "system", "content": ""}, {"role": "user", "content": "Hi"}]
    for template in (CHATML, SYSTEM_IN_USER):
        sample = source(chatty(template), chat)
        assert [sample.parts[0][start:end] for _, start, end in sample.regions] == ["Hi"]


def test_a_chat_ends_where_the_answer_begins():
    chat = [{"role": "user", "content": "Hi"}]
    assert source(chatty(CHATML), chat).parts[0].endswith("<|im_start|>assistant\n")
    assert source(chatty(CHATML), chat, replies=False).parts[0].endswith("Hi<|im_end|>\n")
    begun = [*chat, {"role": "assistant", "content": "Well, "}]
    assert source(chatty(CHATML), begun).parts[0].endswith("assistant\nWell, ")
    assert source(chatty(CHATML), begun, replies=False).parts[0].endswith("Well, <|im_end|>\n")


def test_chats_that_cannot_be_explained():
    chat = [{"role": "user", "content": "Hi"}]
    with pytest.raises(InputError, match="needs a tokenizer with a chat template"):
        source(byte_bpe(), chat)
    with pytest.raises(InputError, match="changes the contents of messages"):
        source(chatty(SHOUTING), chat)
    with pytest.raises(InputError, match="refuses this chat: unknown role robot"):
        source(chatty(SYSTEM_IN_USER), [{"role": "robot", "content": "Hi"}])
    with pytest.raises(InputError, match="content is text, got None"):
        source(chatty(CHATML), [{"role": "user", "content": None}])
    with pytest.raises(InputError, match="only blank messages"):
        source(chatty(CHATML), [{"role": "user", "content": "  "}])


# Length


def test_a_text_that_is_too_long_is_refused_with_both_numbers():
    text = "the fox " * 20
    count = len(wordpiece()(text).input_ids)
    with pytest.raises(InputError, match=rf"at most the 10 tokens.* got a text of {count}; .*truncation=True"):
        source(wordpiece(), text, limit=10)
    row = split_inputs(wordpiece()([text]))[0]
    with pytest.raises(InputError, match="tokenise it with truncation=True"):
        source(wordpiece(), row, limit=10, truncation=True)


def test_truncation_cuts_with_a_warning_that_names_both_numbers():
    text = "the fox " * 20
    count = len(wordpiece()(text).input_ids)
    with pytest.warns(UserWarning, match=rf"inputs\[0\]: cut from {count} to the 10 tokens"):
        sample = source(wordpiece(), text, limit=10, truncation=True)
    assert sample.ids == wordpiece()(text, truncation=True, max_length=10).input_ids
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(source(wordpiece(), "the fox", limit=10, truncation=True).ids) < 10


# The tokenizer is untouched


def users_tokenizer():
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(wordpiece().backend_tokenizer.to_str()),
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=20,
    )
    tokenizer.backend_tokenizer.no_truncation()  # other tests may have set some
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.chat_template = CHATML
    return tokenizer


@pytest.mark.parametrize("settings", ["none", "both", "special"])
def test_the_tokenizer_is_the_same_to_the_bit(settings):
    tokenizer = users_tokenizer()
    if settings == "both":
        tokenizer.backend_tokenizer.enable_truncation(3, stride=1, strategy="only_first", direction="left")
        tokenizer.backend_tokenizer.enable_padding(length=7, pad_id=3, pad_token="[SEP]", direction="left")
    if settings == "special":
        tokenizer.split_special_tokens = True
        tokenizer.backend_tokenizer.encode_special_tokens = True
    before = state(tokenizer)
    text = "the fox and the dog"
    items = [text, (text, text), Segments(text, ((0, 4),)), [{"role": "user", "content": text}]]
    samples = [source(tokenizer, item) for item in items]
    assert len(samples[0].ids) > 7  # the user's settings of the backend are for the user's own calls
    row = split_inputs(tokenizer([text]))[0]
    assert state(tokenizer) == before or settings != "none"  # that call was the user's
    before = state(tokenizer)
    source(tokenizer, row)
    for target in (" a dog", [5, 6, 7]):
        for joined in (True, False):
            output(tokenizer, samples[0], target, joined)
    for bad in ("", "\ud800", "the " * 50, [{"role": "user", "content": ""}]):
        with pytest.raises(InputError):
            source(tokenizer, bad, limit=20)
    with pytest.warns(UserWarning, match="cut from"):
        source(tokenizer, "the " * 50, limit=20, truncation=True)
    assert state(tokenizer) == before


def test_the_tokenizer_is_put_back_after_an_exception():
    tokenizer = users_tokenizer()
    tokenizer.backend_tokenizer.enable_truncation(3)
    before = state(tokenizer)

    def fail():
        with untouched(tokenizer):
            tokenizer("the fox", padding="max_length", truncation=True, max_length=9)
            tokenizer.backend_tokenizer.encode_special_tokens = True
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert state(tokenizer) == before


def test_a_slow_tokenizer_is_refused():
    with pytest.raises(ModelError, match=r"expected a fast tokenizer.*got SlowTokenizer; .*use_fast=True"):
        source(SlowTokenizer(), "the fox")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("", "got an empty one"),
        (" \n\t", "got only white space"),
        ("a\ud800b", "lone surrogate at character 1"),
        (("the", ""), "got an empty one"),
        ("[CLS][SEP]", "nothing but special tokens"),
    ],
)
def test_texts_that_cannot_be_explained(bad, message):
    with pytest.raises(InputError, match=rf"^inputs\[0\]: expected .*{message}"):
        source(wordpiece(), bad)


def test_a_row_of_nothing_but_special_tokens_is_refused():
    (row,) = split_inputs({"input_ids": torch.tensor([[2, 3]])})
    with pytest.raises(InputError, match="nothing but special tokens"):
        source(wordpiece(), row)


def test_threads_leave_a_tokenizer_as_it_was():
    tokenizer = deepcopy(wordpiece())
    tokenizer("a day", padding="max_length", max_length=9, truncation=True)
    backend, wrong = tokenizer.backend_tokenizer, []
    before = backend.truncation, backend.padding

    def work():
        try:
            for _ in range(300):
                source(tokenizer, "a sad day")
                token_spans(tokenizer, [5, 6, 7])
        except Exception as error:
            wrong.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []
    assert (backend.truncation, backend.padding) == before
