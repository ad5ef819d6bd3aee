"""A run that was killed goes on; nothing of another run is lost."""

import json

import pytest

from interpreto.cli.journal import Journal
from interpreto.errors import InputError, StoreError

COMMAND = {"method": "Lime", "options": {"seed": 1}, "input": "abc"}


def written(path, *numbers, command=COMMAND):
    journal = Journal(path, command)
    for number in numbers:
        journal.append(number, {"x": number / 3})
    journal.close()
    return journal


def numbers(path):
    return [json.loads(line)["line"] for line in path.read_text().splitlines()]


def test_lines_are_there_as_soon_as_they_are_appended(tmp_path):
    journal = Journal(tmp_path / "r.jsonl", COMMAND)
    journal.append(3, {"x": 1})
    assert (tmp_path / "r.jsonl").read_text() == '{"line": 3, "x": 1}\n'
    journal.close()


def test_it_goes_on(tmp_path):
    path = tmp_path / "r.jsonl"
    assert written(path, 1, 2, 5).done == frozenset()
    again = written(path, 6)
    assert (again.done, again.last) == (frozenset({1, 2, 5}), 5)
    assert numbers(path) == [1, 2, 5, 6]


@pytest.mark.parametrize("half", ["{", '{"line": 3, "x"', '{"line": 3, "x": 1}', '{"line": 3, "x\n', "\x00\x00\n"])
def test_a_half_written_line_goes(tmp_path, half):
    path = tmp_path / "r.jsonl"
    written(path, 1, 2)
    whole = path.read_text()
    path.write_text(whole + half)
    journal = Journal(path, COMMAND)
    journal.close()
    assert journal.last == 2
    assert path.read_text() == whole


def test_damage_in_the_middle_is_an_error(tmp_path):
    path = tmp_path / "r.jsonl"
    written(path, 1, 2)
    damaged = "oh\n" + path.read_text()
    path.write_text(damaged)
    with pytest.raises(InputError, match="line 1 is damaged"):
        Journal(path, COMMAND)
    assert path.read_text() == damaged


def test_another_command_is_refused_until_it_is_told_to_overwrite(tmp_path):
    path = tmp_path / "r.jsonl"
    written(path, 1)
    for name, value in (("method", "Sobol"), ("options", {"seed": 2}), ("input", "abd"), ("more", 1)):
        with pytest.raises(InputError, match=rf"r.jsonl was begun by another command \(other: {name}\)"):
            Journal(path, {**COMMAND, name: value})
    Journal(path, {**COMMAND, "method": "Sobol"}, overwrite=True).close()
    assert path.read_text() == ""
    assert written(path, 1, command={**COMMAND, "method": "Sobol"}).last == 0


def test_a_command_that_never_got_to_a_result_stands_in_nobodys_way(tmp_path):
    path = tmp_path / "r.jsonl"
    written(path)
    written(path, 1, command={**COMMAND, "method": "Sobol"})
    assert written(path, 2, command={**COMMAND, "method": "Sobol"}).last == 1


def test_a_file_of_something_else_is_kept(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text("precious\n")
    with pytest.raises(InputError, match="holds something else"):
        Journal(path, COMMAND)
    assert path.read_text() == "precious\n"


def test_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(StoreError, match="could not be written"):
        Journal(tmp_path / "nowhere" / "r.jsonl", COMMAND)
