"""A gallery is built from a spec: computed or saved, always the same bytes, and whole or not at all."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from interpreto import KernelShap, ModelWithSplitPoints, Occlusion
from interpreto.concepts import SemiNMFConcepts, TopKInputs
from interpreto.demo import load
from interpreto.errors import InputError, InterpretoError
from interpreto.gallery import computing
from interpreto.gallery.build import build_gallery
from interpreto.visualizations import plot_attributions, plot_concepts
from tests.gallery.test_snippets import differences, run, shown

TEXTS = ["I am so happy today.", "I was scared of the dark.", "I miss my old friends."]
SPEC = """
title: Small
models:
  mood: {id: "demo:emotion"}
  writer: {id: "demo:stories", device: cpu, generation: {max_new_tokens: 3, do_sample: false}}
data:
  few: {texts: [I am so happy today., {text: I was scared of the dark., truth: joy}, I miss my old friends.]}
  begun: {texts: [Once upon a]}
  given: {texts: [{text: Lily has a, output: " red ball."}]}
explanations:
  - {family: attributions, model: mood, data: few, methods: [Occlusion]}
  - {family: attributions, model: mood, data: few, methods: [Occlusion], targets: all, granularity: token}
  - {family: attributions, model: mood, data: few, methods: [Occlusion], targets: [joy, [2, sadness], 5]}
  - {family: attributions, model: writer, data: begun, methods: [Occlusion], output_granularity: text}
  - {family: attributions, model: writer, data: given, methods: [Saliency]}
  - family: concepts
    model: mood
    data: few
    scope: general
    split_point: 1
    granularity: word
    aggregation: max
    top: 2
    methods: [{name: PCAConcepts, nb_concepts: 3}]
  - family: concepts
    model: mood
    data: few
    fit: few
    scope: local
    split_point: 0
    targets: all
    importance: gradient
    methods: [{name: KMeansConcepts, nb_concepts: 3, seed: 1}]
  - family: concepts
    model: mood
    data: few
    scope: class-wise
    split_point: 1
    granularity: word
    examples: 2
    methods: [{name: SemiNMFConcepts, nb_concepts: 2}]
  - family: concepts
    model: writer
    data: given
    scope: local
    split_point: -1
    interpretation: {name: VocabProj, k: 4}
    methods: [{name: SemiNMFConcepts, nb_concepts: 2}]
walks:
  - title: A look
    steps:
      - {text: Begin., show: {data: few, form: predicted class, methods: [Occlusion], text: 1}}
      - {text: The end.}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "spec.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def build(folder: Path, text: str, out: str = "out") -> Path:
    build_gallery(write(folder, text), folder / out, progress=False)
    return folder / out


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("built"), SPEC)


def drawn(plot: Any) -> list[dict[str, Any]]:
    return [{"view": figure.view, **figure.payload()} for figure in plot.figures]


def is_there(folder: Path, plot: Any) -> bool:
    return any(not differences(picture["figures"], drawn(plot)) for picture in shown(folder))


def test_pictures_are_those_that_the_library_draws(built):
    model, tokenizer = load("emotion")
    for result in Occlusion(model, tokenizer)(TEXTS):
        assert is_there(built, plot_attributions(result))
    every_class = Occlusion(model, tokenizer, granularity="token")(TEXTS[1], [list(range(7))])
    assert is_there(built, plot_attributions(every_class))
    assert is_there(built, plot_attributions(Occlusion(model, tokenizer)(TEXTS[1], [[2, 5]])))
    split = ModelWithSplitPoints(model, 1, tokenizer=tokenizer)
    readings, importance = {}, {}
    for name, text in zip(("fear", "joy", "sadness"), (TEXTS[1], TEXTS[0], TEXTS[2]), strict=True):
        activations = split.get_activations([text], "word")
        concepts = SemiNMFConcepts(split, nb_concepts=2)
        concepts.fit(activations)
        readings[name] = TopKInputs(concepts, activation_granularity="word").interpret("all", [text], activations)
        importance[name] = concepts.importance([text], [name], "word")
    assert is_there(built, plot_concepts(readings, importance, examples=2))
    assert not is_there(built, plot_attributions(KernelShap(model, tokenizer)(TEXTS[0])))


def test_every_program_makes_its_picture(built, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pictures = shown(built)
    assert len(pictures) == 3 * 3 + 1 + 1 + 1 + 3 + 1 + 1
    assert sum('model.to("cpu")' in picture["snippet"] for picture in pictures) == 3  # where a device is named
    for picture in pictures:
        assert run(picture["snippet"], tmp_path) == picture["figures"], picture["snippet"]


def test_a_gallery_of_the_same_spec_is_the_same_to_the_byte(built, tmp_path):
    again = build(tmp_path, SPEC)
    assert files(again) == files(built)
    assert files(build(tmp_path, SPEC)) == files(built)  # in the place of the last


def test_the_page_knows_texts_truths_and_answers(built):
    lists = [path.read_text() for path in (built / "data").iterdir() if '"figures"' not in path.read_text()]
    texts = "".join(lists)
    assert '["I was scared of the dark.","joy","fear"]' in texts
    assert '["I am so happy today.",null,"joy"]' in texts
    assert re.search(r'\["Once upon a [^"]+",null,null\]', texts)  # with what was written
    assert '["Lily has a red ball.",null,null]' in texts


def test_saved_results_need_no_model(built, tmp_path, monkeypatch):
    model, tokenizer = load("emotion")
    for k, result in enumerate(Occlusion(model, tokenizer)([*TEXTS, "I am glad."], [3, 3, 3, 0])):
        result.save(tmp_path / f"one_{k}.json")
    KernelShap(model, tokenizer, n_perturbations=20)(TEXTS[0], [[3, 5]])[0].save(tmp_path / "two.json")
    writer = Occlusion(*load("stories"))("Lily has a", " red ball.")[0]
    writer.save(tmp_path / "story.json")
    split = ModelWithSplitPoints(model, 1, tokenizer=tokenizer)
    activations = split.get_activations(TEXTS, "word")
    concepts = SemiNMFConcepts(split, nb_concepts=2)
    concepts.fit(activations)
    readings = TopKInputs(concepts, activation_granularity="word").interpret("all", TEXTS, activations)
    readings.save(tmp_path / "readings.json")
    importance = concepts.importance(TEXTS, [3], "word")
    importance.save(tmp_path / "importance.json")
    text = """
title: Saved
models:
  mood: {id: "demo:emotion"}
data:
  few: {texts: [{text: I am so happy today., truth: joy}]}
explanations:
  - {family: attributions, model: mood, data: few, results: ["one_*.json"], form: joy}
  - {family: attributions, model: other, data: any, results: two.json}
  - {family: attributions, model: other, data: stories, results: story.json}
  - {family: concepts, model: other, data: any, results: {method: SemiNMFConcepts, interpretations: readings.json,
     importance: importance.json}}
"""
    monkeypatch.setattr("interpreto.gallery.build.load_model", lambda known: pytest.fail("a model was loaded"))
    out = build(tmp_path, text)
    for result in Occlusion(model, tokenizer)(TEXTS, [3, 3, 3]):
        assert is_there(out, plot_attributions(result))
    assert is_there(out, plot_concepts(readings, importance))
    assert "I am so happy today" in "".join(path.read_text() for path in (out / "data").iterdir())
    monkeypatch.chdir(tmp_path)
    for picture in shown(out):
        assert differences(picture["figures"], run(picture["snippet"], tmp_path)) == [], picture["snippet"]
    programs = [picture["snippet"] for picture in shown(out)]
    assert sum('load("emotion")' in program for program in programs) == 4  # a model that is known computes anew


def test_files_of_the_command_line_are_taken(tmp_path, monkeypatch):
    results = Occlusion(*load("emotion"))(TEXTS)
    lines = [json.dumps({"line": k + 1, **result.to_dict()}) for k, result in enumerate(results)]
    (tmp_path / "results.jsonl").write_text("\n".join(lines) + "\n")
    text = """
title: Saved
explanations:
  - {family: attributions, model: mood, data: few, results: results.jsonl}
"""
    out = build(tmp_path, text)
    monkeypatch.chdir(tmp_path)
    for picture in shown(out):
        assert run(picture["snippet"], tmp_path) == picture["figures"]
    assert len(shown(out)) == 3
    assert all(is_there(out, plot_attributions(result)) for result in results)
    for content, said in (
        (
            f"{lines[0]}\n{lines[1][:100]}\n",
            r"explanations\[0\].results: results.jsonl: file: line 2: expected the JSON",
        ),
        ("\n", r"results.jsonl: expected at least one result, got none"),
        (f"{lines[0]}\n{lines[0]}\n", r"results.jsonl: 'Occlusion' explains 'I am so happy today.' a second time"),
    ):
        (tmp_path / "results.jsonl").write_text(content)
        with pytest.raises(InputError, match=said):
            build(tmp_path, text)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"demo:emotion"', '"demo:emotions"', "models.mood.id: expected one of demo:emotion, demo:topic"),
        ('"demo:emotion"', "nowhere/to-be-found", "models.mood.id: 'nowhere/to-be-found' is no folder here, and"),
        (
            '{id: "demo:emotion"}',
            '{id: "demo:emotion", device: nowhere}',
            "models.mood.device: expected one that is there and has room",
        ),
        (
            '{id: "demo:emotion"}',
            '{id: "demo:emotion", task: generation}',
            "models.mood.task: expected classification, which",
        ),
        (
            "targets: [joy, [2, sadness], 5]",
            "targets: [joy, [2, sad], 5]",
            "explanations[2].methods[0]: text 1: targets[0]: ",
        ),
        ("nb_concepts: 3}", "nb_concepts: 4000}", "explanations[5].methods[0]: "),
        (
            "targets: all, granularity",
            "granularity",
            "explanations[1].methods[0]: 'Occlusion' stands on the same shelf at",
        ),
        ("output_granularity: text}", "targets: all}", "explanations[3].targets: for classifiers"),
        ("text: 1}", "text: 3}", "walks[0].steps[0].show.text: expected the number of a text, got 3; the last is 2"),
        ("form: predicted class", "form: predicted", "walks[0].steps[0].show: expected one kind of explanations"),
        (
            "form: predicted class, ",
            "family: attributions, ",
            "which leaves 3 open: say more of form: all classes, chosen",
        ),
        (
            "methods: [Occlusion], text: 1",
            "methods: [Oclusion], text: 1",
            "show.methods[0]: expected a method of that shelf",
        ),
        (
            "split_point: 1\n    granularity: word\n    aggregation",
            "split_point: 9\n    aggregation",
            "explanations[5].methods[0]",
        ),
    ],
)
def test_what_fails_names_its_place_and_leaves_nothing(built, tmp_path, old, new, said):
    assert old in SPEC
    shutil.copytree(built, tmp_path / "out")
    with pytest.raises(InputError) as caught:
        build(tmp_path, SPEC.replace(old, new, 1))
    assert str(caught.value).startswith("spec.yaml: ")
    assert said in str(caught.value)
    assert files(tmp_path / "out") == files(built)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "spec.yaml"]


def test_a_place_is_named_once(tmp_path):
    for changed, said in ((", task: generation", "task: expected"), (", device: nowhere", "device: expected one")):
        spec = SPEC.replace('{id: "demo:emotion"}', f'{{id: "demo:emotion"{changed}}}')
        with pytest.raises(InputError, match=rf"^spec\.yaml: models\.mood\.{said}"):
            build(tmp_path, spec)


def test_an_error_that_nobody_expected_names_its_place_too(tmp_path, monkeypatch):
    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(computing, "plot_attributions", broken)
    with pytest.raises(InterpretoError, match=r"explanations\[0\].methods\[0\]: text 0: ZeroDivisionError: by zero"):
        build(tmp_path, SPEC)
    assert [path.name for path in tmp_path.iterdir()] == ["spec.yaml"]


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="out: "):
        build(tmp_path, SPEC)
    assert (tmp_path / "out" / "letter.txt").read_text() == "dear"
