"""Run the tutorials from top to bottom and keep what they show.

python scripts/run_tutorials.py [NAME ...]
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "docs" / "tutorials"


def run(path: Path) -> nbformat.NotebookNode:
    """The notebook with fresh outputs; where a cell fails, an error that shows it."""
    notebook = nbformat.read(path, as_version=4)
    with TemporaryDirectory() as folder:  # what a tutorial saves is left there
        client = NotebookClient(
            notebook,
            timeout=600,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            # As JupyterLab does: pictures then share their code.
            on_cell_start=lambda cell, cell_index: client.kc.session.metadata.update(cellId=cell["id"]),
        )
        client.execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of day
        # Progress and warnings of this machine are nobody's business.
        if cell.cell_type == "code":
            cell["outputs"] = [one for one in cell.outputs if one.get("name") != "stderr"]
    return notebook


def main() -> None:
    for path in sorted(FOLDER.glob("*.ipynb")):
        if len(sys.argv) == 1 or path.stem in sys.argv[1:]:
            nbformat.write(run(path), path)
            print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
