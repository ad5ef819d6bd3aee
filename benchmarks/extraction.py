"""Is a large extraction safe and small? 20,000 texts into a store, killed three times and resumed, against one piece.

python benchmarks/extraction.py --data ../shared/data
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from data import DEFAULT, read

from interpreto.demo import load
from interpreto.model_wrapping import ActivationStore, ModelWithSplitPoints

RESULTS = Path(__file__).parent / "results" / "extraction.json"
OPTIONS = {"granularity": "token", "include_predicted_classes": True}


def texts_of(data: Path, count: int) -> list[str]:
    rows = [*read(data / "emotion", "train"), *read(data / "emotion", "valid")]
    return [row["text"] for row in rows[:count]]


def extract(data: Path, count: int, folder: Path) -> None:
    """The child: extract, and print the memory that it took beyond the loaded model, in bytes."""
    torch.set_num_threads(1)
    model, tokenizer = load("emotion")
    texts = texts_of(data, count)
    split = ModelWithSplitPoints(model, split_points=[0, -1], tokenizer=tokenizer)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    split.get_activations(texts, store=folder, **OPTIONS)
    print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))


def start(arguments: argparse.Namespace, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--data", str(arguments.data), "--texts", str(arguments.texts)]
    return subprocess.Popen([*command, "--child", str(folder)], stdout=subprocess.PIPE, text=True)


def killed(arguments: argparse.Namespace, folder: Path, kills: int, seed: int) -> list[int]:
    """Start and kill, each time after some more shards and a random moment; how many shards were there each time."""
    rng, counts = random.Random(seed), []
    for _ in range(kills):
        wanted = (counts[-1] if counts else 0) + rng.randint(1, 3)
        run = start(arguments, folder)
        while len(list(folder.glob("shard-*.safetensors"))) < wanted:
            if run.poll() is not None:
                raise SystemExit("it ended before it could be killed; take more texts")
            time.sleep(0.001)
        time.sleep(rng.random() * 2)
        run.send_signal(signal.SIGKILL)
        run.wait()
        counts.append(len(list(folder.glob("shard-*.safetensors"))))
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT)
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--child", type=Path)
    arguments = parser.parse_args()
    if arguments.child:
        extract(arguments.data, arguments.texts, arguments.child)
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        counts = killed(arguments, folder / "killed", kills=3, seed=0)
        resumed = start(arguments, folder / "killed")
        memory = [int(resumed.communicate()[0])]
        began = time.perf_counter()
        memory.append(int(start(arguments, folder / "whole").communicate()[0]))
        seconds = time.perf_counter() - began
        one, other = ActivationStore(folder / "killed"), ActivationStore(folder / "whole")
        equal = all(torch.equal(one[name].all(), other[name].all()) for name in one.about["points"])
        equal = equal and torch.equal(one["predictions"], other["predictions"])
        equal = equal and torch.equal(one.sources["0"].table, other.sources["0"].table)
        report = {
            "texts": arguments.texts,
            "rows": other["0"].n_rows,
            "width": other["0"].width,
            "shards": len(other.shards),
            "shards_when_killed": counts,
            "equal": equal,
            "bytes_beyond_the_model": max(memory),
            "seconds": seconds,
        }
    RESULTS.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
