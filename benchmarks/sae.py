"""What does a training step of a sparse autoencoder cost, beside the dense products that it needs?

    python benchmarks/sae.py [--types TopKSAEConcepts ...] [--rounds N] [--quick]

Times in CPU seconds on one thread, contestants by turns, medians over rounds; ratios are of times of the same run.

- *one product* is `(n, d) x (d, c)`, what the encoder cannot do without, into memory that is there already; *and its
  memory* is the same into new memory, which a result of that size cannot do without.
- *two products* are the first and `(n, c) x (c, d)`, the dense decoder's, into memory that is there already.
- *dense* is the plain way: codes as a dense matrix, a dense decoder, autograd, and Adam as PyTorch has it by default.
- *ours* is the library's own training loop, from one step's loss to the next one's.

A sparse step needs, beside the encoder's product, `4 k / c` of it: the decoder's sum, and the gradients of codes,
decoder and encoder. With `m` dead concepts the auxiliary loss adds `5 m / c`.

Writes `benchmarks/results/sae.json` and `docs/sae_speed.md`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from tables import table
from torch import Generator, Tensor

import interpreto.concepts.sparse_autoencoders as sparse_autoencoders
from interpreto.concepts.fitting import FitLog
from interpreto.concepts.sparse_autoencoders.top_k import TopKSAE
from interpreto.model_wrapping import TensorRows

WIDTH, CONCEPTS, ACTIVE, BATCH, ENCODED = 768, 16_384, 32, 4096, 10_000
DEAD = 0.05
RESULTS = Path(__file__).parent / "results" / "sae.json"
PAGE = Path(__file__).parent.parent / "docs" / "sae_speed.md"


def rows_of(n: int, d: int) -> Tensor:
    """Rows with a mean of their own, and more variance in some directions than in others."""
    rng = Generator().manual_seed(0)
    return torch.randn(n, d, generator=rng) * torch.linspace(0.2, 2, d) + torch.randn(d, generator=rng)


def seconds(run: Callable[[], object]) -> float:
    begun = time.process_time()
    run()
    return time.process_time() - begun


def steps_of(name: str, x: Tensor, batch: int, c: int, dead: float = 0.0) -> list[float]:
    """CPU seconds of the library's steps, each from its loss to the next one's, the first left out."""
    kind = getattr(sparse_autoencoders, name)
    target = {"k": ACTIVE} if "k" in kind.__dataclass_fields__ else {"target_l0": float(ACTIVE)}
    concepts = kind(None, nb_concepts=c, batch_size=batch, n_steps=4, **target)
    loss, times = concepts.loss, []

    def timed(model: Any, rows: Tensor, training: Any) -> Tensor:
        times.append(time.process_time())
        training.dead = torch.arange(round(dead * c))
        value: Tensor = loss(model, rows, training)
        return value

    concepts.loss = timed
    concepts.learn(TensorRows(x), FitLog("", progress=False))
    return [after - before for before, after in pairwise(times[1:])]


def dense_steps(x: Tensor, batch: int, c: int) -> list[float]:
    """CPU seconds of the plain way's steps."""
    d = x.shape[1]
    directions = F.normalize(torch.randn(c, d, generator=Generator().manual_seed(0)))
    encoder, decoder = directions.T.clone().requires_grad_(), directions.clone().requires_grad_()
    bias, encoder_bias = x.mean(dim=0).requires_grad_(), torch.zeros(c, requires_grad=True)
    learned = [encoder, decoder, bias, encoder_bias]
    optimizer = torch.optim.Adam(learned, lr=1e-4)

    def step(rows: Tensor) -> None:
        optimizer.zero_grad()
        p = torch.relu((rows - bias) @ encoder + encoder_bias)
        values, columns = p.topk(ACTIVE, dim=1)
        codes = torch.zeros_like(p).scatter(1, columns, values)
        (rows - codes @ decoder - bias).square().sum(dim=1).mean().backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            decoder.grad -= (decoder.grad * decoder).sum(dim=1, keepdim=True) * decoder
            torch.nn.utils.clip_grad_norm_(learned, 1.0)
            optimizer.step()
            decoder.div_(decoder.norm(dim=1, keepdim=True))

    return [seconds(lambda: step(x[:batch])) for _ in range(3)][1:]


def contest(contestants: dict[str, Callable[[], list[float]]], rounds: int) -> dict[str, float]:
    """Medians of what each answers, by turns."""
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            found[name] += run()
    return {name: median(times) for name, times in found.items()}


def products(n: int, d: int, c: int) -> dict[str, Callable[[], list[float]]]:
    """One dense product, and two, into memory that is there already."""
    x, w = torch.randn(n, d), F.normalize(torch.randn(c, d))
    p, again = torch.zeros(n, c), torch.zeros(n, d)

    def two() -> None:
        torch.mm(x, w.T, out=p)
        torch.mm(p, w, out=again)

    return {
        "one product": lambda: [seconds(lambda: torch.mm(x, w.T, out=p))],
        "one product and its memory": lambda: [seconds(lambda: torch.mm(x, w.T))],
        "two products": lambda: [seconds(two)],
    }


def training(types: list[str], n: int, d: int, c: int, rounds: int) -> dict[str, Any]:
    x = rows_of(2 * n, d)
    contestants = products(n, d, c) | {"dense": lambda: dense_steps(x, n, c)}
    for name in types:
        contestants[name] = lambda name=name: steps_of(name, x, n, c)  # type: ignore[misc]
    if "TopKSAEConcepts" in types:
        contestants[f"TopKSAEConcepts, {DEAD:.0%} dead"] = lambda: steps_of("TopKSAEConcepts", x, n, c, DEAD)
    return {"rows": n, "seconds": contest(contestants, rounds)}


def encoding(n: int, d: int, c: int, rounds: int) -> dict[str, Any]:
    x, w = rows_of(n, d), F.normalize(torch.randn(c, d, generator=Generator().manual_seed(0)))
    model = TopKSAE(decoder=w, bias=x.mean(dim=0), encoder=w, encoder_bias=torch.zeros(c), k=ACTIVE)

    def dense() -> Tensor:
        p = torch.relu((x - model.bias) @ model.encoder.T + model.encoder_bias)
        values, columns = p.topk(ACTIVE, dim=1)
        return torch.zeros_like(p).scatter(1, columns, values)

    if not torch.equal(model.encode(x[:100]) > 0, dense()[:100] > 0):
        raise AssertionError("encode and the plain way choose different concepts")
    floors = products(n, d, c)
    contestants = {
        "one product": floors["one product"],
        "one product and its memory": floors["one product and its memory"],
        "dense": lambda: [seconds(dense)],
        "encode": lambda: [seconds(lambda: model.encode(x))],
    }
    return {"rows": n, "seconds": contest(contestants, rounds)}


def page(report: dict[str, Any]) -> str:
    d, c, k = report["width"], report["concepts"], report["active"]
    text = [
        "# How fast sparse autoencoders are trained",
        "",
        "Made by `python benchmarks/sae.py`; do not edit by hand.",
        "",
        f"{c:,} concepts of {d} numbers, {k} a row; CPU time on one thread, contestants by turns, medians. One product "
        "is the encoder's, two are the encoder's and the dense decoder's, into memory that is there already or, where "
        "it says so, into new memory; dense is the plain way with dense codes, autograd and the default Adam. The last "
        "columns say how many times as fast a row is as each of them.",
    ]
    for title, part in (("A training step", report["step"]), ("Encoding", report["encode"])):
        times = part["seconds"]
        given = 2 * part["rows"] * d * c / times["one product"] / 1e9
        names = [
            name for name in ("one product", "one product and its memory", "two products", "dense") if name in times
        ]
        lines = [[name, f"{own:.2f}", *(f"{times[other] / own:.2f}" for other in names)] for name, own in times.items()]
        text += [
            "",
            f"## {title}, {part['rows']:,} rows",
            "",
            f"One product runs at {given:.0f} GFLOP/s.",
            "",
            table(["", "CPU s", *(f"{name} / own" for name in names)], lines),
        ]
    return "\n".join(text) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--types", nargs="*", default=sparse_autoencoders.__all__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="an eighth of the rows, and nothing is written")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    share = 8 if arguments.quick else 1
    report = {
        "width": WIDTH,
        "concepts": CONCEPTS,
        "active": ACTIVE,
        "torch": torch.__version__,
        "encode": encoding(ENCODED // share, WIDTH, CONCEPTS, arguments.rounds),
        "step": training(arguments.types, BATCH // share, WIDTH, CONCEPTS, arguments.rounds),
    }
    text = page(report)
    if not arguments.quick:
        RESULTS.write_text(json.dumps(report, indent=1) + "\n")
        PAGE.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
