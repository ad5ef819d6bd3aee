"""Translators: the identity at the start, no worse than the logit lens in the end, and a planted one found again."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from interpreto.concepts.lenses import LogitLens, TunedLens
from interpreto.concepts.lenses import tuned_lens as module
from interpreto.concepts.lenses.reading import states_of
from interpreto.demo import load
from interpreto.errors import InputError, ModelError, StoreError
from interpreto.model_wrapping import ModelWithSplitPoints
from interpreto.model_wrapping.hooks import untouched
from interpreto.model_wrapping.unembedding import Unembedding
from tests.architectures import ARCHITECTURES, CAUSAL, MASKED, SEQ2SEQ, build, model_and_tokenizer
from tests.tiny import LINES, byte_bpe, language_model

STORIES = [
    f"{begin} {name} {what}."
    for begin in ("One day,", "Once upon a time,", "In the morning,")
    for name in ("Lily", "a little boy named Tim", "the big dog", "a cat", "her mom")
    for what in ("went to the park to play", "was very sad and cried", "found a red ball under the tree", "said hello")
]
HELD_OUT = [
    "Tom and his friend saw a bird in the sky. They were happy.",
    "The girl had a toy car. She liked to share it with her brother.",
    "At night, the moon was bright and the bear was sleepy.",
]


@pytest.fixture(scope="module")
def stories():
    model, tokenizer = load("stories")
    return ModelWithSplitPoints(model, range(model.config.num_hidden_layers), tokenizer=tokenizer)


@pytest.fixture(scope="module")
def tuned(stories):
    return TunedLens.fit(stories, STORIES, steps=40, tokens_per_step=64, learning_rate=2e-3, held_out=0.3)


def mean_divergences(lens, texts):
    results = lens(texts)
    return torch.cat([result.divergences for result in results], dim=1).mean(dim=1)


def test_on_texts_that_it_never_saw_it_is_nearer_to_the_model_than_the_logit_lens(stories, tuned):
    plain, found = mean_divergences(LogitLens(stories), HELD_OUT), mean_divergences(tuned, HELD_OUT)
    assert len(found) == 5
    assert bool((found[:-1] < plain[:-1]).all())
    assert float(found[0]) < 0.9 * float(plain[0])
    assert float(found[-1]) < 1e-5  # after the last block nothing is learned


def test_the_report_is_what_the_lens_does_on_the_texts_that_were_held_out(stories, tuned):
    report = tuned.report
    assert report.layers == tuned.layers == ("0", "1", "2", "3")
    assert all(after <= before for before, after in zip(report.before, report.after, strict=True))
    order = torch.randperm(len(STORIES), generator=torch.Generator().manual_seed(0)).tolist()
    texts = [STORIES[at] for at in order[: round(0.3 * len(STORIES))]]
    assert report.n_held_out == sum(len(sample.tokens) for sample in stories.samples(texts))
    assert report.n_tokens + report.n_held_out == sum(len(sample.tokens) for sample in stories.samples(STORIES))
    assert mean_divergences(tuned, texts)[:4].tolist() == pytest.approx(report.after, abs=1e-3)
    assert mean_divergences(LogitLens(stories), texts)[:4].tolist() == pytest.approx(report.before, abs=1e-3)


def test_it_starts_as_the_logit_lens_and_never_ends_worse(stories):
    wild = TunedLens.fit(stories, STORIES[:6], steps=3, tokens_per_step=8, learning_rate=1e3)
    assert not bool(wild.weights.any())
    assert not bool(wild.biases.any())
    assert wild.report.before == wild.report.after
    (one,), (other,) = wild(HELD_OUT[:1]), LogitLens(stories)(HELD_OUT[:1])
    assert torch.equal(one.top, other.top)
    torch.testing.assert_close(one.divergences, other.divergences)


def test_a_planted_translator_is_found():
    """The last block multiplies by a matrix, so a translator exists that makes the layer before say the same."""
    model = build("llama", CAUSAL)
    block = model.model.layers[1]
    with torch.no_grad():
        for part in (block.self_attn.o_proj, block.mlp.down_proj):
            part.weight.zero_()
    matrix = torch.eye(32) + 0.3 * torch.randn(32, 32, generator=torch.Generator().manual_seed(1))
    block.register_forward_hook(
        lambda _module, _args, out: out @ matrix.T if isinstance(out, torch.Tensor) else (out[0] @ matrix.T, *out[1:])
    )
    split = ModelWithSplitPoints(model, [0], tokenizer=ARCHITECTURES["llama"].tokenizer())
    lens = TunedLens.fit(split, LINES * 4, steps=200, tokens_per_step=64, learning_rate=2e-2)
    assert lens.report.before[0] > 0.2
    assert lens.report.after[0] < 0.02
    exact = TunedLens(split, ("0",), (matrix - torch.eye(32))[None], torch.zeros(1, 32))
    assert float(mean_divergences(exact, LINES)[0]) < 1e-5


def test_one_step_of_the_bias_is_the_gradient_written_out():
    """Adam's first step is the learning rate against the sign of the gradient."""
    split = ModelWithSplitPoints(language_model(), [0, 1], tokenizer=byte_bpe())
    unembedding = Unembedding(split.traits)
    rows = module.Rows.of(list(states_of(split, unembedding, LINES[:2])), ("0",))
    lesson = module._Lesson.begin(unembedding, rows.layers[0], 10, 0.01)
    with untouched(split.model, constant_parameters=True):
        module._learn(unembedding, [lesson], rows, torch.arange(len(rows.last)))
    weight, bias = torch.zeros(32, 32, requires_grad=True), torch.zeros(32, requires_grad=True)
    model = split.model
    h = rows.layers[0]
    lens = model.lm_head(model.transformer.ln_f(h + h @ weight.T + bias)).log_softmax(dim=-1)
    own = model.lm_head(model.transformer.ln_f(rows.last)).detach().log_softmax(dim=-1)
    loss = (own.exp() * (own - lens)).sum(dim=-1).mean()
    of_weight, of_bias = torch.autograd.grad(loss, [weight, bias])
    clear = of_weight.abs() > 1e-4
    assert torch.equal(lesson.weight.detach()[clear].sign(), -of_weight[clear].sign())
    torch.testing.assert_close(
        lesson.weight.detach()[clear].abs(), torch.full((int(clear.sum()),), 0.01), rtol=1e-2, atol=0
    )
    assert torch.equal(lesson.bias.detach().sign(), -of_bias.sign())


@pytest.mark.parametrize(("name", "task"), [("bert", MASKED), ("t5", SEQ2SEQ), ("gemma3", CAUSAL)])
def test_other_architectures(name, task):
    model, tokenizer = model_and_tokenizer(name, task)
    split = ModelWithSplitPoints(model, "decoder.0" if task is SEQ2SEQ else 0, tokenizer=tokenizer)
    targets = ["it is a great day"] * len(LINES) if task is SEQ2SEQ else None
    lens = TunedLens.fit(split, LINES, targets, steps=30, tokens_per_step=32, learning_rate=1e-2, held_out=0.4)
    assert lens.report.after[0] < lens.report.before[0]
    assert lens(LINES[:2], None if targets is None else targets[:2])[1].divergences.shape[0] == 1


def test_seeds_repeat_and_batches_change_nothing():
    def fitted(seed, **options):
        split = ModelWithSplitPoints(language_model(), 0, tokenizer=byte_bpe(), **options)
        return TunedLens.fit(split, LINES, steps=5, tokens_per_step=8, seed=seed, learning_rate=1e-2)

    first = fitted(3)
    assert torch.equal(first.weights, fitted(3).weights)
    assert not torch.equal(first.weights, fitted(4).weights)
    torch.testing.assert_close(first.weights, fitted(3, batch_size=1).weights, atol=1e-4, rtol=1e-2)


def test_parts_of_a_step_change_nothing(monkeypatch):
    split = ModelWithSplitPoints(language_model(), 0, tokenizer=byte_bpe())
    whole = TunedLens.fit(split, LINES, steps=3, tokens_per_step=16)
    monkeypatch.setattr("interpreto.model_wrapping.unembedding._NUMBERS_AT_ONCE", 5 * len(byte_bpe()))
    parts = TunedLens.fit(split, LINES, steps=3, tokens_per_step=16)
    torch.testing.assert_close(whole.report.after, parts.report.after, atol=1e-4, rtol=1e-4)


def test_saved_and_read_again(tuned, stories, tmp_path):
    folder = tuned.save(tmp_path / "lens")
    assert sorted(path.name for path in folder.iterdir()) == ["lens.json", "translators.safetensors"]
    assert set(load_file(folder / "translators.safetensors")) == {"weights", "biases"}
    again = TunedLens.load(folder, stories)
    assert torch.equal(again.weights, tuned.weights)
    assert again.report == tuned.report
    (one,), (other,) = tuned(HELD_OUT[:1]), again(HELD_OUT[:1])
    assert one.to_json() == other.to_json()
    assert one.settings["report"]["seed"] == 0
    fewer = TunedLens.load(folder, ModelWithSplitPoints(stories.model, [2, 4], tokenizer=stories.tokenizer))
    torch.testing.assert_close(fewer(HELD_OUT[:1])[0].divergences, one.divergences[[2, 4]])
    assert tuned.with_k(2)(HELD_OUT[:1])[0].top.shape[2] == 2
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="could not be written"):
        tuned.save(tmp_path / "file")


def test_damaged_files_are_refused(tuned, stories, tmp_path):
    with pytest.raises(InputError, match="no file"):
        TunedLens.load(tmp_path, stories)
    folder = tuned.save(tmp_path / "lens")
    about = json.loads((folder / "lens.json").read_text())
    for changes in ({"kind": "concepts"}, {"format": 2}, {"layers": 3}, {"report": {"seed": 1}}, {"layers": ["0"]}):
        (folder / "lens.json").write_text(json.dumps({**about, **changes}))
        with pytest.raises(InputError, match="expected"):
            TunedLens.load(folder, stories)
    (folder / "lens.json").write_text(json.dumps(about))
    (folder / "translators.safetensors").write_bytes(b"no tensors")
    with pytest.raises(InputError, match="damaged"):
        TunedLens.load(folder, stories)


def test_the_model_is_untouched_also_after_an_exception():
    model = language_model().train()
    split = ModelWithSplitPoints(model, 0, tokenizer=byte_bpe())
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def check():
        assert model.training
        assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
        assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
        assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())

    TunedLens.fit(split, LINES, steps=2, tokens_per_step=4)
    check()
    forward, calls = model.transformer.ln_f.forward, []

    def failing(hidden):
        calls.append(0)
        if len(calls) > 6:
            raise RuntimeError("no more")
        return forward(hidden)

    model.transformer.ln_f.forward = failing
    with pytest.raises((RuntimeError, ModelError), match="no more"):
        TunedLens.fit(split, LINES, steps=20, tokens_per_step=4)
    del model.transformer.ln_f.forward
    check()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_models_on_another_device(tmp_path):
    def split_on(device):
        return ModelWithSplitPoints(language_model().to(device), [0, 1], tokenizer=byte_bpe())

    splits = [split_on(device) for device in ("cpu", "cuda")]
    plain = [mean_divergences(LogitLens(split), LINES) for split in splits]
    torch.testing.assert_close(*plain, atol=1e-4, rtol=1e-3)
    lenses = [TunedLens.fit(split, LINES, steps=5, tokens_per_step=16, learning_rate=1e-2) for split in splits]
    assert lenses[0].report.after == pytest.approx(lenses[1].report.after, abs=1e-2)
    again = TunedLens.load(lenses[1].save(tmp_path / "lens"), splits[0])
    torch.testing.assert_close(mean_divergences(again, LINES), mean_divergences(lenses[1], LINES), atol=1e-3, rtol=1e-2)


def test_bad_input(tuned, stories):
    with pytest.raises(InputError, match="at least two texts"):
        TunedLens.fit(stories, HELD_OUT[:1])
    with pytest.raises(InputError, match="steps: expected a whole number"):
        TunedLens.fit(stories, HELD_OUT, steps=0)
    with pytest.raises(InputError, match="before the last block"):
        TunedLens.fit(ModelWithSplitPoints(stories.model, 4, tokenizer=stories.tokenizer), HELD_OUT)
    with pytest.raises(InputError, match="held_out"):
        TunedLens.fit(stories, HELD_OUT, held_out=1.0)
    with pytest.raises(InputError, match="learning_rate"):
        TunedLens.fit(stories, HELD_OUT, learning_rate=0.0)
    with pytest.raises(InputError, match="translators, got"):
        TunedLens(stories, ("0",), torch.zeros(1, 192, 192), torch.zeros(1, 192))
    with pytest.raises(InputError, match="expected the shapes"):
        TunedLens(stories, tuned.layers, torch.zeros(4, 8, 8), torch.zeros(4, 8))
