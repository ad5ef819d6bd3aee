"""How much error is left after how many model calls, for every sampled method, here and in captum, shap and lime?

    python benchmarks/accuracy.py [--rows PART ...] [--quick] [--seeds 3] [--again]

Shapley values, RISE and Sobol indices are compared with their exact values, from all 2^g keep-vectors. LIME, SmoothGrad
and GradientSHAP have as many definitions as libraries: each is compared with what the same library converges to.
Integrated gradients are compared by the steps that they need for a completeness gap of 1e-3. Writes
`benchmarks/results/accuracy.json`, part by part; a run that was stopped goes on from there.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from accuracy_games import TRUTHS, networks, relative_error, shipped, table
from speed_peers import Case
from speed_rows import arguments_of, explainer_of

RESULTS = Path(__file__).parent / "results" / "accuracy.json"
CALLS = (32, 64, 128, 256, 512)
DESIGNS = (4, 8, 16, 32)
SAMPLES = (5, 20, 80)
CONVERGED = 1280
STEPS = (4, 6, 8, 10, 12, 16, 20, 25, 32, 40, 50, 64, 80, 100, 128, 200, 300)
DEFAULT_STEPS = 50  # of captum, Gauss-Legendre points
GAP = 1e-3

Estimate = Callable[[Case, int, int], np.ndarray]
"""From a case, a number of model calls and a seed: scores `(t, g)`."""


def ours(method: str, count: str) -> Estimate:
    """Ours with an option that says how many calls, and tokens as elements."""

    def estimate(case: Case, calls: int, seed: int) -> np.ndarray:
        result = explainer_of(case, method, seed=seed, **{count: calls})(*arguments_of(case))[0]
        return np.asarray(result.scores.double().numpy())

    return estimate


def captum_sampled(method: str) -> Estimate:
    """`KernelShap` and `Lime` of captum, a target a call."""
    from captum import attr

    def estimate(case: Case, calls: int, seed: int) -> np.ndarray:
        torch.manual_seed(seed)
        explainer = getattr(attr, method)(case.of_ids)
        rows = [
            explainer.attribute(
                case.ids[None],
                baselines=case.baseline_ids[None],
                target=t,
                n_samples=calls,
                feature_mask=case.feature_mask,
                perturbations_per_eval=case.batch,
            )[0, case.explained]
            for t in range(len(case.columns))
        ]
        return np.asarray(torch.stack(rows).double().numpy())

    return estimate


def shap_kernel(case: Case, calls: int, seed: int) -> np.ndarray:
    """`KernelExplainer` of shap; two of the calls are its ends."""
    import shap

    np.random.seed(seed)
    g = len(case.explained)
    explainer = shap.KernelExplainer(case.of_keeps, np.zeros((1, g)))
    values = explainer.shap_values(np.ones((1, g)), nsamples=calls - 2, l1_reg=False, silent=True)
    return np.asarray(values)[0].reshape(g, -1).T


def lime_sampled(case: Case, calls: int, seed: int) -> np.ndarray:
    """`LimeTextExplainer` of lime, whose elements are words."""
    from lime.lime_text import LimeTextExplainer

    explainer = LimeTextExplainer(bow=False, mask_string="[MASK]", split_expression=r"\s+", random_state=seed)
    words = len(case.text.split())
    labels = range(len(case.columns))
    found = explainer.explain_instance(
        case.text, case.of_texts, labels=labels, num_features=words, num_samples=calls
    ).as_map()
    return np.array([[dict(found[t])[k] for k in range(words)] for t in labels])


def captum_gradient(method: str) -> Estimate:
    """SmoothGrad and GradientSHAP of captum, with the same amount of noise as ours."""
    from captum import attr

    def estimate(case: Case, samples: int, seed: int) -> np.ndarray:
        torch.manual_seed(seed)
        x = case.embeddings
        spread = float(x.max() - x.min())
        if method == "SmoothGrad":
            tunnel = attr.NoiseTunnel(attr.Saliency(case.of_embeddings))
            options = {"nt_type": "smoothgrad", "nt_samples": samples, "stdevs": 0.1 * spread, "abs": False}
            found = tunnel.attribute(x, target=0, nt_samples_batch_size=min(samples, 64), **options).norm(dim=-1)
        else:
            baselines = case.subject.embed(case.baseline_ids)[None]
            options = {"baselines": baselines, "n_samples": samples, "stdevs": 0.05 * spread}
            found = attr.GradientShap(case.of_embeddings).attribute(x, target=0, **options).sum(dim=-1)
        return np.asarray(found[:, case.explained].detach().double().numpy())

    return estimate


def errors(
    name: str, who: str, estimate: Estimate, cases: Sequence[Case], calls: Sequence[int], seeds: int, truth: Any
) -> Iterator[dict[str, Any]]:
    """Mean error at each number of calls, over cases and seeds.

    Args:
        name: The method.
        who: Whose.
        estimate: The method itself.
        cases: What it explains.
        calls: Numbers of model calls.
        seeds: How many times.
        truth: The right answers case by case, or how many calls the method itself is given to find them.
    """
    rights = [estimate(case, truth, 10_000) for case in cases] if isinstance(truth, int) else truth
    for count in calls:
        found = [
            relative_error(estimate(case, count, seed), right)
            for case, right in zip(cases, rights, strict=True)
            for seed in range(seeds)
        ]
        row = {"method": name, "who": who, "on": cases[0].subject.name, "calls": count, "error": float(np.mean(found))}
        print(f"{row['on']:15} {name:13} {who:7} {count:4} calls: error {row['error']:.4f}", flush=True)
        yield {**row, "seeds": seeds, "cases": len(cases)}


def kernel_shap(cases: Sequence[Case], seeds: int, quick: bool) -> Iterator[dict[str, Any]]:
    """KernelSHAP on these cases."""
    calls = CALLS[:2] if quick else CALLS
    shapley = [TRUTHS["KernelShap"](*table(case)) for case in cases]
    yield from errors("KernelShap", "ours", ours("KernelShap", "n_perturbations"), cases, calls, seeds, shapley)
    yield from errors("KernelShap", "shap", shap_kernel, cases, calls, seeds, shapley)
    yield from errors("KernelShap", "captum", captum_sampled("KernelShap"), cases, calls, seeds, shapley)


def sampled(cases: Sequence[Case], seeds: int, quick: bool) -> Iterator[dict[str, Any]]:
    """Every perturbation method on these cases."""
    calls = CALLS[:2] if quick else CALLS
    yield from kernel_shap(cases, seeds, quick)
    tables = [table(case) for case in cases]
    truths = {name: [TRUTHS[name](*entry) for entry in tables] for name in ("Rise", "Sobol")}
    yield from errors("Rise", "ours", ours("Rise", "n_perturbations"), cases, calls, seeds, truths["Rise"])
    for row in errors("Sobol", "ours", ours("Sobol", "n_designs"), cases, DESIGNS, seeds, truths["Sobol"]):
        g = np.mean([len(case.explained) for case in cases])
        yield {**row, "calls": round(row["calls"] * (g + 2)), "designs": row["calls"]}
    converged = 64 if quick else 4096
    for who, estimate in (
        ("ours", ours("Lime", "n_perturbations")),
        ("lime", lime_sampled),
        ("captum", captum_sampled("Lime")),
    ):
        yield from errors("Lime", who, estimate, cases, calls, seeds, converged)


def gradients(cases: Sequence[Case], seeds: int, quick: bool) -> Iterator[dict[str, Any]]:
    """Methods that average gradients at random points."""
    for method in ("SmoothGrad", "GradientShap"):
        for who, estimate in (("ours", ours(method, "n_samples")), ("captum", captum_gradient(method))):
            yield from errors(method, who, estimate, cases, SAMPLES, seeds, 40 if quick else CONVERGED)


def captum_gap(case: Case, baseline: torch.Tensor, target: int, steps: int) -> float:
    """What captum's integrated gradients miss of the difference of the scores, relative to it."""
    from captum import attr

    method = attr.IntegratedGradients(case.of_embeddings)
    found = method.attribute(case.embeddings, baselines=baseline, target=target, n_steps=steps)
    with torch.no_grad():
        difference = (case.of_embeddings(case.embeddings) - case.of_embeddings(baseline))[0, target]
    return float((found.sum() - difference).abs() / difference.abs())


def enough(gaps: dict[int, float]) -> int | None:
    """From how many steps on the gap is small, as far as was tried; a small gap before that is luck."""
    small = None
    for n in sorted(gaps, reverse=True):
        if gaps[n] > GAP:
            break
        small = n
    return small


def steps(cases: Sequence[Case], quick: bool) -> Iterator[dict[str, Any]]:
    """For each target: the steps of ours to the gap, and those of captum, and captum's gap at its default."""
    for case in cases:
        mean = case.subject.model.get_input_embeddings().weight.detach().mean(dim=0)
        own = {"baseline": mean} if case.subject.writes else {}
        text, targets = arguments_of(case)
        result = explainer_of(case, "IntegratedGradients", tolerance=GAP, **own)(text, targets)[0]
        difference = result.target_scores - result.baseline_scores
        missing = (result.gaps / difference).abs().tolist()
        baseline = case.subject.embed(case.baseline_ids)[None]
        if case.subject.writes:
            baseline = torch.where(torch.arange(len(case.ids))[None, :, None] > 0, mean, case.embeddings)
        for t in range(2 if quick else len(missing)):
            if t >= len(missing):
                continue
            row: dict[str, Any] = {"on": case.subject.name, "ours": result.settings["steps"][t], "our_gap": missing[t]}
            gaps = {n: captum_gap(case, baseline, t, n) for n in STEPS}
            row |= {"captum": enough(gaps), "captum_gap": gaps[DEFAULT_STEPS]}
            print(json.dumps(row), flush=True)
            yield row


def parts(seeds: int, quick: bool) -> dict[str, Callable[[], Iterator[dict[str, Any]]]]:
    """What is measured, by name."""
    few = slice(0, 1) if quick else slice(None)

    def all_steps() -> Iterator[dict[str, Any]]:
        for name in ("emotion", "topic", "stories"):
            yield from steps(shipped(name)[few], quick)

    return {
        "networks": lambda: sampled([networks(10, 2 if quick else 32, 0.5)], seeds, quick),
        "curved networks": lambda: kernel_shap([networks(10, 2 if quick else 32, 1.0)], seeds, quick),
        "emotion": lambda: sampled(shipped("emotion")[few], seeds, quick),
        "gradients": lambda: gradients(shipped("emotion")[few], seeds, quick),
        "steps": all_steps,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="*", default=[], help="only these parts")
    parser.add_argument("--quick", action="store_true", help="few calls and texts, to try; written only with --out")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--again", action="store_true", help="measure anew what is there already")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    out = options.out or (None if options.quick else RESULTS)
    report = json.loads(out.read_text()) if out and out.exists() else {"parts": {}}
    report |= {"torch": torch.__version__, "transformers": transformers.__version__, "gap": GAP}
    for name, measure in parts(1 if options.quick else options.seeds, options.quick).items():
        if (options.rows and name not in options.rows) or (name in report["parts"] and not options.again):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those of peers, and of too few perturbations
            report["parts"][name] = list(measure())
        if out:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
