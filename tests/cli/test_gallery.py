"""`interpreto gallery` builds and serves; what is wrong is one line and the exit code 2."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from interpreto.cli import app

SPEC = """
title: Small
models: {mood: {id: "demo:emotion"}}
data: {few: {texts: [I am so happy today.]}}
explanations:
  - {family: attributions, model: mood, data: few, methods: [Saliency]}
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    return path


def call(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["gallery", *map(str, words)])
    return result.exit_code, result.stdout, result.stderr


def test_build_writes_a_gallery_and_replaces_it(spec, tmp_path):
    code, said, _ = call("build", spec, tmp_path / "out")
    assert code == 0
    assert str(tmp_path / "out" / "index.html") in said.replace("\n", "")
    first = (tmp_path / "out" / "index.html").read_bytes()
    for quiet in ("--quiet", "-q"):
        assert call("build", spec, tmp_path / "out", quiet) == (0, "", "")
    assert (tmp_path / "out" / "index.html").read_bytes() == first


def test_build_replaces_something_else_only_by_force(spec, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "letter.txt").write_text("dear")
    code, said, error = call("build", spec, out)
    assert (code, said) == (2, "")
    assert re.fullmatch(r"error: out: [^\n]*letter\.txt[^\n]*\n", error)
    assert (out / "letter.txt").exists()
    assert call("build", spec, out, "--force")[0] == 0
    assert not (out / "letter.txt").exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("Saliency", "Salience", "spec.yaml: explanations[0].methods[0]: expected one of"),
        ("demo:emotion", "demo:none", "spec.yaml: models.mood.id: "),
        ("title: Small", "title: !!python/name:os.system", "spec.yaml: expected plain YAML"),
    ],
)
def test_errors_are_one_line(spec, tmp_path, old, new, said):
    spec.write_text(SPEC.replace(old, new))
    code, _, error = call("build", spec, tmp_path / "out", "--quiet")
    assert code == 2
    assert error.startswith(f"error: {said}")
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_what_is_not_there_is_refused(tmp_path):
    for words in (("build", tmp_path / "none.yaml", tmp_path / "out"), ("serve", tmp_path / "none")):
        code, _, error = call(*words)
        assert code == 2
        assert error.startswith("error: ")
        assert error.count("\n") == 1


def test_serve_tells_the_address_and_ends_by_ctrl_c(spec, tmp_path):
    (tmp_path / "out").mkdir()
    page = '<meta name="generator" content="interpreto gallery"><p>gallery</p>'
    (tmp_path / "out" / "index.html").write_text(page)
    command = [sys.executable, "-m", "interpreto", "gallery", "serve", str(tmp_path / "out"), "--port", "0"]
    quiet = {**os.environ, "PYTHONUNBUFFERED": "1"}
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # A process that was started in the background would not hear Ctrl-C.
    listening = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, env=quiet, preexec_fn=listening, **streams) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline())
            assert found is not None
            line = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=20)
            line.request("GET", "/")
            assert line.getresponse().read() == page.encode()
            line.close()
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, error) == (0, "")
