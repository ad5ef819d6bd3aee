"""Every page of the documentation does what it says."""

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$(\n\n```\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)


def blocks(page, wanted="python"):
    """Blocks of a language, and what the page says that they print: a block without a language right below."""
    for indent, language, code, _, printed in BLOCK.findall((ROOT / page).read_text(encoding="utf-8")):
        if language == wanted:
            yield re.sub(f"^{indent}", "", code, flags=re.MULTILINE), printed


WITH_PYTHON = [page for page in PAGES if list(blocks(page))]
WITH_COMMANDS = [page for page in PAGES if list(blocks(page, "bash"))]


def test_pages_with_python_are_found():
    assert {"README.md", "docs/guide.md", "docs/index.md", "docs/reading.md", "docs/extend.md"} <= set(WITH_PYTHON)
    assert "docs/cli.md" in WITH_COMMANDS


@pytest.mark.parametrize("page", WITH_PYTHON)
def test_python_on_the_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    for code, printed in blocks(page):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code, page, "exec"), names)
        if printed:
            assert out.getvalue().strip() == printed.strip()


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_commands_on_the_page_run(page, tmp_path):
    """Each with the `interpreto` of this Python, stopping at the first that fails."""
    here = Path(sys.executable).parent
    settings = {**os.environ, "PATH": f"{here}{os.pathsep}{os.environ['PATH']}"}
    for code, _ in blocks(page, "bash"):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", code],
            cwd=tmp_path, env=settings, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{code}\n{done.stdout[-1000:]}\n{done.stderr[-2000:]}"
