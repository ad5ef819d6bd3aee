"""Numbers with errors, against scikit-learn, enumeration and simulation."""

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from interpreto.concepts.label_metrics.answers import distinct, numbers_in, texts_in
from interpreto.concepts.label_metrics.prompts import highlighted
from interpreto.concepts.label_metrics.statistics import (
    Estimate,
    auroc,
    average_precision,
    balanced_accuracy,
    f1,
    gain_over,
    mean,
    resampled_average_precision,
    separation,
    share,
)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("ties", [False, True])
def test_areas_are_those_of_scikit_learn(seed, ties):
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=60)
    numbers = numbers.round() if ties else numbers
    relevant = rng.random(60) < 0.4
    relevant[:2] = [True, False]
    assert auroc(numbers[relevant], numbers[~relevant]).value == pytest.approx(roc_auc_score(relevant, numbers))
    assert average_precision(numbers, relevant) == pytest.approx(average_precision_score(relevant, numbers))


def test_errors_of_areas_are_their_spread():
    rng = np.random.default_rng(0)
    found, precisions = [], []
    for k in range(300):
        own, others = rng.normal(0.7, 1, 40), rng.normal(0, 1, 60)
        found.append(auroc(own, others))
        if k < 60:
            relevant = np.arange(100) < 40
            precisions.append(resampled_average_precision(np.concatenate([own, others]), relevant, k))
    for estimates, rel in ((found, 0.1), (precisions, 0.25)):
        values = np.array([one.value for one in estimates])
        assert np.mean([one.error for one in estimates]) == pytest.approx(values.std(ddof=1), rel=rel)


def test_areas_of_too_little():
    assert math.isnan(auroc(np.array([]), np.array([1.0])).value)
    one = auroc(np.array([1.0]), np.array([0.0, 2.0]))
    assert one.value == 0.5
    assert math.isnan(one.error)
    assert math.isnan(average_precision(np.array([1.0]), np.array([False])))
    assert math.isnan(resampled_average_precision(np.array([1.0]), np.array([True]), 0).value)
    assert separation(Estimate(0.25, 0.1)) == Estimate(0.5, 0.2)


def test_shares_and_what_is_made_of_them():
    assert share(3, 4).value == 0.75
    assert share(3, 4).error == pytest.approx(math.sqrt(4 / 6 * 2 / 6 / 7))
    assert math.isnan(share(0, 0).value)
    truth = np.repeat([1, 0], [12, 8])
    said = np.array([1] * 9 + [0] * 3 + [1] * 2 + [0] * 6)
    recall, specificity = share(9, 12), share(6, 8)
    assert balanced_accuracy(recall, specificity).value == 0.75
    found = f1(recall, specificity, 12, 8)
    assert found.value == pytest.approx(f1_score(truth, said))
    steps = [
        f1(Estimate(recall.value + a, 0.0), Estimate(specificity.value + b, 0.0), 12, 8).value - found.value
        for a, b in ((1e-6, 0), (0, 1e-6))
    ]
    expected = math.hypot(steps[0] * recall.error, steps[1] * specificity.error) / 1e-6
    assert found.error == pytest.approx(expected, rel=1e-4)
    assert f1(share(0, 5), share(5, 5), 5, 5).value == 0


def test_errors_of_shares_are_their_spread():
    rng = np.random.default_rng(1)
    hits, rejections = rng.binomial(50, 0.7, 4000), rng.binomial(40, 0.5, 4000)
    pairs = [(share(int(a), 50), share(int(b), 40)) for a, b in zip(hits, rejections, strict=True)]
    for numbers in (
        [recall for recall, _ in pairs],
        [balanced_accuracy(*pair) for pair in pairs],
        [f1(*pair, 50, 40) for pair in pairs],
    ):
        spread = np.std([one.value for one in numbers])
        assert np.mean([one.error for one in numbers]) == pytest.approx(spread, rel=0.05)


def test_gain_over_nothing():
    assert gain_over(Estimate(0.2, 0.1), Estimate(0.5, 0.1)).value == 0
    assert math.isnan(gain_over(Estimate(1.0, 0.1), Estimate(1.0, 0.1)).value)
    by_hand = math.hypot(0.03 / 0.8, 0.4 * 0.02 / 0.64)
    assert gain_over(Estimate(0.6, 0.03), Estimate(0.2, 0.02)).error == pytest.approx(by_hand)


def test_means_leave_the_unknown_out():
    found = mean([0.2, math.nan, 0.4, 0.9])
    assert found.value == pytest.approx(0.5)
    assert found.error == pytest.approx(np.std([0.2, 0.4, 0.9], ddof=1) / 3**0.5)
    assert math.isnan(mean([]).value)


@pytest.mark.parametrize(
    ("answer", "numbers"),
    [
        ("[1, 0, 1]", [1, 0, 1]),
        ("```json\n[1,0,1]\n```", [1, 0, 1]),
        ("Text 1 [yes], text 2 [no].\n[0, 0, 0]\nNo, wait: [1, 0, 1].", [1, 0, 1]),
        ("<think>[0, 0, 0]</think>[1, 0, 1]", [1, 0, 1]),
        ("1, 0, 1", [1, 0, 1]),
        ("1\n0\n1", [1, 0, 1]),
        ("[1, 0]", None),
        ("[1, 0, 2]", None),
        ("[1, 0, 1, 1]", None),
        ("[]", None),
        ("yes, no, yes", None),
        ("[1, 0, -1]", None),
        ("", None),
        (None, None),
        ("[" * 50_000, None),
        ("[" + "1" * 10_000 + "]", None),
    ],
)
def test_numbers_in_answers(answer, numbers):
    assert numbers_in(answer, 3, 1) == numbers


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ('["a", " b "]', ["a", "b"]),
        ('```json\n["a\\n[b]"]\n```', ["a\n[b]"]),
        ('<think>["no"]</think> ["a", 3, null, "  "]', ["a"]),
        ("a\nb", None),
        ("[]", None),
        ('{"texts": ["a"]}', ["a"]),
        ("[" * 100_000 + "]" * 100_000, None),
        (None, None),
    ],
)
def test_texts_in_answers(answer, found):
    assert texts_in(answer) == found


def test_texts_that_say_nothing_new_are_left_out():
    assert distinct(["A dog.", "a  dog!", "Pets", "The pets.", "😀", "😀", "…"], "the pets") == ["A dog.", "😀", "…"]
    assert distinct(["a"], "!") == ["a"]


@pytest.mark.parametrize("text", ["a << b >> c", "<<<<", "x<y", "<", ">>", "a<<b", "日本 << 語 >>", "<<<>>>"])
def test_the_only_marks_are_ours(text):
    for start in range(len(text)):
        for end in range(start + 1, len(text) + 1):
            shown = highlighted(text, [(start, end)], 1000)
            assert shown.count("<<") == shown.count(">>") == 1
            before, rest = shown.split("<<")
            inside, after = rest.split(">>")
            pieces = [piece.replace(" ", "") for piece in (before, inside, after)]
            assert pieces == [piece.replace(" ", "") for piece in (text[:start], text[start:end], text[end:])]


def test_marks_of_neighbours_are_one_and_long_texts_are_cut():
    assert highlighted("the big dog ran", [(4, 7), (8, 11)], 100) == "the <<big dog>> ran"
    assert highlighted("abcdefgh", [(2, 6)], 4) == "ab<<cd>>…"
    assert highlighted("abcdefgh", [(6, 8)], 4) == "abcd…"
