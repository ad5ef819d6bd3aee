"""Interventions in running models, beside hooks that are written by hand."""

import copy
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import kl_div

from interpreto import KernelShap, Occlusion, Saliency
from interpreto.concepts import NeuronsAsConcepts, PCAConcepts, SVDConcepts
from interpreto.concepts.steering import Operation, Positions, Steering
from interpreto.errors import InputError, ModelError, NotFittedError
from interpreto.model_wrapping import ModelWithSplitPoints
from tests.architectures import ARCHITECTURES, CAUSAL, CLASSES, SEQ2SEQ, build, model_and_tokenizer
from tests.concepts.simple import RandomConcepts
from tests.model_wrapping.test_untouched import state
from tests.tiny import LINES, byte_bpe, classifier, language_model, wordpiece

D = 32
GENERATION = {"do_sample": False, "max_new_tokens": 8, "min_new_tokens": 8, "pad_token_id": 0}


def direction(seed=0, d=D):
    return torch.randn(d, generator=torch.Generator().manual_seed(seed))


@contextmanager
def by_hand(module, change):
    """A hook as one would write it oneself."""

    def hook(_module, _args, output):
        return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def split_of(model, tokenizer, points=0):
    return ModelWithSplitPoints(model, split_points=points, tokenizer=tokenizer)


def encoded(tokenizer, texts, side="right", pad=0):
    """A batch with its mask, padded on a side."""
    rows = [tokenizer(text)["input_ids"] for text in texts]
    width = max(map(len, rows))
    ids, mask = torch.full((len(rows), width), pad), torch.zeros(len(rows), width, dtype=torch.long)
    for k, row in enumerate(rows):
        where = slice(0, len(row)) if side == "right" else slice(width - len(row), None)
        ids[k, where], mask[k, where] = torch.tensor(row), 1
    return {"input_ids": ids, "attention_mask": mask}


def written(model, inputs, **options):
    """What a model writes, and the logits `(steps, b, v)` that it writes from."""
    mask = inputs.get("attention_mask", torch.ones_like(inputs["input_ids"]))
    options = {**GENERATION, "output_logits": True, "return_dict_in_generate": True, **options}
    found = model.generate(**{**inputs, "attention_mask": mask}, **options)
    return found.sequences, torch.stack(found.logits)


@pytest.fixture(scope="module")
def writer():
    """A language model, and concepts of what leaves its first block."""
    split = split_of(language_model(), byte_bpe())
    concepts = SVDConcepts(split, nb_concepts=6)
    concepts.fit(split.get_activations(LINES))
    return concepts


@pytest.fixture(scope="module")
def reader():
    """A classifier, and concepts of its first block."""
    split = split_of(classifier(), wordpiece())
    concepts = PCAConcepts(split, nb_concepts=6)
    concepts.fit(split.get_activations(LINES))
    return concepts


def logits(concepts, **options):
    with torch.no_grad():
        return concepts.split.model(**encoded(concepts.split.tokenizer, LINES), **options).logits


# What is done, by hand

UNIT = direction(3) / direction(3).norm()


@pytest.mark.parametrize(
    ("make", "change"),
    [
        (lambda s: s.steer(direction(3), 2.5), lambda h: h + 2.5 * UNIT),
        (lambda s: s.ablate(direction(3)), lambda h: h - (h @ UNIT)[..., None] * UNIT),
        (lambda s: s.clamp(direction(3), 4.0), lambda h: h + (4.0 - h @ UNIT)[..., None] * UNIT),
        (lambda s: s.boost(direction(3), -1.0), lambda h: h - 2 * (h @ UNIT)[..., None] * UNIT),
    ],
)
def test_directions(make, change, writer):
    split = writer.split
    with by_hand(split.model.transformer.h[0], change):
        expected = logits(writer)
    for steering in (Steering(split), Steering(writer)):
        with make(steering):
            torch.testing.assert_close(logits(writer), expected, atol=2e-5, rtol=1e-4)
    assert not torch.allclose(logits(writer), expected, atol=1e-2)


@pytest.mark.parametrize("name", ["boost", "clamp", "ablate", "mean", "steer"])
@pytest.mark.parametrize("which", ["writer", "reader"])
def test_concepts(name, which, request):
    concepts = request.getfixturevalue(which)
    model, steering = concepts.concept_model, Steering(concepts)
    block = next(m for n, m in concepts.split.model.named_modules() if n.endswith((".h.0", "layer.0")))
    mean = float(concepts.encode(concepts.split.get_activations(LINES))[:, 2].mean())
    assert steering.mean_code(2, LINES) == pytest.approx(mean, abs=1e-5)

    def changed(hidden):
        rows = hidden.flatten(0, -2)
        codes = model.encode(rows)
        new = codes.clone()
        if name == "steer":
            unit = model.dictionary[2] / model.dictionary[2].norm()
            return hidden + 1.5 * unit
        new[:, 2] = {"boost": 3 * codes[:, 2], "clamp": 4.0, "ablate": 0.0, "mean": mean}[name]
        return (rows + model.decode(new) - model.decode(codes)).view_as(hidden)

    with by_hand(block, changed):
        expected = logits(concepts)
    made = {
        "boost": lambda: steering.boost(2, 3.0),
        "clamp": lambda: steering.clamp(2, 4.0),
        "ablate": lambda: steering.ablate(2),
        "mean": lambda: steering.ablate(2, mean_of=LINES),
        "steer": lambda: steering.steer(2, 1.5),
    }[name]()
    with made:
        found = logits(concepts)
    torch.testing.assert_close(found, expected, atol=3e-5, rtol=1e-4)
    assert not torch.allclose(found, logits(concepts), atol=1e-3)


def test_what_is_set_is_there(writer):
    split, steering = writer.split, Steering(writer)
    clean = writer.encode(split.get_activations(LINES))
    with steering.clamp(1, 7.0):
        codes = writer.encode(split.get_activations(LINES))
    torch.testing.assert_close(codes[:, 1], torch.full_like(codes[:, 1], 7.0), atol=1e-4, rtol=0)
    others = [0, 2, 3, 4, 5]  # orthogonal concepts are left alone
    torch.testing.assert_close(codes[:, others], clean[:, others], atol=1e-4, rtol=1e-4)
    with steering.ablate(direction(5)):
        rows = split.get_activations(LINES)["0"]
    assert float((rows @ (direction(5) / direction(5).norm())).abs().max()) < 1e-5
    norms = split.get_activations(LINES)["0"].norm(dim=1)
    assert steering.typical_norm(LINES) == pytest.approx(float(norms.median()))


def test_there_and_back(writer):
    steering = Steering(writer)
    with steering.boost(0, 4.0), steering.boost(0, 0.25):
        back = logits(writer)
    torch.testing.assert_close(back, logits(writer), atol=2e-5, rtol=1e-4)
    with steering.steer(3, 4.0), steering.steer(3, -4.0):
        torch.testing.assert_close(logits(writer), logits(writer), atol=2e-5, rtol=1e-4)


def test_blocks_act_in_order(writer):
    """Clamping after boosting is clamping; boosting after clamping is not."""
    steering = Steering(writer)
    with steering.clamp(2, 3.0):
        clamped = logits(writer)
    with steering.boost(2, 5.0), steering.clamp(2, 3.0):
        torch.testing.assert_close(logits(writer), clamped, atol=2e-5, rtol=1e-4)
    with steering.clamp(2, 15.0):
        five_times = logits(writer)
    with steering.clamp(2, 3.0), steering.boost(2, 5.0):
        torch.testing.assert_close(logits(writer), five_times, atol=2e-5, rtol=1e-4)


def test_several_at_once_see_the_same_codes():
    split = split_of(language_model(), byte_bpe())
    concepts = RandomConcepts(split, nb_concepts=6)  # not orthogonal: the order matters in nested blocks
    concepts.fit(split.get_activations(LINES))
    steering, model = Steering(concepts), concepts.concept_model
    one, other, pushed = steering.clamp(0, 3.0), steering.boost(4, 2.0), steering.steer(direction(), 1.0)

    def changed(hidden):
        codes = model.encode(hidden.flatten(0, -2))
        new = codes.clone()
        new[:, 0], new[:, 4] = 3.0, 2 * codes[:, 4]
        move = (model.decode(new) - model.decode(codes)).view_as(hidden)
        return hidden + move + direction() / direction().norm()

    with by_hand(split.model.transformer.h[0], changed):
        expected = logits(concepts)
    found = []
    for parts in ([one, pushed, other], [other, one, pushed]):
        with steering.together(*parts) as intervention:
            found.append(logits(concepts))
    for own in found:
        torch.testing.assert_close(own, expected, atol=2e-5, rtol=1e-4)
    with one, other, pushed:
        assert not torch.allclose(logits(concepts), expected, atol=1e-3)
    assert repr(intervention).startswith("<boost(concept 4, 2) and clamp(concept 0, 3) and steer(direction, 1) at")


# Nothing changes where nothing is changed


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "point", [0, "transformer.h.0.attn", "transformer.h.1.mlp", "transformer.h.0.mlp.c_proj:input", "transformer.wte"]
)
def test_neutral_strengths_are_the_model_to_the_bit(point, dtype):
    split = split_of(language_model().to(dtype), byte_bpe(), point)
    steering = Steering(split)
    d = steering.width
    assert d == (128 if str(point).endswith(":input") else 32)
    concepts = RandomConcepts(split, nb_concepts=5)
    concepts.fit(torch.randn(9, d))
    with_concepts = Steering(concepts)
    neurons = Steering(NeuronsAsConcepts(split))
    inputs = encoded(byte_bpe(), LINES)
    model = split.model

    def answers():
        written = model.generate(**encoded(byte_bpe(), LINES, "left"), **GENERATION)
        with torch.no_grad():
            return model(**inputs).logits, written

    clean = answers()
    neutral = [
        steering.boost(direction(d=d), 1.0),
        steering.steer(direction(d=d), 0.0),
        with_concepts.boost(3, 1.0),
        with_concepts.steer(3, 0.0),
        neurons.boost(7, 1.0),
        with_concepts.together(with_concepts.boost(1, 1.0), with_concepts.steer(2, 0.0)),
    ]
    for intervention in neutral:
        with intervention:
            assert all(torch.equal(one, other) for one, other in zip(answers(), clean, strict=True)), intervention
    with with_concepts.steer(3, 5.0):
        assert not torch.equal(answers()[0], clean[0])


def test_dead_concepts_cannot_be_boosted_but_clamped():
    split = split_of(language_model(), byte_bpe())
    concepts = RandomConcepts(split, nb_concepts=2)
    concepts.fit(split.get_activations(LINES))
    model = concepts.concept_model
    mean = split.get_activations(LINES)["0"].mean(dim=0)
    concepts._concept_model = replace(model, directions=torch.stack([-1e-9 * mean, model.directions[1]]))
    silent = concepts.encode(split.get_activations(LINES, "all_tokens"))[:, 0] == 0
    clean = logits(concepts)
    with Steering(concepts).boost(0, 100.0):
        found = logits(concepts)
    assert bool(silent.any())
    assert torch.allclose(found, clean, atol=1e-4)


# Generation


@pytest.mark.parametrize("name", [name for name, own in ARCHITECTURES.items() if CAUSAL in own.tasks])
def test_generation_with_and_without_cache(name):
    model, tokenizer = model_and_tokenizer(name, CAUSAL)
    intervention = Steering(split_of(model, tokenizer)).steer(direction(1), 6.0)
    ids = torch.tensor([tokenizer("The quick brown fox", add_special_tokens=False)["input_ids"]])
    with intervention:
        cached, found = written(model, {"input_ids": ids})
        slow, expected = written(model, {"input_ids": ids}, use_cache=False)
        with torch.no_grad():  # what was written in one pass
            whole = model(input_ids=cached, use_cache=False).logits[0, ids.shape[1] - 1 : -1]
    assert torch.equal(cached, slow)
    torch.testing.assert_close(found, expected, atol=5e-5, rtol=1e-3)
    if not name.endswith("roberta"):  # whose positions depend on the ids that are written
        torch.testing.assert_close(found[:, 0], whole, atol=5e-5, rtol=1e-3)
    with torch.no_grad():
        assert not torch.allclose(model(input_ids=cached).logits[0, ids.shape[1] - 1 : -1], whole, atol=1e-2)


@pytest.mark.parametrize("positions", ["all", "prompt", "generated", slice(1, None), slice(2, 7)])
@pytest.mark.parametrize("name", ["gpt2", "llama", "opt"])
def test_batches_beams_and_padding_change_nothing(name, positions):
    model, tokenizer = model_and_tokenizer(name, CAUSAL)
    options = {**GENERATION, "pad_token_id": tokenizer.pad_token_id or 0}
    clean = model.generate(**encoded(tokenizer, LINES[:3], "left"), **options)
    with Steering(split_of(model, tokenizer)).steer(direction(1), 12.0, positions=positions):
        for beams in (1, 3):
            together = model.generate(**encoded(tokenizer, LINES[:3], "left"), **options, num_beams=beams)
            slow = model.generate(**encoded(tokenizer, LINES[:3], "left"), **options, num_beams=beams, use_cache=False)
            assert torch.equal(together, slow)
            for k, line in enumerate(LINES[:3]):
                alone = model.generate(**encoded(tokenizer, [line]), **options, num_beams=beams)
                assert torch.equal(together[k, -8:], alone[0, -8:])
            if beams == 1:
                assert not torch.equal(together, clean)


@pytest.mark.parametrize("use_cache", [True, False])
def test_prompt_and_generated_are_all(writer, use_cache):
    model, steering = writer.split.model, Steering(writer)
    inputs = encoded(byte_bpe(), LINES, "left")

    def scores(*where):
        with ExitStack() as stack:
            for positions in where:
                stack.enter_context(steering.steer(4, 6.0, positions=positions))
            options = {"output_logits": True, "return_dict_in_generate": True, "use_cache": use_cache}
            return torch.stack(model.generate(**inputs, **GENERATION, **options).logits)

    torch.testing.assert_close(scores("prompt", "generated"), scores("all"), atol=2e-5, rtol=1e-4)
    clean = scores()
    assert torch.equal(scores("generated")[0], clean[0])
    assert torch.equal(scores("prompt")[0], scores("all")[0])
    assert not torch.allclose(scores("generated")[1:], clean[1:], atol=1e-2)


def test_without_generate_everything_is_prompt(writer):
    steering, clean = Steering(writer), logits(writer)
    with steering.boost(0, 3.0, positions=Positions.GENERATED):
        assert torch.equal(logits(writer), clean)
    with steering.boost(0, 3.0):
        boosted = logits(writer)
    with steering.boost(0, 3.0, positions="prompt"):
        assert torch.equal(logits(writer), boosted)


def test_sampling_repeats(writer):
    model = writer.split.model
    inputs = encoded(byte_bpe(), LINES[:2], "left")

    def sampled(factor):
        torch.manual_seed(3)
        with Steering(writer).boost(0, factor):
            return model.generate(**inputs, do_sample=True, max_new_tokens=12, pad_token_id=0)

    assert torch.equal(sampled(-2.0), sampled(-2.0))
    assert not torch.equal(sampled(-2.0), sampled(1.0))


def test_slices_count_a_text_from_its_own_beginning(writer):
    model, tokenizer = writer.split.model, byte_bpe()
    with Steering(writer).steer(1, 5.0, positions=slice(2, 4)), torch.no_grad():
        for side in ("left", "right"):
            batch = encoded(tokenizer, LINES, side)
            positions = (batch["attention_mask"].cumsum(1) - 1).clamp(min=0)
            found = model(**batch, position_ids=positions).logits
            for k, line in enumerate(LINES):
                alone = model(**encoded(tokenizer, [line])).logits[0]
                own = found[k][batch["attention_mask"][k].bool()]
                torch.testing.assert_close(own, alone, atol=3e-5, rtol=1e-4)
    with torch.no_grad():
        clean = model(**encoded(tokenizer, [LINES[0]])).logits
    with Steering(writer).steer(1, 5.0, positions=slice(2, 4)), torch.no_grad():
        found = model(**encoded(tokenizer, [LINES[0]])).logits
    assert torch.equal(found[:, :2], clean[:, :2])
    assert not torch.isclose(found[:, 2:], clean[:, 2:], atol=1e-4).all(dim=-1).any()


# Other architectures and places


@pytest.mark.parametrize("name", ["t5", "bart", "mbart"])
@pytest.mark.parametrize("point", ["encoder.0", "decoder.1"])
def test_encoder_decoders(name, point):
    model, tokenizer = model_and_tokenizer(name, SEQ2SEQ)
    split = split_of(model, tokenizer, point)
    steering = Steering(split)
    inputs = encoded(tokenizer, LINES[:3], pad=tokenizer.pad_token_id)
    options = {"pad_token_id": tokenizer.pad_token_id}
    unit = direction() / direction().norm()
    clean = written(model, inputs, **options)[1]
    with by_hand(model.get_submodule(split.split_points[0].path), lambda hidden: hidden + 5 * unit):
        expected = written(model, inputs, **options)
    with steering.steer(direction(), 5.0):
        for cache in (True, False):
            found = written(model, inputs, **options, use_cache=cache)
            assert torch.equal(found[0], expected[0])
            torch.testing.assert_close(found[1], expected[1], atol=5e-5, rtol=1e-3)
        for k, line in enumerate(LINES[:3]):
            alone = written(model, encoded(tokenizer, [line]), **options)[1]
            torch.testing.assert_close(alone[:, 0], expected[1][:, k], atol=5e-5, rtol=1e-3)
        beams = model.generate(**inputs, **{**GENERATION, **options}, num_beams=2)
        assert torch.equal(model.generate(**inputs, **{**GENERATION, **options}, num_beams=2, use_cache=False), beams)
    assert not torch.allclose(expected[1], clean, atol=1e-3)
    if point == "decoder.1":
        with steering.steer(direction(), 5.0, positions="generated"):
            later = [written(model, inputs, **options, use_cache=cache)[1] for cache in (True, False)]
        torch.testing.assert_close(*later, atol=5e-5, rtol=1e-3)
        assert torch.equal(later[0][0], clean[0])
        assert not torch.allclose(later[0][1:], clean[1:], atol=1e-3)
    else:
        with pytest.raises(InputError, match="there is the source alone"):
            steering.steer(direction(), 15.0, positions="generated")
    most = steering.steer(direction(), kl=1e-3, prompts=LINES)
    assert most.kl == pytest.approx(1e-3, rel=0.01)
    with pytest.raises(InputError, match="expected a classifier or a causal language model"):
        steering.dose_response(direction(), [1.0], LINES, target=["a"])


@pytest.mark.parametrize(
    "path", ["decoder.layers.0.encoder_attn.v_proj", "encoder.embed_tokens", "decoder.embed_tokens"]
)
def test_places_inside_an_encoder_decoder(path):
    model, tokenizer = model_and_tokenizer("bart", SEQ2SEQ)
    steering = Steering(split_of(model, tokenizer, f"model.{path}"))
    module = model.get_submodule(f"model.{path}")
    inputs = encoded(tokenizer, LINES[:3], pad=1)
    unit = direction() / direction().norm()
    clean = written(model, inputs, pad_token_id=1)[1]
    with by_hand(module, lambda hidden: hidden + 5 * unit):
        expected = written(model, inputs, pad_token_id=1)[1]
    with steering.steer(direction(), 5.0):
        for cache in (True, False):
            found = written(model, inputs, pad_token_id=1, use_cache=cache)[1]
            torch.testing.assert_close(found, expected, atol=5e-5, rtol=1e-3)
    assert not torch.allclose(expected, clean, atol=1e-3)


@pytest.mark.parametrize("name", ["t5", "bart"])
@pytest.mark.parametrize("together", [False, True])
def test_embeddings_of_an_encoder_alone(name, together):
    """Also where one layer looks up for encoder and decoder, and whatever was called before."""
    model, tokenizer = build(name, SEQ2SEQ), ARCHITECTURES[name].tokenizer()
    inner = model if name == "t5" else model.model
    inputs, options = encoded(tokenizer, LINES[:3], pad=1), {"pad_token_id": 1}
    unit = direction() / direction().norm()
    with by_hand(inner.encoder.embed_tokens, lambda hidden: hidden + 5 * unit), torch.no_grad():
        expected = written(model, inputs, **options)[1]
        scores = model(**inputs, decoder_input_ids=inputs["input_ids"][:, :4]).logits
        alone = written(model, encoded(tokenizer, LINES[3:4]), **options)[1]
    if together:
        inner.decoder.embed_tokens = inner.encoder.embed_tokens
    path = next(n for n, m in model.named_modules() if m is inner.encoder.embed_tokens)
    with Steering(split_of(model, tokenizer, path)).steer(direction(), 5.0), torch.no_grad():
        for cache in (True, False):
            found = written(model, inputs, **options, use_cache=cache)[1]
            torch.testing.assert_close(found, expected, atol=5e-5, rtol=1e-3)
            found = model(**inputs, decoder_input_ids=inputs["input_ids"][:, :4]).logits
            torch.testing.assert_close(found, scores, atol=5e-5, rtol=1e-3)
            found = written(model, encoded(tokenizer, LINES[3:4]), **options, use_cache=cache)[1]
            torch.testing.assert_close(found, alone, atol=5e-5, rtol=1e-3)
    assert not torch.allclose(written(model, inputs, **options)[1], expected, atol=1e-3)


@pytest.mark.parametrize("depth", [0, 1])
def test_shared_layers_are_steered_at_one_depth(depth):
    model, tokenizer = build("albert", CLASSES), wordpiece()
    split = split_of(model, tokenizer, depth)
    layer = model.get_submodule(split.split_points[0].path)
    calls = []
    unit = direction() / direction().norm()

    def change(hidden):
        calls.append(0)
        return hidden + 8 * unit if (len(calls) - 1) % 2 == depth else hidden

    inputs = encoded(tokenizer, LINES)
    with by_hand(layer, change), torch.no_grad():
        expected = model(**inputs).logits
    with Steering(split).steer(direction(), 8.0), torch.no_grad():
        for _ in range(2):
            torch.testing.assert_close(model(**inputs).logits, expected)
        torch.testing.assert_close(model.albert(**inputs).last_hidden_state, model.albert(**inputs)[0])
        for k, line in enumerate(LINES):
            torch.testing.assert_close(model(**encoded(tokenizer, [line])).logits[0], expected[k], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["bert", "distilbert", "roberta", "deberta-v2", "modernbert", "llama", "t5", "bart"])
def test_classifiers_alone_and_in_batches(name):
    model, tokenizer = model_and_tokenizer(name, CLASSES)
    point = "encoder.0" if name in ("t5", "bart") else 0
    lines = [line.replace("\n", " ") for line in LINES]
    pad = tokenizer.pad_token_id or 0
    batch = encoded(tokenizer, lines, pad=pad)
    with Steering(split_of(model, tokenizer, point)).steer(direction(), 6.0, positions=slice(0, 1)), torch.no_grad():
        found = [model(**encoded(tokenizer, [line])).logits[0] for line in lines]
        if name not in ("t5", "bart"):  # their own batches need equally many ends
            torch.testing.assert_close(model(**batch).logits, torch.stack(found), atol=5e-5, rtol=1e-3)
    with torch.no_grad():
        clean = [model(**encoded(tokenizer, [line])).logits[0] for line in lines]
    assert not torch.allclose(torch.stack(found), torch.stack(clean), atol=1e-3)


@pytest.mark.parametrize("explainer", [Occlusion, Saliency, KernelShap])
@pytest.mark.parametrize("which", ["writer", "reader"])
def test_explanations_are_those_of_the_steered_model(explainer, which, request):
    concepts = request.getfixturevalue(which)
    model, tokenizer = concepts.split.model, concepts.split.tokenizer
    block = next(m for n, m in model.named_modules() if n.endswith((".h.0", "layer.0")))
    unit = direction(2) / direction(2).norm()
    targets = [1, 2] if which == "reader" else [" dog was great", " and ran"]

    def explained():
        return [result.scores for result in explainer(model, tokenizer)(LINES[:2], targets)]

    clean = explained()
    with by_hand(block, lambda hidden: hidden * 0.9 + 1.0 + 3 * unit):
        expected = explained()
    with by_hand(block, lambda hidden: hidden * 0.9 + 1.0), Steering(concepts).steer(direction(2), 3.0):
        found = explained()
    for one, other, before in zip(found, expected, clean, strict=True):
        torch.testing.assert_close(one, other, atol=5e-5, rtol=1e-3, equal_nan=True)
        assert not torch.allclose(one.nan_to_num(), before.nan_to_num(), atol=1e-3)


def test_concepts_in_another_number_type():
    model = language_model().to(torch.bfloat16)
    split = split_of(model, byte_bpe())
    concepts = SVDConcepts(split, nb_concepts=4)
    concepts.fit(split.get_activations(LINES))
    own = concepts.concept_model
    inputs = encoded(byte_bpe(), LINES)
    found = []
    for dtype in (torch.float32, torch.float64):
        concepts._concept_model = replace(own, **{name: t.to(dtype) for name, t in own.tensors().items()})
        with Steering(concepts).boost(0, -1.0), torch.no_grad():
            found.append(model(**inputs).logits)
    assert found[0].dtype is torch.bfloat16
    torch.testing.assert_close(found[0], found[1], atol=0.1, rtol=0.05)
    with torch.no_grad():
        assert not torch.allclose(model(**inputs).logits, found[0], atol=0.5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_concepts_on_another_device(writer):
    model = copy.deepcopy(writer.split.model).to("cuda")
    split = split_of(model, byte_bpe())
    concepts = SVDConcepts(split, nb_concepts=6, device="cpu")
    concepts.fit(split.get_activations(LINES))
    inputs = {name: ids.to("cuda") for name, ids in encoded(byte_bpe(), LINES).items()}
    with Steering(concepts).boost(0, 3.0), torch.no_grad():
        found = model(**inputs).logits.cpu()
    with Steering(writer).boost(0, 3.0):
        torch.testing.assert_close(found, logits(writer), atol=1e-3, rtol=1e-3)


# The model stays as it is


def test_models_come_back_as_they_were(writer):
    model, tokenizer = language_model().train(), byte_bpe()
    split = split_of(model, tokenizer)
    steering = Steering(split)
    before, tensors, words = state(model), copy.deepcopy(model.state_dict()), len(tokenizer)
    inputs = encoded(tokenizer, LINES)
    with steering.steer(direction(), 3.0), steering.ablate(direction(1), positions="generated"):
        assert state(model)["hooks"] != before["hooks"]
        model(**inputs)
        model.generate(**inputs, **GENERATION)
    assert state(model) == before
    steering.steer(direction(), kl=0.1, prompts=LINES)
    steering.dose_response(direction(), [2.0], LINES[:1], target="dog", operation="steer", other_texts=LINES[:1])
    assert state(model) == before

    def fail(error):
        with steering.steer(direction(), 3.0, positions="generated"), steering.boost(direction(), 3.0):
            if error is None:
                model(input_ids=torch.tensor([[10**6]]))
            raise error

    for error, kind in ((KeyboardInterrupt(), KeyboardInterrupt), (ValueError(), ValueError), (None, IndexError)):
        with pytest.raises(kind):
            fail(error)
        assert state(model) == before
    assert all(torch.equal(tensor, tensors[key]) for key, tensor in model.state_dict().items())
    assert len(tokenizer) == words
    assert model.training


def test_interventions_can_be_entered_again(writer):
    intervention = Steering(writer).boost(0, 2.0)
    found = []
    for _ in range(2):
        with intervention:
            found.append(logits(writer))
    assert torch.equal(*found)
    with intervention, intervention:
        twice = logits(writer)
    with Steering(writer).boost(0, 4.0):
        torch.testing.assert_close(twice, logits(writer), atol=2e-5, rtol=1e-4)


def test_compiled_models(writer):
    model = language_model()
    inputs = encoded(byte_bpe(), LINES[:1])
    with Steering(split_of(model, byte_bpe())).steer(direction(), 3.0), torch.no_grad():
        expected = model(**inputs).logits
    compiled = torch.compile(model, backend="eager")
    with torch.no_grad():
        clean = compiled(**inputs).logits
        with Steering(split_of(compiled, byte_bpe())).steer(direction(), 3.0):
            found = compiled(**inputs).logits
        torch.testing.assert_close(found, expected)
        assert torch.equal(compiled(**inputs).logits, clean)


def test_adapted_models(writer):
    model = get_peft_model(
        language_model(),
        LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["c_attn"], fan_in_fan_out=True, init_lora_weights=False),
    ).eval()
    inputs = encoded(byte_bpe(), LINES[:2], "left")
    steering = Steering(split_of(model, byte_bpe()))
    merged = copy.deepcopy(model).merge_and_unload()
    for positions in ("all", "generated"):
        with steering.steer(direction(), 9.0, positions=positions):
            found = model.generate(**inputs, **GENERATION)
        with Steering(split_of(merged, byte_bpe())).steer(direction(), 9.0, positions=positions):
            assert torch.equal(found, merged.generate(**inputs, **GENERATION))
        assert not torch.equal(found, merged.generate(**inputs, **GENERATION))


def test_nnsight_sees_the_steered_model(writer):
    model = writer.split.model
    split = ModelWithSplitPoints(model, split_points=1, tokenizer=byte_bpe(), backend="nnsight")
    plain = split_of(model, byte_bpe(), 1)
    with Steering(writer).boost(0, 3.0):
        torch.testing.assert_close(split.get_activations(LINES)["1"], plain.get_activations(LINES)["1"])


# Strengths by their shift


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("which", ["writer", "reader"])
def test_strength_by_its_shift(which, sign, request):
    concepts = request.getfixturevalue(which)
    steering, model, tokenizer = Steering(concepts), concepts.split.model, concepts.split.tokenizer

    def predicted():
        with torch.no_grad():
            rows = [model(**encoded(tokenizer, [line])).logits[0] for line in LINES]
        return torch.stack([row[-1] if which == "writer" else row for row in rows]).log_softmax(-1)

    clean = predicted()
    for intervention in (
        steering.boost(0, kl=0.05, prompts=LINES, sign=sign),
        steering.steer(1, kl=0.05, prompts=LINES, sign=sign),
        steering.steer(direction(), kl=0.05, prompts=LINES, sign=sign),
    ):
        with intervention:
            reached = float(kl_div(predicted(), clean, log_target=True, reduction="none").sum(-1).mean())
        assert reached == pytest.approx(0.05, rel=0.02)
        assert intervention.kl == pytest.approx(reached, rel=1e-3)
        neutral = 1.0 if intervention.name.startswith("boost") else 0.0
        assert (intervention.strength - neutral) * sign > 0
    assert torch.equal(predicted(), clean)


def test_shifts_that_cannot_be_reached(writer):
    with pytest.raises(InputError, match=r"the largest was .* at a strength of"):
        Steering(writer).boost(0, kl=1e4, prompts=LINES)
    with pytest.raises(InputError, match="the largest was 0 at"):
        Steering(writer).boost(0, kl=0.5, prompts=LINES, positions="generated")


# Bad input


def test_what_cannot_be_steered(writer, reader):
    several = split_of(language_model(), byte_bpe(), [0, 1])
    for make, message in [
        (lambda: Steering(several), r"split_point: expected one of \['0', '1'\], got None"),
        (lambda: Steering(writer.split, split_point=1), "split_point: expected one of"),
        (lambda: Steering(writer, split_point=0), "split_point: expected none"),
        (lambda: Steering(SVDConcepts(writer.split, nb_concepts=2)).point, "no concepts yet"),
        (lambda: Steering(SVDConcepts(None, nb_concepts=2)), "expected a split model|no concepts yet"),
    ]:
        with pytest.raises((InputError, NotFittedError), match=message):
            make()
    assert Steering(several, split_point=-1).point.name == "1"
    wide = RandomConcepts(writer.split, nb_concepts=2)
    wide.fit(torch.randn(3, 8))
    with pytest.raises(InputError, match="expected the width 8 that the concepts have, got 32"):
        Steering(wide)


def test_bad_options(writer, reader):
    steering, bare = Steering(writer), Steering(writer.split)
    nan, inf = float("nan"), float("inf")
    for make, message in [
        (lambda: steering.boost(6, 1.0), "what: expected a concept from 0 to 5, got 6"),
        (lambda: steering.boost(-1, 1.0), "what: expected a concept from 0 to 5, got -1"),
        (lambda: steering.boost(True, 1.0), "what: expected a concept from 0 to 5, or"),
        (lambda: steering._code("dog"), "what: expected a concept from 0 to 5, or a direction"),
        (lambda: bare.boost(0, 1.0), r"what: expected a direction as a tensor \(32,\), got 0"),
        (lambda: bare.steer(torch.ones(31), 1.0), r"direction: expected floats \(32,\)"),
        (lambda: bare.steer(torch.ones(1, 32), 1.0), r"direction: expected floats \(32,\)"),
        (lambda: bare.steer(torch.ones(32).long(), 1.0), "direction: expected floats"),
        (lambda: bare.steer(torch.zeros(32), 1.0), "direction: expected numbers that are not all 0"),
        (lambda: bare.ablate(torch.full((32,), nan)), "direction: expected numbers that are not all 0"),
        (lambda: steering.boost(0, nan), "factor: expected a number, got nan"),
        (lambda: steering.steer(0, inf), "strength: expected a number, got inf"),
        (lambda: steering._coded(Operation.CLAMP, 0, "3", "all"), "value: expected a number, got '3'"),
        (lambda: steering.boost(0), "factor: expected either factor or kl, got neither"),
        (lambda: steering.boost(0, 2.0, kl=0.5, prompts=LINES), "factor: expected either factor or kl, got both"),
        (lambda: steering.steer(0, kl=0.5), "prompts: expected texts"),
        (lambda: steering.steer(0, 1.0, prompts=LINES), "prompts: expected none"),
        (lambda: steering.steer(0, kl=0.5, prompts=[]), "inputs: expected|texts: expected at least one"),
        (lambda: steering.steer(0, kl=0.0, prompts=LINES), "kl: expected a shift in nats, above 0"),
        (lambda: steering.steer(0, kl=nan, prompts=LINES), "kl: expected a number, got nan"),
        (lambda: steering.steer(0, kl=0.5, prompts=LINES, sign=2), "sign: expected 1 or -1, got 2"),
        (lambda: steering.boost(0, 2.0, positions="some"), "positions: expected one of"),
        (lambda: steering.boost(0, 2.0, positions=slice(-1, None)), "positions: expected a slice of whole numbers"),
        (lambda: steering.boost(0, 2.0, positions=slice(0, 9, 2)), "positions: expected a slice of whole numbers"),
        (lambda: Steering(reader).boost(0, 2.0, positions="prompt"), "positions: 'prompt' is for a model that writes"),
        (lambda: steering.together(), "interventions: expected at least one"),
        (
            lambda: steering.together(steering.ablate(0), Steering(reader).ablate(0)),
            r"interventions\[1\]: expected one",
        ),
        (
            lambda: steering.together(steering.ablate(0), steering.ablate(1, positions="prompt")),
            r"interventions\[1\]: expected the positions of the first",
        ),
    ]:
        with pytest.raises(InputError, match=message):
            make()


def test_rows_that_are_no_tokens():
    model, tokenizer = model_and_tokenizer("bert", CLASSES)
    intervention = Steering(split_of(model, tokenizer, "bert.pooler")).steer(direction(), 1.0)
    with pytest.raises(ModelError, match="expected hidden states of the tokens"), intervention:
        model(**encoded(tokenizer, LINES))
    assert not any(module._forward_hooks for module in model.modules())


def test_prompts_that_are_read_in_pieces_are_refused():
    model, tokenizer = language_model(), byte_bpe()
    steering = Steering(ModelWithSplitPoints(model, 0, tokenizer=tokenizer))
    inputs = tokenizer("What a great day", return_tensors="pt")
    with (
        steering.steer(torch.ones(32), 1.0, positions="generated"),
        pytest.raises(ModelError, match="prefill_chunk_size"),
    ):
        model.generate(**inputs, max_new_tokens=2, prefill_chunk_size=2)
