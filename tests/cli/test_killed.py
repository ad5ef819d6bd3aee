"""A run that is killed, or interrupted, in the middle goes on and ends as if nothing had happened."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
import torch

from interpreto import Attribution
from tests.cli.running import MODEL, error_of, json_lines, run

N = 36
# As from a terminal: what a shell starts in the background ignores interrupts, and so does what is started from there.
COMMAND = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("interpreto", run_name="__main__", alter_sys=True)
"""


def started(words):
    """The command as a process of its own, which computes as this one does."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *map(str, words)],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for_lines(path, count, process):
    """Until a run has written so many results."""
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def numbers(path):
    return [line["line"] for line in json_lines(path.read_text())]


@pytest.mark.slow
def test_a_killed_run_goes_on(tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text(
        "".join(f"I was so scared of the number {n} and the {n + 1} dogs in the dark.\n" for n in range(N))
    )
    words = ("attribute", *MODEL, "--method", "kernel-shap", "--file", texts, "--batch", 3, "--n-perturbations", 200)
    wanted, out = tmp_path / "wanted.jsonl", tmp_path / "r.jsonl"
    assert run(*words, "--out", wanted)[0] == 0
    for signalled, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)):
        process = started([*words, "--out", out])
        before = out.read_bytes().count(b"\n") if out.exists() else 0
        wait_for_lines(out, before + 4, process)
        for more in ((), ("--overwrite",)):
            assert "r.jsonl is being written by another run" in error_of(*words, "--out", out, *more)
        process.send_signal(signalled)
        shown, err = process.communicate(timeout=300)
        assert (process.returncode, shown) == (code, ""), err
        assert before + 4 <= out.read_bytes().count(b"\n") < N
    said, problem = err.splitlines()
    assert re.search(r"r.jsonl: \d+ explained; the same command, on the same texts, goes on there$", said)
    assert problem == "error: interrupted"
    assert run(*words, "--out", out)[0] == 0
    assert numbers(out) == numbers(wanted) == list(range(1, N + 1))
    for line, other in zip(out.read_text().splitlines(), wanted.read_text().splitlines(), strict=True):
        found, expected = Attribution.from_json(line), Attribution.from_json(other)
        assert found.sample == expected.sample
        assert found.settings == expected.settings
        torch.testing.assert_close(found.scores, expected.scores, rtol=1e-4, atol=1e-5)


def test_streams_of_a_process():
    process = started(["cite", "lime"])
    shown, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    assert shown.startswith("@inproceedings{ribeiro2016,")
    process = started(["attribute", *MODEL, "--method", "nothing", "--text", "a"])
    shown, err = process.communicate(timeout=300)
    assert (process.returncode, shown) == (2, "")
    assert err.count("\n") == 1
