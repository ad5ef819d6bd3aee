"""The second backend gives the numbers of the first, and leaves the model as it was."""

import sys

import pytest
import torch

from interpreto.errors import InputError, MissingExtraError
from interpreto.model_wrapping import ModelWithSplitPoints
from tests.architectures import ARCHITECTURES, CAUSAL, CLASSES, SEQ2SEQ, build
from tests.tiny import LINES, classifier, wordpiece

pytest.importorskip("nnsight")


@pytest.mark.parametrize(
    ("name", "task", "points"),
    [
        ("albert", CLASSES, [1, 0, "albert.embeddings"]),
        ("bert", CLASSES, [1, "bert.encoder.layer.*.output.dense:input", "bert.encoder.layer.0.attention.self", 0]),
        ("gpt2", CAUSAL, [0, 1, "transformer.h.0.mlp"]),
        ("llama", CLASSES, [-1]),
        ("t5", SEQ2SEQ, ["encoder.1", "decoder.0"]),
    ],
)
def test_activations_are_those_of_the_hooks(name, task, points):
    model, tokenizer = build(name, task), ARCHITECTURES[name].tokenizer()
    options = {"include_predicted_classes": True} if task is CLASSES else {}
    if task is SEQ2SEQ:
        options["targets"] = ["dog"] * len(LINES)
    hooks, nnsight = (
        ModelWithSplitPoints(model, points, tokenizer=tokenizer, backend=backend).get_activations(
            LINES, "word", **options
        )
        for backend in ("hooks", "nnsight")
    )
    assert list(hooks) == list(nnsight)
    for point in hooks:
        torch.testing.assert_close(nnsight[point], hooks[point], atol=1e-6, rtol=1e-6)


def test_nothing_is_left_in_the_model():
    model = classifier()
    before = [(type(module), dict(vars(module)), module.forward) for module in model.modules()]
    split = ModelWithSplitPoints(model, 0, tokenizer=wordpiece(), backend="nnsight")
    split.get_activations(LINES)
    for module, (kind, attributes, forward) in zip(model.modules(), before, strict=True):
        assert type(module) is kind
        assert module.forward == forward
        assert list(vars(module)) == list(attributes)


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "nnsight", None)
    with pytest.raises(MissingExtraError, match=r"interpreto\[nnsight\]"):
        ModelWithSplitPoints(classifier(), 0, tokenizer=wordpiece(), backend="nnsight")
    with pytest.raises(InputError, match="backend: expected one of"):
        ModelWithSplitPoints(classifier(), 0, tokenizer=wordpiece(), backend="jax")
