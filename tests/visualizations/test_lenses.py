"""Pictures of lenses: what the page holds, what it looks like in a browser, and texts that try to run."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
import torch

from interpreto.concepts.lenses import LensResult
from interpreto.errors import InputError
from interpreto.visualizations import Figure
from interpreto.visualizations.lenses import plot_lens
from tests.visualizations.hostile import HOSTILE
from tests.visualizations.test_page import read

NAMES = ["the", "dog", "ran", "home", "sky", "<s>"]


def make_lens(names=NAMES, task="causal-lm", k=3, layers=("0", "1", "2")) -> LensResult:
    """A text of four tokens, three layers, the last of which is right about the second and third."""
    rng = torch.Generator().manual_seed(0)
    tokens = torch.tensor([5, 0, 1, 2])
    actual = tokens.clone() if task == "masked-lm" else torch.tensor([0, 1, 2, -1])
    logits = torch.randn(len(layers), 4, 6, generator=rng) * 2
    logits[-1, [1, 2], [1, 2]] += 9.0
    found, final = logits.log_softmax(dim=-1), logits[-1].argmax(dim=-1)
    top = found.topk(k, dim=-1)
    known = actual.clamp(min=0).expand(len(layers), 4)[..., None]
    own = found.gather(2, known)
    choice = found.gather(2, final.expand(len(layers), 4)[..., None])
    return LensResult(
        method="LogitLens",
        task=task,
        layers=tuple(layers),
        tokens=tokens,
        actual=actual,
        final=final,
        top=top.indices,
        probabilities=top.values.exp(),
        actual_ranks=((found > own).sum(dim=-1) + 1).masked_fill(actual < 0, 0),
        actual_probabilities=own[..., 0].exp().masked_fill(actual < 0, torch.nan),
        final_ranks=(found > choice).sum(dim=-1) + 1,
        final_probabilities=choice[..., 0].exp(),
        entropies=-(found.exp() * found).sum(dim=-1),
        divergences=(found[-1].exp() * (found[-1] - found)).sum(dim=-1),
        names=dict(enumerate(names)),
        settings={"k": k, "note": "</script>"},
    )


def payload(result: LensResult) -> dict[str, Any]:
    (figure,) = read(plot_lens(result).html())[1]["figures"]
    return dict(figure)


def test_the_page_holds_the_numbers():
    result = make_lens()
    found = payload(result)
    assert found["view"] == "lens"
    assert found["layers"] == ["0", "1", "2"]
    for s in range(3):
        for i in range(4):
            assert [found["names"][token] for token in found["top"][s][i]] == [t for t, _ in result.top_tokens(s, i)]
            assert found["probabilities"][s][i] == pytest.approx(result.probabilities[s, i].tolist(), rel=1e-4)
    assert [found["names"][token] for token in found["tokens"]] == ["<s>", "the", "dog", "ran"]
    assert found["actual"][3] == -1
    assert [row[3] for row in found["actual_probabilities"]] == [None] * 3
    assert found["divergences"][2] == [0.0] * 4


def test_a_figure_like_the_others():
    (figure,) = plot_lens(make_lens()).figures
    assert isinstance(figure, Figure)
    assert figure.height > 200
    assert plot_lens([make_lens(), make_lens()])._repr_html_().count("<iframe") == 1
    again = LensResult.from_json(make_lens().to_json())
    assert plot_lens(again).html() == plot_lens(make_lens()).html()


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_are_data(text):
    result = make_lens([text, *NAMES[1:]], layers=(text[:50], "1"))
    reader, data = read(plot_lens(replace(result, method=text[:100])).html())
    assert reader.tags.count("script") == 2
    assert not {"img", "iframe"} & set(reader.tags)
    assert text.encode("utf-8", "replace").decode() in data["figures"][0]["names"]
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e]", plot_lens(result).text(color=False))


def test_text_for_a_terminal():
    result = make_lens()
    plain = plot_lens(result).text(color=False).split("\n")
    assert plain[0] == "LogitLens (causal-lm)"
    assert [line.split()[0] for line in plain[1:4]] == ["2", "1", "0"]
    assert plain[1].split()[2:4] == ["dog", "ran"]
    assert plain[4].split() == ["<s>", "the", "dog", "ran"]
    assert "\x1b[38;2" in plot_lens(result).text(color=True)


def test_bad_input():
    with pytest.raises(InputError, match="at least one result"):
        plot_lens([])


def test_a_table_of_layers_and_tokens(show):
    page = show(plot_lens(make_lens()).html())
    rows = page.locator("tbody tr")
    assert [rows.nth(k).locator("th").inner_text() for k in range(3)] == ["layer 2", "layer 1", "layer 0"]
    assert page.locator("tfoot th").all_inner_texts() == ["reads", "<s>", "the", "dog", "ran"]
    assert page.locator("thead th").all_inner_texts() == ["is next", "the", "dog", "ran", "(end)"]
    assert rows.nth(0).locator("td").all_inner_texts()[1:3] == ["dog", "ran"]
    hits = rows.nth(0).locator("td.hit").all_inner_texts()
    assert {"dog", "ran"} <= set(hits)


def test_cells_tell_their_numbers_to_the_pointer_and_to_the_keys(show):
    result = make_lens()
    page = show(plot_lens(result).html())
    cell = page.locator("tbody tr").nth(0).locator("td").nth(1)
    cell.hover()
    told = page.locator(".tip").inner_text().split("\n")
    assert told[0] == "layer 2, at \u201cthe\u201d"
    name, value = result.top_tokens(2, 1)[0]
    assert told[1] == f"{name} {float(f'{100 * value:.3g}'):.3g}\u202f%" or told[1].startswith(f"{name} ")
    assert any(line.startswith("next in the text: dog") and line.endswith("rank 1") for line in told)
    assert cell.get_attribute("aria-label") == "; ".join(told)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    focus = "[document.activeElement.dataset.layer, document.activeElement.dataset.at]"
    assert page.evaluate(focus) == ["2", "0"]
    for key, place in (
        ("ArrowRight", ["2", "1"]),
        ("ArrowDown", ["1", "1"]),
        ("End", ["1", "3"]),
        ("ArrowDown", ["0", "3"]),
        ("ArrowDown", ["0", "3"]),
        ("Home", ["0", "0"]),
        ("ArrowUp", ["1", "0"]),
    ):
        page.keyboard.press(key)
        assert page.evaluate(focus) == place
        assert page.locator(".tip").inner_text().startswith(f"layer {place[0]}, at")
    page.keyboard.press("Escape")
    assert page.locator(".tip").is_hidden()
    assert page.locator("td[tabindex='0']").count() == 1


def test_colours_are_those_of_the_number_that_is_picked(show):
    result = make_lens()
    page = show(plot_lens(result).html())

    def levels():
        grounds = page.locator("tbody td").evaluate_all("nodes => nodes.map(n => n.style.backgroundColor)")
        return [float((re.search(r"/ ([\d.]+)\)", ground) or [0, 0])[1]) for ground in grounds]

    order = result.probabilities[..., 0].flip(0).flatten() * 0.85
    assert levels() == pytest.approx(order.tolist(), abs=2e-3)
    page.get_by_role("radio", name="distance from the model").click()
    distances = (result.divergences / result.divergences.max()).flip(0).flatten() * 0.85
    assert levels() == pytest.approx(distances.tolist(), abs=2e-3)
    assert "nats" in page.locator(".legend").inner_text()
    page.get_by_role("radio", name="next token in the text").click()
    assert levels()[3] == 0  # nothing is known to follow the last token


def test_masked_models_and_dark_pages(show):
    page = show(plot_lens([make_lens(task="masked-lm"), make_lens()]).html(), color_scheme="dark")
    assert page.locator("h2").first.inner_text().startswith("1. LogitLens")
    assert page.locator("thead").count() == 1
    assert "token in the text" in page.locator(".targets").first.inner_text()


def test_hostile_names_in_a_browser(show):
    page = show(plot_lens(make_lens([*HOSTILE[:6]], layers=(HOSTILE[0], HOSTILE[2]))).html())
    assert page.locator("tfoot th").nth(2).inner_text() == HOSTILE[0]
    assert page.locator("img").count() == 0
    json.dumps(page.locator("td").first.get_attribute("aria-label"))
