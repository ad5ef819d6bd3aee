"""Do the factorisations find what was planted, and how fast?

Each method gets rows made from known directions (orthogonal ones, independent sources, parts, clusters, sparse
combinations) and is held to them: the smallest cosine after matching one to one, whatever the sign where the method
has none, for three seeds.

python benchmarks/planted_factorisations.py
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from scipy.optimize import linear_sum_assignment
from tables import table
from torch import Generator, Tensor
from torch.nn.functional import normalize

from interpreto.concepts import models

Planted = tuple[Tensor, Tensor]


def orthogonal(n: int, d: int, c: int, rng: Generator) -> Planted:
    """Gaussian codes on orthogonal directions, each of half the spread of the one before."""
    directions = torch.linalg.qr(torch.randn(d, c, generator=rng, dtype=torch.float64)).Q.T
    codes = torch.randn(n, c, generator=rng, dtype=torch.float64)
    codes = torch.linalg.qr(codes - codes.mean(dim=0)).Q * n**0.5 * 2.0 ** -torch.arange(c)
    return codes @ directions, directions


def independent(n: int, d: int, c: int, rng: Generator) -> Planted:
    """Laplace sources, mixed at random."""
    uniform = torch.rand(n, c, generator=rng, dtype=torch.float64) - 0.5
    mixing = torch.randn(c, d, generator=rng, dtype=torch.float64)
    return (uniform.sign() * -torch.log1p(-2 * uniform.abs())) @ mixing + 0.5, mixing


def parts(n: int, d: int, c: int, rng: Generator) -> Planted:
    """Non-negative parts, some rows of one part alone and some numbers in one part alone."""
    directions = torch.rand(c, d, generator=rng, dtype=torch.float64)
    directions[:, : 2 * c] = torch.eye(c, dtype=torch.float64).repeat(1, 2)
    codes = torch.rand(n, c, generator=rng, dtype=torch.float64) * (torch.rand(n, c, generator=rng) < 0.3)
    codes[: 4 * c] = torch.eye(c, dtype=torch.float64).repeat(4, 1)
    return codes @ directions, directions


def clusters(n: int, d: int, c: int, rng: Generator) -> Planted:
    """Rows around centres, with the means of each centre's rows."""
    labels = torch.arange(n) % c
    rows = 5 * torch.randn(c, d, generator=rng, dtype=torch.float64)[labels]
    rows += 0.3 * torch.randn(n, d, generator=rng, dtype=torch.float64)
    return rows, torch.stack([rows[labels == k].mean(dim=0) for k in range(c)])


def few_neurons(n: int, d: int, c: int, rng: Generator) -> Planted:
    """Gaussian codes on directions that share no neuron."""
    directions = torch.eye(c, dtype=torch.float64).repeat_interleave(d // c, dim=1)
    directions = directions * (1 + torch.rand(c, directions.shape[1], generator=rng))
    codes = torch.randn(n, c, generator=rng, dtype=torch.float64) * torch.linspace(2, 1, c)
    rows = codes @ directions
    return rows + 0.02 * torch.randn(rows.shape, generator=rng), directions


def two_at_a_time(n: int, d: int, c: int, rng: Generator) -> Planted:
    """Two of the directions a row, with codes of either sign."""
    directions = normalize(torch.randn(c, d, generator=rng, dtype=torch.float64), dim=1)
    active = torch.rand(n, c, generator=rng).argsort(dim=1) < 2
    sizes = torch.randn(n, c, generator=rng).sign() * (1 + torch.rand(n, c, generator=rng))
    return (active * sizes).double() @ directions, directions


CASES: list[tuple[str, Callable[[int, int, int, Generator], Planted], bool]] = [
    ("PCAConcepts", orthogonal, True),
    ("SVDConcepts", orthogonal, True),
    ("ICAConcepts", independent, True),
    ("NMFConcepts", parts, False),
    ("ConvexNMFConcepts", parts, False),
    ("SemiNMFConcepts", parts, False),
    ("KMeansConcepts", clusters, False),
    ("SparsePCAConcepts", few_neurons, True),
    ("DictionaryLearningConcepts", two_at_a_time, True),
]


def worst_cosine(found: Tensor, planted: Tensor, sign_free: bool) -> float:
    cosines = normalize(found.double(), dim=1) @ normalize(planted, dim=1).T
    cosines = cosines.abs() if sign_free else cosines
    return float(cosines[linear_sum_assignment(-cosines.numpy())].min())


def summary(results: list[dict[str, Any]]) -> str:
    """One line a method: what its worst direction misses of cosine 1, by seed."""
    lines = []
    for name in dict.fromkeys(row["method"] for row in results):
        own = [row for row in results if row["method"] == name]
        errors = [f"{1 - row['worst_cosine']:.0e}" for row in own]
        seconds = sum(row["cpu_seconds"] for row in own) / len(own)
        lines.append([name, own[0]["planted"].replace("_", " "), *errors, f"{seconds:.1f}"])
    seeds = dict.fromkeys(row["seed"] for row in results)
    return table(["method", "planted", *(f"1 - cosine, seed {s}" for s in seeds), "CPU s"], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--concepts", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "planted_factorisations.json")
    options = parser.parse_args()
    results = []
    for name, make, sign_free in CASES:
        for seed in range(options.seeds):
            rng = torch.Generator().manual_seed(seed)
            rows, directions = make(options.rows, options.width, options.concepts, rng)
            concepts = getattr(models, name)(None, nb_concepts=options.concepts, seed=seed)
            start = time.process_time()
            report = concepts.fit(rows.float())
            row = {
                "method": name,
                "planted": make.__name__,
                "seed": seed,
                "worst_cosine": worst_cosine(concepts.dictionary, directions, sign_free),
                "explained_variance": report.explained_variance,
                "cpu_seconds": time.process_time() - start,
            }
            results.append(row)
            print(
                f"{name:28} seed {seed}: 1 - worst cosine {1 - row['worst_cosine']:.1e}, explained variance "
                f"{row['explained_variance']:.4f}, {row['cpu_seconds']:.1f} CPU s",
                flush=True,
            )
    print(summary(results))
    about = {"rows": options.rows, "width": options.width, "concepts": options.concepts, "results": results}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
