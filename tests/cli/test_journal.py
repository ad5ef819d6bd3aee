"""A run that was killed goes on; nothing of another run is lost."""

import json

import pytest

from interpreto.cli import journal as journals
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
    Journal(path, {**COMMAND, "method": "Sobol"}, overwrite=True).finish()
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


def test_only_one_run_at_a_time(tmp_path):
    path = tmp_path / "r.jsonl"
    first = Journal(path, COMMAND)
    first.append(1, {})
    (tmp_path / "other.jsonl").symlink_to(path)
    for name in ("r.jsonl", "other.jsonl"):
        for overwrite in (False, True):
            with pytest.raises(InputError, match=rf"^out: .*{name} is being written by another run; wait until"):
                Journal(tmp_path / name, COMMAND, overwrite=overwrite)
    first.append(2, {})
    first.close()
    assert written(path, 3).last == 2
    assert numbers(path) == [1, 2, 3]


def test_a_link_is_the_file_it_leads_to(tmp_path):
    (tmp_path / "links").mkdir()
    path, link = tmp_path / "r.jsonl", tmp_path / "links" / "other.jsonl"
    link.symlink_to(path)
    written(link, 1)
    assert [place.name for place in link.parent.iterdir()] == ["other.jsonl"]
    assert written(path, 2).last == 1
    assert written(link, 3).last == 2
    with pytest.raises(InputError, match=r"other.jsonl was begun by another command"):
        Journal(link, OTHER)
    assert numbers(path) == [1, 2, 3]


def test_a_refused_run_locks_nobody_out(tmp_path):
    path = tmp_path / "r.jsonl"
    written(path, 1)
    refused = []
    for _ in range(2):
        with pytest.raises(InputError, match="by another command") as caught:
            Journal(path, {"method": "Sobol"})
        refused.append(caught)  # whose frames still hold what it had opened
    assert written(path, 2).last == 1


@pytest.mark.parametrize("twice", [[1, 2, 2, 3], [1, 2, 1], [5, 4]])
def test_what_two_runs_wrote_is_refused(tmp_path, twice):
    path = tmp_path / "r.jsonl"
    written(path, *twice)
    with pytest.raises(InputError, match=r"line \d is the result of line \d of the texts, after that of line \d"):
        Journal(path, COMMAND)
    assert numbers(path) == twice


OTHER = {**COMMAND, "method": "Sobol"}


def test_overwriting_begins_with_the_first_result(tmp_path):
    path = tmp_path / "r.jsonl"
    written(path, 1, 2)
    journal = Journal(path, OTHER, overwrite=True)
    journal.confirm("w")
    assert (journal.done, journal.last, numbers(path)) == (frozenset(), 0, [1, 2])
    journal.close()  # an error
    assert written(path, 3).last == 2  # the earlier command goes on
    journal = Journal(path, OTHER, overwrite=True)
    journal.append(1, {})
    journal.append(4, {})
    journal.close()
    assert numbers(path) == [1, 4]
    assert written(path, command=OTHER).last == 4


@pytest.mark.parametrize("done", [False, True])
def test_a_kill_while_it_begins_anew(tmp_path, monkeypatch, done):
    path = tmp_path / "r.jsonl"
    written(path, 1, 2)
    journal = Journal(path, OTHER, overwrite=True)
    replace = journals.replace_whole

    def killed(place, write):
        if done:
            replace(place, write)
        raise KeyboardInterrupt

    monkeypatch.setattr(journals, "replace_whole", killed)
    with pytest.raises(KeyboardInterrupt):
        journal.append(1, {})
    monkeypatch.undo()
    journal.close()
    for command in (COMMAND, OTHER):
        assert written(path, command=command).done == frozenset()
    assert written(path, 7, command=OTHER).last == 0
    assert written(path, command=OTHER).last == 7


def test_another_model_of_the_same_name_is_refused(tmp_path):
    path = tmp_path / "r.jsonl"
    for number, weights in enumerate(("a", "a", "b"), start=1):
        journal = Journal(path, COMMAND)
        if weights == "b":
            with pytest.raises(InputError, match=r"another model of this name \(other: weights\)"):
                journal.confirm(weights)
        else:
            journal.confirm(weights)
            journal.append(number, {})
        journal.close()
    assert numbers(path) == [1, 2]
    journal = Journal(path, COMMAND, overwrite=True)
    journal.confirm("b")
    journal.append(1, {})
    journal.close()
    assert numbers(path) == [1]


def test_a_full_disk_is_one_error(tmp_path):
    path = tmp_path / "r.jsonl"
    journal = Journal(path, COMMAND)
    journal.append(1, {})
    journal._stream = open("/dev/full", "w")  # noqa: SIM115
    with pytest.raises(StoreError, match="make room"):
        journal.append(2, {})
    with pytest.raises(OSError, match="No space"):
        journal._stream.close()
    journal.close()
    assert numbers(path) == [1]


def test_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(StoreError, match="could not be written"):
        Journal(tmp_path / "nowhere" / "r.jsonl", COMMAND)
