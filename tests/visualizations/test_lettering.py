"""Lines of still pictures: where they break, and which way their words run."""

from __future__ import annotations

from itertools import pairwise

import pytest

from interpreto.visualizations import lettering
from interpreto.visualizations.lettering import drawable, fitting, in_order, lines, runs_left, shaped, width

TEXT = "We are thrilled to present you this library, and we mean it. " * 5


def seen(text: str, room: float = 400.0) -> list[str]:
    """Each line as its runs stand from left to right."""
    return ["".join(run.text for run in line) for line in lines(text, 9.0, room)]


def test_lines_fit_and_lose_nothing() -> None:
    found = list(lines(TEXT, 9.0, 150.0))
    assert len(found) > 5
    for line in found:
        words = [run for run in line if run.text.strip()]
        assert words[-1].x + words[-1].width <= 150.0
        for one, other in pairwise(line):
            assert other.x == pytest.approx(one.x + one.width)
    assert "".join(seen(TEXT, 150.0)) == TEXT
    assert {word for line in seen(TEXT, 150.0) for word in line.split()} == set(TEXT.split())  # none is cut


def test_line_breaks_and_blanks_are_kept() -> None:
    assert seen("one\n\n  two   three\n") == ["one", "", "  two   three", ""]


def test_words_wider_than_the_line_are_cut() -> None:
    found = list(lines("a" * 100 + " b", 9.0, 50.0))
    assert all(run.x + run.width <= 50.0 for line in found for run in line if run.text.strip())
    assert "".join(run.text for line in found for run in line) == "a" * 100 + " b"


def test_chinese_and_japanese_break_between_letters_but_not_before_a_full_stop() -> None:
    text = "私たちは図書館を公開しました。とても嬉しいです。" * 3
    found = seen(text, 90.0)
    assert "".join(found) == text
    assert len(found) > 5
    assert not any(line.startswith("。") for line in found)
    assert all(width(line, 9.0) > 60.0 for line in found[:-1])


def test_places_of_letters_are_measured() -> None:
    ((run,),) = lines("playing", 9.0, 200.0, cuts=frozenset({4}))
    assert run.borders == (0, 7)
    assert run.places[0] == 0.0
    assert run.places[4] == pytest.approx(width("play", 9.0))
    assert run.places[7] == pytest.approx(width("playing", 9.0))


def test_width_counts_blanks_and_size() -> None:
    assert width("a ", 9.0) > width("a", 9.0)
    assert width("word", 18.0) == pytest.approx(2 * width("word", 9.0))
    assert width("word", 9.0, bold=True) > width("word", 9.0)
    assert width("", 9.0) == 0.0


def test_fitting_keeps_as_much_as_there_is_room_for() -> None:
    assert fitting("short", 9.0, 100.0) == "short"
    kept = fitting("a rather long name of a class", 9.0, 60.0)
    assert kept.endswith("…")
    assert 40.0 < width(kept, 9.0) <= 60.0


# Right to left. Written out by hand by the rules of the bidirectional algorithm (UAX 9).


@pytest.mark.parametrize(
    ("logical", "visual"),
    [
        ("one two", "one two"),
        ("שלום עולם", "עולם שלום"),
        ("say שלום עולם twice", "say עולם שלום twice"),
        ("שלום to you עולם", "עולם to you שלום"),
        ("שלום עולם!", "!עולם שלום"),
        ("say שלום!", "say שלום!"),
        ("גרסה 4.46 של", "של 4.46 גרסה"),
        ("גרסה (4.46) של", "של (4.46) גרסה"),
        ("ב-Hugging Face (גרסה)", "(גרסה) Hugging Face-ב"),
        ("see (שלום) here", "see (שלום) here"),
        ("see שלום (12) here", "see (12) שלום here"),
        ("מחיר 5% הנחה", "הנחה 5% מחיר"),
    ],
)
def test_words_are_in_their_visual_order(logical: str, visual: str) -> None:
    """Letters of a Hebrew word are left to the shaping, which puts them into order."""
    (line,) = seen(logical)
    if not lettering._SHAPES:
        pytest.skip("this matplotlib does not order letters; shaped() does, in the next test")
    assert line == visual


def test_letters_are_put_into_order_where_matplotlib_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering, "_SHAPES", False)
    assert shaped("שלום", True) == "םולש"
    assert shaped("שָׁל", True) == "לשָׁ"  # marks stay on their letter
    assert shaped("12", True) == "12"
    assert shaped(").", True) == ".("
    assert shaped("word", False) == "word"


def test_leftward_paragraphs_end_at_the_right() -> None:
    runs = next(lines("שלום עולם", 9.0, 300.0))
    assert runs[-1].x + runs[-1].width == pytest.approx(300.0)
    first = next(run for run in runs if run.borders[0] == 0)
    assert first.places[0] == pytest.approx(300.0)
    assert first.places[-1] == pytest.approx(300.0 - first.width)


def test_paragraphs_have_their_own_direction() -> None:
    assert [runs_left(text) for text in ("a שלום", "שלום a", "12 שלום", "12", "")] == [False, True, True, False, False]


def test_order_of_pieces() -> None:
    assert in_order(["a", " ", "b"], False) == [(0, False), (1, False), (2, False)]
    assert [k for k, _ in in_order(["ש", " ", "ע", " ", "a"], False)] == [2, 1, 0, 3, 4]
    assert [k for k, _ in in_order(["ש", " ", "a", " ", "b"], True)] == [2, 3, 4, 1, 0]


# Letters


def test_what_cannot_be_seen_is_shown_or_left_out() -> None:
    missing: dict[str, None] = {}
    assert drawable("a\x00b\tc\u202ed\ud800e\u200bf\ufe0fg\u00a0h\ni", missing) == "a␀b    c�d�efg h\ni"
    assert missing == {}
    assert drawable("x\U0010fffdy", missing) == "x□y"
    assert list(missing) == ["\U0010fffd"]
