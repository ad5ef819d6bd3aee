"""Memory that ends, models that fail, and calls that are interrupted: said clearly, and nothing found is lost."""

import warnings
from contextlib import contextmanager

import pytest
import torch

from interpreto import InputxGradient, Saliency
from interpreto.errors import ModelError
from interpreto.model_wrapping import beginnings, reading
from tests.architectures import CAUSAL, CLASSES, model_and_tokenizer
from tests.model_wrapping.plain import engine, keeps

TEXT = "The quick brown fox jumps over the lazy dog"


@contextmanager
def failing(model, error, *, rows=0, after=0):
    """A model that fails on more than so many rows, after so many passes."""
    passes = []

    def fail(_module, _args, inputs):
        passes.append(len(inputs["input_ids"]))
        if passes[-1] > rows and len(passes) > after:
            raise error

    handle = model.register_forward_pre_hook(fail, with_kwargs=True)
    try:
        yield passes
    finally:
        handle.remove()


OUT = [torch.cuda.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]


@pytest.mark.parametrize("error", OUT)
@pytest.mark.parametrize("batch_size", [None, 16])
def test_batches_are_halved_until_they_fit(error, batch_size):
    model, tokenizer = model_and_tokenizer("bert", CLASSES)
    scorer, texts = engine(model, tokenizer, [TEXT, TEXT + " and ran"], 1, batch_size=batch_size)
    masks = [keeps(len(text.elements)) for text in texts]
    expected = scorer.scores(texts, masks)
    scorer, texts = engine(model, tokenizer, [TEXT, TEXT + " and ran"], 1, batch_size=batch_size)
    with failing(model, error, rows=3) as passes, pytest.warns(UserWarning, match="did not fit") as told:
        found = scorer.scores(texts, masks)
    assert len(told) == 1
    assert max(passes[-2:]) <= 3
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_gradients_are_halved_and_counted_once():
    model, tokenizer = model_and_tokenizer("bert", CLASSES)
    texts = [TEXT, TEXT + " and ran", TEXT + " home"]
    expected = InputxGradient(model, tokenizer)(texts, [0, 1, 2])
    with failing(model, OUT[0], rows=1), pytest.warns(UserWarning, match="did not fit"):
        found = InputxGradient(model, tokenizer)(texts, [0, 1, 2])
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.scores, other.scores, atol=1e-5, rtol=1e-4)


def test_looking_at_a_text_is_halved_too():
    """Without targets the model is asked first what it says of the texts."""
    model, tokenizer = model_and_tokenizer("bert", CLASSES)
    texts = [TEXT, TEXT + " and ran", TEXT + " home"]
    expected = Saliency(model, tokenizer)(texts)
    with failing(model, OUT[1], rows=1), pytest.warns(UserWarning, match="did not fit") as told:
        found = Saliency(model, tokenizer)(texts)
    assert len(told) == 1
    for one, other in zip(found, expected, strict=True):
        assert one.targets == other.targets
        torch.testing.assert_close(one.scores, other.scores, atol=1e-5, rtol=1e-4)


def test_models_that_warn_or_fail_backwards():
    model, tokenizer = model_and_tokenizer("bert", CLASSES)
    expected = InputxGradient(model, tokenizer)(TEXT, [[0, 1]])

    class Odd(torch.autograd.Function):
        error = FutureWarning("this will change")

        @staticmethod
        def forward(_context, values):
            return values.clone()

        @staticmethod
        def backward(_context, gradient):
            if isinstance(Odd.error, Warning):
                warnings.warn(Odd.error, stacklevel=1)
                return gradient
            raise Odd.error

    handle = model.classifier.register_forward_hook(lambda _module, _args, output: Odd.apply(output))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = InputxGradient(model, tokenizer)(TEXT, [[0, 1]])
    torch.testing.assert_close(found[0].scores, expected[0].scores)
    Odd.error = NotImplementedError("no second thoughts")
    with pytest.raises(ModelError, match="no second thoughts"):
        InputxGradient(model, tokenizer)(TEXT, [[0, 1]])
    handle.remove()


def test_no_room_for_a_single_row():
    model, tokenizer = model_and_tokenizer("bert", CLASSES)
    scorer, texts = engine(model, tokenizer, TEXT, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with failing(model, OUT[0]), pytest.raises(ModelError, match="room for one row"):
            scorer.scores(texts, [keeps(len(texts[0].elements))])


def test_models_that_take_no_batches():
    model, tokenizer = model_and_tokenizer("bert", CLASSES)
    scorer, texts = engine(model, tokenizer, TEXT, 1)
    advice = r"one at a time; where it takes .* pass batch_size=1"
    with failing(model, ValueError("one at a time"), rows=1), pytest.raises(ModelError, match=advice):
        scorer.scores(texts, [keeps(len(texts[0].elements))])
    scorer, texts = engine(model, tokenizer, TEXT, 1, batch_size=1)
    with failing(model, ValueError("one at a time"), rows=1):
        scorer.scores(texts, [keeps(len(texts[0].elements))])


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("broken")])
def test_what_was_finished_is_kept(error):
    model, tokenizer = model_and_tokenizer("bert", CLASSES)
    inputs = [TEXT + " and ran home", "The fox", TEXT]
    scorer, texts = engine(model, tokenizer, inputs, 1, batch_size=2)
    masks = [torch.eye(len(text.elements)).bool()[:2] for text in texts]
    expected = scorer.scores(texts, masks)
    finished = {}
    with failing(model, error, after=2), pytest.raises((KeyboardInterrupt, ModelError)):
        scorer.scores(texts, masks, finished)
    assert sorted(finished) == [1, 2]  # short texts come first
    for k, scores in finished.items():
        torch.testing.assert_close(scores, expected[k])


def test_one_text_without_numbers_does_not_cost_the_others():
    model, tokenizer = model_and_tokenizer("bert", CLASSES)
    scorer, texts = engine(model, tokenizer, ["The fox", TEXT], 1)
    masks = [torch.eye(len(text.elements)).bool()[:2] for text in texts]
    finished = {}

    def spoil(_module, _args, inputs, output):
        output.logits[inputs["attention_mask"].sum(dim=1) > 6] = torch.nan

    handle = model.register_forward_hook(spoil, with_kwargs=True)
    with pytest.raises(ModelError, match=r"inputs\[1\]: expected numbers"):
        scorer.scores(texts, masks, finished)
    handle.remove()
    assert list(finished) == [0]


def test_models_that_cannot_go_on_from_a_beginning_run_whole(monkeypatch):
    model, tokenizer = model_and_tokenizer("gpt2", CAUSAL)
    found = []
    for gains, same in ((True, False), (False, True)):
        monkeypatch.setattr(reading, "pays", lambda *_, gains=gains: gains)
        monkeypatch.setattr(beginnings, "_close", lambda *_, same=same: same)
        scorer, (text,) = engine(model, tokenizer, TEXT, " and ran home")
        found += scorer.scores([text], [~torch.eye(len(text.elements)).bool()])
    assert torch.equal(*found)
