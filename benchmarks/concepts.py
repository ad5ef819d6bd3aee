"""What do the concept methods keep of the shipped models, and would a reader give their concepts one name?

For each method at three sizes: explained variance and concepts a row (L0) on held-out texts, and the share of the
model's loss that is recovered when reconstructions take the place of its hidden states.

python benchmarks/concepts.py --data ../shared/data
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
import warnings
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from data import DEFAULT, read

from interpreto import concepts
from interpreto.concepts.metrics import ExplainedVariance, LossRecovered, Sparsity
from interpreto.demo import load
from interpreto.model_wrapping import ModelWithSplitPoints

RESULTS = Path(__file__).parent / "results" / "concepts.json"
SIZES = (16, 48, 90)
OVERCOMPLETE = (96, 192, 384)
STEPS = 2000  # a third of the default, for CPU time
METHODS: dict[str, dict[str, Any]] = {
    "KMeansConcepts": {},
    "PCAConcepts": {},
    "SVDConcepts": {},
    "ICAConcepts": {},
    "NMFConcepts": {"relu": "split"},
    "SparsePCAConcepts": {},
    "DictionaryLearningConcepts": {},
    "SemiNMFConcepts": {},
    "ConvexNMFConcepts": {},
    "VanillaSAEConcepts": {"target_l0": 8, "n_steps": STEPS},
    "GatedSAEConcepts": {"target_l0": 8, "n_steps": STEPS},
    "JumpReLUSAEConcepts": {"target_l0": 8, "n_steps": STEPS},
    "TopKSAEConcepts": {"k": 8, "n_steps": STEPS},
    "BatchTopKSAEConcepts": {"k": 8, "n_steps": STEPS},
    "MatryoshkaSAEConcepts": {"k": 8, "n_steps": STEPS},
    "MpSAEConcepts": {"k": 8, "n_steps": STEPS},
    "ArchetypalSAEConcepts": {"k": 8, "n_steps": STEPS},
}


def stories(data: Path, split: str) -> list[str]:
    with gzip.open(data / "stories" / f"tinystories_{split}.txt.gz", "rt", encoding="utf-8") as file:
        found = [story.strip() for story in file.read().split("<|endoftext|>")]
    return [story for story in found if story]


def texts_of(name: str, data: Path) -> tuple[list[str], list[str]]:
    """Texts to learn from and held-out ones."""
    if name == "stories":
        return stories(data, "train")[:100], stories(data, "valid")[:40]
    rows = [read(data / "topic", f"dbpedia14_{part}") for part in ("train", "test")]
    return [row["text"] for row in rows[0][:4000]], [row["text"] for row in rows[1][:300]]


def measure(name: str, data: Path, methods: list[str]) -> Iterator[list[dict[str, Any]]]:
    """The rows of one method after the other."""
    model, tokenizer = load(name)
    granularity = "token" if name == "stories" else "cls_token"
    split = ModelWithSplitPoints(model, split_points=2, tokenizer=tokenizer, truncation=True)
    learn, held_out = texts_of(name, data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # long texts are cut
        rows, held = (split.get_activations(texts, granularity) for texts in (learn, held_out))
    for method in methods:
        found = []
        kind, options = getattr(concepts, method), METHODS[method]
        for size in OVERCOMPLETE if "SAE" in method else SIZES:
            start = time.process_time()
            explainer = kind(split, nb_concepts=size, **options)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                explainer.fit(rows)
                seconds = time.process_time() - start
                loss = LossRecovered(explainer, granularity)(held_out)
            line = {
                "model": name,
                "method": method,
                "concepts": size,
                "explained_variance": ExplainedVariance(explainer)(held),
                "l0": Sparsity(explainer)(held),
                "dead_fraction": explainer.report.dead_fraction,
                "loss_recovered": loss.recovered,
                "loss": [loss.clean, loss.spliced, loss.ablated],
                "rows": rows["2"].shape[0],
                "cpu_seconds": seconds,
            }
            found.append(line)
            print(json.dumps(line), flush=True)
        yield found


def strongest_words(data: Path) -> dict[str, Any]:
    """Of the first concepts of one fit, the words in which they are strongest."""
    model, tokenizer = load("stories")
    split = ModelWithSplitPoints(model, split_points=2, tokenizer=tokenizer, truncation=True)
    learn, _ = texts_of("stories", data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = split.get_activations(learn, "word")
    explainer = concepts.TopKSAEConcepts(split, nb_concepts=128, k=8)
    explainer.fit(rows)
    readings = concepts.TopKInputs(explainer, activation_granularity="word", k_examples=8).interpret(
        list(range(24)), learn, rows
    )
    return {
        "model": "stories",
        "method": "TopKSAEConcepts",
        "options": "128 concepts, 8 a row",
        "concepts": [[c, [example.text for example in reading.examples]] for c, reading in readings.items()],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT)
    parser.add_argument("--models", nargs="+", default=["topic", "stories"])
    parser.add_argument("--methods", nargs="*", default=[], help="measure only these, and keep the other rows")
    parser.add_argument("--words", action="store_true", help="only the strongest words of one fit")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    report = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {"rows": []}
    if arguments.words or not arguments.methods:
        report["words"] = strongest_words(arguments.data)
        RESULTS.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if arguments.words:
        return
    old = report["rows"]
    order = list(METHODS)
    wanted = arguments.methods or order
    for new in chain.from_iterable(measure(name, arguments.data, wanted) for name in arguments.models):
        measured = {(row["model"], row["method"]) for row in new}
        old = [row for row in old if (row["model"], row["method"]) not in measured] + new
        old.sort(key=lambda row: (row["model"], order.index(row["method"]), row["concepts"]))
        RESULTS.write_text(json.dumps({**report, "rows": old}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
