"""What users pass, sorted out."""

import numpy as np
import pandas
import pytest
import torch
from datasets import Dataset, DatasetDict

from interpreto.errors import InputError
from interpreto.text import Segments, split_inputs
from interpreto.text.inputs import TokenRow
from tests.tiny import wordpiece

CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        (("a", "b"), [("a", "b")]),
        (("a", "b", "c"), ["a", "b", "c"]),
        ([("a", "b"), ("c", "d")], [("a", "b"), ("c", "d")]),
        (CHAT, [CHAT]),
        ([CHAT, CHAT[:1]], [CHAT, CHAT[:1]]),
        (Segments("ab", ((0, 1),)), [Segments("ab", ((0, 1),))]),
        ([Segments("ab", ((0, 1),)), "c"], [Segments("ab", ((0, 1),)), "c"]),
        (np.array(["a", "b"]), ["a", "b"]),
        (pandas.Series(["a", "b"], index=[7, 3]), ["a", "b"]),
        (Dataset.from_dict({"text": ["a", "b"]})["text"], ["a", "b"]),
        ((text for text in "ab"), ["a", "b"]),
        ({"a": 0, "b": 1}.keys(), ["a", "b"]),
    ],
)
def test_inputs(given, wanted):
    assert split_inputs(given) == wanted


@pytest.mark.parametrize("form", [None, "numpy", "pandas", "torch"])
def test_columns_of_data_sets_in_every_format(form):
    column = Dataset.from_dict({"text": ["a", "bc"]}).with_format(form)["text"]
    assert split_inputs(column) == ["a", "bc"]


def test_texts_of_arrays_become_plain():
    texts = np.array(["a", "bc"])
    pairs = list(zip(texts, texts, strict=True))
    given = [*split_inputs(texts), *split_inputs(texts[0]), *split_inputs(pandas.Series(["a"], dtype="category"))]
    given += [text for pair in [*split_inputs(pairs), *split_inputs(pairs[0])] for text in pair]
    assert {type(text) for text in given} == {str}
    assert given == ["a", "bc", "a", "a", "a", "a", "bc", "bc", "a", "a"]


def test_streamed_columns():
    stream = Dataset.from_dict({"text": ["a", "b"]}).to_iterable_dataset()
    assert split_inputs(stream["text"] if hasattr(stream, "__getitem__") else ["a", "b"]) == ["a", "b"]


def test_a_generator_given_twice_is_refused_with_a_hint():
    texts = (text for text in ["a", "b"])
    assert split_inputs(texts) == ["a", "b"]
    with pytest.raises(InputError, match="expected at least one text, got none; an iterator can be read only once"):
        split_inputs(texts)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "inputs: expected at least one text, got none"),
        (None, "inputs: expected a text, .*, got NoneType"),
        (3, "inputs: expected a text, .*, got int: 3"),
        (b"abc", r"inputs: expected a text, .*, got bytes: b'abc'; decode it to a str"),
        (["a", b"b"], r"inputs\[1\]: expected a text, .*, got bytes: b'b'; decode it to a str"),
        (["a", None], r"inputs\[1\]: expected a text, .*, got NoneType: None"),
        (["a", 3.5], r"inputs\[1\]: expected a text, .*, got float: 3.5$"),
        ([["a", "b"]], r"inputs\[0\]: expected a text, a pair \(tuple\) of texts.*, got list"),
        ([{"role": "user"}], r"inputs\[0\]: expected a mapping with 'input_ids', got the keys \['role'\]"),
        ({"text": ["a"], 3: 4}, r"inputs: expected a mapping with 'input_ids', got the keys \['text', '3'\]"),
        (np.array([["a", "b"]]), r"inputs: expected one column of texts, got a ndarray of shape \(1, 2\)"),
        (np.array("a"), r"inputs: expected one column of texts, got a ndarray of shape \(\)"),
        (
            pandas.DataFrame({"text": ["a"], "label": [0]}),
            r"inputs: expected one column of texts, got a DataFrame with the columns \['text', 'label'\]; pass one",
        ),
        (
            Dataset.from_dict({"text": ["a"], "label": [0]}),
            r"inputs: expected one column of texts, got a Dataset with the columns \['text', 'label'\]; pass one",
        ),
        (
            Dataset.from_dict({"text": ["a"]}).to_iterable_dataset(),
            r"inputs: expected one column of texts, got a IterableDataset with the columns \['text'\]; pass one",
        ),
        (
            DatasetDict(train=Dataset.from_dict({"text": ["a"]})),
            r"inputs: .*, got a DatasetDict with the splits \['train'\]; pass one column of it, as table\[split\]",
        ),
        ([{"text": "a", "label": 0}], r"inputs\[0\]: .* got the keys \['text', 'label'\]; of rows of a table pass one"),
        (
            pandas.Series(["a", None, "c"], index=[7, "x", 9]),
            r"inputs\[1\]: .*, got (float: nan|NoneType: None), a missing value \(at 'x' of its index\); leave",
        ),
        (
            pandas.Series(["a", "b", pandas.NA], dtype=object),
            r"inputs\[2\]: .*, got NAType: <NA>, a missing value \(at 2 of its index\); leave",
        ),
        (pandas.Series([pandas.NaT], dtype=object), r"inputs\[0\]: .*, got NaTType: NaT, a missing value"),
        (
            Dataset.from_dict({"text": ["a", None]})["text"],
            r"inputs\[1\]: .*, got NoneType: None, a missing value; leave such rows out",
        ),
        (np.array(["a", np.nan], dtype=object), r"inputs\[1\]: .*, got float: nan, a missing value; leave"),
        ([np.float32("nan")], r"inputs\[0\]: .* a missing value; leave"),
        (torch.tensor([[1, 2]]), r"inputs: expected one column of texts, got a Tensor.*'input_ids'"),
        (torch.tensor([1, 2]), r"inputs\[0\]: expected a text, .*, got Tensor"),
        ({"input_ids": []}, "inputs: expected at least one token in row 0, got none"),
        ({"input_ids": [[1, 2], []]}, "inputs: expected at least one token in row 1, got none"),
        ({"input_ids": [[1.5, 2.0]]}, "inputs: input_ids: expected rows of whole numbers, got"),
        ({"input_ids": 5}, "inputs: input_ids: expected rows of whole numbers, got 5"),
        ({"input_ids": "abc"}, "inputs: input_ids: expected rows of whole numbers, got 'abc'"),
        ({"input_ids": [[1, 2]], "attention_mask": [[1]]}, r"'attention_mask' with rows as long .* \[2\], got \[1\]"),
        ({"input_ids": [[1, 2]], "attention_mask": [[0, 0]]}, "expected at least one token in row 0"),
    ],
)
def test_bad_inputs(given, message):
    with pytest.raises(InputError, match=f"(?s)^{message}" if message.startswith("inputs") else message):
        split_inputs(given)


def test_rows_come_in_every_form():
    row = TokenRow((5, 6, 7))
    for given in ([5, 6, 7], [[5, 6, 7]], (5, 6, 7), torch.tensor([5, 6, 7]), np.array([[5, 6, 7]])):
        assert split_inputs({"input_ids": given}) == [row]
    assert split_inputs({"input_ids": [torch.tensor([5, 6, 7]), torch.tensor([5])]}) == [row, TokenRow((5,))]
    padded = {"input_ids": [[0, 5, 6, 7], [5, 0, 0, 0]], "attention_mask": [[0, 1, 1, 1], [1, 0, 0, 0]]}
    assert split_inputs(padded) == [row, TokenRow((5,))]


def test_a_list_of_encodings_is_all_of_their_rows():
    encodings = [wordpiece()(["the fox", "a"]), wordpiece()("dog")]
    rows = split_inputs(encodings)
    assert [list(row.ids) for row in rows] == [wordpiece()(text).input_ids for text in ("the fox", "a", "dog")]


def test_segments_joined():
    segments = Segments.join(["one ", "two"], before="first: ", after=".")
    assert segments.text == "first: one two."
    assert [segments.text[start:end] for start, end in segments.spans] == ["one ", "two"]


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ("abc", r"segments: expected a list of texts, got str: 'abc'; pass \[text\], or split it"),
        ([], "segments: expected at least one text, got none"),
        (["one", ""], r"segments\[1\]: expected a text of at least one character, got an empty one; leave it out"),
    ],
)
def test_segments_that_cannot_be_joined(segments, message):
    with pytest.raises(InputError, match=f"^{message}"):
        Segments.join(segments, before="Read: ")


@pytest.mark.parametrize(
    "spans",
    [(), ((0, 0),), ((2, 1),), ((0, 9),), ((-1, 2),), ((0, 2), (1, 3)), ((1, 2), (0, 1))],
)
def test_bad_segments(spans):
    with pytest.raises(InputError, match=r"^segments: expected .*\(start, end\) pair.*, got"):
        Segments("abc", spans)
