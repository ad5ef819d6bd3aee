"""Targets as users give them: how many, which, and what is said where they are none."""

import re

import numpy as np
import pandas
import pytest
import torch

from interpreto import Contrast
from interpreto.errors import InputError
from interpreto.model_wrapping import Traits
from interpreto.model_wrapping.targets import class_targets, output_ids, output_readout, split_targets, token_id
from interpreto.text import Sample, Token, find_elements
from interpreto.types import Granularity
from tests.text.kinds import byte_fallback
from tests.tiny import classifier, metaspace, wordpiece

CONTRAST = Contrast(0, 1)


@pytest.mark.parametrize(
    ("targets", "n_inputs", "entries"),
    [
        (None, 2, [None, None]),
        (1, 2, [1, 1]),
        ("joy", 2, ["joy", "joy"]),
        (CONTRAST, 2, [CONTRAST, CONTRAST]),
        (np.int64(1), 2, [1, 1]),
        (torch.tensor(1), 2, [1, 1]),
        (torch.tensor([[0, 3], [1, 2]]), 2, [[0, 3], [1, 2]]),
        (np.array([[0, 3], [1, 2]]), 2, [[0, 3], [1, 2]]),
        (torch.tensor([0, 3]), 2, [0, 3]),
        (torch.tensor([0, 3]), 1, [[0, 3]]),
        (torch.arange(6).view(1, -1), 1, [[0, 1, 2, 3, 4, 5]]),
        (torch.tensor([[0], [3]], dtype=torch.uint8), 2, [[0], [3]]),
        (pandas.Series([0, 3], index=[5, 6]), 2, [0, 3]),
        (pandas.Series(["joy", "fear"]), 2, ["joy", "fear"]),
        ([0, 3], 2, [0, 3]),
        ([np.int64(0), torch.tensor(3)], 2, [0, 3]),
        ([0, [1, "joy", CONTRAST]], 2, [0, [1, "joy", CONTRAST]]),
        ([None, 3], 2, [None, 3]),
        ([torch.tensor([5, 6]), torch.tensor([7])], 2, [[5, 6], [7]]),
        ([0, 3], 1, [[0, 3]]),
        ([[0, 3]], 1, [[0, 3]]),
        ([5], 1, [[5]]),
        ([None], 1, [None]),
        (["joy", "fear"], 1, [["joy", "fear"]]),
        (["joy"], 1, ["joy"]),
        ([CONTRAST], 1, [CONTRAST]),
        ((3, "B-PER"), 1, [(3, "B-PER")]),
        ([(3, "B-PER")], 1, [(3, "B-PER")]),
        ((k for k in (1, 2)), 2, [1, 2]),
    ],
)
def test_one_entry_an_input(targets, n_inputs, entries):
    assert split_targets(targets, n_inputs) == entries


@pytest.mark.parametrize(
    ("targets", "n_inputs", "message"),
    [
        (
            torch.zeros(1, 6).long(),
            2,
            "targets: expected 2 rows (one per input), got shape (1, 6); pass targets.expand",
        ),
        (torch.zeros(3, 6).long(), 2, "targets: expected 2 rows (one per input), got shape (3, 6); pass a tensor of"),
        (torch.zeros(2, 1).long(), 1, "targets: expected 1 row (one per input), got shape (2, 1)"),
        (torch.zeros(3).long(), 2, "targets: expected 2 rows (one per input), got shape (3,)"),
        (torch.zeros(2, 2, 2).long(), 2, "targets: expected shape (2, t), got (2, 2, 2)"),
        (torch.zeros(2, 0).long(), 2, "targets: expected shape (2, t), got (2, 0); give at least one target per input"),
        (torch.zeros(0).long(), 1, "targets: expected at least one target, got none; leave them out for the model's"),
        (
            torch.ones(2, 1),
            2,
            "targets: expected whole numbers, got a tensor of torch.float32; pass indices, as torch.",
        ),
        (torch.ones(2, 1).bool(), 2, "targets: expected whole numbers, got a tensor of torch.bool"),
        (torch.tensor(1.0), 1, "targets: expected whole numbers, got a tensor of torch.float32"),
        (np.ones(2), 2, "targets: expected whole numbers, got an array of float64"),
        (np.float32(1), 2, "targets: expected whole numbers, got an array of float32"),
        (np.array([True, False]), 2, "targets: expected whole numbers, got an array of bool"),
        ([0, 1, 2], 2, "targets: expected 2 rows (one per input), got 3 entries; pass a list with one entry per input"),
        ([0], 2, "targets: expected 2 rows (one per input), got 1 entries"),
        ([], 1, "targets: expected at least one target, got none; leave them out for the model's own answer"),
        (1.5, 1, "targets: expected indices, labels, texts or ids, got float: 1.5"),
        ({"input_ids": [1]}, 1, "targets: expected indices, labels, texts or ids, got dict"),
        ({1, 2}, 2, "targets: expected indices, labels, texts or ids, got set"),
        (b"joy", 1, "targets: expected indices, labels, texts or ids, got bytes"),
    ],
)
def test_targets_that_do_not_fit(targets, n_inputs, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        split_targets(targets, n_inputs)


def labelled():
    model = classifier()
    model.config.id2label = {0: "joy", 1: "fear", 2: "anger"}
    return Traits(model, wordpiece())


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        (1, [("fear", (1,), ())]),
        ("joy", [("joy", (0,), ())]),
        (np.int64(2), [("anger", (2,), ())]),
        (torch.tensor(2), [("anger", (2,), ())]),
        ([0, "anger"], [("joy", (0,), ()), ("anger", (2,), ())]),
        (("joy", "fear"), [("joy", (0,), ()), ("fear", (1,), ())]),
        (Contrast("joy", np.int64(1)), [("joy rather than fear", (0,), (1,))]),
        ([Contrast(2, "joy"), 1], [("anger rather than joy", (2,), (0,)), ("fear", (1,), ())]),
    ],
)
def test_classes(entry, found):
    targets = class_targets(labelled(), entry, 3, "targets[0]")
    assert [(target.name, target.plus, target.minus) for target in targets] == found
    assert all(target.part is None and target.first is None for target in targets)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (3, "targets[1]: expected a class from 0 to 2, got 3"),
        (-1, "targets[1]: expected a class from 0 to 2, got -1"),
        ([0, 7], "targets[1]: expected a class from 0 to 2, got 7"),
        ("sad", "targets[1]: expected one of the labels ['joy', 'fear', 'anger'], got 'sad'"),
        (Contrast("joy", "sad"), "targets[1]: expected one of the labels ['joy', 'fear', 'anger'], got 'sad'"),
        (1.0, "targets[1]: expected a class index, a label or a Contrast of two, got float: 1.0"),
        (True, "targets[1]: expected a class index, a label or a Contrast of two, got bool: True"),
        (np.float64(1), "targets[1]: expected a class index, a label or a Contrast of two, got an array of float64"),
        ([[0]], "targets[1]: expected a class index, a label or a Contrast of two, got list: [0]"),
        ([], "targets[1]: expected at least one class, got none; pass None for the predicted one"),
    ],
)
def test_classes_that_are_none(entry, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        class_targets(labelled(), entry, 3, "targets[1]")


PROMPT, PAD, END = [7, 8, 9], 0, 1


@pytest.mark.parametrize(
    ("output", "ids"),
    [
        ([4, 5], [4, 5]),
        ((4, 5), [4, 5]),
        (torch.tensor([4, 5]), [4, 5]),
        (torch.tensor([[4, 5]]), [4, 5]),
        (np.array([4, 5]), [4, 5]),
        ([torch.tensor(4), np.int64(5)], [4, 5]),
        ([torch.tensor([4, 5])], [4, 5]),
        ([4], [4]),
        ([*PROMPT, 4, 5], [4, 5]),
        ([*PROMPT, 4, 5, END], [4, 5, END]),
        ([*PROMPT, 4, END, PAD, PAD], [4, END]),
        ([*PROMPT, 4, END, PAD], [4, END]),
        ([*PROMPT, 4, END, END, END], [4, END]),  # padded with the id that ends texts
        ([PAD, PAD, *PROMPT, 4, 5], [4, 5]),
        ([END, END, *PROMPT, 4, END, END], [4, END]),
        ([PAD, PAD, *PROMPT, END, PAD], [END]),
        ([7, 8, 4], [7, 8, 4]),
        (PROMPT, PROMPT),
        ([END], [END]),
        ([PAD], [PAD]),
    ],
)
def test_output_ids_lose_prompt_and_padding(output, ids):
    assert output_ids(output, beginning=PROMPT, pads=[PAD], ends=[END], where="targets[0]") == ids


def test_a_prompt_that_begins_with_padding_is_taken_off():
    wanted = {"beginning": [END, 7], "pads": [END], "ends": [END], "where": "targets[0]"}
    assert output_ids([END, END, END, 7, 4], **wanted) == [4]


@pytest.mark.parametrize("output", [5, [], [[]], [1.5], [True], ["a", "b"], torch.ones(2), [[1], [2]], None, object()])
def test_outputs_that_are_none(output):
    with pytest.raises(
        InputError, match=r"^targets\[0\]: expected one output per input, as a text or as a row of token"
    ):
        output_ids(output, beginning=PROMPT, pads=[PAD], ends=[END], where="targets[0]")


def test_each_output_token_is_read_at_the_place_before_it():
    tokens = (Token(5, 0, 0, 3), Token(6, 1, 0, 2), Token(7, 1, 2, 4), Token(8, 1, 4, 8))
    sample = Sample(("fox", "fast dog"), tokens, 1, 1)
    words = [element for element in find_elements(sample, Granularity.WORD) if element.part == 1]
    foil = ("slow cat", (Token(20, 0, 0, 2), Token(21, 0, 2, 4), Token(22, 0, 4, 8)))
    readout = output_readout(sample, words, foil)
    assert readout.slots == (0, 1, 2)
    assert readout.reads == ((0, 6), (1, 7), (2, 8), (0, 20), (1, 21), (2, 22))
    assert [(target.name, target.plus, target.minus, target.first) for target in readout.targets] == [
        ("fast rather than slow", (0, 1), (3, 4), 1),
        (" dog rather than cat", (2,), (5,), 3),
    ]


def test_tokens_by_id_name_and_text():
    tokenizer = wordpiece()
    assert token_id(tokenizer, np.int64(7), "targets[0]") == 7
    assert token_id(tokenizer, "the", "targets[0]") == tokenizer.convert_tokens_to_ids("the")
    assert token_id(tokenizer, "The", "targets[0]") == tokenizer.convert_tokens_to_ids("the")
    assert token_id(tokenizer, "##s", "targets[0]") == tokenizer.convert_tokens_to_ids("##s")
    assert token_id(metaspace(), "the", "targets[0]") == metaspace().convert_tokens_to_ids("▁the")


def test_a_tokens_search_leaves_the_users_truncation_alone_and_is_not_cut_by_it():
    tokenizer = byte_fallback()
    tokenizer.backend_tokenizer.enable_truncation(1)
    before = tokenizer.backend_tokenizer.to_str()
    try:
        with pytest.raises(InputError, match="expected one token of the tokenizer, got 'the dog', which is"):
            token_id(tokenizer, "the dog", "targets[0]")
        assert tokenizer.backend_tokenizer.to_str() == before
    finally:
        tokenizer.backend_tokenizer.no_truncation()


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("the dog", "expected one token of the tokenizer, got 'the dog', which is ['the', 'dog']"),
        ("日", "expected one token of the tokenizer, got '日', which is ['[UNK]']"),
        ("", "expected a text, got an empty one"),
        ("\ud800", "expected Unicode text, got a lone surrogate"),
        (10**6, "expected an id from 0 to 149, got 1000000"),
        (-1, "expected an id from 0 to 149, got -1"),
        (True, "expected a token as text or id, got bool: True"),
        (1.5, "expected a token as text or id, got float: 1.5"),
        (None, "expected a token as text or id, got NoneType: None"),
    ],
)
def test_tokens_that_are_none(token, message):
    with pytest.raises(InputError, match=re.escape(f"targets[0]: {message}")):
        token_id(wordpiece(), token, "targets[0]")
