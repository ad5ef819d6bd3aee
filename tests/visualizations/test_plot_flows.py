"""Pictures of words, concepts and decision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from interpreto.attributions.result import Attribution
from interpreto.errors import InputError
from interpreto.flows import ConceptFlow
from interpreto.model_wrapping import Readout, Target
from interpreto.text import Element, Sample
from interpreto.types import InferenceMode, Task
from interpreto.visualizations import plot_flows
from tests.visualizations.handmade import tokens_of, words

Open = Callable[..., Any]
OF_CONCEPTS = {
    "concepts_fingerprint": "0",
    "split_point": "2",
    "activation_granularity": "token",
    "aggregation": "mean",
}
NAMES = ["fears (4)", "homes (7)", "concept 9"]


def make_flow(text: str = "we were scared at home", names: Sequence[str] = NAMES, n_targets: int = 2) -> ConceptFlow:
    elements = words(text)
    tokens = tokens_of(elements)
    sample = Sample((text,), tokens, len(tokens), len(tokens))
    numbers = (4, 7, 9)[: len(names)]
    rng = torch.Generator().manual_seed(0)
    read = tuple((0, number) for number in numbers)
    of_words = Attribution(
        scores=torch.randn(len(names), len(elements), generator=rng),
        elements=elements,
        readout=Readout((0,), read, tuple(Target(name, (k,)) for k, name in enumerate(names)), ((0,),)),
        sample=sample,
        method="Occlusion",
        task=Task.CONCEPTS,
        inference_mode=InferenceMode.LOGITS,
        settings=OF_CONCEPTS,
    )
    classes = ["fear", "joy"][:n_targets]
    weights = Attribution(
        scores=torch.tensor([[2.0, -1.0, 0.5], [-0.5, 1.5, 0.25]])[:n_targets, : len(names)],
        elements=tuple(Element(name, 0, 0, 0, (number,)) for name, number in zip(names, numbers, strict=True)),
        readout=Readout(
            (-1,), tuple((0, c) for c in range(n_targets)), tuple(Target(n, (c,)) for c, n in enumerate(classes))
        ),
        sample=sample,
        method="KernelShap",
        task=Task.CLASSIFICATION,
        inference_mode=InferenceMode.LOGITS,
        settings=OF_CONCEPTS,
    )
    return ConceptFlow(of_words, weights)


def test_the_text_names_the_strongest_words_of_each_concept() -> None:
    lines = str(plot_flows(make_flow())).splitlines()
    assert [line for line in lines if not line.startswith(" ")] == ["fear", "joy"]
    assert lines[1].startswith("  +2.000  fears (4)  <- ")


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(InputError, match="at least one"):
        plot_flows([])
    with pytest.raises(InputError, match=r"flows\[0\]: expected a ConceptFlow, got Attribution"):
        plot_flows([make_flow().words])


def test_long_texts_show_the_words_that_matter() -> None:
    flow = make_flow(" ".join(f"word{k}" for k in range(100)))
    payload = plot_flows(flow).figures[0].payload()
    assert len(payload["words"]) == 40
    assert payload["left_out"] == 60
    shown = flow.through.abs().amax(dim=(0, 1)).topk(40).indices.sort().values
    assert payload["words"] == [f"word{int(k)}" for k in shown]


def test_picking_decisions_and_concepts(show: Open) -> None:
    page = show(plot_flows([make_flow(), make_flow(n_targets=1)]).html())
    first, second = page.locator(".flow").all()
    assert second.get_by_role("radiogroup", name="decision").count() == 0
    boxes = first.get_by_role("radiogroup", name="concepts").get_by_role("radio")
    assert [box.get_attribute("aria-label") for box in boxes.all()] == [
        "fears (4): +2",
        "homes (7): −1",
        "concept 9: +0.5",
    ]
    assert first.locator("path").count() == 3 * 5 + 3
    assert first.locator("path.aside").count() == 0
    boxes.nth(1).click()
    assert boxes.nth(1).get_attribute("aria-checked") == "true"
    assert first.locator("path.aside").count() == 12
    assert first.locator(".facts .name").inner_text() == "homes (7)"
    page.keyboard.press("ArrowDown")
    assert boxes.nth(2).get_attribute("aria-checked") == "true"
    first.get_by_role("radio", name="joy").click()
    assert boxes.nth(0).get_attribute("aria-label") == "fears (4): −0.5"
    assert second.locator("path.aside").count() == 0
    widths = [float(path.get_attribute("stroke-width")) for path in first.locator("path").all()]
    assert max(widths) == 16


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_bands_are_seen_on_every_ground(show: Open, theme: str) -> None:
    page = show(plot_flows(make_flow()).html(), color_scheme=theme)
    strokes = page.locator("path").evaluate_all("nodes => nodes.map(n => getComputedStyle(n).stroke)")
    assert len(set(strokes)) == 2
    assert "none" not in strokes


def test_phone_width_needs_no_sideways_scrolling(show: Open) -> None:
    page = show(plot_flows(make_flow()).html())
    page.locator(".flow [role=radio]").nth(1).click()
    page.set_viewport_size({"width": 360, "height": 700})
    page.wait_for_function("document.querySelector('.flow svg').viewBox.baseVal.width < 360")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator(".flow [role=radio]").nth(1).get_attribute("aria-checked") == "true"
    heights = page.locator(".flow text").evaluate_all("nodes => nodes.map(n => n.getBoundingClientRect().height)")
    assert min(heights) > 10  # letters keep their size
