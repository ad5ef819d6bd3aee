"""A spec is read whole or refused with the place that is wrong; it can do nothing but describe."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from interpreto.errors import InputError
from interpreto.gallery.models import know
from interpreto.gallery.spec import Attributions, Concepts, ModelSource, SavedAttributions, SavedConcepts
from interpreto.gallery.spec_reading import read_spec

GOOD = """
title: A gallery
models:
  feelings: {id: "demo:emotion"}
  writer: {id: "demo:stories", generation: {max_new_tokens: 4}}
data:
  few: {texts: [I am happy., {text: I am sad., truth: sadness}]}
  prompts: {texts: [{text: Once upon, output: " a time"}]}
explanations:
  - family: attributions
    model: feelings
    data: few
    methods: [Occlusion, {name: KernelShap, n_perturbations: 8, label: few draws}]
    targets: all
    granularity: token
  - family: concepts
    model: writer
    data: prompts
    scope: local
    fit: few
    split_point: 2
    methods: [{name: SemiNMFConcepts, nb_concepts: 3}]
walks:
  - title: A look
    steps: [{text: Here., show: {family: attributions, methods: [Occlusion], text: 1}}]
"""


def write(folder: Path, text: str, name: str = "gallery.yaml") -> Path:
    path = folder / name
    path.write_bytes(text.encode(errors="surrogateescape"))
    return path


def refused(folder: Path, text: str) -> str:
    with pytest.raises(InputError) as caught:
        read_spec(write(folder, text))
    return str(caught.value)


def test_a_good_one_is_read_whole(tmp_path):
    spec = read_spec(write(tmp_path, GOOD))
    first, second = spec.explanations
    assert isinstance(first, Attributions)
    assert isinstance(second, Concepts)
    assert [method.label for method in first.methods] == ["Occlusion", "few draws"]
    assert first.methods[0].options == {"granularity": "token"}
    assert first.methods[1].options == {"granularity": "token", "n_perturbations": 8}
    assert first.targets == "all"
    assert (second.scope, second.fit, second.split_point) == ("local", "few", 2)
    assert spec.data["few"].texts == ("I am happy.", "I am sad.")
    assert spec.data["few"].truths == (None, "sadness")
    assert spec.data["prompts"].outputs == (" a time",)
    assert spec.models["writer"].generation == {"max_new_tokens": 4}
    (text, sight), *_ = spec.tours[0].steps
    assert text == "Here."
    assert sight is not None
    assert sight.instance == 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("title: A gallery", "titel: A gallery", "gallery.yaml: titel: no such key; did you mean 'title'?"),
        ("title: A gallery", "", "gallery.yaml: title: expected a value, got nothing"),
        ("title: A gallery", "title: 2024", "gallery.yaml: title: expected a text, got 2024; put it in quotes"),
        ("title: A gallery", "title: no", "gallery.yaml: title: expected a text, got False; put it in quotes"),
        ("title: A gallery", "title: 2024-01-01", "put it in quotes"),
        (
            "family: attributions",
            "family: atributions",
            "explanations[0].family: expected one of attributions, concepts",
        ),
        ("[Occlusion, ", "[Oclusion, ", "explanations[0].methods[0]: expected one of"),
        ("[Occlusion, ", "[Oclusion, ", "did you mean 'Occlusion'?"),
        ("n_perturbations: 8", "n_pertubations: 8", "methods[1].n_pertubations: no such key; did you mean 'n_perturba"),
        ("methods: [Occlusion", "metods: [Occlusion", "explanations[0].metods: no such key; did you mean 'methods'?"),
        (", label: few draws", ", checkpoint: /tmp/x", "methods[1].checkpoint: no such key"),
        ("granularity: token", "granularity: letter", "explanations[0].granularity: expected one of all_tokens, token"),
        (
            "targets: all",
            "targets: [joy]",
            "explanations[0].targets: expected predicted, all, or a list with the classes of each of the 2 texts",
        ),
        (
            "    model: feelings",
            "    model: feeling",
            "explanations[0].model: expected a name of models, got 'feeling'; did",
        ),
        (
            "    data: few",
            "    data: many",
            "explanations[0].data: expected a name of data, got 'many'; describe it under",
        ),
        ("split_point: 2", "", "explanations[1].split_point: expected a value, got nothing"),
        ("split_point: 2", "split_point: 2.5", "explanations[1].split_point: expected a text, got 2.5"),
        ("nb_concepts: 3", "seed: 3", "explanations[1].methods[0]: expected a number of concepts"),
        ("nb_concepts: 3", "nb_concepts: .inf", "methods[0].nb_concepts: expected a plain value"),
        ("scope: local", "scope: general", "explanations[1].fit: for the scope 'local' alone"),
        ("targets: all", "targets: every", "explanations[0].targets: expected one of predicted, all, got 'every'"),
        ("text: I am sad.", "txt: I am sad.", "data.few.texts[1].txt: no such key; did you mean 'text'?"),
        (
            'texts: [{text: Once upon, output: " a time"}]',
            "file: none.txt",
            "data.prompts.file: expected a file that can be read",
        ),
        (
            'texts: [{text: Once upon, output: " a time"}]',
            "file: none.exe",
            "data.prompts.file: expected a file whose name",
        ),
        ('texts: [{text: Once upon, output: " a time"}]', "limit: 3", "data.prompts: expected either texts or a file"),
        (
            '{id: "demo:emotion"}',
            '{id: "demo:emotion", revision: main}',
            "models.feelings: a model of the package has neither",
        ),
        ('{id: "demo:emotion"}', '{id: "demo:emotion", device: 0}', "models.feelings.device: expected a text, got 0"),
        ('{id: "demo:emotion"}', "{id: a/b, options: {trust_remote_code: true}}", "a spec runs no code of a model's"),
        ('{id: "demo:emotion"}', "{id: a/b, options: {attn_implementation: a/kernel}}", "a spec runs no code"),
        ('{id: "demo:emotion"}', "{id: a/b, generation: {custom_generate: ./here}}", "custom_generate: a spec runs"),
        ('{id: "demo:emotion"}', "{id: a/b, generation: {a: [{trust_remote_code: 1}]}}", "a spec runs no code"),
        (
            '{id: "demo:emotion"}',
            "{id: a/b, options: {kernel_config: {a: b}}}",
            "options.kernel_config: a spec runs no",
        ),
        ('{id: "demo:emotion"}', "{id: a/b, options: {token: hf_x}}", "feelings.options.token: would be published"),
        (
            '{id: "demo:emotion"}',
            "{id: a/b, options: {a: [{use_auth_token: hf_x}]}}",
            "options.use_auth_token: would be published with the site; log in with `hf auth login` instead",
        ),
        ('{id: "demo:emotion"}', "{id: a/b, options: {a-b: 1}}", "expected the name of an option"),
        ('{id: "demo:emotion"}', "{id: a/b, options: {import: 1}}", "expected the name of an option"),
        ("text: 1", "text: -1", "walks[0].steps[0].show.text: expected a whole number, at least 0, got -1"),
        ("{text: Here., ", "{", "walks[0].steps[0].text: expected a value, got nothing"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, old, new, said):
    assert old in GOOD
    assert said in refused(tmp_path, GOOD.replace(old, new, 1))


@pytest.mark.parametrize(
    ("named", "task"),
    [
        (["BertForSequenceClassification", 1], "classification"),
        ("BertForSequenceClassification", "classification"),
        (["GPT2LMHeadModel", "BertForSequenceClassification"], "generation"),
        ([1], None),
        (None, None),
    ],
)
def test_the_first_architecture_says_what_a_model_does(tmp_path, named, task):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text(json.dumps({"model_type": "bert", "architectures": named}))
    if task is not None:
        assert know(ModelSource("m", "m"), tmp_path).task == task
        return
    with pytest.raises(InputError, match=r"^x\.task: .* whether it classifies texts or writes \(no architectures\)"):
        know(ModelSource("m", "m", where="x"), tmp_path)


def test_a_folder_has_no_revision(tmp_path):
    (tmp_path / "m").mkdir()
    with pytest.raises(InputError, match=r"^x\.revision: expected none, for .*m' is a folder"):
        know(ModelSource("m", "m", revision="main", where="x"), tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch {marker}']",
        "title: !!python/object/apply:os.system ['touch {marker}']\nexplanations: []",
        "title: !!python/name:os.system\nexplanations: []",
        "title: !!python/object/new:subprocess.Popen [['touch', '{marker}']]",
        "!!python/module:os",
        "a: &a [x]\nb: *a",
        "a: &a {a: *a}",
        "a: &a [lol]\n" + "".join(f"{y}: &{y} [{', '.join([f'*{x}'] * 9)}]\n" for x, y in pairwise("abcdefghi")),
        "a: 1\na: 2",
        "x: {a: 1, a: 2}",
        "[" * 600,
        "a: " + "{b: " * 600,
        "- a\n b: c: d",
        "\x00",
        "title: \"\\ud800",
        "%TAG ! tag:yaml.org,2002:python/\n---\n!name:os.system",
        "",
        "just a text",
        "--- 1\n--- 2",
    ],
)  # fmt: skip
def test_hostile_files_do_nothing(tmp_path, text):
    marker = tmp_path / "ran"
    assert "gallery.yaml" in refused(tmp_path, text.replace("{marker}", str(marker)))
    assert not marker.exists()


def test_a_number_of_references_is_never_followed(tmp_path):
    said = refused(tmp_path, "a: &a [lol, lol]\nb: [*a, *a]\ntitle: x")
    assert "line 2" in said
    assert "write it out" in said


def test_errors_stay_short(tmp_path):
    assert len(refused(tmp_path, GOOD.replace("targets: all", f"targets: {'x' * 100_000}"))) < 1000


@pytest.mark.parametrize(
    ("name", "content", "asked"),
    [
        ("t.txt", "one\n\ntwo\n", ""),
        ("t.csv", "text,mood\none,0\n\"two\",1\n", ""),
        ("t.csv", "\ufefftext,mood\none,0\n\"two\",1\n", ""),
        ("t.csv", "who,mood\none,0\n\"two\",1\n", ", column: who"),
        ("t.jsonl", '{"text": "one", "mood": 0}\n\n{"text": "two", "mood": 1}\n', ""),
        ("t.jsonl", '{"text": "one"}\n{"text": "two"}\n{"text": "three"}\n', ", limit: 2"),
        ("t.jsonl", '"one"\n"two"\n', ""),
        ("t.tsv", "mood\ttext\n0\tone\n1\ttwo\n", ""),
        ("t.txt", "one\ntwo\n\udcff\n", ", limit: 2"),  # what is not asked for is not read
    ],
)  # fmt: skip
def test_texts_come_from_files(tmp_path, name, content, asked):
    write(tmp_path, content, name)
    spec = read_spec(
        write(
            tmp_path,
            GOOD.replace("{texts: [I am happy., {text: I am sad., truth: sadness}]}", f"{{file: {name}{asked}}}"),
        )
    )
    assert spec.data["few"].texts == ("one", "two")


def test_numbers_of_classes_are_read_in_the_order_that_the_spec_names(tmp_path):
    write(tmp_path, "text,n\none,1\ntwo,0\nthree,\n", "t.csv")
    given = "{texts: [I am happy., {text: I am sad., truth: sadness}]}"
    read = GOOD.replace(given, "{file: t.csv, truth: {column: n, names: [joy, fear]}}")
    assert read_spec(write(tmp_path, read)).data["few"].truths == ("fear", "joy", None)
    said = refused(tmp_path, read.replace("[joy, fear]", "[joy]"))
    assert "data.few.file: t.csv, line 2: expected a number from 0 to 0 in 'n', got '1'" in said
    plain = read_spec(write(tmp_path, GOOD.replace(given, "{file: t.csv, truth: n}")))
    assert plain.data["few"].truths == ("1", "0", None)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("text\none\n\"\"\n", "data.few.file: t.csv, line 3: expected a text, got an empty one"),
        ("word\none\n", "data.few.file: t.csv, column: expected 'text' in the header of the table, got ['word']"),
        ("text\n\"one\n", "data.few.file: t.csv, line 2: expected a row of a table, got a quote that is never closed"),
        ("text\none\ntwo,2\n", "t.csv, line 3: expected 1 cells, as in the header, got 2"),
        ("text\none\n\udcff\n", "t.csv, line 3: expected UTF-8, got other bytes"),
        ("text\n", "data.few: expected at least one text, got none"),
    ],
)  # fmt: skip
def test_a_damaged_line_is_named(tmp_path, content, said):
    write(tmp_path, content, "t.csv")
    given = "{texts: [I am happy., {text: I am sad., truth: sadness}]}"
    assert said in refused(tmp_path, GOOD.replace(given, "{file: t.csv}"))


def test_a_text_may_be_longer_than_a_cell_of_other_tables(tmp_path):
    long = "x" * 200_000
    write(tmp_path, f'text\n"{long}"\n', "t.csv")
    given = "{texts: [I am happy., {text: I am sad., truth: sadness}]}"
    assert read_spec(write(tmp_path, GOOD.replace(given, "{file: t.csv}"))).data["few"].texts == (long,)


def test_half_a_letter_is_no_text(tmp_path):
    write(tmp_path, '{"text": "a"}\n{"text": "\\ud800"}\n', "t.jsonl")
    given = "{texts: [I am happy., {text: I am sad., truth: sadness}]}"
    said = refused(tmp_path, GOOD.replace(given, "{file: t.jsonl}"))
    assert "t.jsonl, line 2: expected a text in 'text', got half of a letter" in said


def test_saved_results_are_found_by_pattern_in_order(tmp_path):
    for name in ("b.json", "a.json", "readings.json"):
        write(tmp_path, "{}", name)
    text = """
title: Saved
explanations:
  - {family: attributions, model: any, data: any, results: ["[ab].json"]}
  - family: concepts
    model: any
    data: any
    results: {method: SemiNMFConcepts, interpretations: {one: readings.json, two: readings.json}}
"""
    first, second = read_spec(write(tmp_path, text)).explanations
    assert isinstance(first, SavedAttributions)
    assert [path.name for path in first.files] == ["a.json", "b.json"]
    assert isinstance(second, SavedConcepts)
    assert isinstance(second.interpretations, dict)
    assert list(second.interpretations) == ["one", "two"]
    assert "there is none of that name" in refused(tmp_path, text.replace("[ab].json", "c*.json"))
    one = text.replace("{one: readings.json, two: readings.json}", "readings.json, importance: '[ab].json'")
    said = "results.importance: expected the name of one file, got '[ab].json'; there are 2: a.json, b.json"
    assert said in refused(tmp_path, one)
    assert "results.interpretations.one: expected the name of one file, got '*.json'; there are 3" in refused(
        tmp_path, text.replace("one: readings.json", "one: '*.json'")
    )
    assert "explanations[0].targets: for what is computed" in refused(
        tmp_path, text.replace("results: [", "targets: all, results: [")
    )
