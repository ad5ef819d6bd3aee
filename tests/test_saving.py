"""Files are there as a whole, or as they were."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from interpreto.errors import StoreError
from interpreto.saving import replace_whole, write_whole


def test_a_file_is_written_and_written_again(tmp_path):
    place = tmp_path / "result.html"
    for data in (b"first", b"a second one"):
        write_whole(place, data)
        assert place.read_bytes() == data
    assert os.listdir(tmp_path) == ["result.html"]


def test_what_was_there_stays_where_writing_fails(tmp_path):
    place = tmp_path / "result.json"
    place.write_bytes(b"old")

    def half(draft: Path) -> None:
        draft.write_bytes(b"ne")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        replace_whole(place, half)
    assert place.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["result.json"]


def test_a_full_disk_is_one_error_and_leaves_the_old_file(tmp_path, monkeypatch):
    place = tmp_path / "result.json"
    place.write_bytes(b"old")

    def full(self, data):
        with open(self, "wb") as file:
            file.write(data[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StoreError, match=r"out: .*result.json could not be written .*No space"):
        write_whole(place, b"new", "out")
    monkeypatch.undo()
    assert place.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["result.json"]


def test_no_folder_and_a_folder_are_told(tmp_path):
    with pytest.raises(StoreError, match="could not be written"):
        write_whole(tmp_path / "nowhere" / "result.json", b"")
    with pytest.raises(StoreError, match="could not be written"):
        write_whole(tmp_path, b"")
    assert os.listdir(tmp_path) == []


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_permissions_stay(tmp_path):
    place = tmp_path / "result.json"
    place.write_bytes(b"old")
    place.chmod(0o640)
    write_whole(place, b"new")
    assert place.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_written_to(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_whole(pipe, b"through")
    reader.join()
    assert read == [b"through"]


def test_what_is_printed_to_is_printed_to(tmp_path):
    """A shell's `> file` and `/dev/stdout`: what was printed before and after stays."""
    code = (
        "from interpreto.saving import write_whole; print(1, flush=True); write_whole('/dev/stdout', b'2\\n'); print(3)"
    )
    with (tmp_path / "out").open("wb") as out:
        subprocess.run([sys.executable, "-c", code], stdout=out, check=True)
    assert (tmp_path / "out").read_text().split() == ["1", "2", "3"]


def test_names_that_cannot_be_are_told(tmp_path):
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for name in (tmp_path / "circle", tmp_path / "a\0b"):
        with pytest.raises(StoreError, match="could not be written"):
            write_whole(name, b"")


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(StoreError, match=r"could not be written \(there is no folder .*nowhere\); take another place"):
        write_whole(tmp_path / "nowhere" / "a.html", b"")


def test_several_threads_write_one_file(tmp_path):
    def write(k):
        for _ in range(50):
            write_whole(tmp_path / "one", bytes([k]) * 1000)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(write, k) for k in range(4)]:
            done.result()
    data = (tmp_path / "one").read_bytes()
    assert len(data) == 1000
    assert len(set(data)) == 1
