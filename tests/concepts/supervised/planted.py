"""Rows in which a concept is planted along a known direction, in a cloud that is no sphere."""

import torch

from interpreto.model_wrapping import ModelWithSplitPoints
from tests.tiny import classifier, wordpiece


def planted_rows(n=400, d=8, n_classes=2, distance=4.0, seed=0):
    """Rows, their classes, and the direction of each class."""
    rng = torch.Generator().manual_seed(seed)
    directions = torch.linalg.qr(torch.randn(d, d, generator=torch.Generator().manual_seed(99)))[0][:n_classes]
    classes = torch.arange(n) % n_classes
    noise = torch.randn(n, d, generator=rng)
    return noise + distance * directions[classes] + 3.0, classes, directions


WHO, DID = ("The dog", "A cat", "The lazy dog", "Spot"), ("jumped", "played", "was sad", "ran", "was great")
WHAT, HOW = ("library", "language model", "open source"), ("great", "even better", "sad")
ANIMALS = [f"{who} {did} in the park." for who in WHO for did in DID]
BOOKS = [f"This {what} is {how} for {whom}." for what in WHAT for how in HOW for whom in ("you", "it")]
OTHERS = [
    f"{first} {second}, {third}."
    for first in ("Once", "We", "She", "He", "But")
    for second in ("said", "laughed", "was there")
    for third in ("what a day", "in time", "it is 3")
]


def split_classifier(points=0, **options):
    return ModelWithSplitPoints(classifier(), points, tokenizer=wordpiece(), **options)


def state_of(model):
    return {name: values.clone() for name, values in model.state_dict().items()}


def assert_untouched(model, before):
    assert all(torch.equal(values, before[name]) for name, values in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
