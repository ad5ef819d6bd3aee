"""Every line of an input is a text, or is reported by its number."""

import io
import json

import pytest

from interpreto.cli.texts import Damaged, Format, OnError, Texts, open_texts
from interpreto.errors import InputError


def read(content, format, columns=("text",), target_column=None):
    """Numbers, texts and targets of the lines that can be used, and numbers of the others."""
    damaged = Damaged(OnError.SKIP)
    lines = list(Texts(None, io.BytesIO(content), Format(format), columns, target_column).lines(damaged))
    return [(line.number, line.text, line.target) for line in lines], sorted(damaged.numbers)


def test_texts_a_line():
    assert read("a b\n\ncaf\u00e9\u2028x\r\n  \nlast".encode(), "txt") == (
        [(1, "a b", None), (3, "caf\u00e9\u2028x", None), (5, "last", None)],
        [2, 4],
    )
    assert read(b"\xef\xbb\xbfa\n", "txt") == ([(1, "a", None)], [])
    assert read(b"a\n\xff\xfe\nb", "txt") == ([(1, "a", None), (3, "b", None)], [2])


def test_objects_a_line():
    chat = [{"role": "user", "content": "hi"}]
    rows = [
        json.dumps({"text": "a", "y": 3}),
        "",
        json.dumps("b"),
        "{",
        "[1]",
        json.dumps({"txt": "c"}),
        json.dumps({"text": None}),
        json.dumps({"text": chat}),
        '{"text": "\\ud800"}',
        "[" * 100_000,
        json.dumps({"text": "last"}),
    ]
    lines, damaged = read("\n".join(rows).encode(), "jsonl")
    assert lines == [(1, "a", None), (3, "b", None), (8, chat, None), (11, "last", None)]
    assert damaged == [4, 5, 6, 7, 9, 10]
    assert read(rows[0].encode(), "jsonl", target_column="y") == ([(1, "a", 3)], [])


def test_tables():
    content = 'y,text\n1,a\n\n2,"two\nlines, here"\n3\n4,\n5,last\n'
    lines, damaged = read(content.encode(), "csv", target_column="y")
    assert lines == [(2, "a", "1"), (4, "two\nlines, here", "2"), (8, "last", "5")]
    assert damaged == [6, 7]
    assert read(b"text\tmore\na\tb\n", "tsv", ("text", "more")) == ([(2, ("a", "b"), None)], [])
    assert read(b'text\n"a" b\nc\n', "csv") == ([(3, "c", None)], [2])
    long = "x" * 200_000
    assert read(f"text\n{long}\n".encode(), "csv") == ([(2, long, None)], [])
    with pytest.raises(InputError, match="expected 'text' in the header"):
        read(b"txt\na\n", "csv")


def test_the_first_damaged_line_ends_the_run_where_that_is_asked():
    texts = Texts(None, io.BytesIO(b"a\n\nb"), Format.TXT)
    lines = texts.lines(Damaged(OnError.STOP))
    assert next(lines).text == "a"
    with pytest.raises(InputError, match=r"^line 2: expected a text, got an empty one; --on-error skip goes on"):
        next(lines)


def test_digests_tell_inputs_apart_and_leave_the_stream_at_its_beginning():
    def of(content):
        return Texts(None, io.BytesIO(content), Format.TXT)

    assert of(b"a\nb").digest() == of(b"a\nb").digest() != of(b"a\nc").digest()
    texts = of(b"a\nb")
    texts.digest()
    texts.n_lines()
    assert [line.text for line in texts.lines(Damaged(OnError.STOP))] == ["a", "b"]
    given = [Texts(words, None, Format.TXT).digest() for words in (("a", "b"), ("ab",), ("a", "b"))]
    assert given[0] == given[2] != given[1]


def test_where_texts_come_from(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n')
    assert open_texts(None, path, None, None).format is Format.JSONL
    assert open_texts(None, path, Format.TXT, None).format is Format.TXT
    assert [line.text for line in open_texts(["x", "y"], None, None, None).lines(Damaged(OnError.STOP))] == ["x", "y"]
    for arguments, message in (
        ((["x"], path, None, None), "either texts or a file"),
        ((None, tmp_path / "b.txt", None, None), "expected one that can be read, got .*b.txt"),
        ((None, tmp_path / "b.parquet", None, None), "ends in .txt, .jsonl, .csv or .tsv"),
        ((None, path, None, ["a", "b", "c"]), "expected one, or two"),
    ):
        with pytest.raises(InputError, match=message):
            open_texts(*arguments)
