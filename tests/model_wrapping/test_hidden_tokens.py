"""What is hidden from attention has no influence, and a text of which everything is hidden has a score of its own."""

from dataclasses import replace

import pytest
import torch

from interpreto.model_wrapping import Scorer
from interpreto.types import Removal
from tests.architectures import CAUSAL, CLASSES, PAIRS, SEQ2SEQ, build
from tests.model_wrapping.plain import Plain, engine, keeps

KINDS = [(name, task, kind) for name, task in PAIRS if task in (CAUSAL, CLASSES, SEQ2SEQ) for kind in ("eager", "sdpa")]


def loaded(name, task, kind):
    model = build(name, task, attention=None if name == "mamba" else "eager")
    if kind == "sdpa":
        if name == "mamba" or not model._supports_sdpa:
            pytest.skip("has no such attention")
        model = build(name, task, attention=kind)
    return model


@pytest.mark.parametrize(("name", "task", "kind"), KINDS)
def test_hidden_tokens_have_no_influence(name, task, kind):
    plain = Plain.of(name, task, model=loaded(name, task, kind))
    scorer, (text,) = engine(plain.model, plain.tokenizer, plain.inputs, plain.targets, removal=Removal.ATTENTION)
    keep = keeps(len(text.elements))
    read = {0, *text.readout.slots}
    if (
        plain.model.config.is_encoder_decoder
    ):  # a classifier reads at the end, where its decoder is given what is before
        read.add(len(plain.source) - 2)
    keep[:, [bool(read & set(element.tokens)) for element in text.elements]] = True
    found = []
    for token in (5, 11):
        other = Scorer(scorer.traits, scorer.task, scorer.mode, replace(scorer.filling, token=token), 3)
        found += other.scores([text], [keep])
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("name", "task", "kind"), KINDS)
def test_texts_hidden_as_a_whole(name, task, kind):
    plain = Plain.of(name, task, model=loaded(name, task, kind))
    longer = Plain.of(name, task, model=plain.model, more=" jumps over the lazy dog and ran home with 3 cats")
    found = []
    for neighbours in ([], [longer]):
        plains = [plain, *neighbours]
        inputs, targets = [p.text for p in plains], [p.targets[0] for p in plains]
        scorer, texts = engine(plain.model, plain.tokenizer, inputs, targets, removal=Removal.ATTENTION, batch_size=16)
        empty = [torch.zeros(1, len(text.elements), dtype=torch.bool) for text in texts]
        found.append(scorer.scores(texts, empty)[0])
    assert bool(found[0].isfinite().all())
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-5)
