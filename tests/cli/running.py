"""Commands run in this process, with a user's standard input and without a terminal."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from interpreto.cli import app

MODEL = ("--model", "demo:emotion", "--device", "cpu")
SCARED, LOVING, ANGRY = "I was scared of the dark.", "I love you so much.", "I am so angry at him."


def run(*words, stdin=None):
    """Exit code, standard output and standard error of a command."""
    result = CliRunner().invoke(app, [str(word) for word in words], input=stdin)
    return result.exit_code, result.stdout, result.stderr


def error_of(*words, stdin=None, code=2):
    """The one line of a command that ends with this exit code."""
    got, out, err = run(*words, stdin=stdin)
    assert (got, out) == (code, ""), (got, out, err)
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


def json_lines(text):
    return [json.loads(line) for line in text.splitlines()]
