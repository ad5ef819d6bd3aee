"""The rows of the speed table: one method on one kind of text each, with its floor, ours, and peers.

A row's maker is called when it is measured, and loads its model then. Rows of one model follow each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import speed_peers as peers
import torch
from speed_concepts import activations, concept_gradients
from speed_floor import Floor, Read, cached_context
from speed_models import HIDDEN, Subject, subject, words
from speed_peers import Case, Run

import interpreto
from interpreto import Segments

Contest = dict[str, Run | str]
"""By contestant: what is run, or why it cannot be."""


@dataclass(frozen=True)
class Setting:
    """How large everything is.

    Args:
        quick: Tiny models and texts, to try the script.
        device: Where models are.
        narrow: Tiny models and real texts, for what is counted.
    """

    quick: bool = False
    device: str = "cpu"
    narrow: bool = False

    def subject(self, name: str) -> Subject:
        return subject(name, self.quick or self.narrow, self.device)

    def length(self, count: int) -> int:
        return max(8, count // 8) if self.quick else count

    def count(self, count: int) -> int:
        return min(count, 16) if self.quick else count


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Args:
        name: What is measured.
        model: Of `speed_models`.
        make: From the setting to the contestants.
        goal: The largest ratio of ours to the floor that was aimed for, if any.
    """

    name: str
    model: str
    make: Callable[[Row, Setting], Contest] = field(repr=False)
    goal: float | None = None

    def subject(self, setting: Setting) -> Subject:
        return setting.subject(self.model)


def explainer_of(case: Case, method: str, **options: Any) -> Any:
    """Ours for a case."""
    if case.subject.writes:
        options |= {"output_granularity": "text"} if case.summed else {}
        if hasattr(getattr(interpreto, method), "masks"):
            options["removal"] = HIDDEN
    mode = "log_softmax" if case.log else "logits"
    model, tokenizer = case.subject.model, case.subject.tokenizer
    return getattr(interpreto, method)(
        model, tokenizer, granularity="token", inference_mode=mode, progress=False, **options
    )


def arguments_of(case: Case) -> tuple[Any, Any]:
    """What ours is called with: text and targets."""
    text: Any = case.text
    if case.fixed:
        start = len(" ".join(case.text.split()[: case.fixed])) + 1
        spans, place = [], start
        for word in case.text[start:].split():
            spans.append((place, place + len(word)))
            place += len(word) + 1
        text = Segments(case.text, tuple(spans))
    if case.subject.writes:
        return text, [case.columns.tolist()]
    return text, torch.tensor([case.targets])


def floor_of(case: Case) -> Floor:
    return Floor(case.subject, Read(case.columns, case.positions, case.log))


def distinct_inputs(case: Case, explainer: Any) -> list[torch.Tensor]:
    """The different rows that a perturbation method needs, from its own masks and the ends that it reports."""
    probe = explainer_of(case, "Saliency")(*arguments_of(case))[0]
    seen = ~probe.scores.isnan().all(dim=0)
    g = len(probe.elements)
    if int(seen.sum()) != len(case.explained):
        raise ValueError(f"{explainer}: explains {int(seen.sum())} elements, and peers {len(case.explained)}")
    keep = explainer.masks(g, torch.Generator().manual_seed(explainer.seed)).clone()
    ends = [torch.ones(1, g, dtype=torch.bool), torch.zeros(int(explainer.is_additive), g, dtype=torch.bool)]
    keep = torch.cat([*ends, keep])
    keep[:, ~seen] = True
    owner = torch.full((len(case.ids),), g)
    for k, element in enumerate(probe.elements):
        owner[list(element.tokens)] = k
    tokens = torch.cat([keep, torch.ones(len(keep), 1, dtype=torch.bool)], dim=1)[:, owner].to(case.ids.device)
    rows = torch.where(tokens, case.ids, torch.full_like(case.ids, case.subject.removed_id()))
    return list(rows[:, : len(case.read_ids)].unique(dim=0))


def perturbation(case: Case, method: str, rivals: Contest, **options: Any) -> Contest:
    """The contest of a perturbation method on one text."""
    explainer = explainer_of(case, method, **options)
    inputs, targets = arguments_of(case)
    rows = distinct_inputs(case, explainer)
    found: Contest = {"floor": floor_of(case).forward(rows), "ours": lambda: explainer(inputs, targets)}
    if case.fixed:
        found["floor, context once"] = cached_context(floor_of(case), rows, case.fixed)
    return found | rivals


def gradient(case: Case, method: str, rivals: Contest, points: int = 1, ends: int = 0, **options: Any) -> Contest:
    """The contest of a gradient method on one text."""
    explainer = explainer_of(case, method, **options)
    inputs, targets = arguments_of(case)
    embedding = case.subject.embed(case.read_ids)
    floor = floor_of(case).gradients([embedding] * points, [embedding] * ends, each=not case.summed)
    return {"floor": floor, "ours": lambda: explainer(inputs, targets)} | rivals


def _case(row: Row, setting: Setting, tokens: int, output: int = 0, fixed: int = 0, **options: Any) -> Case:
    """A text of so many tokens, special ones included, or a prompt of so many after so many of fixed context."""
    model = row.subject(setting)
    fixed = setting.length(fixed) if fixed else 0
    text = words(fixed + setting.length(tokens) - (0 if model.writes else 2), seed=tokens)
    return Case(model, text, words(setting.count(output), seed=1), fixed=fixed, **options)


def classes(model: str) -> dict[str, Any]:
    return {"targets": tuple(range(int(model.removeprefix("bert-"))))} if model == "bert-6" else {}


def sampled(method: str, tokens: int, count: int = 100, **case_options: Any) -> Callable[[Row, Setting], Contest]:
    """KernelShap, Lime or Rise with so many model calls."""

    def make(row: Row, setting: Setting) -> Contest:
        case = _case(row, setting, tokens, **{**classes(row.model), **case_options})
        n = setting.count(count)
        several = case.subject.writes and not case.summed
        slow = "explains one target a call: 16 calls"
        rivals: dict[str, Callable[[], Contest]] = {
            "KernelShap": lambda: {
                "captum": slow if several else peers.captum_perturbation(case, "KernelShap", n),
                "shap": peers.shap_kernel(case, n),
                "lime": "has no KernelSHAP",
            },
            "Lime": lambda: {
                "captum": slow if several else peers.captum_perturbation(case, "Lime", n + 1),
                "shap": "has no LIME",
                "lime": peers.lime_text(case, n + 1),
            },
            "Rise": lambda: dict.fromkeys(("captum", "shap", "lime"), peers.NO_RISE),
        }
        return perturbation(case, method, rivals[method](), n_perturbations=n)

    return make


def occlusion(tokens: int, **case_options: Any) -> Callable[[Row, Setting], Contest]:
    def make(row: Row, setting: Setting) -> Contest:
        case = _case(row, setting, tokens, **{**classes(row.model), **case_options})
        rivals: Contest = {
            "captum": peers.captum_perturbation(case, "FeatureAblation"),
            "shap": peers.NO_OCCLUSION,
            "lime": peers.NO_OCCLUSION,
        }
        return perturbation(case, "Occlusion", rivals)

    return make


def sobol(tokens: int, designs: int) -> Callable[[Row, Setting], Contest]:
    def make(row: Row, setting: Setting) -> Contest:
        case = _case(row, setting, tokens)
        rivals: Contest = dict.fromkeys(("captum", "shap", "lime"), peers.NO_SOBOL)
        return perturbation(case, "Sobol", rivals, n_designs=designs)

    return make


def derived(method: str, tokens: int, count: int = 1, **case_options: Any) -> Callable[[Row, Setting], Contest]:
    """A gradient method with so many points."""

    def make(row: Row, setting: Setting) -> Contest:
        case = _case(row, setting, tokens, **{**classes(row.model), **case_options})
        n = setting.count(count)
        rivals: Contest = {
            "captum": peers.captum_gradient(case, method, n),
            "shap": "has none of this kind",
            "lime": peers.NO_GRADIENTS,
        }
        if method == "GradientShap":
            rivals["shap"] = peers.shap_gradient(case, n)
        if method in ("Saliency", "InputxGradient"):
            return gradient(case, method, rivals)
        ends = 2 if method in ("IntegratedGradients", "GradientShap") else 1
        own = {"n_steps": n, "tolerance": None} if method == "IntegratedGradients" else {"n_samples": n}
        return gradient(case, method, rivals, points=n, ends=ends, **own)

    return make


def _lengths(count: int, shortest: int, longest: int) -> list[int]:
    """Lengths between the two, each as much longer than the last one, in a fixed disorder."""
    step = math.log(longest / shortest) / (count - 1)
    return [round(shortest * math.exp(step * (7 * k % count))) for k in range(count)]


def mixed_gradients(row: Row, setting: Setting) -> Contest:
    """16 texts of mixed length in one call."""
    model = row.subject(setting)
    cases = [Case(model, words(setting.length(n) - 2, seed=n)) for n in _lengths(16, 16, 128)]
    explainer = explainer_of(cases[0], "Saliency")
    texts, targets = [case.text for case in cases], torch.ones(len(cases), 1, dtype=torch.long)
    alone = [peers.captum_gradient(case, "Saliency") for case in cases]
    return {
        "floor": floor_of(cases[0]).gradients([model.embed(case.ids) for case in cases]),
        "ours": lambda: explainer(texts, targets),
        "ours, one by one": lambda: [explainer(text, targets[:1]) for text in texts],
        "captum": lambda: [run() for run in alone],
        "shap": "has none of this kind",
        "lime": peers.NO_GRADIENTS,
    }


def mixed_perturbations(row: Row, setting: Setting) -> Contest:
    """64 texts of very different lengths in one call."""
    model = row.subject(setting)
    cases = [Case(model, words(max(2, setting.length(n) - 2), seed=n)) for n in _lengths(64, 6, 128)]
    explainer = explainer_of(cases[0], "Rise", n_perturbations=2)
    texts, targets = [case.text for case in cases], torch.ones(len(cases), 1, dtype=torch.long)
    rows = [row for case in cases for row in distinct_inputs(case, explainer)]
    return {
        "floor": floor_of(cases[0]).forward(rows),
        "ours": lambda: explainer(texts, targets),
        "ours, one by one": lambda: [explainer(text, targets[:1]) for text in texts],
        **dict.fromkeys(("captum", "shap", "lime"), peers.NO_RISE),
    }


def of_activations(row: Row, setting: Setting) -> Contest:
    model = row.subject(setting)
    texts = [words(setting.length(126), seed=k) for k in range(setting.count(32))]
    return activations(model, texts)


def of_concept_gradients(row: Row, setting: Setting) -> Contest:
    model = row.subject(setting)
    texts = [words(setting.length(126), seed=k) for k in range(setting.count(16))]
    return concept_gradients(model, texts, floor_of(Case(model, texts[0], targets=(0, 1))))


VOCABULARY = "vocabulary-151936"
WRITES = {"output": 16}
NAMES = ("SmoothGrad", "SquareGrad", "VarGrad")

ROWS = [
    Row("Saliency, 32 tokens", "bert-2", derived("Saliency", 32), goal=1.10),
    Row("Saliency, 128 tokens", "bert-2", derived("Saliency", 128), goal=1.10),
    Row("Saliency, 512 tokens", "bert-2", derived("Saliency", 512), goal=1.10),
    Row("InputxGradient, 128 tokens", "bert-2", derived("InputxGradient", 128), goal=1.10),
    Row("IntegratedGradients, 32 tokens, 50 steps", "bert-2", derived("IntegratedGradients", 32, 50), goal=1.10),
    Row("IntegratedGradients, 128 tokens, 12 steps", "bert-2", derived("IntegratedGradients", 128, 12), goal=1.10),
    Row("GradientShap, 32 tokens, 20 samples", "bert-2", derived("GradientShap", 32, 20), goal=1.10),
    *(Row(f"{name}, 32 tokens, 20 samples", "bert-2", derived(name, 32, 20), goal=1.10) for name in NAMES),
    Row("Saliency, 16 texts of 16 to 128 tokens in one call", "bert-2", mixed_gradients, goal=1.10),
    Row("KernelShap, 32 tokens, 100 calls", "bert-2", sampled("KernelShap", 32), goal=1.10),
    Row("KernelShap, 128 tokens, 100 calls", "bert-2", sampled("KernelShap", 128), goal=1.10),
    Row("Lime, 32 tokens, 100 calls", "bert-2", sampled("Lime", 32), goal=1.10),
    Row("Rise, 32 tokens, 100 calls", "bert-2", sampled("Rise", 32), goal=1.10),
    Row("Sobol, 32 tokens, 4 designs", "bert-2", sobol(32, 4), goal=1.10),
    Row("Occlusion, 32 tokens", "bert-2", occlusion(32), goal=1.10),
    Row("Rise, 64 texts of 6 to 128 tokens in one call, 2 calls each", "bert-2", mixed_perturbations, goal=1.15),
    Row("activations of block 5 of 12, 32 texts of 128 tokens", "bert-2", of_activations, goal=1.05),
    Row("gradients of 20 concepts at block 5 of 12, 2 classes, 16 texts", "bert-2", of_concept_gradients, goal=1.10),
    Row("Saliency, 128 tokens, 6 classes", "bert-6", derived("Saliency", 128), goal=1.10),
    Row(
        "IntegratedGradients, 32 tokens, 20 steps, 6 classes",
        "bert-6",
        derived("IntegratedGradients", 32, 20),
        goal=1.10,
    ),
    Row("KernelShap, 32 tokens, 100 calls, 6 classes", "bert-6", sampled("KernelShap", 32), goal=1.10),
    Row("Saliency, prompt of 32, 16 targets, logits", "gpt2", derived("Saliency", 32, **WRITES), goal=1.10),
    Row(
        "Saliency, prompt of 32, 16 targets, log_softmax",
        "gpt2",
        derived("Saliency", 32, log=True, **WRITES),
        goal=1.15,
    ),
    Row(
        "Lime, prompt of 32, 16 targets, 100 calls, log_softmax",
        "gpt2",
        sampled("Lime", 32, log=True, **WRITES),
        goal=1.15,
    ),
    Row(
        "KernelShap, prompt of 32, 16 targets, 100 calls, logits",
        "gpt2",
        sampled("KernelShap", 32, **WRITES),
        goal=1.10,
    ),
    Row("Saliency, prompt of 32, 16 targets, logits", VOCABULARY, derived("Saliency", 32, **WRITES), goal=1.15),
    Row(
        "Saliency, prompt of 32, 16 targets, log_softmax",
        VOCABULARY,
        derived("Saliency", 32, log=True, **WRITES),
        goal=1.15,
    ),
    Row("Saliency, prompt of 256, 16 targets, logits", VOCABULARY, derived("Saliency", 256, **WRITES), goal=1.15),
    Row(
        "IntegratedGradients, prompt of 32, 16 targets, 10 steps, logits",
        VOCABULARY,
        derived("IntegratedGradients", 32, 10, **WRITES),
        goal=1.15,
    ),
    Row("Occlusion, prompt of 32, 16 targets, logits", VOCABULARY, occlusion(32, **WRITES), goal=1.15),
    Row("Occlusion, prompt of 32, 16 targets, log_softmax", VOCABULARY, occlusion(32, log=True, **WRITES), goal=1.15),
    Row(
        "KernelShap, prompt of 32, whole answer, 100 calls, log_softmax",
        VOCABULARY,
        sampled("KernelShap", 32, log=True, summed=True, **WRITES),
        goal=1.15,
    ),
    Row(
        "KernelShap, fixed context of 256 and 32 explained words, 64 calls, logits",
        VOCABULARY,
        sampled("KernelShap", 32, 64, fixed=256, **WRITES),
        goal=0.25,
    ),
    Row("Occlusion of a causal model, 128 tokens, logits", VOCABULARY, occlusion(112, **WRITES), goal=0.65),
    Row("Occlusion of a causal model, 256 tokens, logits", VOCABULARY, occlusion(240, **WRITES), goal=0.65),
]
