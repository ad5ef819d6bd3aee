"""What a user gets wrong: the error says what was expected, what came and where, and nothing is changed by it."""

import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from transformers import BertForSequenceClassification, PreTrainedTokenizerFast

import interpreto
from interpreto import Contrast, InputxGradient, IntegratedGradients, KernelShap, Occlusion
from interpreto.attributions.base import AttributionExplainer
from interpreto.errors import InputError, ModelError
from interpreto.types import Task
from tests.architectures import build, model_and_tokenizer
from tests.text.kinds import SlowTokenizer
from tests.tiny import byte_bpe, classifier, language_model, wordpiece

TEXT = "The quick brown fox"
METHODS = [
    getattr(interpreto, name)
    for name in interpreto.__all__
    if isinstance(getattr(interpreto, name), type) and issubclass(getattr(interpreto, name), AttributionExplainer)
]


def state(model, tokenizer):
    weights = {name: (value.clone(), value.requires_grad) for name, value in model.named_parameters()}
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    modules = [
        (module.training, len(module._forward_hooks), len(module._forward_pre_hooks), len(module._backward_hooks))
        for module in model.modules()
    ]
    known = {name: repr(value) for name, value in vars(tokenizer).items() if name != "_tokenizer"}
    settings = model.generation_config.to_dict() if model.can_generate() else None
    backend = tokenizer.backend_tokenizer.to_str() if tokenizer.is_fast else None
    return weights, buffers, modules, known, settings, backend, len(tokenizer), model.config.to_dict()


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)


def refused(error, message, explain, model, tokenizer):
    before = state(model, tokenizer)
    with pytest.raises(error, match=rf"(?s)^{message}"):
        explain()
    assert same(state(model, tokenizer), before)


@pytest.fixture(scope="module")
def own():
    """A model that no other test sees, half of it trainable, in training mode, and a tokenizer with user settings."""
    model = classifier()
    model.config.id2label = {0: "joy", 1: "fear", 2: "anger"}
    model.train()
    model.bert.embeddings.requires_grad_(False)
    tokenizer = deepcopy(wordpiece())
    tokenizer.backend_tokenizer.enable_truncation(5)
    tokenizer.backend_tokenizer.enable_padding(length=12)
    return model, tokenizer


TOO_LONG = "fox " * 100
INPUTS = [
    ([], "inputs: expected at least one text, got none"),
    ("", r"inputs\[0\]: expected a text, got an empty one; leave it out"),
    (["a dog", " \n "], r"inputs\[1\]: expected a text, got only white space; leave it out"),
    (None, "inputs: expected a text, .* got NoneType"),
    (3, "inputs: expected a text, .* got int: 3"),
    (b"fox", "inputs: expected a text, .* got bytes: b'fox'; decode it to a str"),
    (["a dog", None], r"inputs\[1\]: expected a text, .* got NoneType"),
    ("a \udc80", r"inputs\[0\]: expected Unicode text, got a lone surrogate at character 2; clean it"),
    ({"text": "a dog"}, r"inputs: expected a mapping with 'input_ids', got the keys \['text'\]"),
    (
        TOO_LONG,
        r"inputs\[0\]: expected at most the 64 tokens that the model reads, got a text of \d+; .*truncation=True",
    ),
    ("[SEP]", r"inputs\[0\]: expected a text with at least one token to explain, got '\[SEP\]'"),
    (
        {"input_ids": [[2, 500, 3]]},
        r"inputs\[0\]: expected ids from 0 to \d+, the model's vocabulary, got 500; pass ids",
    ),
    ({"input_ids": [[2, -1, 3]]}, r"inputs\[0\]: expected ids from 0 on, got -1"),
    ([{"role": "user", "content": "Hi"}], r"inputs\[0\]: a chat needs a tokenizer with a chat template"),
]


@pytest.mark.parametrize(("given", "message"), INPUTS, ids=[message[:40] for _, message in INPUTS])
@pytest.mark.parametrize("method", [Occlusion, IntegratedGradients])
def test_inputs(own, method, given, message):
    refused(InputError, message, lambda: method(*own)(given), *own)


def test_a_generator_given_twice(own):
    texts = (text for text in ["a dog", "the fox"])
    assert len(Occlusion(*own)(texts)) == 2
    refused(InputError, "inputs: .* an iterator can be read only once", lambda: Occlusion(*own)(texts), *own)


TARGETS = [
    (torch.zeros(1, 6).long(), r"targets: expected 2 rows \(one per input\), got shape \(1, 6\); pass "),
    ([0, 1, 2], r"targets: expected 2 rows \(one per input\), got 3 entries"),
    ("sad", r"targets\[0\]: expected one of the labels \['joy', 'fear', 'anger'\], got 'sad'"),
    ([0, Contrast("joy", "sad")], r"targets\[1\]: expected one of the labels \['joy', 'fear', 'anger'\], got 'sad'"),
    (7, r"targets\[0\]: expected a class from 0 to 2, got 7"),
    ([[0, -1], 1], r"targets\[0\]: expected a class from 0 to 2, got -1"),
    (1.0, "targets: expected indices, labels, texts or ids, got float: 1.0"),
    ([1.0, 0], r"targets\[0\]: expected a class index, a label or a Contrast of two, got float: 1.0"),
    (True, r"targets\[0\]: expected a class index, a label or a Contrast of two, got bool: True"),
    (torch.ones(2, 1), "targets: expected whole numbers, got a tensor of torch.float32"),
    (torch.ones(2, 1) > 0, "targets: expected whole numbers, got a tensor of torch.bool"),
    ([], "targets: expected at least one target, got none"),
    ([[], 0], r"targets\[0\]: expected at least one class, got none"),
]


@pytest.mark.parametrize(("targets", "message"), TARGETS, ids=[message[:40] for _, message in TARGETS])
def test_targets(own, targets, message):
    refused(InputError, message, lambda: Occlusion(*own)(["a dog", "the fox"], targets), *own)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (5, r"targets\[0\]: expected one output per input, as a text or as a row of token ids, got 5"),
        ([" a", " b"], r"targets\[0\]: expected one output per input, .*got \[' a', ' b'\]"),
        ([[1.5]], r"targets\[0\]: expected one output per input"),
        ("", r"targets\[0\]: expected a text, got an empty one"),
        ("a\ud800", r"targets\[0\]: expected Unicode text, got a lone surrogate at character 1"),
        ([[10**6]], r"targets\[0\]: expected ids from 0 to \d+, the model's vocabulary, got 1000000"),
        ([[-4]], r"targets\[0\]: expected ids from 0 on, got -4"),
        (" fox" * 200, r"targets\[0\]: expected at most the 128 tokens that the model reads, got prompt and output of"),
    ],
)
def test_targets_of_a_generation(target, message):
    own = language_model(), byte_bpe()
    refused(InputError, message, lambda: Occlusion(*own)(TEXT, target), *own)


OPTIONS = [
    (Occlusion, {"granularity": "wrd"}, r"granularity: expected one of \['all_tokens', 'token', 'word',.*got 'wrd'"),
    (Occlusion, {"output_granularity": "wrd"}, r"output_granularity: expected one of \['all_tokens', .*got 'wrd'"),
    (Occlusion, {"inference_mode": "prob"}, r"inference_mode: expected one of \['logits', 'softmax', .*got 'prob'"),
    (Occlusion, {"batch_size": 0}, "batch_size: expected a whole number, at least 1, got 0"),
    (
        Occlusion,
        {"removal": "msk"},
        r"removal: expected one of \['mask', 'attention', 'delete'\] or a token .*got 'msk'",
    ),
    (IntegratedGradients, {"baseline": "noise"}, "baseline: expected 'mask', 'pad', 'zero', 'mean', .*got 'noise'"),
    (IntegratedGradients, {"baseline": torch.zeros(7)}, r"baseline: expected a tensor \(32,\), .*, got \(7,\)"),
    (
        IntegratedGradients,
        {"baseline": torch.zeros(3, 32)},
        r"baseline: expected a tensor \(32,\), or \(\d+, 32\) for the tokens of inputs\[0\], got \(3, 32\)",
    ),
    (InputxGradient, {"reduction": "product"}, "reduction: expected 'sum', 'mean' or 'max', got 'product'"),
]


@pytest.mark.parametrize(("method", "options", "message"), OPTIONS, ids=[next(iter(o)) for _, o, _ in OPTIONS])
def test_options(own, method, options, message):
    refused(InputError, message, lambda: method(*own, **options)(TEXT), *own)


def test_options_of_generation_are_noticed_where_nothing_is_written(own):
    with pytest.warns(UserWarning, match=r"^output_granularity, generation: for models that write; a classification"):
        (result,) = Occlusion(*own, output_granularity="word", generation={"max_new_tokens": 3})(TEXT)
    assert torch.equal(result.scores, Occlusion(*own, output_granularity="token")(TEXT)[0].scores)


def test_no_mask_token():
    own = language_model(), byte_bpe()
    message = "removal: 'mask' needs a tokenizer with a mask token, this one has none; use 'attention', 'delete'"
    refused(InputError, message, lambda: Occlusion(*own, removal="mask")(TEXT, " a"), *own)
    message = "baseline: expected 'mask', .*, got 'mask', which this tokenizer does not have"
    refused(InputError, message, lambda: IntegratedGradients(*own, baseline="mask")(TEXT, " a"), *own)


def test_regression_has_no_probabilities_and_one_target():
    own = build("bert", Task.CLASSIFICATION, num_labels=1), wordpiece()
    message = "inference_mode: a regression model has no probabilities, use 'logits', not 'softmax'"
    refused(InputError, message, lambda: Occlusion(*own, inference_mode="softmax")(TEXT), *own)
    refused(InputError, r"targets\[0\]: expected a class from 0 to 0, got 1", lambda: Occlusion(*own)(TEXT, 1), *own)


# Models and tokenizers


def test_a_slow_tokenizer():
    model, tokenizer = classifier(), SlowTokenizer()
    message = "tokenizer: expected a fast tokenizer, .*got SlowTokenizer; load it with .*use_fast=True"
    refused(ModelError, message, lambda: Occlusion(model, tokenizer)("the fox"), model, tokenizer)


def test_a_tokenizer_of_another_vocabulary():
    model, tokenizer = classifier(), byte_bpe()
    sizes = rf"the model's {len(wordpiece())} embeddings, got {len(tokenizer)} tokens"
    message = rf"tokenizer: expected a vocabulary that fits {sizes}; pass"
    refused(ModelError, message, lambda: Occlusion(model, tokenizer), model, tokenizer)


def test_a_model_on_the_meta_device():
    with torch.device("meta"):
        model = BertForSequenceClassification(classifier().config)
    with pytest.raises(ModelError, match=r"^model: expected a model with weights, got one on the meta device; load"):
        Occlusion(model, wordpiece())


def test_no_model_and_a_model_without_a_head():
    with pytest.raises((ModelError, TypeError)):
        Occlusion("bert-base-uncased", wordpiece())
    model = classifier().bert
    message = r"model: expected one that classifies .*got BertModel.*; load it with an AutoModelFor"
    refused(ModelError, message, lambda: Occlusion(model, wordpiece())(TEXT), model, wordpiece())


class BrokenError(Exception):
    pass


def fail_at_call(model, call):
    """Let the model's forward fail at its n-th call."""
    calls = []

    def fail(_module, _args):
        calls.append(1)
        if len(calls) == call:
            raise BrokenError

    return model.bert.encoder.register_forward_pre_hook(fail)


@pytest.mark.parametrize("method", [Occlusion, KernelShap, InputxGradient, IntegratedGradients])
@pytest.mark.parametrize("call", [1, 2, 3])
def test_an_exception_inside_the_forward_leaves_everything_as_it_was(own, method, call):
    model, tokenizer = own
    before = state(model, tokenizer)
    rng = torch.get_rng_state()
    handle = fail_at_call(model, call)
    try:
        with pytest.raises(BrokenError):
            method(model, tokenizer, batch_size=2)([TEXT, "a dog"])
    finally:
        handle.remove()
    assert same(state(model, tokenizer), before)
    assert torch.equal(torch.get_rng_state(), rng)


def test_an_exception_inside_a_generation_leaves_everything_as_it_was():
    model, tokenizer = build("gpt2", Task.CAUSAL_LM), byte_bpe()
    before = state(model, tokenizer)
    rng = torch.get_rng_state()

    def fail(_module, _args):
        raise BrokenError

    handle = model.transformer.h[1].register_forward_pre_hook(fail)
    try:
        with pytest.raises(BrokenError):
            Occlusion(model, tokenizer, generation={"do_sample": True})(TEXT)
    finally:
        handle.remove()
    assert same(state(model, tokenizer), before)
    assert torch.equal(torch.get_rng_state(), rng)


@pytest.mark.parametrize("method", [Occlusion, IntegratedGradients])
def test_nan_scores_name_the_input(method):
    model, tokenizer = build("bert", Task.CLASSIFICATION), wordpiece()
    dog = tokenizer.convert_tokens_to_ids("dog")
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight[dog] = float("nan")
    message = r"inputs\[1\]: expected numbers from the model, got NaN for 'a dog'; try float32"
    refused_nan = method(model, tokenizer)
    with pytest.raises(ModelError, match=f"^{message}"):
        refused_nan([TEXT, "a dog"])
    assert len(refused_nan([TEXT])) == 1


# Small texts are no mistakes


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__name__)
@pytest.mark.parametrize("task", [Task.CLASSIFICATION, Task.CAUSAL_LM])
def test_a_text_of_one_element(method, task):
    own = (classifier(), wordpiece()) if task is Task.CLASSIFICATION else (language_model(), byte_bpe())
    (result,) = method(*own)("fox", None if task is Task.CLASSIFICATION else " ran")
    assert bool(result.scores[:, 0].isfinite().all())
    assert result.elements[0].text == "fox"


def test_a_prompt_of_one_token_and_an_output_of_one_token():
    model, tokenizer = model_and_tokenizer("gpt2", Task.CAUSAL_LM)
    (result,) = Occlusion(model, tokenizer)("a", "b")
    assert result.scores.shape == (1, 1)


def test_truncation_is_by_the_users_own_word(own):
    with pytest.warns(UserWarning, match=r"inputs\[1\]: cut from \d+ to the 64 tokens that the model reads"):
        results = Occlusion(*own, truncation=True, granularity="text")(["a dog", TOO_LONG])
    assert len(results[1].sample.tokens) == 64


def test_warnings_point_at_the_users_line(tmp_path):
    """In a process of its own, for the checks of annotations in the tests are frames too."""
    script = tmp_path / "mine.py"
    script.write_text(
        "from interpreto import Occlusion\n"
        "from tests.architectures import CLASSES, build\n"
        "from tests.tiny import wordpiece\n"
        "model = build('bert', CLASSES, vocab_size=2000)\n"
        "explainer = Occlusion(model, wordpiece(), truncation=True, granularity='text')\n"
        "explainer.explain(\n"
        "    'fox ' * 100)\n"
    )
    root = str(Path(__file__).parents[2])
    paths = os.pathsep.join([root, str(Path(interpreto.__file__).parents[1])])
    run = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    found = [line.split("InterpretoWarning: ")[:2] for line in run.stderr.splitlines() if "Warning: " in line]
    assert [(place.rstrip(": "), message.split(":")[0]) for place, message in found] == [
        (f"{script}:5", "tokenizer"),
        (f"{script}:6", "inputs[0]"),
    ]


def test_a_vocabulary_smaller_than_the_models_is_fine():
    smaller = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(wordpiece().backend_tokenizer.to_str()),
        unk_token="[UNK]",
        pad_token="[PAD]",
        mask_token="[MASK]",
    )
    model = build("bert", Task.CLASSIFICATION, vocab_size=len(smaller) + 10)
    assert len(Occlusion(model, smaller)(TEXT)) == 1
