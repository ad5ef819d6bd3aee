"""How close does every method come to the floor, and how do captum, shap and lime?

    python benchmarks/speed.py [--rows TEXT ...] [--quick | --narrow] [--rounds 7] [--device cpu] [--threads N]

The floor of a method is the bare model on the distinct inputs that the method needs (`speed_floor.py`). Contestants
take turns, round by round; ratios are medians over rounds of ratios within a round. Each row is written to
`benchmarks/results/speed.json` as soon as it is measured, and a run that was stopped goes on from there.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from speed_counters import counted
from speed_rows import ROWS, Contest, Row, Setting

RESULTS = Path(__file__).parent / "results" / "speed.json"
OURS = ("floor", "ours")
ENOUGH = 0.2
"""Seconds that a round of a contestant takes at least."""
IMPORT = "import interpreto, beyond torch and transformers"


def environment(device: str) -> dict[str, Any]:
    """What timings depend on."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if device == "cuda" else None,
        "openmp_waits": os.environ.get("OMP_WAIT_POLICY", "default").lower(),
    }


def timed(run: Callable[[], object], device: str, repeats: int = 1) -> tuple[float, float]:
    """Seconds of wall time and of CPU time."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        run()
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - wall) / repeats, (time.process_time() - cpu) / repeats


def repeats_of(run: Callable[[], object], counting: float, device: str) -> int:
    """How often a contestant runs in one round, so that a round is long enough to be timed.

    Args:
        run: The contestant.
        counting: Seconds that it took while it was counted.
        device: Where.
    """
    if counting > 20 * ENOUGH:
        return 1
    return max(1, round(ENOUGH / timed(run, device)[0]))


def compete(contest: Contest, row: Row, setting: Setting, rounds: int, limit: float) -> dict[str, Any]:
    """Count and time the contestants of a row.

    Args:
        contest: The contestants.
        row: The row.
        setting: How large everything is.
        rounds: How often each runs; one that has used up its time runs less often.
        limit: Seconds of a contestant that is neither ours nor the floor.
    """
    cells: dict[str, dict[str, Any]] = {}
    running: dict[str, tuple[Callable[[], object], int]] = {}
    for name, run in contest.items():
        if isinstance(run, str):
            cells[name] = {"reason": run}
            continue
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            counts = counted(row.subject(setting), run)
            if name == "ours":  # the first call of an explainer finds out what the model is for
                counts = {**counted(row.subject(setting), run), "first_call_tokens": counts["forward_tokens"]}
        except Exception as error:
            if name in OURS:
                raise
            cells[name] = {"reason": f"{type(error).__name__}: {str(error).splitlines()[0]:.100}"}
        else:
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            if name not in OURS and wall > limit:  # counting costs next to nothing in so long a run
                cells[name] = {**counts, "repeats": 1, "wall": [wall], "cpu": [cpu]}
                continue
            repeats = 1 if setting.quick else repeats_of(run, wall, setting.device)
            running[name] = run, repeats
            cells[name] = {**counts, "repeats": repeats, "wall": [], "cpu": []}
    for _ in range(rounds):
        for name, (run, repeats) in running.items():
            spent = [repeats * seconds for seconds in cells[name]["wall"]]
            if name not in OURS and spent and sum(spent) + spent[-1] > limit:
                continue
            for key, seconds in zip(("wall", "cpu"), timed(run, setting.device, repeats), strict=True):
                cells[name][key].append(round(seconds, 6))
    return cells


def import_time(rounds: int) -> dict[str, Any]:
    """CPU and wall seconds of the import, in processes of their own."""
    code = (
        "import time, torch, transformers, transformers.modeling_utils, transformers.tokenization_utils_base\n"
        "wall, cpu = time.perf_counter(), time.process_time(); import interpreto\n"
        "print(time.perf_counter() - wall, time.process_time() - cpu)"
    )
    found = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        for _ in range(rounds)
    ]
    wall, cpu = ([round(float(pair[k]), 4) for pair in found] for k in range(2))
    return {"wall": wall, "cpu": cpu, "goal_seconds": 0.3}


def shown(cells: dict[str, dict[str, Any]]) -> str:
    """One line of a row's medians."""
    parts = []
    for name, cell in cells.items():
        if "reason" in cell:
            continue
        ratio = ratio_to_floor(cells, name)
        parts.append(f"{name} {ratio:.2f} ({cell['forward_tokens']} tokens, {cell['head_scores']} head scores)")
    return "; ".join(parts)


def median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def ratio_to_floor(cells: dict[str, dict[str, Any]], name: str, key: str = "wall") -> float:
    """The median over rounds of the ratio within the round."""
    return median([a / b for a, b in zip(cells[name][key], cells["floor"][key], strict=False)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="*", default=[], help="only rows whose model and name contain one of these")
    parser.add_argument("--quick", action="store_true", help="tiny models, to try the script; written only with --out")
    parser.add_argument("--narrow", action="store_true", help="tiny models, real texts, for what is counted")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--limit", type=float, default=30, help="seconds a row for each peer; fewer rounds beyond")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--again", action="store_true", help="measure rows anew that are there already")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    out = options.out or (None if options.quick or options.narrow else RESULTS)
    report = json.loads(out.read_text()) if out and out.exists() else {"devices": {}}
    own = report["devices"].setdefault(options.device, {"rows": {}})
    own["environment"] = environment(options.device)
    setting = Setting(options.quick, options.device, options.narrow)
    names = {f"{row.model}: {row.name}": row for row in ROWS}
    for name in [IMPORT, *names]:
        if options.rows and not any(text in name for text in options.rows):
            continue
        if name in own["rows"] and not options.again:
            continue
        start = time.perf_counter()
        if name == IMPORT:
            own["rows"][name] = import_time(options.rounds)
            print(f"{name}: {median(own['rows'][name]['wall']):.2f} s", flush=True)
        else:
            row = names[name]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # those of peers, and of tiny texts
                torch.manual_seed(0)
                cells = compete(row.make(row, setting), row, setting, options.rounds, options.limit)
            own["rows"][name] = {"model": row.model, "name": row.name, "goal": row.goal, "cells": cells}
            print(f"{name} [{time.perf_counter() - start:.0f} s]: {shown(cells)}", flush=True)
            for peer, cell in cells.items():
                if "Error" in cell.get("reason", ""):
                    print(f"    {peer}: {cell['reason']}", flush=True)
        if out:
            order = [IMPORT, *names]
            own["rows"] = dict(sorted(own["rows"].items(), key=lambda item: order.index(item[0])))
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
