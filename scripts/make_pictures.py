"""Draw the pictures of the documentation: real results of the shipped models, photographed in a browser.

python scripts/make_pictures.py [NAME ...]

Needs playwright and Chromium. What is written: `docs/pictures/*.png`.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from playwright.sync_api import Page, sync_playwright

from interpreto import (
    IntegratedGradients,
    KernelShap,
    ModelWithSplitPoints,
    Occlusion,
    plot_attributions,
    plot_concepts,
    plot_flows,
)
from interpreto.attributions.metrics import Deletion
from interpreto.concepts import (
    LogitLens,
    SemiNMFConcepts,
    TopKInputs,
    TopKSAEConcepts,
    VocabProj,
    concept_cards,
    sweep,
)
from interpreto.demo import load
from interpreto.flows import ConceptFlows
from interpreto.gallery.build import build_gallery
from interpreto.visualizations import Plot, plot_cards, plot_comparison, plot_curves, plot_lens, plot_sweep

ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs" / "pictures"
TEXT = "I was scared of the dark, but my sister made me laugh."
PROMPT, ANSWER = "Once upon a time, there was a little dog named Spot. Spot loved to", " run and play in the park."
Look = Callable[[Page], Any]


def view(name: str) -> Look:
    """Change to one of the views of an attribution."""
    return lambda page: page.get_by_role("radio", name=name, exact=True).click()


@cache
def emotions() -> dict[str, Any]:
    model, tokenizer = load("emotion")
    classes = torch.arange(model.config.num_labels)[None]
    methods = {"KernelShap": KernelShap, "IntegratedGradients": IntegratedGradients, "Occlusion": Occlusion}
    return {name: method(model, tokenizer)(TEXT, classes)[0] for name, method in methods.items()}


@cache
def story() -> Any:
    return Occlusion(*load("stories")).explain(PROMPT, ANSWER)[0]


@cache
def topic() -> dict[str, Any]:
    model, tokenizer = load("topic")
    split = ModelWithSplitPoints(model, split_points=1, tokenizer=tokenizer)
    texts = (ROOT / "gallery" / "topics.txt").read_text(encoding="utf-8").splitlines()
    activations = split.get_activations(texts, "word", include_predicted_classes=True)
    concepts = SemiNMFConcepts(split, nb_concepts=12)
    concepts.fit(activations)
    reader = TopKInputs(concepts, activation_granularity="word", k_context=4)
    readings = reader.interpret("all", texts, activations)
    return {"model": model, "split": split, "texts": texts, "concepts": concepts, "readings": readings}


@cache
def stories() -> dict[str, Any]:
    model, tokenizer = load("stories")
    split = ModelWithSplitPoints(model, split_points=2, tokenizer=tokenizer)
    texts = (ROOT / "gallery" / "stories.txt").read_text(encoding="utf-8").splitlines()
    activations = split.get_activations(texts, "word")
    concepts = TopKSAEConcepts(split, nb_concepts=48, k=4, n_steps=400)
    concepts.fit(activations)
    return {"split": split, "texts": texts, "activations": activations, "concepts": concepts}


def global_concepts() -> Plot:
    found = topic()
    importance = found["concepts"].importance(found["texts"], activation_granularity="word")
    return plot_concepts(found["readings"], importance)


def local_concepts() -> Plot:
    found = topic()
    text = "Paper Lanterns is a live album of jazz music, recorded by the singer Ada Corsica in 2004."
    return plot_concepts(
        found["readings"], local=found["concepts"].local_importance([text], activation_granularity="word")
    )


def flow() -> Plot:
    found = topic()
    text = "Paper Lanterns is a live album of jazz music, recorded by the singer Ada Corsica."
    flows = ConceptFlows(found["concepts"], granularity="word", names=found["readings"], n_concepts=4)
    return plot_flows(flows(text)[0])


def cards() -> Plot:
    found = stories()
    reader = TopKInputs(found["concepts"], activation_granularity="word", k_context=4)
    readings = reader.interpret("all", found["texts"], found["activations"])
    output = VocabProj(found["concepts"], k=6).interpret("all")
    return plot_cards(
        concept_cards(
            found["concepts"],
            found["texts"],
            found["activations"],
            activation_granularity="word",
            interpretations=readings,
            output=output,
        )
    )


def curves() -> Plot:
    model, tokenizer = load("emotion")
    texts = [TEXT, "thank you so much for the lovely flowers", "this traffic makes me so angry", "what a surprise!"]
    methods = {"KernelShap": KernelShap, "Occlusion": Occlusion}
    metric = Deletion(model, tokenizer)
    return plot_curves({name: metric(method(model, tokenizer)(texts)) for name, method in methods.items()})


def lens() -> Plot:
    model, tokenizer = load("stories")
    layers = ModelWithSplitPoints(model, split_points=[0, 1, 2, 3], tokenizer=tokenizer)
    return plot_lens(LogitLens(layers)(["The dog ran to the park with Lily."]))


def layers() -> Plot:
    model, tokenizer = load("emotion")
    split = ModelWithSplitPoints(model, split_points=[0, 1, 2], tokenizer=tokenizer)
    moods = ("happy", "sad", "angry", "calm", "late", "here", "old", "lost")
    pets = [f"my {one} is {mood}" for one in ("dog", "cat", "bird", "horse") for mood in moods]
    people = [f"my {one} is {mood}" for one in ("friend", "boss", "son", "aunt") for mood in moods]
    return plot_sweep(sweep(split, "all", pets + people, ["pet"] * len(pets) + ["person"] * len(people)))


PICTURES: dict[str, tuple[Callable[[], Plot], Look | None, int]] = {
    "classification": (lambda: plot_attributions(emotions()["KernelShap"]), None, 760),
    "all-classes": (lambda: plot_attributions(emotions()["KernelShap"]), view("All classes"), 900),
    "bars": (lambda: plot_attributions(emotions()["KernelShap"]), view("Bars"), 760),
    "generation": (lambda: plot_attributions(story()), lambda page: page.locator(".pick").nth(0).click(), 760),
    "matrix": (lambda: plot_attributions(story()), view("Matrix"), 760),
    "comparison": (lambda: plot_comparison(emotions()), None, 860),
    "curves": (curves, None, 860),
    "concepts": (global_concepts, None, 900),
    "local-concepts": (local_concepts, None, 900),
    "flow": (flow, None, 900),
    "cards": (cards, None, 1000),
    "lens": (lens, None, 900),
    "sweep": (layers, None, 760),
}


@contextmanager
def chromium() -> Iterator[Any]:
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome", "chrome")
    found = next((path for path in map(shutil.which, names) if path), None)
    with sync_playwright() as driver:
        quiet = ["--no-sandbox", "--disable-background-networking"]
        browser = driver.chromium.launch(executable_path=found, args=quiet)
        yield browser
        browser.close()


def photograph(browser: Any, page_file: Path, out: Path, width: int, look: Look | None, height: int = 400) -> None:
    context = browser.new_context(offline=True, viewport={"width": width, "height": height}, device_scale_factor=1.5)
    page = context.new_page()
    page.goto(page_file.as_uri())
    page.wait_for_load_state()
    if look is not None:
        look(page)
    page.mouse.move(0, 0)
    page.wait_for_timeout(200)
    page.screenshot(path=out, full_page=height == 400)
    context.close()
    print(f"{out.name}: {out.stat().st_size / 1000:.0f} kB", flush=True)


def main() -> None:
    OUT.mkdir(exist_ok=True)
    wanted = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        for name, (make, look, width) in PICTURES.items():
            if not wanted or name in wanted:
                file = Path(folder) / f"{name}.html"
                make().save(file)
                photograph(browser, file, OUT / f"{name}.png", width, look)
        if not wanted or "gallery" in wanted:
            site = Path(folder) / "gallery"
            build_gallery(ROOT / "gallery" / "gallery.yaml", site)
            photograph(browser, site / "index.html", OUT / "gallery.png", 1200, None, 800)


if __name__ == "__main__":
    main()
