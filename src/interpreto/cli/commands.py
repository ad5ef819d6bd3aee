"""What all commands share: an error is one line, and the exit code says what happened."""

from __future__ import annotations

import io
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any, TextIO

import typer
from typer.core import TyperGroup

from interpreto.errors import InterpretoError

SKIPPED = 1
"""Everything was done but some lines of the input."""
WRONG = 2
"""The command, the input or the model is not what was expected."""
FAILED = 3
"""An error that nobody expected."""
INTERRUPTED = 130
"""Ctrl-C, as shells count it."""


class Commands(TyperGroup):
    """A group of commands whose errors are one line on standard error, or with `--debug` a traceback."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command, and leave with its exit code.

        Raises:
            SystemExit: Always.
        """
        given = list(sys.argv[1:] if args is None else args)
        debug = "--debug" in given  # wherever it stands
        given = [word for word in given if word != "--debug"] or ["--help"]
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # whatever a text holds, and whatever the terminal can show
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                code = super().main(given, prog_name, complete_var, False, windows_expand_args, **extra)
            if code == INTERRUPTED:  # new versions of typer make of it what old ones raise
                raise KeyboardInterrupt
        except (KeyboardInterrupt, typer.Abort) as error:
            code = _tell(error, "interrupted", INTERRUPTED, debug)
        except InterpretoError as error:
            code = _tell(error, str(error), WRONG, debug)
        except Exception as error:
            code = _of_others(error, debug)
        sys.exit(code if isinstance(code, int) else 0)


def _of_others(error: Exception, debug: bool) -> int:
    """Errors that are none of this library's: of the command line's own, of the system, and mistakes."""
    if hasattr(error, "format_message"):  # a wrong option or argument; its class is private to typer
        message = error.format_message()
        if type(error).__name__ == "NoArgsIsHelpError":  # a group without a command; old versions print its help here
            typer.echo(message, nl=bool(message))
            return WRONG
        context = getattr(error, "ctx", None)
        more = "" if context is None else f"; see: {context.command_path} --help"
        return _tell(error, message.rstrip(".") + more, WRONG, debug)
    if isinstance(error, OSError):
        return _tell(error, str(error), WRONG, debug)
    return _tell(error, f"{type(error).__name__}: {error}; --debug shows where", FAILED, debug)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """One line a warning, without the place in the code."""
    typer.echo(f"warning: {one_line(str(message))}", err=True)


def _tell(error: BaseException, message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    typer.echo(f"error: {one_line(message)}", err=True)
    return code


def one_line(text: str) -> str:
    """A text on one line, without anything that a terminal would obey.

    >>> one_line("no\\nsuch \\x1b[31mfile")
    'no such \ufffd[31mfile'
    """
    return "".join(char if char.isprintable() else "\ufffd" for char in " ".join(text.split()))


def note(text: str, quiet: bool = False) -> None:
    """Say something about the run, beside its results: on standard error."""
    if not quiet:
        typer.echo(one_line(text), err=True)
