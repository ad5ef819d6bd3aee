"""What the pictures of attributions show, in the page's data and in the terminal."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
import torch

from interpreto.attributions.result import Attribution
from interpreto.errors import InputError
from interpreto.model_wrapping import Readout, Target
from interpreto.text import Element, Sample, Token
from interpreto.types import InferenceMode, Task
from interpreto.visualizations import plot_attributions
from tests.visualizations.handmade import (
    EMOTIONS,
    NAN,
    make_classification,
    make_generation,
    tokens_of,
    unpacked,
    words,
)


def payload(result: Attribution, **options) -> dict:
    return plot_attributions(result, **options).figures[0].payload()


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


# Classification


def test_every_element_has_its_letters_and_its_scores(classification):
    data = payload(classification)
    (part,) = data["parts"]
    assert [text for text, _, _ in part["pieces"]] == [element.text for element in classification.elements]
    assert [element for _, element, _ in part["pieces"]] == list(range(len(classification.elements)))
    scores = torch.tensor([unpacked(row, data["count"]) for row in data["scores"]])
    torch.testing.assert_close(scores, classification.scores, rtol=2e-5, atol=0)
    assert unpacked(data["errors"][0], data["count"]) == pytest.approx([0.02] * data["count"], rel=2e-5)
    assert (part["label"], part["output"], data["writes"]) == ("Text", False, False)


def test_targets_come_with_their_totals(classification):
    target = payload(classification)["targets"][1]
    assert target["name"] == "joy"
    assert target["score"] == pytest.approx(target["baseline"] + target["sum"] + target["gap"], abs=1e-3)
    assert target["gap"] == pytest.approx(0.01, abs=1e-4)


def test_predicted_class_is_shown_first(classification):
    assert payload(classification)["chosen"] == int(classification.target_scores.argmax())
    assert payload(replace(classification, target_scores=None))["chosen"] == 0


def test_classes_are_renamed_by_their_index(classification):
    readout = replace(
        classification.readout,
        targets=(Target("LABEL_5", (5,)), Target("LABEL_1 rather than LABEL_4", (1,), (4,))),
    )
    part = replace(
        classification,
        readout=readout,
        scores=classification.scores[:2],
        target_scores=None,
        baseline_scores=None,
        std_errors=None,
    )
    names = [target["name"] for target in payload(part, classes_names=EMOTIONS)["targets"]]
    assert names == ["surprise", "joy rather than fear"]


def test_names_that_do_not_fit_are_refused(classification, generation):
    with pytest.raises(InputError, match="up to index 6, got 2 names"):
        plot_attributions(classification, classes_names=["a", "b"])
    with pytest.raises(InputError, match="causal-lm has no classes"):
        plot_attributions(generation, classes_names=["a", "b"])
    with pytest.raises(InputError, match="expected a list of names"):
        plot_attributions(classification, classes_names="joy")
    with pytest.raises(InputError, match="at least one"):
        plot_attributions([])


def test_several_results_share_a_page(classification, generation):
    plot = plot_attributions([classification, generation])
    assert [figure.payload()["method"] for figure in plot.figures] == ["Lime", "Occlusion"]
    assert plot.html().count('"view":"attribution"') == 2


def test_fixed_context_and_special_tokens_are_told_apart():
    text, other = "System: be kind.", "Hi"
    elements = (
        Element("[CLS]", 0, 0, 0, (0,)),
        Element(" be", 0, 7, 10, (2,)),
        Element("", 0, 16, 16, (3,)),
        Element("Hi", 1, 0, 2, (4,)),
    )
    tokens = (Token(101, 0, 0, 0, True), Token(5, 0, 0, 7, True), Token(6, 0, 7, 10), Token(102, 0, 16, 16, True))
    result = Attribution(
        scores=torch.zeros(1, 4),
        elements=elements,
        readout=Readout((-1,), ((0, 0),), (Target("a", (0,)),)),
        sample=Sample((text, other), (*tokens, Token(7, 1, 0, 2)), 5, 5),
        method="Saliency",
        task=Task.CLASSIFICATION,
        inference_mode=InferenceMode.LOGITS,
    )
    first, second = payload(result)["parts"]
    assert first["pieces"] == [
        ["[CLS]", 0, 1],
        ["System:", -1, 0],
        [" be", 1, 0],
        [" kind.", -1, 0],
        ["token 102", 2, 1],
    ]
    assert second["pieces"] == [["Hi", 3, 0]]
    assert (first["label"], second["label"]) == ("Text 1", "Text 2")
    assert str(plot_attributions(result)).endswith("nothing")


def test_targets_with_a_place_in_the_text_know_it():
    text = "Angela lives in Paris"
    elements = words(text)
    result = replace(
        make_classification(text, names=["Angela: PER", "Paris: LOC"]),
        task=Task.TOKEN_CLASSIFICATION,
        readout=Readout(
            (0, 3),
            ((0, 1), (1, 2)),
            (Target("Angela: PER", (0,), (), 0, 0, 6), Target("Paris: LOC", (1,), (), 0, 16, 21)),
        ),
    )
    data = payload(result)
    assert not data["writes"]
    pieces = [text for text, _, _ in data["parts"][0]["pieces"]]
    assert pieces == ["Angela", " lives", " in", " ", "Paris"]
    assert [target["place"] for target in data["targets"]] == [[0, 0, 1], [0, 4, 5]]
    assert data["parts"][0]["pieces"][3][1] == data["parts"][0]["pieces"][4][1] == len(elements) - 1


# Generation


def test_output_is_cut_into_targets(generation):
    data = payload(generation)
    source, output = data["parts"]
    assert (source["label"], output["label"], output["output"], data["writes"]) == ("Input", "Output", True, True)
    shown = [
        "".join(text for text, _, _ in output["pieces"][first:end])
        for _, first, end in (target["place"] for target in data["targets"])
    ]
    assert shown == list(generation.target_names)
    assert output["pieces"][-1][1] == -1  # the last token is no element
    assert math.isnan(unpacked(data["scores"][0], data["count"])[-1])  # written after the target
    assert data["chosen"] == 0


def test_targets_finer_or_coarser_than_elements_are_cut_at_both_borders(generation):
    prompt, output = "Say", "lovely words"
    written = (Element("lovely", 1, 0, 6, (1, 2)), Element(" words", 1, 6, 12, (3,)))
    elements = (*words(prompt), *written)
    spans = [(0, 4), (4, 6), (6, 12)]
    targets = tuple(Target(output[a:b], (k,), (), 1, a, b, 1 + k) for k, (a, b) in enumerate(spans))
    fine = replace(
        generation,
        scores=torch.zeros(3, 3),
        elements=elements,
        readout=Readout((0, 1, 2), ((0, 1), (1, 2), (2, 3)), targets),
        sample=Sample((prompt, output), tuple(Token(k, int(k > 0), *s) for k, s in enumerate([(0, 3), *spans])), 1, 1),
        target_scores=None,
    )
    assert payload(fine)["parts"][1]["pieces"] == [["love", 1, 0], ["ly", 1, 0], [" words", 2, 0]]
    whole = (Target(output, (0, 1, 2), (), 1, 0, 12, 1),)
    coarse = replace(fine, scores=torch.zeros(1, 3), readout=replace(fine.readout, targets=whole))
    data = payload(coarse)
    assert data["parts"][1]["pieces"] == [["lovely", 1, 0], [" words", 2, 0]]
    assert data["targets"][0]["place"] == [1, 0, 2]


def test_output_tokens_without_letters_become_tags(generation):
    prompt, output = "Say", "hi"
    targets = (
        Target("hi", (0,), (), 1, 0, 2, 1),
        Target("hi", (1,), (), 1, 0, 2, 2),  # a second piece of the same letters
        Target("", (2,), (), 1, 2, 2, 3),  # the end of the output
    )
    result = replace(
        generation,
        scores=torch.zeros(3, 1),
        elements=words(prompt),
        readout=Readout((0, 1, 2), ((0, 1), (1, 2), (2, 50256)), targets),
        sample=Sample(
            (prompt, output),
            (*tokens_of(words(prompt)), Token(1, 1, 0, 2), Token(2, 1, 0, 2), Token(50256, 1, 2, 2)),
            1,
            1,
        ),
        target_scores=None,
    )
    data = payload(result)
    assert data["parts"][1]["pieces"] == [["hi", -1, 0], ["hi", -1, 1], ["token 50256", -1, 1]]
    assert [target["place"] for target in data["targets"]] == [[1, 0, 1], [1, 1, 2], [1, 2, 3]]


def test_coarser_units_come_along_where_they_are_sums(generation):
    many = make_generation("Say it.", " Yes it is. No.")
    levels = payload(many)["levels"]
    assert [level["label"] for level in levels] == ["sentence", "answer"]
    assert levels[0]["sums"] == [[" Yes it is.", 0, 4], [" No.", 4, 6]]
    assert payload(many)["unit"] == "token"
    assert payload(replace(many, method="Sobol"))["levels"] == []


def test_texts_of_unusual_shape_are_drawn():
    for result in (
        replace(make_classification(names=["a"]), scores=torch.full((1, 8), NAN), std_errors=None),
        replace(make_classification(names=["a"]), scores=torch.zeros(1, 8)),
        replace(make_classification("", names=["a"]), settings={}),
        make_generation("a", "b"),
    ):
        plot = plot_attributions(result)
        assert plot.html()
        assert plain(plot.text())
        assert str(plot)


# Terminal


def test_text_tells_the_strongest_words_of_each_class(classification):
    text = plot_attributions(classification, classes_names=[name.upper() for name in EMOTIONS]).text(color=False)
    assert text == str(plot_attributions(classification, classes_names=[name.upper() for name in EMOTIONS]))
    assert "Lime (classification, logits)" in text
    assert "  We are thrilled to present you Interpreto!" in text
    lines = text.splitlines()
    joy = next(k for k, line in enumerate(lines) if line.startswith("JOY: "))
    assert "= baseline −0.333 + scores" in lines[joy]
    assert lines[joy + 1].startswith("  thrilled +3.2 · ")
    assert "\x1b" not in text


def test_the_heading_names_the_mode_as_the_option_is_written(classification):
    text = plot_attributions(replace(classification, inference_mode=InferenceMode.LOG_SOFTMAX)).text()
    assert text.splitlines()[0] == "Lime (classification, log_softmax)"


def test_coloured_text_shows_the_text_once_a_class(classification):
    text = plot_attributions(classification).text()
    assert "\x1b[38;2;0;0;0;48;2;255;125;50m thrilled\x1b[0m" in text
    assert plain(text).count("We are thrilled to present you Interpreto!") == len(EMOTIONS)


def test_text_of_a_generation_has_a_line_a_token(generation):
    text = plot_attributions(generation).text(color=False)
    line = next(line for line in text.splitlines() if line.startswith("models"))
    assert "<- language +2.5 · " in line
    assert plain(plot_attributions(generation).text()) == text


def test_long_results_are_cut_in_the_terminal():
    many = make_classification(names=[f"class {k}" for k in range(30)])
    assert "... and 20 more targets" in str(plot_attributions(many))
    long = make_classification("word " * 5000, names=["a"])
    assert len(str(plot_attributions(long))) < 2000
    assert len(plain(plot_attributions(long).text())) < 2000
    assert "... and 40 more targets" in str(plot_attributions(make_generation("Count", " 1" * 100)))


def test_text_cannot_command_the_terminal():
    text = "red\x1b[31m\r\x9b2J \u202egnp.exe \ud800 \x00\x7f\x08"
    result = replace(make_classification(text, names=["\x1b]0;title\x07"]), method="\x1b[2J")
    plot = plot_attributions(result)
    for told in (plot.text(color=False), plain(plot.text())):
        told.encode()
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", told)
        assert "red␛[31m" in told
