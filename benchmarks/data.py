"""Reading the data sets that the benchmarks use; they stay outside of the project."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data"


def read(folder: Path, name: str) -> list[dict[str, Any]]:
    """Rows of `folder/name.jsonl.gz`."""
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def sample(rows: list[dict[str, Any]], count: int, seed: int = 0) -> list[dict[str, Any]]:
    """So many rows, the same ones every time."""
    return random.Random(seed).sample(rows, min(count, len(rows)))
