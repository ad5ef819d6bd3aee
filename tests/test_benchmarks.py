"""The benchmark of speed and accuracy runs, on models that take no time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(script: str, *arguments: str) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / f"{script}.py"), "--quick", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_speed_and_accuracy_become_a_page(tmp_path):
    speed, accuracy = tmp_path / "speed.json", tmp_path / "accuracy.json"
    rows = ["bert-2: Occlusion", "gpt2: KernelShap", "fixed context", "20 concepts"]
    run("speed", "--rounds", "2", "--out", str(speed), "--rows", *rows)
    run("accuracy", "--out", str(accuracy), "--rows", "networks")
    found = json.loads(speed.read_text())["devices"]["cpu"]["rows"]
    assert {row["model"] for row in found.values()} == {"bert-2", "gpt2", "vocabulary-151936"}
    for row in found.values():
        for name in ("floor", "ours"):
            cell = row["cells"][name]
            assert len(cell["wall"]) == len(cell["cpu"]) == 2
            assert min(cell["forward_tokens"], cell["gflop"], cell["peak_bytes"], *cell["wall"]) > 0
        assert all("Error" not in cell.get("reason", "") for cell in row["cells"].values())
    page = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); import speed_tables\n"
        "print(speed_tables.page(*(json.load(open(name)) for name in sys.argv[2:])))"
    )
    command = [sys.executable, "-c", page, str(ROOT / "benchmarks"), str(speed), str(accuracy)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Occlusion, 32 tokens" in text
    assert "KernelSHAP: error over that of shap" in text


def test_the_floor_gives_what_the_model_gives():
    """What is timed as the floor is the model itself: equal scores and gradients."""
    code = """
import sys; sys.path.insert(0, sys.argv[1])
import torch
from speed_rows import Setting, arguments_of, cached_context, distinct_inputs, explainer_of, floor_of
from speed_peers import Case
from speed_models import words

for name in ("bert-6", "gpt2", "vocabulary-151936"):
    subject = Setting(quick=True).subject(name)
    for log in (False, True)[: 1 + subject.writes]:
        options = {"output": words(5, 1), "fixed": 3, "log": log} if subject.writes else {}
        case = Case(subject, words(8, 0), **options)
        floor = floor_of(case)
        rows = distinct_inputs(case, explainer_of(case, "Occlusion"))
        rest = case.ids[len(rows[0]):]
        right = case.of_ids(torch.stack([torch.cat([row, rest]) for row in rows]))
        found = torch.cat(floor.forward(rows)())
        torch.testing.assert_close(found, right, rtol=1e-4, atol=1e-5)
        x = subject.embed(case.ids)[None].requires_grad_()
        scores = case.of_embeddings(x)[0]
        gradients = torch.stack([torch.autograd.grad(score, x, retain_graph=True)[0][0] for score in scores])
        own = floor.gradients([subject.embed(case.read_ids)])()[0]
        needed = gradients[:, : len(case.read_ids)]
        torch.testing.assert_close(own.view(needed.shape), needed, rtol=1e-3, atol=1e-6)
        if subject.writes:
            shared = torch.cat(cached_context(floor, rows, case.fixed)())
            torch.testing.assert_close(shared, right, rtol=1e-4, atol=1e-5)
            result = explainer_of(case, "Occlusion")(*arguments_of(case))[0]
            torch.testing.assert_close(result.target_scores.cpu(), case.of_ids(case.ids[None])[0], rtol=1e-4, atol=1e-5)
"""
    command = [sys.executable, "-c", code, str(ROOT / "benchmarks")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
