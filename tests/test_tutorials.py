"""The tutorials run from top to bottom, and show pictures."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.ipynb"))


def test_there_are_four():
    assert len(TUTORIALS) == 4


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

    notebook = run_tutorials.run(path)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert not [output for output in outputs if output.output_type == "error"]
    pages = [output.data["text/html"] for output in outputs if "text/html" in output.get("data", {})]
    assert any("interpreto" in page for page in pages)
    kept = [output for cell in nbformat.read(path, as_version=4).cells for output in cell.get("outputs", ())]
    assert len(kept) >= len(outputs) // 2  # what it shows is in the file, for those who read it without running it
