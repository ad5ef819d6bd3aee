"""The tutorials run from top to bottom, and show pictures."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.ipynb"))


def test_there_are_four():
    assert len(TUTORIALS) == 4


def pictures(notebook):
    """The cells that show a picture, and their pages."""
    shown = [(cell.id, output.get("data", {})) for cell in notebook.cells for output in cell.get("outputs", ())]
    return [(cell, data["text/html"]) for cell, data in shown if "interpreto-plot" in data.get("text/html", "")]


@pytest.mark.slow
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore")  # of the kernel's machinery, which is not ours
def test_a_tutorial_runs(path, monkeypatch):
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    sys.modules.pop("run_tutorials", None)
    import nbformat
    import run_tutorials

    before = sorted(path.parent.iterdir())
    notebook = run_tutorials.run(path)
    assert sorted(path.parent.iterdir()) == before  # what it saves is not left among the documentation
    drawn = pictures(notebook)
    assert drawn
    assert [cell for cell, _ in pictures(nbformat.read(path, as_version=4))] == [
        cell for cell, _ in drawn
    ]  # kept there
