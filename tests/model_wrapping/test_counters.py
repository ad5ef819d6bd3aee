"""What is run: counted, for counts hold on every machine."""

from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from interpreto import GradientShap, InputxGradient, KernelShap, Occlusion, Saliency, Segments
from interpreto.model_wrapping import reading
from interpreto.types import Granularity, InferenceMode, Removal
from tests.architectures import CAUSAL, CLASSES, MASKED, SEQ2SEQ, model_and_tokenizer
from tests.model_wrapping.plain import engine
from tests.tiny import LINES, byte_bpe

PROSE = " ".join(LINES * 40)


@dataclass
class Counts:
    """Of forward passes, of tokens that they got, of rows and columns of the head, and of backward passes."""

    passes: int = 0
    tokens: int = 0
    head: list[tuple[int, int]] = field(default_factory=list)


@contextmanager
def counted(model):
    counts = Counts()

    def before(_module, _args, inputs):
        counts.passes += 1
        counts.tokens += inputs["input_ids"].numel() + inputs.get("decoder_input_ids", torch.empty(0)).numel()

    def after(_module, _args, output):
        if output.logits.dim() == 3:
            counts.head.append((output.logits.shape[:-1].numel(), output.logits.shape[-1]))

    handles = [model.register_forward_pre_hook(before, with_kwargs=True), model.register_forward_hook(after)]
    try:
        yield counts
    finally:
        for handle in handles:
            handle.remove()


@pytest.fixture(scope="module")
def wide():
    """A language model with 256 places."""
    torch.manual_seed(0)
    tokenizer = byte_bpe()
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=512, n_embd=32, n_layer=2, n_head=2)
    return GPT2LMHeadModel(config).eval(), tokenizer


def warmed(explainer, *args):
    """The explainer after its first call, which finds out once what the model can do."""
    explainer(*args)
    return explainer


def test_one_pass_a_distinct_input_whatever_the_number_of_targets():
    model, tokenizer = model_and_tokenizer("bert", CLASSES)
    text = "The quick brown fox jumps"
    one, every = [0], torch.arange(model.config.num_labels).view(1, -1)
    found = []
    for targets in (one, every):
        explainer = warmed(Occlusion(model, tokenizer), text, targets)
        with counted(model) as counts:
            (result,) = explainer(text, targets)
        found.append(counts.tokens)
    assert found == [(len(result.elements) + 1) * len(result.sample.tokens)] * 2


def test_equal_inputs_are_run_once():
    model, tokenizer = model_and_tokenizer("bert", CLASSES)
    explainer = warmed(KernelShap(model, tokenizer, n_perturbations=200), "fox jumps", [0])
    with counted(model) as counts:
        (result,) = explainer("fox jumps", [0])
    assert counts.tokens == 2 ** len(result.elements) * len(result.sample.tokens)


@pytest.mark.parametrize("explain", [Saliency, InputxGradient])
def test_gradients_at_the_text_take_one_pass(explain):
    model, tokenizer = model_and_tokenizer("bert", CLASSES)
    explainer = warmed(explain(model, tokenizer), "The quick brown fox", [0])
    with counted(model) as counts:
        explainer(["The quick brown fox"] * 3, [0, 1, 2])
    assert counts.passes == 1


def test_paths_take_their_points_and_their_ends():
    model, tokenizer = model_and_tokenizer("bert", CLASSES)
    explainer = warmed(GradientShap(model, tokenizer, n_samples=6), "The quick brown fox", [0])
    with counted(model) as counts:
        (result,) = explainer("The quick brown fox", [0])
    assert counts.tokens == 8 * len(result.sample.tokens)


@pytest.mark.parametrize("mode", list(InferenceMode))
@pytest.mark.parametrize(("name", "task"), [("gpt2", CAUSAL), ("t5", SEQ2SEQ), ("bert", MASKED)])
def test_the_head_answers_what_is_read_and_no_more(name, task, mode):
    model, tokenizer = model_and_tokenizer(name, task)
    text, target = ("The [MASK] brown fox", ["dog"]) if task is MASKED else ("The quick brown fox", [" jumps over"])
    scorer, (explained,) = engine(model, tokenizer, [text], target, mode=mode)
    keep = torch.ones(2, len(explained.elements), dtype=torch.bool)
    keep[1, 0] = False
    scorer.scores([explained], [keep])
    with counted(model) as counts:
        scorer.scores([explained], [keep])
    columns = {column for _, column in explained.readout.reads}
    known = explained.untouched_read is not None
    assert counts.head == [((2 - known) * len(explained.readout.slots), len(columns))]


@pytest.mark.parametrize("mode", list(InferenceMode))
def test_columns_and_whole_logits_give_the_same_numbers(mode, monkeypatch):
    model, tokenizer = model_and_tokenizer("gpt2", CAUSAL)
    case = (model, tokenizer, "The quick brown fox", " jumps over the dog")
    scores, gradients = [], []
    for levers in (True, False):
        if not levers:
            monkeypatch.setattr("interpreto.model_wrapping.forward.Forward._answers_by_columns", False)
        scorer, texts = engine(*case, mode=mode)
        keep = torch.eye(len(texts[0].elements)).bool()
        scores += scorer.scores(texts, [keep])
        gradients.append(InputxGradient(model, tokenizer, inference_mode=mode)(*case[2:])[0].scores)
    torch.testing.assert_close(*scores, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-4, equal_nan=True)


def plain_tokens(result):
    """What a plain loop runs: every element left out once, and the whole, up to the last place that is read."""
    return (len(result.elements) + 1) * (len(result.sample.tokens) - 1)


@pytest.mark.parametrize("length", [128, 256])
def test_occlusion_shares_beginnings(wide, length, monkeypatch):
    model, tokenizer = wide
    text, output = prose(tokenizer, length - 8), " a little dog"
    explainer = warmed(Occlusion(model, tokenizer, granularity=Granularity.TOKEN), text, output)
    with counted(model) as counts:
        (shared,) = explainer(text, output)
    assert counts.tokens <= 0.65 * plain_tokens(shared)
    monkeypatch.setattr(reading, "pays", lambda *_: False)
    with counted(model) as counts:
        (plain,) = explainer(text, output)
    assert counts.tokens == plain_tokens(plain)
    torch.testing.assert_close(shared.scores, plain.scores, atol=1e-5, rtol=1e-4, equal_nan=True)
    torch.testing.assert_close(shared.target_scores, plain.target_scores)


def test_short_texts_do_not_share(wide):
    model, tokenizer = wide
    explainer = warmed(Occlusion(model, tokenizer), "we are to", " the lazy")
    with counted(model) as counts:
        (result,) = explainer("we are to", " the lazy")
    assert counts.passes == 1
    assert counts.tokens == plain_tokens(result)


@pytest.mark.parametrize("removal", [Removal.ATTENTION, Removal.DELETE])
def test_fixed_context_is_run_once(wide, removal):
    model, tokenizer = wide
    text = prose(tokenizer, 288)
    spans = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    given = Segments(text, tuple((start, end) for start, end in spans[256:]))
    options = {"n_perturbations": 128, "removal": removal, "granularity": Granularity.TOKEN}
    explainer = warmed(KernelShap(model, tokenizer, **options), given, " the lazy dog")
    with counted(model) as counts:
        (result,) = explainer(given, " the lazy dog")
    assert len(result.elements) >= 32
    assert counts.tokens <= 0.25 * 128 * len(result.sample.tokens)


def test_fixed_context_is_run_once_for_gradients(wide, monkeypatch):
    model, tokenizer = wide
    text = prose(tokenizer, 288)
    spans = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    given = Segments(text, tuple((start, end) for start, end in spans[256:]))
    explainer = warmed(GradientShap(model, tokenizer, n_samples=20), given, " the lazy dog")
    with counted(model) as counts:
        (shared,) = explainer(given, " the lazy dog")
    assert counts.tokens <= 0.25 * 20 * len(shared.sample.tokens)
    monkeypatch.setattr("interpreto.model_wrapping.gradients._LONG_CONTEXT", 1000)
    (plain,) = explainer(given, " the lazy dog")
    torch.testing.assert_close(shared.scores, plain.scores, atol=1e-5, rtol=1e-4, equal_nan=True)
    torch.testing.assert_close(shared.baseline_scores, plain.baseline_scores)


def prose(tokenizer, length):
    """The beginning of some text, of so many tokens."""
    return PROSE[: tokenizer(PROSE, return_offsets_mapping=True)["offset_mapping"][length - 1][1]]


@pytest.mark.parametrize(
    "name", ["gpt2", "llama", "gptj", "opt", "falcon-alibi", "qwen3", "mixtral", "codegen", "bert"]
)
@pytest.mark.parametrize("removal", [Removal.ATTENTION, Removal.DELETE])
def test_shared_beginnings_change_nothing(name, removal, monkeypatch):
    model, tokenizer = model_and_tokenizer(name, CAUSAL)
    case = (model, tokenizer, "The quick brown fox jumps over", " the lazy dog and")
    found = []
    for share in (True, False):
        monkeypatch.setattr(reading, "pays", lambda *_, share=share: share)
        scorer, (text,) = engine(*case, removal=removal)
        keep = torch.cat([~torch.eye(len(text.elements)).bool(), torch.ones(1, len(text.elements)).bool()])
        assert scorer._forward.looks_back_only  # found out before anything is counted
        with counted(model) as counts:
            found += scorer.scores([text], [keep])
        assert scorer.traits.found_out.get("beginnings", False) is share
        assert (counts.tokens < (len(keep) + 1) * len(text.sample.tokens)) or not share
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-4)
