"""FADE: planted concepts with known answers, judges who know, guess or fail, and a model that stays the same."""

from __future__ import annotations

import json
import math
import random
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from interpreto.concepts.label_metrics import Clarity, Faithfulness, LabelScores, Purity, Responsiveness
from interpreto.concepts.label_metrics.fade import steered
from interpreto.concepts.label_metrics.result import Judged
from interpreto.concepts.models import NeuronsAsConcepts
from interpreto.concepts.steering import Steering
from interpreto.demo import load
from interpreto.errors import InputError, ModelError
from interpreto.model_wrapping import ModelWithSplitPoints
from interpreto.model_wrapping.llm_interface import RecordedLLM
from tests.concepts.label_metrics.planted import (
    ANIMALS,
    LABELS,
    WordConcepts,
    concepts,
    guess,
    has_animal,
    judge,
    question,
    sentence,
    texts,
)
from tests.concepts.simple import RandomConcepts, RandomModel
from tests.tiny import classifier, wordpiece

TEXTS = texts(120)
BARE = [text for text in TEXTS if not has_animal(text)]


@cache
def given(bare=False):
    return concepts().split.get_activations(BARE if bare else TEXTS)


def metric(kind, llm, explainer=None, **options):
    return kind(concept_explainer=explainer or concepts(), llm_interface=llm, **options)


def writer(words, seed=0, copies=1):
    """A language model that writes sentences with one of these words, each several times."""
    rng = random.Random(seed)

    def says(chat):
        asked = json.loads(chat[-1]["content"])
        return json.dumps([sentence(rng, rng.choice(words) if words else None) for _ in range(asked["texts"])] * copies)

    return RecordedLLM(says)


# Clarity


def test_texts_with_the_concept_stand_out():
    llm = writer(list(ANIMALS), copies=2)
    scores = metric(Clarity, llm)(BARE, LABELS, given(bare=True))
    assert scores[0].score.value == scores[0].numbers["auroc"].value == 1
    assert len(scores[0].judged) == 75  # each only once
    assert scores[0].prompts == scores.usage.calls == 15
    assert len({json.dumps(chat) for chat in llm.asked}) == 15
    assert {one.activation for one in scores[0].judged} == set(ANIMALS.values())


def test_clarity_is_the_area_of_scikit_learn():
    scores = metric(Clarity, writer(["dog", "fish"]))(TEXTS, LABELS, given())
    own = [one.activation for one in scores[0].judged]
    natural = [max(ANIMALS.get(word, 0) for word in text.split()) for text in TEXTS]
    truth = [1] * len(own) + [0] * len(natural)
    assert scores[0].numbers["auroc"].value == pytest.approx(roc_auc_score(truth, own + natural))
    assert scores[0].score.value == pytest.approx(2 * scores[0].numbers["auroc"].value - 1)
    assert scores[0].score.error == 2 * scores[0].numbers["auroc"].error


def test_texts_without_the_concept_are_at_chance():
    found = []
    for seed in range(8):
        rng = np.random.default_rng([seed, 5])
        words = [None, None, *rng.choice(list(ANIMALS), 1)]  # as frequent as in the natural texts
        found.append(metric(Clarity, writer(words, seed))(TEXTS, LABELS, given())[0].numbers["auroc"])
    assert sum(abs(one.value - 0.5) > 2 * one.error for one in found) <= 2
    assert all(abs(one.value - 0.5) < 4 * one.error for one in found)


def test_a_label_for_what_the_concept_is_not_on():
    some = [text for text in TEXTS if has_animal(text)]
    scores = metric(Clarity, writer([]))(some, LABELS)
    assert scores[0].score.value == 1
    assert scores[0].numbers["auroc"].value == 0


def test_unusable_texts_are_left_out():
    written = ["animals", "The ANIMALS!", "a dog \ud800", "dog " * 600, "Once a dog.", "once a dog"]
    llm = RecordedLLM(lambda chat: json.dumps(written) if len(llm.asked) < 3 else ["", None, "[]"][len(llm.asked) % 3])
    with pytest.warns(UserWarning, match="Clarity: 13 of 15 prompts got no usable answer"):
        scores = metric(Clarity, llm)(BARE, {0: "the animals"}, given(bare=True))
    assert [one.text for one in scores[0].judged] == ["Once a dog."]
    assert scores[0].missing == 13
    assert scores[0].score.value == 1
    assert math.isnan(scores[0].score.error)
    assert LabelScores.from_json(scores.to_json()).to_json() == scores.to_json()


def test_no_text_is_no_score():
    with pytest.warns(UserWarning, match=r"concept 0: the language model wrote no usable text"):
        scores = metric(Clarity, RecordedLLM(lambda chat: '["animals"]'))(BARE, LABELS, given(bare=True))
    assert math.isnan(scores[0].score.value)
    assert scores.missing == 0


# Responsiveness and Purity


def test_who_knows_finds_a_responsive_and_pure_concept():
    says = judge(lambda text: 2 * int(has_animal(text)))
    for kind in (Responsiveness, Purity):
        scores = metric(kind, says)(TEXTS, LABELS, given())
        assert scores[0].score.value == 1
        assert scores[0].prompts == 8
        assert len(scores[0].judged) == 120


def test_purity_and_responsiveness_are_those_of_scikit_learn():
    dogs = judge(lambda text: 2 if has_animal(text, ["bird"]) else 1 if has_animal(text, ["dog"]) else 0)
    found = {kind: metric(kind, dogs, n_texts=100)(TEXTS, LABELS, given())[0] for kind in (Responsiveness, Purity)}
    assert found[Purity].judged == found[Responsiveness].judged
    kept = [one for one in found[Purity].judged if one.answer != 1]
    truth, codes = [one.answer == 2 for one in kept], [one.activation for one in kept]
    area = roc_auc_score(truth, codes)
    assert len(kept) < len(found[Purity].judged) == 100
    assert found[Responsiveness].score.value == pytest.approx(2 * area - 1)
    assert found[Purity].score.value == pytest.approx(average_precision_score(truth, codes))
    assert found[Purity].score.value < 0.7 < area
    assert found[Purity].numbers["share"].value == np.mean(truth)


def test_a_contrary_rating_is_ranked_from_below():
    lies = judge(lambda text: 2 * int(not has_animal(text)))
    responsive = metric(Responsiveness, lies)(TEXTS, LABELS, given())[0]
    assert (responsive.score.value, responsive.numbers["auroc"].value) == (1, 0)
    assert metric(Purity, lies)(TEXTS, LABELS, given())[0].score.value == 1


def test_random_ratings_are_at_chance():
    for kind in (Responsiveness, Purity):
        found = [metric(kind, guess(seed, (0, 1, 2)), seed=seed)(TEXTS, LABELS, given())[0] for seed in range(6)]
        assert sum(abs(one.numbers["auroc"].value - 0.5) > 2 * one.numbers["auroc"].error for one in found) <= 1
        if kind is Purity:
            gaps = [abs(one.score.value - one.numbers["share"].value) / one.score.error for one in found]
            assert np.mean(gaps) < 2


@pytest.mark.parametrize("rating", [0, 1, 2])
@pytest.mark.parametrize("kind", [Responsiveness, Purity])
def test_ratings_that_cannot_be_compared(kind, rating):
    with pytest.warns(UserWarning, match="cannot be measured: concept 0: none of the 40 texts is rated"):
        scores = metric(kind, judge(lambda text: rating), n_texts=40)(TEXTS, LABELS, given())
    assert math.isnan(scores[0].score.value)
    assert scores[0].reason.startswith(f"none of the 40 texts is rated {0 if rating == 2 else 2}")
    assert [one.answer for one in scores[0].judged] == [rating] * 40
    assert math.isnan(LabelScores.from_json(scores.to_json())[0].score.value)


def test_missing_ratings_are_counted():
    def says(chat):
        ratings = [2 * int(has_animal(text)) for text in question(chat)[1]]
        return json.dumps(ratings[1:] if len(llm.asked) == 2 else ratings)

    llm = RecordedLLM(says)
    with pytest.warns(UserWarning, match="1 of 8 prompts got no usable answer"):
        scores = metric(Responsiveness, llm)(TEXTS, LABELS, given())
    assert scores[0].score.value == 1
    assert sum(one.answer is None for one in scores[0].judged) == 15
    with pytest.warns(UserWarning, match="8 of 8 prompts"), pytest.warns(UserWarning, match="too many answers"):
        scores = metric(Responsiveness, RecordedLLM({}))(TEXTS, LABELS, given())
    assert scores[0].missing == 8


def test_the_second_of_two_ratings_costs_nothing(tmp_path):
    llm = judge(lambda text: 2 * int(has_animal(text)), cache=tmp_path / "answers.jsonl")
    metric(Responsiveness, llm)(TEXTS, LABELS, given())
    assert metric(Purity, llm)(TEXTS, LABELS, given()).usage.calls == 0


# Faithfulness


@cache
def steerable(point="-1"):
    """Directions that write a word, at the output of the last block, or random ones inside the model."""
    model, tokenizer = load("stories")
    split = ModelWithSplitPoints(model, point, tokenizer=tokenizer)
    head = model.get_output_embeddings().weight.detach()
    token = tokenizer(" dog", add_special_tokens=False)["input_ids"][0]
    directions = torch.stack([head[token], torch.randn(head.shape[1], generator=torch.Generator().manual_seed(0))])
    return WordConcepts(split, model=RandomModel(directions / directions.norm(dim=1, keepdim=True)))


def state(model):
    tensors = {
        name: (tensor.clone(), tensor.requires_grad) for name, tensor in model.state_dict(keep_vars=True).items()
    }
    hooks = [
        (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks), m.training) for m in model.modules()
    ]
    return tensors, hooks, model.generation_config.to_dict()


def same(model, before):
    tensors, hooks, settings = state(model)
    assert hooks == before[1]
    assert settings == before[2]
    for name, (tensor, learned) in tensors.items():
        assert torch.equal(tensor, before[0][name][0]), name
        assert learned == before[0][name][1]


def naive(explainer, concept, ids, steps, value):
    """Greedy writing without any cache, all rows changed by a plain hook: the slow and obvious way."""
    model, directions = explainer.split.model, explainer.concept_model.directions
    direction = directions[concept]
    block = dict(model.named_modules())[explainer.point.path]

    def hook(_module, _args, output):
        hidden = output[0] if isinstance(output, tuple) else output
        code = torch.relu(hidden @ direction)
        changed = hidden + (value(code) - code)[..., None] * direction
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    handle = block.register_forward_hook(hook)
    try:
        for _ in range(steps):
            with torch.no_grad():
                ids = [*ids, int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())]
    finally:
        handle.remove()
    return ids


@pytest.mark.parametrize(("point", "concept"), [("-1", 0), ("1", 1)])
@pytest.mark.parametrize("strength", ["largest", "own"])
def test_continuations_are_those_of_the_slow_and_obvious_way(point, concept, strength):
    explainer = steerable(point)
    metric_ = metric(
        Faithfulness, RecordedLLM({}), explainer, factors=(0.0, 3.0), strength=strength, n_prompts=2, n_tokens=6
    )
    some = ["Once upon a time there was", "The sun was big and", "Tom went to the park and"]
    split = explainer.split
    codes = torch.relu(split.get_activations(some)[explainer.point.name] @ explainer.concept_model.directions[concept])
    top = float(codes.max())
    plan = metric_.dry_run(some, {concept: "dogs"})
    shown = {text for chat in plan.chats[concept] for text in question(chat)[1]}
    expected = set()
    for factor in (0.0, 3.0):
        value = (lambda c, f=factor: c * f) if strength == "own" else lambda c, f=factor: torch.full_like(c, f * top)
        for text in some:
            ids = split.samples([text])[0].ids
            row = naive(explainer, concept, ids, 6, value)
            eos = split.model.generation_config.eos_token_id
            new = row[len(ids) :]
            new = new[: new.index(eos)] if eos in new else new
            expected.add(split.tokenizer.decode(new, skip_special_tokens=True).strip())
    assert shown <= expected
    assert len(shown) >= 2


def test_a_concept_that_writes_a_word_is_faithful():
    explainer = steerable()
    before = state(explainer.split.model)
    says = judge(lambda text: 2 if "dog" in text else 0)
    options = {"n_prompts": 4, "n_tokens": 5, "factors": (-10.0, 0.0, 10.0)}
    scores = metric(Faithfulness, says, explainer, **options)(TEXTS[:20], {0: "dogs"})
    assert scores[0].score.value == 1
    assert scores[0].numbers["factor"].value == 10
    assert scores[0].numbers["share_10"].value == 1
    assert scores[0].numbers["share_0"].value == scores[0].numbers["share_-10"].value == 0
    assert len(scores[0].judged) == 12
    assert scores.settings["factors"] == [-10, 0, 10]
    same(explainer.split.model, before)
    again = metric(Faithfulness, says, explainer, **options)(TEXTS[:20], {0: "dogs"})
    assert again.to_dict() == scores.to_dict()


def test_the_model_is_untouched_when_anything_fails(monkeypatch):
    explainer = steerable()
    before = state(explainer.split.model)

    def fails(chat):
        raise KeyboardInterrupt

    options = {"n_prompts": 2, "n_tokens": 3, "factors": (0.0, 10.0)}
    with pytest.raises(KeyboardInterrupt):
        metric(Faithfulness, RecordedLLM(fails), explainer, **options)(TEXTS[:9], {0: "dogs"})
    same(explainer.split.model, before)

    passes = []

    def breaks(_module, _args):
        passes.append(1)
        if len(passes) > 4:
            raise RuntimeError("in the middle of a pass")

    handle = explainer.split.model.get_input_embeddings().register_forward_pre_hook(breaks)
    hooked = state(explainer.split.model)
    with pytest.raises(RuntimeError, match="in the middle"):
        metric(Faithfulness, RecordedLLM(lambda chat: "[]"), explainer, **options)(TEXTS[:9], {0: "dogs"})
    same(explainer.split.model, hooked)
    handle.remove()
    same(explainer.split.model, before)


def test_what_enters_a_module_is_changed_too():
    model, tokenizer = load("stories")
    explainer = NeuronsAsConcepts(
        ModelWithSplitPoints(model, "model.layers.1.mlp.down_proj:input", tokenizer=tokenizer)
    )
    ids = torch.tensor([[5, 6, 7, 8]])

    def silence(_module, args):
        silenced = args[0].clone()
        silenced[..., 3] = 0
        return (silenced,)

    with torch.no_grad():
        with Steering(explainer).clamp(3, 0.0):
            found = model(ids).logits
        handle = model.model.layers[1].mlp.down_proj.register_forward_pre_hook(silence)
        expected = model(ids).logits
        handle.remove()
        assert torch.allclose(found, expected, atol=1e-5)
        assert not torch.allclose(found, model(ids).logits, atol=1e-5)


@dataclass(frozen=True)
class Shares:
    """Ratings by factor, and what they should give."""

    ratings: dict[float, list[int | None]]
    score: float | None
    reason: str | None = None


@pytest.mark.parametrize(
    "case",
    [
        Shares({0: [2, 0, 0, 0], 5: [2, 2, 1, 0], -5: [0, 0, 0, 0]}, (0.5 - 0.25) / 0.75),
        Shares({0: [2, 0], 5: [0, 0]}, 0.0),
        Shares({0: [0, None], 5: [2, None]}, 1.0),
        Shares({0: [2, 2], 5: [2, 0]}, None, "nothing to gain"),
        Shares({0: [None], 5: [2]}, None, "too many answers"),
        Shares({0: [0], 5: [None]}, None, "too many answers"),
    ],
)
def test_faithfulness_by_hand(case):
    judged = tuple(
        Judged("", math.nan, f"factor {factor:g}", rating) for factor, own in case.ratings.items() for rating in own
    )
    found = steered(judged, tuple(map(float, case.ratings)), 0)
    if case.score is None:
        assert math.isnan(found.score.value)
        assert case.reason in found.reason
    else:
        assert found.score.value == pytest.approx(case.score)
        assert found.reason is None


def test_models_that_do_not_write_are_refused():
    split = ModelWithSplitPoints(classifier(), 1, tokenizer=wordpiece())
    explainer = RandomConcepts(split, nb_concepts=2)
    explainer.fit(split.get_activations(TEXTS[:9]))
    with pytest.raises(ModelError, match=r"expected a causal language model.*classification"):
        metric(Faithfulness, RecordedLLM({}), explainer)(TEXTS[:9], {0: "dogs"})


def test_bad_options():
    llm = RecordedLLM({})
    for kind, name, value in (
        (Clarity, "n_prompts", 0),
        (Clarity, "per_prompt", 0),
        (Purity, "n_texts", 1),
        (Responsiveness, "per_prompt", 0),
        (Faithfulness, "n_tokens", 0),
        (Faithfulness, "strength", "most"),
        (Faithfulness, "factors", (1.0, 2.0)),
        (Faithfulness, "factors", (0.0,)),
        (Faithfulness, "factors", (0.0, math.inf)),
        (Faithfulness, "generation", {"max_new_tokens": 3}),
        (Faithfulness, "generation", {"num_beams": 0}),
    ):
        with pytest.raises(InputError, match=name):
            metric(kind, llm, **{name: value})
