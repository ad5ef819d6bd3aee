"""What the walk through the project's gallery tells is what its pictures show."""

from __future__ import annotations

from pathlib import Path

import pytest

from interpreto import KernelShap, ModelWithSplitPoints
from interpreto.concepts import SemiNMFConcepts
from interpreto.demo import load
from interpreto.gallery.data import Data
from interpreto.gallery.models import know, load_model
from interpreto.gallery.spec import Spec
from interpreto.gallery.spec_reading import read_spec


@pytest.fixture(scope="module")
def spec() -> Spec:
    return read_spec(Path(__file__).parents[2] / "gallery" / "gallery.yaml")


@pytest.fixture(scope="module")
def words(spec: Spec) -> str:
    return " ".join(text for text, _ in spec.tours[0].steps)


def predicted(spec: Spec, data: Data) -> list[str]:
    return load_model(know(spec.models["emotion"], spec.folder)).predicted(data.texts)


def test_the_counts_are_true(spec, words):
    data, renumbered = spec.data["two sources"], spec.data["two sources, renumbered"]
    assert data.texts == renumbered.texts
    said = predicted(spec, data)
    wrong = [{truth, own} for truth, own in zip(data.truths, said, strict=True) if truth != own]
    assert (len(data.texts), len(said) - len(wrong), len(wrong)) == (48, 33, 15)
    assert wrong.count({"fear", "sadness"}) == 12
    assert sum(truth == own for truth, own in zip(renumbered.truths, said, strict=True)) == 45
    assert (data.truths[24], said[24]) == ("sadness", "fear")
    assert (data.truths[26], said[26]) == ("fear", "sadness")
    assert (renumbered.truths[15], said[15]) == ("anger", "neutral")
    for told in ("48 sentences", "33 of the 48", "12 of the 15", "45 of the 48"):
        assert told in words


def test_the_words_that_count_are_those(spec):
    texts = spec.data["two sources"].texts
    results = KernelShap(*load("emotion"))([texts[24], texts[26]])
    strongest = [result.elements[int(result.scores[0].argmax())].text.strip() for result in results]
    shares = [float(result.scores[0].max() / result.scores[0].sum()) for result in results]
    assert strongest == ["afraid", "disappointed"]
    assert shares[0] > 0.5


def test_concepts_push_as_the_walk_says(spec, words):
    model, tokenizer = load("emotion")
    split = ModelWithSplitPoints(model, 2, tokenizer=tokenizer)

    def pushes(data: Data, name: str) -> list[tuple[float, bool, set[str | None]]]:
        """Of each concept, the strongest first: its share, whether it raises the class, what its sentences are of."""
        texts = [text for text, truth in zip(data.texts, data.truths, strict=True) if truth == name]
        activations = split.get_activations(texts, "cls_token")
        concepts = SemiNMFConcepts(split, nb_concepts=2)
        concepts.fit(activations)
        importance = concepts.importance(texts, [name], "cls_token")
        meant = dict(zip(data.texts, spec.data["two sources, renumbered"].truths, strict=True))
        codes = concepts.encode(activations)
        shares = importance.overall(normalized=True)
        return [
            (
                round(float(shares[c]), 2),
                bool(importance.signed[0, c] > 0),
                {meant[texts[row]] for row in codes[:, c].topk(3).indices.tolist()},
            )
            for c in importance.top()
        ]

    data = spec.data["two sources"]
    assert pushes(data, "fear") == [(0.81, True, {"fear"}), (0.19, False, {"sadness"})]
    assert [(raises, meant) for _, raises, meant in pushes(data, "sadness")] == [(True, {"sadness"}), (False, {"fear"})]
    assert "0.81 of all importance" in words
    for name in ("anger", "joy"):
        assert all(raises for _, raises, _ in pushes(data, name))
    for name in ("anger", "fear", "joy", "sadness"):
        assert all(raises for _, raises, _ in pushes(spec.data["two sources, renumbered"], name))
