"""Errors are one line, exit codes say what happened, and nothing heavy is loaded for help."""

import subprocess
import sys
import time
import warnings

import pytest
import typer
from typer.testing import CliRunner

import interpreto
from interpreto.cli.commands import Commands, one_line
from interpreto.errors import InputError, ModelCallError, StoreError
from tests.cli.running import error_of, run

COMMANDS = ["demo", "attribute", "evaluate", "concepts", "cite", "info"]


def raising(error):
    """The exit code and standard error of a command that raises this."""
    app = typer.Typer(cls=Commands)

    @app.command()
    def one(given: str = "") -> None:
        if isinstance(error, BaseException):
            raise error
        error()

    @app.callback()
    def main() -> None:
        pass

    def called(*words):
        result = CliRunner().invoke(app, ["one", *words])
        return result.exit_code, result.stderr

    return called


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (InputError("text: expected one"), 2, "text: expected one"),
        (StoreError("out: a full disk"), 2, "out: a full disk"),
        (ModelCallError("no key"), 2, "no key"),
        (FileNotFoundError(2, "No such file", "a.txt"), 2, "[Errno 2] No such file: 'a.txt'"),
        (ZeroDivisionError("oh"), 3, "ZeroDivisionError: oh; --debug shows where"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_an_error_is_one_line_and_a_code(error, code, message):
    assert raising(error)() == (code, f"error: {message}\n")


def test_debug_shows_where_at_any_place():
    code, err = raising(InputError("text: expected one"))("--debug")
    assert code == 2
    assert "Traceback" in err
    assert err.endswith("error: text: expected one\n")


def test_what_a_terminal_would_obey_is_made_harmless():
    message = "a\n  b \x1b[2J \u202e c \x00"
    code, err = raising(InputError(message))()
    assert (code, err) == (2, "error: a b \ufffd[2J \ufffd c \ufffd\n")
    assert one_line(message).isprintable()


def test_warnings_are_one_line_without_a_path():
    def warns():
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("careful\nthere", stacklevel=1)

    assert raising(warns)() == (0, "warning: careful there\n")


def test_wrong_usage_is_one_line():
    assert error_of("attribute", "--modle", "x").startswith("No such option: --modle")
    assert "--model" in error_of("attribute", "--text", "x")
    assert "granularity" in error_of("attribute", "--model", "x", "--granularity", "letter")
    assert "frobnicate" in error_of("frobnicate")


def test_help_of_everything():
    code, out, _ = run()
    assert code == 0
    assert all(command in out for command in COMMANDS)
    for words in [[command] for command in COMMANDS] + [["concepts", name] for name in ("fit", "plot")]:
        code, out, err = run(*words, "--help")
        assert (code, err) == (0, ""), words
        assert "Usage" in out
    code, out, err = run("concepts")
    assert code == 2
    assert "importance" in out + err
    assert "error:" not in err


def test_version():
    assert run("--version") == (0, f"interpreto {interpreto.__version__}\n", "")


def test_help_and_wrong_names_come_before_torch():
    code = (
        "import sys, time\nfrom interpreto.cli import app\n"
        "try:\n    app(sys.argv[1:])\n"
        "except SystemExit as stop:\n    print('torch' in sys.modules, stop.code, time.process_time(), file=sys.stderr)"
    )
    for words, wanted in (
        (["--help"], "0"),
        (["attribute", "--model", "x", "--method", "nothing", "--text", "a"], "2"),
    ):
        seconds = []
        for _ in range(2):
            run_once = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
            torch, exit_code, taken = run_once.stderr.splitlines()[-1].split()
            assert (torch, exit_code) == ("False", wanted)
            seconds.append(float(taken))
        assert min(seconds) < 0.5, seconds


def test_completion_knows_methods_without_loading_them():
    import os

    environment = {
        **os.environ,
        "_INTERPRETO_COMPLETE": "complete_bash",
        "COMP_WORDS": "interpreto cite kern",
        "COMP_CWORD": "2",
    }
    start = time.perf_counter()
    answer = subprocess.run(
        [sys.executable, "-c", "from interpreto.cli import app; app(prog_name='interpreto')"],
        capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert answer.stdout.split() == ["kernel-shap"]
    assert time.perf_counter() - start < 20
