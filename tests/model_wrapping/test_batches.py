"""Batch size, neighbours and padding change nothing."""

import copy

import pytest
import torch

from interpreto import InputxGradient
from interpreto.types import Granularity, Removal
from tests.architectures import ANSWERS, ARCHITECTURES, CLASSES, LABELS, PAIRS, model_and_tokenizer
from tests.model_wrapping.plain import Plain, engine, keeps

MORE = ("", " over the lazy dog and ran")


def removals(name, task):
    if task in (LABELS, ANSWERS):
        return [Removal.ATTENTION]
    masks = ARCHITECTURES[name].tokenizer().mask_token is not None
    return [Removal.ATTENTION, Removal.MASK if masks else Removal.DELETE]


@pytest.mark.parametrize(("name", "task", "removal"), [(n, t, r) for n, t in PAIRS for r in removals(n, t)])
def test_scores_do_not_depend_on_the_batch(name, task, removal):
    model, tokenizer = model_and_tokenizer(name, task)
    plains = [Plain.of(name, task, more=more) for more in MORE]
    inputs, targets = [plain.text for plain in plains], [plain.targets[0] for plain in plains]
    alone = []
    for plain in plains:
        scorer, texts = engine(model, tokenizer, plain.inputs, plain.targets, removal=removal, batch_size=1)
        alone += scorer.scores(texts, [keeps(len(text.elements)) for text in texts])
    scorer, texts = engine(model, tokenizer, inputs, targets, removal=removal, batch_size=16)
    together = scorer.scores(texts, [keeps(len(text.elements)) for text in texts])
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_gradients_do_not_depend_on_the_batch(name, task):
    model, tokenizer = model_and_tokenizer(name, task)
    plains = [Plain.of(name, task, more=more) for more in MORE]
    inputs, targets = [plain.text for plain in plains], [plain.targets[0] for plain in plains]
    one = InputxGradient(model, tokenizer, batch_size=1)(inputs, targets)
    other = InputxGradient(model, tokenizer, batch_size=16)(inputs, targets)
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a.scores, b.scores, atol=2e-5, rtol=1e-4, equal_nan=True)


@pytest.mark.parametrize(("name", "task"), [(n, t) for n, t in PAIRS if t not in (LABELS, ANSWERS)])
def test_padding_side_changes_nothing(name, task):
    model, tokenizer = model_and_tokenizer(name, task)
    plains = [Plain.of(name, task, more=more) for more in MORE]
    inputs, targets = [plain.text for plain in plains], [plain.targets[0] for plain in plains]
    width = max(len(plain.source) for plain in plains)
    pad = tokenizer.pad_token_id or 0
    found = []
    for side in ("left", "right"):
        mine = copy.deepcopy(tokenizer)
        mine.padding_side = side
        padded = {"input_ids": [], "attention_mask": []}
        for plain in plains:
            ids, free = plain.source, [0] * (width - len(plain.source))
            padding = [pad] * len(free)
            padded["input_ids"].append(padding + ids if side == "left" else ids + padding)
            padded["attention_mask"].append(free + [1] * len(ids) if side == "left" else [1] * len(ids) + free)
        for given in (inputs, {key: torch.tensor(rows) for key, rows in padded.items()}):
            scorer, texts = engine(model, mine, given, targets)
            nothing = [torch.tensor([[True] * len(text.elements), [False] * len(text.elements)]) for text in texts]
            found.append(torch.cat(scorer.scores(texts, nothing)))
    for other in found[1:]:
        torch.testing.assert_close(found[0], other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_half_precision_is_close(name, task):
    model, tokenizer = model_and_tokenizer(name, task)
    plain = Plain.of(name, task)
    half = copy.deepcopy(model).bfloat16()
    found = []
    for each in (model, half):
        scorer, texts = engine(each, tokenizer, plain.inputs, plain.targets)
        (scores,) = scorer.scores(texts, [keeps(len(text.elements)) for text in texts])
        (result,) = InputxGradient(each, tokenizer)(plain.inputs, plain.targets)
        found.append((scores, result.scores))
    (scores, gradients), (half_scores, half_gradients) = found
    assert half_scores.dtype is torch.float32
    assert bool(half_scores.isfinite().all())
    assert torch.equal(half_gradients.isfinite(), gradients.isfinite())
    # bfloat16 keeps 8 bits; a router of experts may choose another one for a few rows.
    error = (half_scores - scores).abs() / scores.abs().max().clamp(min=1)
    assert float(error.median()) < 0.02
    assert name == "mixtral" or float(error.max()) < 0.1


@pytest.mark.parametrize("name", ["bert", "bart", "mbart", "t5", "gpt2"])
def test_texts_and_pairs_of_texts_together(name):
    model, tokenizer = model_and_tokenizer(name, CLASSES)
    inputs = ["The quick fox", ("A sad day", "He ran home"), "ran"]
    scorer, texts = engine(model, tokenizer, inputs, 1, batch_size=16)
    found = scorer.scores(texts, [keeps(len(text.elements)) for text in texts])
    results = InputxGradient(model, tokenizer)(inputs, 1)
    for k, given in enumerate(inputs):
        scorer, (text,) = engine(model, tokenizer, [given], 1)
        torch.testing.assert_close(found[k], scorer.scores([text], [keeps(len(text.elements))])[0])
        torch.testing.assert_close(results[k].scores, InputxGradient(model, tokenizer)([given], 1)[0].scores)


@pytest.mark.parametrize("name", ["bart", "mbart", "t5"])
def test_the_end_that_a_classifier_reads_at_is_never_removed(name):
    model, tokenizer = model_and_tokenizer(name, CLASSES)
    for removal in Removal:
        if removal is not Removal.MASK or tokenizer.mask_token is not None:
            every = {"removal": removal, "granularity": Granularity.ALL_TOKENS}
            scorer, (text,) = engine(model, tokenizer, ["The quick fox"], 1, **every)
            keep = torch.ones(2, len(text.elements), dtype=torch.bool)
            keep[1, -1] = False
            (scores,) = scorer.scores([text], [keep])
            assert torch.equal(scores[0], scores[1])
