"""Steering does what it is meant to do in trained models."""

import pytest
import torch

from interpreto.concepts import PCAConcepts, SemiNMFConcepts
from interpreto.concepts.steering import Steering
from interpreto.demo import load
from interpreto.model_wrapping import ModelWithSplitPoints

PROMPTS = ["Once upon a time, there was a", "One day, Lily saw a", "Tim went to the park and"]
SAD = [
    "Tom was very sad. He cried and cried.",
    "She lost her toy and began to cry.",
    "The girl was sad and lonely and had no friends.",
    "He felt bad and tears ran down his face.",
    "The boy was hurt and scared. He cried.",
    "They were sad because the cat was sick.",
]
HAPPY = [
    "Tom was very happy. He laughed and laughed.",
    "She found her toy and began to smile.",
    "The girl was happy and kind and had many friends.",
    "He felt good and a smile was on his face.",
    "The boy was glad and proud. He laughed.",
    "They were happy because the cat was well.",
]
DOGS = [
    "The dog barked and ran to the park.",
    "Spot is a happy dog. He wags his tail.",
    "The puppy and the dog played with a bone.",
    "A big dog named Max loved to bark.",
    "My dog likes to chase the ball and bark.",
    "The little puppy slept next to the dog.",
]
NO_DOGS = [
    "The girl sang and ran to the school.",
    "Anna is a happy girl. She waves her hand.",
    "The boy and the girl played with a doll.",
    "A big tree named Oak loved to grow.",
    "My mom likes to cook the soup and sing.",
    "The little baby slept next to the bed.",
]
NAMES = ["Aurora", "Blackwood", "Corsica", "Delgado", "Elmstone", "Farrow", "Gatwick", "Harlan"]
FORMS = [
    "{name} is the second studio album by the rock band {other}, released in 1974.",
    "{name} is a 1999 drama film directed by {other}, about a jazz singer.",
    "{name} is a village in the district of {other}. At the 1974 census its population was 81, in 20 families.",
    "{name} is a species of beetle in the family {other}. It was described in 1999.",
]


@pytest.fixture(scope="module")
def stories():
    model, tokenizer = load("stories")
    return ModelWithSplitPoints(model, split_points=3, tokenizer=tokenizer)


def continued(split, prompt, length=20):
    inputs = split.tokenizer(prompt, return_tensors="pt")
    row = split.model.generate(**inputs, max_new_tokens=length, do_sample=False)[0]
    return split.tokenizer.decode(row, skip_special_tokens=True)


def test_stories_get_sadder(stories):
    steering = Steering(stories)
    sad, happy = (stories.get_activations(texts, "sample")["3"].mean(dim=0) for texts in (SAD, HAPPY))
    unit = steering.typical_norm(SAD + HAPPY)
    strengths = [share * unit for share in (-0.4, 0.0, 0.4, 0.8)]
    words = ["sad", "cry", "cried"]
    generation = {"do_sample": False, "max_new_tokens": 12}
    found = steering.dose_response(
        sad - happy, strengths, PROMPTS, target=words, operation="steer", other_texts=NO_DOGS[:3], generation=generation
    )
    effect = [own["target_log_probability"].mean for own in found.effects]
    assert effect == sorted(effect)
    assert effect[2] > found.clean["target_log_probability"].mean + 1  # nats a word
    assert found.effects[1] == found.clean
    costs = [own["kl"].mean for own in found.effects]
    assert 0 == costs[1] < costs[2] < costs[3]
    fluency = [own["generated_perplexity"].mean for own in found.effects]
    assert fluency[1] < fluency[2] < fluency[3]
    assert "sad" not in continued(stories, PROMPTS[0])
    with steering.steer(sad - happy, 0.6 * unit):
        assert "sad" in continued(stories, PROMPTS[0])


def test_stories_get_a_dog(stories):
    """A concept that was learned without labels, pushed by a wanted shift."""
    activations = stories.get_activations(DOGS + NO_DOGS, "word")
    concepts = PCAConcepts(stories, nb_concepts=10)
    concepts.fit(activations)
    codes, about_dogs = concepts.encode(activations), activations.sources["3"].inputs < len(DOGS)
    differences = (codes[about_dogs].mean(dim=0) - codes[~about_dogs].mean(dim=0)) / codes.std(dim=0)
    dogs = int(differences.abs().argmax())
    sign = int(torch.sign(differences[dogs]))
    assert "dog" not in continued(stories, PROMPTS[0])
    with Steering(concepts).steer(dogs, kl=0.5, prompts=PROMPTS, sign=sign) as intervention:
        assert "dog" in continued(stories, PROMPTS[0])
    assert intervention.kl == pytest.approx(0.5, rel=0.01)


def test_a_concept_carries_a_class():
    model, tokenizer = load("topic")
    split = ModelWithSplitPoints(model, split_points=2, tokenizer=tokenizer)
    pairs = list(zip(NAMES, NAMES[::-1], strict=True))
    texts = [form.format(name=name, other=other) for form in FORMS for name, other in pairs]
    albums, others = texts[: len(pairs)], texts[len(pairs) :]
    activations = split.get_activations(texts, "cls_token")
    concepts = SemiNMFConcepts(split, nb_concepts=4)
    concepts.fit(activations)
    album = int(concepts.importance(albums, ["Album"], "cls_token").top(k=1)[0])
    found = Steering(concepts).dose_response(
        album, [0.0, 0.5, 1.0, 2.0], albums, target="Album", other_texts=others, positions=slice(0, 1)
    )
    without, half, clean, twice = (own["target_probability"].mean for own in found.effects)
    assert clean == found.clean["target_probability"].mean > 0.85
    assert without < 0.5
    assert without < half < clean < twice
    assert min(own["agreement"].mean for own in found.effects) > 0.9
    assert max(own["kl"].mean for own in found.effects) < 0.05
