"""Do sparse autoencoders find the directions that activations were made of?

    python benchmarks/planted_dictionaries.py [--types TopKSAEConcepts ...] [--seeds 0 1 2] [--steps N] [--again]

Makes 200,000 rows of 8 out of 512 random unit directions in 128 dimensions, with amounts from 0.5 to 1.5, fits every
type with its default options and 8 concepts a row, and counts the planted directions that some concept comes within
cosine 0.9 of. Every seed has directions and rows of its own. Writes `benchmarks/results/planted_dictionaries.json`,
after every fit; fits that are in the file already are not repeated without `--again`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from tables import table
from torch import Generator, Tensor

import interpreto.concepts.sparse_autoencoders as sparse_autoencoders

ROWS, DIRECTIONS, WIDTH, ACTIVE = 200_000, 512, 128, 8
COSINE = 0.9
RESULTS = Path(__file__).parent / "results" / "planted_dictionaries.json"


def planted(seed: int) -> tuple[Tensor, Tensor]:
    """Directions, and rows that are made of them."""
    rng = Generator().manual_seed(1000 + seed)
    directions = F.normalize(torch.randn(DIRECTIONS, WIDTH, generator=rng))
    rows = []
    for _ in range(ROWS // 10_000):
        chosen = torch.rand(10_000, DIRECTIONS, generator=rng).topk(ACTIVE, dim=1).indices
        amounts = 0.5 + torch.rand(10_000, ACTIVE, generator=rng)
        rows.append(F.embedding_bag(chosen, directions, mode="sum", per_sample_weights=amounts))
    return directions, torch.cat(rows)


def fit(name: str, seed: int, steps: int | None, directions: Tensor, rows: Tensor) -> dict[str, Any]:
    kind = getattr(sparse_autoencoders, name)
    target = {"k": ACTIVE} if "k" in kind.__dataclass_fields__ else {"target_l0": float(ACTIVE)}
    concepts = kind(None, nb_concepts=DIRECTIONS, seed=seed, n_steps=steps, **target)
    begun = time.process_time()
    report = concepts.fit(rows)
    seconds = time.process_time() - begun
    nearest = (directions @ concepts.dictionary.T).max(dim=1).values
    return {
        "type": name,
        "seed": seed,
        "steps": len(report.losses),
        "recovered": float((nearest >= COSINE).float().mean()),
        "mean_cosine": float(nearest.mean()),
        "l0": report.l0,
        "dead": report.dead_fraction,
        "explained_variance": report.explained_variance,
        "cpu_seconds": seconds,
    }


def summary(fits: list[dict[str, Any]]) -> str:
    """One line a type: means over seeds, and in brackets the worst seed."""
    lines = []
    for name in sorted({row["type"] for row in fits}):
        own = [row for row in fits if row["type"] == name]

        def mean(key: str, own: list[dict[str, Any]] = own) -> float:
            return sum(row[key] for row in own) / len(own)

        off = max((row["l0"] for row in own), key=lambda l0: abs(l0 - ACTIVE))
        lines.append([
            name,
            str(len(own)),
            f"{mean('recovered'):.3f} ({min(row['recovered'] for row in own):.3f})",
            f"{mean('mean_cosine'):.3f}",
            f"{mean('l0'):.2f} ({off:.2f})",
            f"{mean('dead'):.1%} ({max(row['dead'] for row in own):.1%})",
            f"{mean('explained_variance'):.3f}",
        ])  # fmt: skip
    header = ["type", "seeds", "recovered", "mean cosine", "L0", "dead", "explained variance"]
    return table(header, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--types", nargs="+", default=sparse_autoencoders.__all__)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=None, help="by default the library's")
    parser.add_argument("--again", action="store_true", help="forget the fits that are in the file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    known = json.loads(RESULTS.read_text())["fits"] if RESULTS.exists() and not arguments.again else []
    done = {(row["type"], row["seed"]): row for row in known}
    for seed in arguments.seeds:
        wanted = [name for name in arguments.types if (name, seed) not in done]
        directions, rows = planted(seed) if wanted else (torch.empty(0), torch.empty(0))
        for name in wanted:
            found = fit(name, seed, arguments.steps, directions, rows)
            done[name, seed] = found
            print({key: round(value, 3) if isinstance(value, float) else value for key, value in found.items()})
            fits = [done[key] for key in sorted(done)]
            about = {"rows": ROWS, "directions": DIRECTIONS, "width": WIDTH, "active": ACTIVE, "cosine": COSINE}
            RESULTS.write_text(json.dumps({**about, "fits": fits}, indent=1) + "\n")
    print(summary([done[key] for key in sorted(done)]))


if __name__ == "__main__":
    main()
