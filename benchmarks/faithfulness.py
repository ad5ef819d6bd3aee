"""Does every method beat random order on every faithfulness metric, on real decisions?

    python benchmarks/faithfulness.py [--data DIR] [--texts 200] [--words 40] [--methods NAME ...]

Explains the predicted class of test texts of the shipped classifiers, word by word, and writes
`benchmarks/results/faithfulness.json`, from which `python benchmarks/tables.py` makes the table of the docs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from data import DEFAULT, read, sample
from methods import all_methods

import interpreto
from interpreto.attributions import metrics
from interpreto.demo import load

FILES = {"topic": "topic/dbpedia14_test", "emotion": "emotion/test"}
METRICS = ["Deletion", "Insertion", "Comprehensiveness", "Sufficiency"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DEFAULT)
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--words", type=int, default=40, help="leave longer texts out, to keep the run short")
    parser.add_argument("--methods", nargs="+", help="only these; what was found of others stays")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "faithfulness.json")
    options = parser.parse_args()
    about = {
        "versions": {
            "interpreto": interpreto.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "texts": options.texts,
        "words": options.words,
    }
    rows = found_before(options.out, about, options.methods) if options.methods else []
    for model_name, file in FILES.items():
        model, tokenizer = load(model_name)
        short = [row for row in read(options.data, file) if len(row["text"].split()) <= options.words]
        texts = [row["text"] for row in sample(short, options.texts)]
        for method, explainer in all_methods(model, tokenizer, granularity="word").items():
            if options.methods and method not in options.methods:
                continue
            start = time.process_time()
            results = explainer(texts)
            seconds = time.process_time() - start
            for name in METRICS:
                steps = {"n_steps": 10} if name in ("Deletion", "Insertion") else {}
                metric = getattr(metrics, name)(model, tokenizer, n_random=1, **steps)
                row = {"model": model_name, "method": method, "cpu_seconds": seconds, **metric(results).to_dict()}
                rows.append(row)
                verdict = "better" if row["gain"] > 0 else "NOT BETTER"
                print(
                    f"{model_name:8} {method:20} {name:18} {row['score']:.3f} random {row['random_score']:.3f} "
                    f"gain {row['gain']:+.3f} +- {row['gain_std_error']:.3f} {verdict}",
                    flush=True,
                )
    rows.sort(key=lambda row: (list(FILES).index(row["model"]), row["method"], METRICS.index(row["metric"])))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")
    worse = [row for row in rows if row["gain"] <= 0]
    print(f"{len(rows) - len(worse)} of {len(rows)} better than random order")
    sys.exit(bool(worse))


def found_before(file: Path, about: dict[str, Any], methods: list[str]) -> list[dict[str, Any]]:
    """Rows of other methods, of an earlier run of the same kind."""
    earlier = json.loads(file.read_text())
    rows: list[dict[str, Any]] = earlier.pop("rows")
    if earlier != about:
        sys.exit(f"{file} is of {earlier}, not of {about}; run all methods")
    return [row for row in rows if row["method"] not in methods]


if __name__ == "__main__":
    main()
