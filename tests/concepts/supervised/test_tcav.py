"""TCAV: shares of known signs, the test of the test, and files."""

import json

import pytest
import torch
from scipy.stats import ttest_ind

from interpreto.concepts import NeuronsAsConcepts
from interpreto.concepts.supervised import TCAV, CAVConcepts, TCAVResult
from interpreto.concepts.supervised.tcav import _p_value, shares_rising
from interpreto.errors import InputError
from interpreto.model_wrapping import ModelWithSplitPoints
from tests.architectures import ARCHITECTURES, CLASSES, build
from tests.concepts.supervised.planted import ANIMALS, BOOKS, OTHERS, assert_untouched, split_classifier, state_of
from tests.tiny import byte_bpe, language_model


def linear_end():
    """A classifier whose score is linear above the last block: along `v` the score of a class changes by `W_k v`."""
    model = build("llama", CLASSES)
    model.model.norm = torch.nn.Identity()
    return ModelWithSplitPoints(model, -1, tokenizer=ARCHITECTURES["llama"].tokenizer())


def test_derivatives_of_known_sign():
    split = linear_end()
    concepts = CAVConcepts(split, kind="difference of means")
    concepts.fit_examples(ANIMALS, OTHERS)
    with torch.no_grad():
        split.model.score.weight[0] = concepts.dictionary[0]
        split.model.score.weight[1] = -concepts.dictionary[0]
        split.model.score.weight[2] = 0.0
        split.model.score.weight[2, 0] = 1.0
    before = state_of(split.model)
    tcav = TCAV(model_with_split_points=split, kind="difference of means", n_partitions=20, n_random_concepts=5)
    found = tcav({"animals": ANIMALS}, OTHERS, {0: BOOKS, "LABEL_1": BOOKS, 2: ANIMALS})
    assert_untouched(split.model, before)
    rising, falling = found.of("animals", "LABEL_0"), found.of("animals", "LABEL_1")
    assert rising.scores == (1.0,) * 20
    assert falling.scores == (0.0,) * 20
    assert rising.accuracy > 0.8
    assert found.significant(rising)
    assert found.significant(falling)
    assert set(found.of("animals", "LABEL_2").scores) <= {0.0, 1.0}
    assert all(chance + other == 1 for chance, other in zip(rising.random_scores, falling.random_scores, strict=True))
    assert 0 < rising.random_score < 1
    assert rising.n_examples == len(ANIMALS)
    assert rising.n_texts == len(BOOKS)


def test_shares_are_counted_by_hand():
    """A model that bends: each text's derivative by autograd on the model itself, with no hook of this library."""
    split = split_classifier(0)
    tcav = TCAV(model_with_split_points=split, kind="difference of means", n_partitions=3, n_random_concepts=0, seed=5)
    row = tcav({"animals": ANIMALS}, OTHERS, {1: BOOKS}).rows[0]
    gradients = []
    for text in BOOKS:
        kept = {}

        def hook(_module, _args, output, kept=kept):
            hidden = output if isinstance(output, torch.Tensor) else output[0]
            kept["h"] = hidden.detach().requires_grad_()
            return kept["h"] if isinstance(output, torch.Tensor) else (kept["h"], *output[1:])

        handle = split.model.bert.encoder.layer[0].register_forward_hook(hook)
        logits = split.model(**split.tokenizer(text, return_tensors="pt")).logits
        handle.remove()
        gradients.append(torch.autograd.grad(logits[0, 1], kept["h"])[0][0, 0])
    own = split.get_activations(ANIMALS, "cls_token")["0"].double()
    pool = split.get_activations(OTHERS, "cls_token")["0"].double()
    rng = torch.Generator().manual_seed(5)
    n, held = len(ANIMALS), round(len(ANIMALS) / 4)
    for score in row.scores:
        inside = own[torch.randperm(n, generator=rng)][held:]
        outside = pool[torch.randperm(len(OTHERS), generator=rng)[:n]][held:]
        v = inside.mean(dim=0) - outside.mean(dim=0)
        assert score == sum(float(g.double() @ v) > 0 for g in gradients) / len(BOOKS)
    assert row.false_positives is None


def test_rows_of_several_tokens_move_together():
    split = split_classifier(0)
    tcav = TCAV(model_with_split_points=split, activation_granularity="token", n_partitions=4, n_random_concepts=0)
    row = tcav({"animals": ANIMALS}, OTHERS, {0: BOOKS}).rows[0]
    found = NeuronsAsConcepts(split).concept_output_gradient(BOOKS, [0], "token")
    along = torch.stack([one[0].sum(dim=0) for one in found]).double()
    name, gradients = tcav._gradients(0, BOOKS)
    assert name == "LABEL_0"
    torch.testing.assert_close(gradients, along)
    assert all(0 <= score <= 1 for score in row.scores)
    with pytest.raises(InputError, match="depends on, got none"):
        TCAV(model_with_split_points=split_classifier(-1), activation_granularity="token")(
            {"animals": ANIMALS}, OTHERS, {0: BOOKS}
        )


def test_the_test_is_the_one_of_scipy_and_holds_its_level():
    rng = torch.Generator().manual_seed(0)
    found = []
    for _ in range(400):
        one, other = torch.rand(30, generator=rng).double(), torch.rand(30, generator=rng).double()
        found.append(_p_value(one, other, 1))
        assert found[-1] == pytest.approx(ttest_ind(one.numpy(), other.numpy(), equal_var=False).pvalue)
    assert sum(p < 0.05 for p in found) / 400 == pytest.approx(0.05, abs=0.03)
    assert _p_value(one, other, 7) == pytest.approx(min(1.0, 7 * found[-1]))
    ones = torch.ones(5).double()
    assert (_p_value(ones, ones, 3), _p_value(ones, 0 * ones, 3)) == (1.0, 0.0)
    shares = shares_rising(torch.tensor([[1.0, 0.0], [0.0, 0.0], [-1.0, 2.0]]), torch.tensor([[1.0, 1.0], [-1.0, 0.0]]))
    torch.testing.assert_close(shares, torch.tensor([2 / 3, 1 / 3]).double())


def test_a_random_concept_is_not_significant():
    """Many random texts, of which each partition has other ones, taken for a concept."""
    split = split_classifier(0)
    mixed = [(ANIMALS + BOOKS + OTHERS)[k] for k in torch.randperm(83, generator=torch.Generator().manual_seed(1))]
    tcav = TCAV(model_with_split_points=split, n_partitions=20, n_random_concepts=8)
    found = tcav({"random": mixed[:71]}, mixed[71:], {0: ANIMALS})
    assert not found.significant(found.rows[0])
    assert abs(found.rows[0].accuracy - 0.5) < 0.15
    assert found.rows[0].n_examples == 6
    assert 0 <= found.rows[0].false_positives <= 1


def test_other_concepts_and_batches_change_nothing_but_the_correction():
    split = split_classifier(0)
    options = {"n_partitions": 5, "n_random_concepts": 2, "kind": "difference of means"}
    alone = TCAV(model_with_split_points=split, **options)({"animals": ANIMALS}, OTHERS, {0: BOOKS}).rows[0]
    both = TCAV(model_with_split_points=split, batch_size=2, **options)(
        {"books": BOOKS, "animals": ANIMALS}, OTHERS, {1: BOOKS, 0: BOOKS}
    ).of("animals", "LABEL_0")
    assert both.scores == alone.scores
    assert both.random_scores == alone.random_scores
    assert both.p_value == pytest.approx(min(1.0, 4 * alone.p_value))


def test_results_repeat_and_come_back_from_files(tmp_path):
    split = split_classifier(0)
    options = {"n_partitions": 4, "n_random_concepts": 2}
    one, other = (
        TCAV(model_with_split_points=split, **options)({"animals": ANIMALS}, OTHERS, {0: BOOKS}) for _ in range(2)
    )
    assert one == other
    assert TCAVResult.from_json(one.to_json()) == one
    assert TCAVResult.load(one.save(tmp_path / "tcav.json")) == one
    assert one.to_pandas().loc[0, "score"] == one.rows[0].score
    assert one.rows[0].std == pytest.approx(float(torch.tensor(one.rows[0].scores).double().std()))
    assert str(one).startswith("animals -> LABEL_0:")
    data = json.loads(one.to_json())
    for change in (
        {"kind": "magic"},
        {"format": 0},
        {"rows": []},
        {"rows": [{**data["rows"][0], "more": 1}]},
        {"rows": [{**data["rows"][0], "scores": ["a"]}]},
        {"rows": [{**data["rows"][0], "concept": 3}]},
    ):
        with pytest.raises(InputError, match="expected the JSON of a TCAV result"):
            TCAVResult.from_json(json.dumps({**data, **change}))
    with pytest.raises(InputError, match="expected a file of a TCAV result"):
        TCAVResult.load(tmp_path / "nothing")
    with pytest.raises(InputError, match="concept and target: expected one of"):
        one.of("books")


def test_what_cannot_be_tested_is_refused():
    split = split_classifier([0, 1])
    for options, message in [
        ({"kind": "magic"}, "kind"),
        ({"n_partitions": 1}, "n_partitions"),
        ({"n_random_concepts": -1}, "n_random_concepts"),
        ({"level": 1.0}, "level"),
        ({"strength": 0.0}, "strength"),
        ({"seed": -1}, "seed"),
    ]:
        with pytest.raises(InputError, match=message):
            TCAV(model_with_split_points=split, **options)
    with pytest.raises(InputError, match="split_point: expected a choice"):
        TCAV(model_with_split_points=split)({"a": ANIMALS}, OTHERS, {0: BOOKS})
    tcav = TCAV(model_with_split_points=split, split_point=0, n_partitions=2, n_random_concepts=0)
    for arguments, message in [
        (({}, OTHERS, {0: BOOKS}), "concepts: expected a mapping"),
        (({"a": ANIMALS}, OTHERS, {}), "classes: expected a mapping"),
        (({"a": ANIMALS[:3]}, OTHERS, {0: BOOKS}), "at least 4 different texts of 'a', got 3"),
        (({"a": ANIMALS}, OTHERS[:5], {0: BOOKS}), "others: expected at least 8"),
        (({"a": ANIMALS}, OTHERS, {"joy": BOOKS}), "expected one of the labels"),
        (({"a": ANIMALS}, OTHERS, {9: BOOKS}), "9"),
    ]:
        with pytest.raises(InputError, match=message):
            tcav(*arguments)


def test_models_without_classes_are_refused():
    split = ModelWithSplitPoints(language_model(), 0, tokenizer=byte_bpe())
    with pytest.raises(InputError, match="expected a classifier, got a causal-lm"):
        TCAV(model_with_split_points=split)


def test_texts_are_not_of_a_concept_and_random_at_once():
    split = split_classifier()
    with pytest.raises(InputError, match="others: expected texts without 'animals', got one of its own"):
        TCAV(model_with_split_points=split)({"animals": ANIMALS}, [*OTHERS, ANIMALS[0]], {0: BOOKS})
    with pytest.raises(InputError, match="others: expected texts that are no examples"):
        CAVConcepts(split).fit_examples(ANIMALS, [*OTHERS, ANIMALS[0]])
