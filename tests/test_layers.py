"""The layers of the house: a module imports only from its own layer or from one below."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "interpreto"
LAYERS = [
    {"errors", "types"},
    {"saving", "text_files"},
    {"text"},
    {"model_wrapping"},
    {"attributions", "concepts"},
    {"flows"},
    {"visualizations"},
    {"demo"},
    {"loading"},
    {"gallery"},
    {"cli"},
    {"__main__"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def imports(path: Path) -> set[str]:
    """Modules of this package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
    return {name for name in found if name.split(".")[0] == "interpreto"}


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_only_downward(path):
    own = path.relative_to(SOURCE).with_suffix("").parts[0]
    if own == "__init__":
        return
    for name in imports(path):
        parts = name.split(".")
        assert len(parts) > 1 or own == "cli", f"{path} imports the package as a whole"
        if len(parts) == 1 or parts[1] == own:
            continue
        assert RANK[parts[1]] < RANK[own], f"{path.name} in {own} imports {name}, which is not below it"


def test_every_room_has_a_layer():
    rooms = {path.stem for path in SOURCE.glob("*.py")} | {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert rooms - {"__init__"} <= set(RANK)
