"""Programs that a gallery shows: each runs by itself, and makes the very picture beside which it is shown."""

from __future__ import annotations

import ast
import json
import math
import re
import struct
from base64 import b64decode
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import interpreto.demo
from interpreto.attributions.methods import __all__ as every_method
from interpreto.gallery.build import build_gallery
from interpreto.gallery.models import CAUSAL, CLASSIFIER, KnownModel
from interpreto.gallery.snippets import attribution_snippet, class_wise_snippet, general_snippet, literal, local_snippet
from interpreto.gallery.spec import Attributions, Concepts, Method, ModelSource
from interpreto.gallery.spec_reading import read_spec

SPEC = Path(__file__).parents[2] / "gallery" / "gallery.yaml"
HOSTILE = [
    '"""',
    "'''",
    "\\",
    "\\\"'",
    '"); import os; os.system("touch ran") #',
    "'); __import__('os').system('touch ran') #",
    "line\nline\r\n\u2028line",
    "{x!r} %s {0}",
    "\x00\x1b[31m",
    "\u202eabc\u2066",
    "\ud800",
    "</script><img src=x onerror=alert(1)>",
    "# -*- coding: rot13 -*-",
    "😀 שלום 日本",
]


def shown(folder: Path) -> list[dict[str, Any]]:
    """All pictures of a gallery with their programs, as its files hold them."""
    found = []
    for path in sorted((folder / "data").iterdir()):
        written = re.fullmatch(r"arrived\('[0-9a-f]+','(.*)'\);\n", path.read_text(encoding="utf-8"), re.S)
        assert written is not None
        data = json.loads(written[1].replace("\\'", "'").replace("\\\\", "\\"))
        if isinstance(data, dict):
            found.append({**data, "file": path.name})
    return found


def run(program: str, folder: Path) -> list[dict[str, Any]]:
    """What a program draws."""
    exec(compile(program, "snippet", "exec"), {"__name__": "__main__"})
    page = (folder / "explanation.html").read_text(encoding="utf-8")
    (folder / "explanation.html").unlink()
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert block is not None
    figures: list[dict[str, Any]] = json.loads(block[1])["figures"]
    return figures


def numbers(rows: list[str]) -> list[list[float]]:
    """Scores as a page reads them: three bytes a number, the upper ones of its float32."""
    found = []
    for row in map(b64decode, rows):
        found.append([struct.unpack(">f", row[k : k + 3] + b"\0")[0] for k in range(0, len(row), 3)])
    return found


def differences(one: Any, other: Any, where: str = "", size: float = 1.0) -> list[str]:
    """Where two payloads differ by more than the rounding of other batches."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [text for key in one for text in differences(one[key], other[key], f"{where}.{key}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        if one and re.search(r"\.(scores|errors)$", where) and isinstance(one[0], str):
            return differences(numbers(one), numbers(other), where)
        size = max([1.0, *(abs(x) for x in one if isinstance(x, float) and math.isfinite(x))])
        pairs = enumerate(zip(one, other, strict=True))
        return [text for k, (x, y) in pairs for text in differences(x, y, f"{where}[{k}]", size)]
    if isinstance(one, float) or isinstance(other, float):
        both = isinstance(one, (int, float)) and isinstance(other, (int, float))
        same = both and (math.isclose(one, other, rel_tol=1e-4, abs_tol=2e-5 * size) or (one != one and other != other))
        return [] if same else [f"{where}: {one} {other}"]
    return [] if one == other else [f"{where}: {one!r:.100} {other!r:.100}"]


@pytest.mark.slow
def test_every_program_of_the_projects_gallery_makes_its_picture(tmp_path, monkeypatch):
    build_gallery(SPEC, tmp_path / "gallery", progress=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(interpreto.demo, "load", cache(interpreto.demo.load))  # the programs stay as they are
    pictures = shown(tmp_path / "gallery")
    assert len(pictures) > 200
    pictures.sort(key=lambda one: re.findall(r"load\(.*\)", one["snippet"]))
    wrong = []
    for picture in pictures:
        if run(picture["snippet"], tmp_path) != picture["figures"]:
            wrong.append((picture["file"], picture["snippet"]))
    assert wrong == []


def test_the_projects_gallery_shows_what_it_promises():
    spec = read_spec(SPEC)
    attributions = [entry for entry in spec.explanations if isinstance(entry, Attributions)]
    for model, targets in (("emotion", "predicted"), ("emotion", "all"), ("stories", "predicted")):
        entries = [one for one in attributions if (one.model, one.targets) == (model, targets)]
        assert {method.name for one in entries for method in one.methods} == set(every_method)
    concepts = [entry for entry in spec.explanations if isinstance(entry, Concepts)]
    assert {
        ("emotion", "general"),
        ("emotion", "class-wise"),
        ("topic", "general"),
        ("topic", "class-wise"),
        ("stories", "local"),
    } <= {(one.model, one.scope) for one in concepts}
    assert spec.tours


# Hostile words


def values(program: str) -> list[Any]:
    """All literals of a program."""
    return [node.value for node in ast.walk(ast.parse(program)) if isinstance(node, ast.Constant)]


def skeleton(program: str) -> str:
    """What is left of a program without the values of its literals."""
    tree = ast.parse(program)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            node.value = 0
    return ast.dump(tree)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_literal_is_its_value(text):
    for value in (text, [text, {"a": text}], {text: [1, 2.5, None, True]}):
        assert ast.literal_eval(literal(value)) == value
    assert literal(text).isprintable()
    assert "\n" not in literal(text)


def programs(text: str) -> list[str]:
    source = ModelSource("name", text, revision=text, options={"device_map": text}, generation={text: text})
    writer = KnownModel(source, "generation", CAUSAL, "place")
    sorter = KnownModel(ModelSource("name", "demo:" + text), "classification", CLASSIFIER, "place")
    method = Method("SemiNMFConcepts", {"nb_concepts": 3})
    entry = Concepts(
        model="m", data="d", methods=(method,), split_point=text, scope="local", fit="d", granularity="word"
    )
    return [
        attribution_snippet(sorter, Method("Occlusion", {"removal": text}), text, classes=text),
        attribution_snippet(sorter, Method("Occlusion"), text, classes="all" if text != "all" else None),
        attribution_snippet(writer, Method("Occlusion"), text),
        attribution_snippet(writer, Method("Occlusion"), text, output=text),
        general_snippet(writer, entry, method, [text, text], [text, text], "none"),
        class_wise_snippet(sorter, entry, method, {text: [text]}, "gradient"),
        local_snippet(writer, entry, method, ([text], None), text, literal(text), "gradient"),
    ]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_is_more_than_a_text(text):
    for program, harmless in zip(programs(text), programs("harmless"), strict=True):
        assert skeleton(program) == skeleton(harmless)
        assert text in values(program)
        assert all(letter.isprintable() or letter == "\n" for letter in program)


def test_a_program_is_short_and_says_what_it_does():
    known = KnownModel(ModelSource("mood", "org/mood", revision="v1"), "classification", CLASSIFIER, "org/mood")
    assert (
        attribution_snippet(known, Method("KernelShap", {"granularity": "word"}), "It's great.", classes="all")
        == """\
import torch
from interpreto import KernelShap, plot_attributions
from transformers import AutoModelForSequenceClassification, AutoTokenizer

name = "org/mood"
model = AutoModelForSequenceClassification.from_pretrained(name, revision="v1")
tokenizer = AutoTokenizer.from_pretrained(name, revision="v1")
explainer = KernelShap(model, tokenizer, granularity="word")
classes = torch.arange(model.config.num_labels).view(1, -1)
results = explainer("It's great.", targets=classes)
plot_attributions(results).save("explanation.html")
"""
    )
