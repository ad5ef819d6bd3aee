"""ConSim: who knows the model scores 1, who guesses scores chance, and the prompts say what they should."""

import re

import pytest
import torch

from interpreto.concepts.metrics import ConSim, ConSimResult
from interpreto.concepts.metrics.consim import _even_draw, parsed_answer
from interpreto.demo import load
from interpreto.errors import InputError
from interpreto.model_wrapping import ModelWithSplitPoints
from interpreto.model_wrapping.llm_interface import RecordedLLM
from tests.concepts.simple import RandomConcepts

SUBJECTS = ["The band", "A novel", "This river", "The company", "An old church", "The footballer", "A small village"]
ENDS = [
    "was founded in 1901.", "is in the north of Peru.", "released an album.", "won the cup.", "is a beetle.",
    "was directed by a friend.", "sells cars.", "was elected to the senate.",
]  # fmt: skip
TEXTS = [f"{subject} {end}" for subject in SUBJECTS for end in ENDS]
PROMPTS = ("E1", "E2", "E3", "U1")


@pytest.fixture(scope="module")
def concepts():
    model, tokenizer = load("topic")
    split = ModelWithSplitPoints(model, -1, tokenizer=tokenizer)
    found = RandomConcepts(split, nb_concepts=6)
    found.fit(split.get_activations(TEXTS, "cls_token"))
    return found


@pytest.fixture(scope="module")
def predicted(concepts):
    split = concepts.model_with_split_points
    found = split.get_activations(TEXTS, "cls_token", include_predicted_classes=True)["predictions"]
    return dict(zip(TEXTS, found.tolist(), strict=True))


def asked(chat):
    """Numbers and texts of the last part of a prompt."""
    last = chat[1]["content"].split("Which class does")[1]
    return {int(i): text for i, text in re.findall(r"^Sample_(\d+): (.+)$", last, re.MULTILINE)}


def consim(concepts, answers, **options):
    llm = RecordedLLM(answers)
    sizes = {"n_learning": 8, "n_evaluation": 12, "n_seeds": 3, **options}
    return ConSim(concept_explainer=concepts, llm_interface=llm, **sizes), llm


@pytest.mark.parametrize("anonymous", [False, True])
def test_who_knows_the_model_scores_one(concepts, predicted, anonymous):
    config = concepts.split.model.config
    present = sorted(set(predicted.values()))

    def oracle(chat):
        names = {c: f"Class_{present.index(c)}" if anonymous else config.id2label[c] for c in present}
        return "\n".join(f"Sample_{i}: {names[predicted[text]]}" for i, text in asked(chat).items())

    metric, llm = consim(concepts, oracle, anonymous=anonymous)
    result = metric(TEXTS, {c: f"concept {c}" for c in range(6)}, prompts=PROMPTS)
    assert set(result.scores) == {"L1", "L2", *PROMPTS}
    assert all(score == 1 for scores in result.scores.values() for score in scores)
    assert result.gain("E2") == (0, 0)
    if anonymous:
        assert not any(config.id2label[c] in chat[0]["content"] for chat in llm.asked for c in present)


def test_who_guesses_scores_chance(concepts, predicted):
    present = sorted(set(predicted.values()))
    names = [concepts.split.model.config.id2label[c] for c in present]
    for name in names[:2]:
        metric, _ = consim(
            concepts,
            lambda chat, name=name: "\n".join(f"Sample_{i}: {name}" for i in asked(chat)),
            n_evaluation=len(present),
        )
        result = metric(TEXTS, {0: "a concept"})
        assert result.chance == 1 / len(present)
        assert result.score("E2") == pytest.approx(result.chance)
        assert result.score("L2") == pytest.approx(result.chance)


def test_prompts_say_what_they_should(concepts, predicted):
    told = {0: "rivers", 1: "songs", 2: None}
    metric, llm = consim(concepts, {}, threshold=1e-6, seed=4)
    chats = metric.prompts(TEXTS, told, prompts=PROMPTS)
    assert not llm.asked
    again = metric.prompts(TEXTS, told, prompts=PROMPTS)
    assert chats == again
    for name, per_seed in chats.items():
        assert len(per_seed) == 3
        assert per_seed[0] != per_seed[1]
        for chat in per_seed:
            system, user = (message["content"] for message in chat)
            learned, rest = user.split("Which class does")
            texts = set(re.findall(r"^Sample_\d+: (.+)$", learned, re.MULTILINE))
            assert len(asked(chat)) == 12
            assert len(texts) == (0 if name in ("L1", "E1") else 8)
            assert not texts & set(asked(chat).values())
            assert ("rivers (" in system) == (name[0] != "L")
            assert ("Concepts of" in learned) == (name in ("E3", "U1"))
            assert ("Concepts of" in rest) == (name == "U1")
            assert "Class of Sample" not in rest
            for number, text in re.findall(r"^Sample_(\d+): (.+)$", learned, re.MULTILINE):
                label = concepts.split.model.config.id2label[predicted[text]]
                assert f"Class of Sample_{number}: {label}" in learned


def test_weights_are_shares_of_the_whole(concepts):
    metric, _ = consim(concepts, {}, threshold=0.05)
    told = {c: f"c{c}" for c in range(6)}
    weights = torch.tensor([0.5, -0.35, 0.08, -0.06, 0.01, 0.0]) * 70
    assert metric._weights(weights, told) == "c0 (++), c1 (--), c2 (+), c3 (-)"
    assert metric._weights(torch.zeros(6), told) == "nothing in particular"


def test_right_and_wrong_predictions_are_drawn_evenly(concepts, predicted):
    labels = [c if k % 4 else (c + 1) % 14 for k, c in enumerate(predicted.values())]
    wrong = {text for text, label in zip(TEXTS, labels, strict=True) if label != predicted[text]}
    metric, _ = consim(concepts, {}, n_learning=4, n_evaluation=16, n_seeds=8)
    chats = metric.prompts(TEXTS, {}, labels=labels, prompts=["L1"])["L1"]
    shares = [sum(text in wrong for text in asked(chat).values()) / 16 for chat in chats]
    plain = [
        sum(text in wrong for text in asked(chat).values()) / 16
        for chat in metric.prompts(TEXTS, {}, prompts=["L1"])["L1"]
    ]
    assert sum(shares) > sum(plain) * 1.2
    counts = [sorted(predicted[text] for text in asked(chat).values()) for chat in chats]
    assert all(set(c) == set(predicted.values()) for c in counts if len(set(predicted.values())) <= 8)


def test_bad_answers_are_left_out_and_told(concepts):
    for answers in ({}, lambda chat: "I would rather not say."):
        metric, _ = consim(concepts, answers, n_seeds=1)
        with pytest.warns(UserWarning, match="no usable answer"):
            result = metric(TEXTS, {}, prompts=["L1"])
        assert result.scores == {"L1": (None,)}
        assert result.score("L1") != result.score("L1")
        assert result.gains("L1") == ()


def test_answers_are_read_as_people_write_them():
    names = ["Mean Of Transportation", "Film", "Album", "U.S.", "(other)", "N/A.", "😀", "not Film"]
    text = "Here you go:\nSample_1: Mean Of Transportation\n* **Sample_2**: `Film`\nsample 3 - Album.\nSample_4: "
    assert parsed_answer(text, names) == {1: "Mean Of Transportation", 2: "Film", 3: "Album"}
    text = "Class of Sample_5: U.S.\n6: (other)\n| Sample_7 | N/A. |\nSample_8: 😀\nSample_9: a mystery\n"
    text += "Sample_10: NOT FILM"
    assert parsed_answer(text, names) == {5: "U.S.", 6: "(other)", 7: "N/A.", 8: "😀", 9: None, 10: "not Film"}


@pytest.mark.parametrize("classes", [2, 4, 6, 14, 20, 25])
def test_half_of_the_draws_are_right_predictions(classes):
    predicted = torch.arange(1000) % classes
    right = torch.rand(1000, generator=torch.Generator().manual_seed(0)) < 0.5
    for seed in range(5):
        drawn = _even_draw(predicted, right, 20, torch.Generator().manual_seed(seed), taken=set())
        assert int(right[drawn].sum()) == 10
        counts = torch.bincount(predicted[drawn], minlength=classes)
        assert counts.max() - counts.min() <= 1


def test_the_same_text_is_drawn_once(concepts):
    metric, _ = consim(concepts, {}, n_learning=3, n_evaluation=3)
    with pytest.raises(InputError, match=r"at least 6 different texts, .* got 5"):
        metric.prompts([*TEXTS[:5], *TEXTS[:5]], {}, prompts=["L2"])


def test_bad_input_is_refused(concepts):
    metric, _ = consim(concepts, {})
    with pytest.raises(InputError, match="at least 20 different texts"):
        metric(TEXTS[:10], {})
    with pytest.raises(InputError, match="labels: expected 56"):
        metric(TEXTS, {}, labels=[1, 2])
    with pytest.raises(InputError, match="prompts: expected one of"):
        metric(TEXTS, {}, prompts=["E9"])
    with pytest.raises(InputError, match="labels: expected one of the labels"):
        metric(TEXTS, {}, labels=["joy"] * len(TEXTS))
    with pytest.raises(InputError, match="labels: expected classes from 0 to 13"):
        metric(TEXTS, {}, labels=[14] * len(TEXTS))
    with pytest.raises(InputError, match="prompt: expected one of those that were asked"):
        ConSimResult({"L2": (1.0,)}, 0.5).score("E2")
    with pytest.raises(InputError, match="prompt: expected one of"):
        ConSimResult({"L2": (1.0,)}, 0.5).score("E9")
    with pytest.raises(InputError, match="threshold"):
        consim(concepts, {}, threshold=2.0)
    with pytest.raises(InputError, match="n_seeds"):
        consim(concepts, {}, n_seeds=0)
