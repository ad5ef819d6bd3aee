"""Every line of an input is a text, or is reported by its number."""

import csv
import io
import json

import pytest

from interpreto.cli.texts import Damaged, Line, OnError, Texts, open_texts
from interpreto.errors import InputError
from interpreto.text_files import Format


def read(content, format, columns=("text",), target_column=None):
    """Numbers, texts and targets of the lines that can be used, and numbers of the others."""
    damaged = Damaged(OnError.SKIP)
    lines = list(Texts(None, io.BytesIO(content), Format(format), columns, target_column).lines(damaged))
    return [(line.number, line.text, line.target) for line in lines], sorted(damaged.numbers)


def test_texts_a_line():
    assert read("a b\n\ncaf\u00e9\u2028x\r\n  \nlast".encode(), "txt") == (
        [(1, "a b", None), (3, "caf\u00e9\u2028x", None), (5, "last", None)],
        [],  # lines without anything are no damage
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
    for content, said in (
        (b"txt\na\n", "expected 'text' in the header"),
        (b'"text\na\n', "^line 1: expected the names of the columns, but expected a row"),
    ):
        with pytest.raises(InputError, match=said):
            read(content, "csv")


def test_a_column_that_a_header_names_twice_is_refused():
    with pytest.raises(
        InputError, match=r"^column: expected 'text' once in the header of the table, got \['text', 'y'"
    ):
        read(b"text,y,text\na,1,b\n", "csv")
    assert read(b"text,y,y\na,1,2\n", "csv") == ([(2, "a", None)], [])


def test_an_empty_cell_is_no_target():
    assert read(b'y,text\n,a\n"",b\n , c\n', "csv", target_column="y")[0] == [
        (2, "a", None), (3, "b", None), (4, " c", " "),
    ]  # fmt: skip
    assert read(b'{"text": "a", "y": ""}\n{"text": "b", "y": null}\n', "jsonl", target_column="y")[0] == [
        (1, "a", ""), (2, "b", None),
    ]  # fmt: skip


def test_a_quote_that_is_never_closed_costs_its_own_row():
    content = 'y,text\n1,"a\n2,b\n3,"two\nlines"\n4,c\n5,"d\n6,e'
    lines, damaged = read(content.encode(), "csv", target_column="y")
    assert lines == [(3, "b", "2"), (4, "two\nlines", "3"), (6, "c", "4"), (8, "e", "6")]
    assert damaged == [2, 7]
    assert read(b'text\tmore\n"a\tb\nc\td\n', "tsv", ("text", "more")) == ([(3, ("c", "d"), None)], [2])


def test_a_cell_may_go_on_for_hundreds_of_lines():
    verse = "\n".join(f'line {k}, ""quoted""' for k in range(900))
    lines, damaged = read(f'text\nfirst\n"{verse}"\nlast\n'.encode(), "csv")
    assert lines == [(2, "first", None), (3, verse.replace('""', '"'), None), (903, "last", None)]
    assert damaged == []


def test_a_quote_that_is_never_closed_is_not_looked_for_in_the_whole_file():
    class Counted(io.BytesIO):
        read_bytes = 0

        def read1(self, size=-1):
            block = super().read1(size)
            self.read_bytes += len(block)
            return block

    stream = Counted(b'text\n"never closed\n' + b"a text\n" * 100_000)
    lines = Texts(None, stream, Format.CSV).lines(Damaged(OnError.SKIP))
    assert next(lines) == Line(3, "a text")
    assert stream.read_bytes < 20 * 10_000
    assert sum(1 for _ in lines) == 99_999


def test_bytes_of_another_alphabet_are_damage_wherever_they_stand():
    assert read(b"y,text\n\xff,a\n1,b\n", "csv") == ([(3, "b", None)], [2])
    assert read(b'{"text": "a", "y": "\xff"}\n{"text": "b"}\n', "jsonl") == ([(2, "b", None)], [1])


def test_a_text_by_itself_is_no_pair():
    assert read(b'"a"\n{"one": "b", "two": "c"}\n', "jsonl", ("one", "two")) == ([(2, ("b", "c"), None)], [1])


def test_other_tables_keep_their_own_limit():
    before = csv.field_size_limit()
    read(b"text\na\n", "csv")
    assert csv.field_size_limit() == before


def test_the_first_damaged_line_ends_the_run_where_that_is_asked():
    texts = Texts(None, io.BytesIO(b"a\n\n\xff\nb"), Format.TXT)
    lines = texts.lines(Damaged(OnError.STOP))
    assert next(lines).text == "a"
    with pytest.raises(InputError, match=r"^line 3: expected UTF-8, got other bytes; --on-error skip goes on"):
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
