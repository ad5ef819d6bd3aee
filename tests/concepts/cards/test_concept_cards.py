"""Cards of concepts, held to the slow and obvious way: all codes at once."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from interpreto.concepts import ConceptCards, PCAConcepts, TopKInputs, VocabProj, concept_cards
from interpreto.concepts.cards import making
from interpreto.concepts.cards.activity import Histograms
from interpreto.concepts.importance import ConceptImportance
from interpreto.concepts.interpretations import ConceptReading, Interpretations
from interpreto.concepts.interpretations import base as interpretations_base
from interpreto.concepts.label_metrics import ConceptScore, Estimate, LabelScores
from interpreto.errors import InputError, NotFittedError
from interpreto.model_wrapping import ModelWithSplitPoints
from tests.concepts.interpretations.plain import TEXTS
from tests.concepts.simple import RandomConcepts
from tests.tiny import byte_bpe, language_model

unchecked = inspect.unwrap(concept_cards)  # as users call it, without the run-time types of the tests


@pytest.fixture(scope="module")
def split():
    return ModelWithSplitPoints(language_model(), [1], tokenizer=byte_bpe())


@pytest.fixture(scope="module")
def activations(split):
    return split.get_activations(TEXTS)


@pytest.fixture(scope="module")
def concepts(split, activations):
    """One of them is dead."""
    explainer = RandomConcepts(split, nb_concepts=8)
    explainer.fit(activations)
    directions = explainer.concept_model.directions.clone()
    directions[6] = 0
    explainer._concept_model = replace(explainer.concept_model, directions=directions)
    return explainer


@pytest.fixture(scope="module")
def codes(concepts, activations):
    return concepts.encode(activations).double().numpy()


@pytest.fixture(scope="module")
def cards(concepts, activations):
    return concept_cards(concepts, TEXTS, activations)


def test_how_often_and_how_strongly(cards, codes):
    assert (list(cards), cards.n_rows, cards.nb_concepts) == (list(range(8)), len(codes), 8)
    for concept, card in cards.items():
        active = codes[:, concept][codes[:, concept] > 0]
        assert card.active == len(active)
        assert card.density == len(active) / len(codes)
        assert card.largest == pytest.approx(active.max(initial=0.0))
        assert card.mean == pytest.approx(active.mean() if len(active) else 0.0, rel=1e-5)
    assert cards[6].active == 0
    assert (cards[6].strongest, cards[6].bands, cards[6].together, cards[6].histogram.counts) == ((), (), (), ())


@pytest.mark.parametrize("signed", [False, True])
def test_histograms_count_what_is_not_0(split, activations, concepts, signed):
    if signed:
        concepts = PCAConcepts(split, nb_concepts=4)
        concepts.fit(activations)
    found = concept_cards(concepts, TEXTS, activations)
    codes = concepts.encode(activations).numpy()
    for concept, card in found.items():
        own, histogram = codes[:, concept][codes[:, concept] != 0], card.histogram
        assert sum(histogram.counts) == len(own)
        for low, high, count in zip(histogram.edges, histogram.edges[1:], histogram.counts, strict=False):
            assert count == ((own >= low) & (own < high)).sum()
        if len(own):
            assert histogram.edges[0] <= 0 <= histogram.edges[-1]
            assert np.log2(histogram.width) % 1 == 0
            assert 32 <= max(-histogram.edges[0], histogram.edges[-1]) / histogram.width <= 64
            assert (histogram.edges[0] < 0) == bool((own < 0).any())


def test_histograms_do_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(0)
    codes = (rng.exponential(size=(300, 5)) * 10.0 ** rng.integers(-6, 6, (300, 1))).astype(np.float32)
    codes[rng.random(codes.shape) < 0.5] *= -1
    codes[:, 4] = 0
    found = []
    for order, size in ((np.arange(300), 300), (np.arange(300)[::-1], 7), (rng.permutation(300), 1)):
        histograms = Histograms(5)
        for k in range(0, 300, size):
            histograms.add(codes[order][k : k + size])
        found.append([histograms.of(concept) for concept in range(5)])
    assert found[0] == found[1] == found[2]
    counts, _ = np.histogram(codes[:, 0], bins=np.array(found[0][0].edges))
    assert tuple(counts) == found[0][0].counts


@pytest.mark.parametrize("granularity", ["token", "word", "sample"])
def test_the_strongest_examples_are_those_of_the_interpretation(split, granularity):
    explainer = RandomConcepts(split, nb_concepts=5)
    explainer.fit(split.get_activations(TEXTS, granularity))
    options = {"activation_granularity": granularity, "k_examples": 4, "k_context": 2}
    wanted = TopKInputs(explainer, **options).interpret("all", TEXTS)
    found = concept_cards(explainer, TEXTS, **options)
    assert [card.strongest for card in found.values()] == [reading.examples for reading in wanted.values()]


def test_bands_are_quantiles_of_the_active_rows(concepts, activations, cards, codes, monkeypatch):
    monkeypatch.setattr(making, "_DRAWN", 1000)  # all of them
    found = concept_cards(concepts, TEXTS, activations, n_bands=3, per_band=4, k_context=1)
    sources = activations.sources["1"]
    ends = [(sources.span(row)[0], sources.span(row)[3]) for row in range(len(sources))]
    for concept, card in found.items():
        active = np.sort(codes[:, concept][codes[:, concept] > 0])[::-1]
        parts = [part for part in np.array_split(active, 3) if len(part)]
        assert [band.high for band in card.bands] == pytest.approx([part[0] for part in parts])
        assert [band.low for band in card.bands] == pytest.approx([part[-1] for part in parts])
        assert [(band.start, band.end) for band in card.bands] == [(k / 3, (k + 1) / 3) for k in range(len(parts))]
        strongest = {(one.input, one.start) for one in card.strongest}
        for band in card.bands:
            values = [example.activation for example in band.examples]
            assert values == sorted(values, reverse=True)
            assert len(values) == 4 or len(active) < 40
            for example in band.examples:
                assert band.low <= example.activation <= band.high
                assert (example.input, example.start) not in strongest
                near = [row for row, end in enumerate(ends) if end == (example.input, example.end)]
                assert any(codes[row, concept] == pytest.approx(example.activation) for row in near)


def test_few_drawn_rows_stand_for_all(concepts, activations, codes):
    ranks = []
    for seed in range(20):
        found = concept_cards(concepts, TEXTS, activations, n_bands=2, per_band=2, seed=seed, k_neighbours=0)
        for concept, card in found.items():
            active = np.sort(codes[:, concept][codes[:, concept] > 0])
            if len(card.bands) == 2:
                ranks.append(np.searchsorted(active, card.bands[0].low) / len(active))
    assert np.mean(ranks) == pytest.approx(0.5, abs=0.1)
    assert np.std(ranks) > 0.02  # other seeds draw other rows


def test_neighbours(cards, concepts, codes):
    directions = concepts.dictionary.double().numpy()
    norms = np.maximum(np.linalg.norm(directions, axis=1), 1e-30)
    cosines = directions @ directions.T / np.outer(norms, norms)
    with np.errstate(invalid="ignore", divide="ignore"):
        correlations = np.nan_to_num(np.corrcoef(codes.T))
    for kind, table in (("similar", cosines), ("together", correlations)):
        for concept, card in cards.items():
            own = getattr(card, kind)
            wanted = sorted((k for k in range(8) if k != concept), key=lambda k: -table[concept, k])
            wanted = [k for k in wanted if table[concept, k] > 1e-6][:5]
            assert [near.concept for near in own] == wanted
            assert [near.value for near in own] == pytest.approx(table[concept, wanted].tolist(), rel=1e-3, abs=1e-5)


def test_constant_codes_correlate_with_nothing(split, activations, concepts):
    class Constant(RandomConcepts):
        def encode(self, activations):
            codes = super().encode(activations)
            codes[:, 0] = 3.0
            return codes

    explainer = Constant(split, nb_concepts=3)
    explainer.fit(activations)
    found = concept_cards(explainer, TEXTS, activations)
    assert found[0].together == ()
    assert all(near.concept != 0 for card in found.values() for near in card.together)


def test_some_concepts_have_the_cards_that_they_have_among_all(concepts, activations, cards):
    some = concept_cards(concepts, TEXTS, activations, concepts_indices=[5, 2])
    assert list(some) == [5, 2]
    assert some.nb_concepts == 8
    for concept, card in some.items():
        assert close(card, cards[concept])


def close(one, other):
    """Equal but for rounding."""

    def plain(card):
        return json.loads(ConceptCards((card,), 1, 8).to_json(), parse_float=lambda x: f"{float(x):.4g}")

    return plain(one) == plain(other)


def test_stores_computed_activations_and_small_blocks_give_the_same(split, concepts, cards, monkeypatch, tmp_path):
    assert all(close(concept_cards(concepts, TEXTS)[c], card) for c, card in cards.items())
    monkeypatch.setattr(interpretations_base, "_MOST_ROWS", 7)
    stored = concept_cards(concepts, TEXTS, split.get_activations(TEXTS, store=tmp_path))
    assert all(close(stored[c], card) for c, card in cards.items())


def test_what_is_known_from_other_results(split, concepts, activations):
    labels = Interpretations((ConceptReading(2, "names of pets", ()), ConceptReading(3, None, ())), "LLMLabels")
    output = VocabProj(concepts, k=12).interpret([2, 4])
    weights = torch.rand(3, 8, generator=torch.Generator().manual_seed(0))
    importance = ConceptImportance("gradient", ("a", "b", "c"), torch.tensor([1, 2, 3]), -weights, weights)
    scores = LabelScores((ConceptScore(2, "names of pets", Estimate(0.9, 0.1)),), "Detection")
    found = concept_cards(
        concepts,
        TEXTS,
        activations,
        interpretations=labels,
        output=output,
        importance=importance,
        scores=scores,
        k_tokens=7,
        k_classes=2,
    )
    assert [card.label for card in found.values()] == [None, None, "names of pets", *[None] * 5]
    assert [tokens.tokens for tokens in found[2].tokens] == [output[2]["raised"][:7], output[2]["lowered"][:7]]
    assert found[3].tokens == ()
    assert found[2].scores == {"Detection": Estimate(0.9, 0.1)}
    assert found[3].scores == {}
    shares = weights / weights.sum(dim=1, keepdim=True)
    counted = weights * torch.tensor([[1.0], [2.0], [3.0]])
    assert found[2].overall == pytest.approx(float(counted[:, 2].sum() / counted.sum()))
    best = shares[:, 2].argsort(descending=True)[:2].tolist()
    assert [one.name for one in found[2].importance] == ["abc"[t] for t in best]
    for one, t in zip(found[2].importance, best, strict=True):
        assert (one.share, one.absolute, one.signed) == pytest.approx(
            (float(shares[t, 2]), float(weights[t, 2]), -float(weights[t, 2]))
        )
    assert found.settings["importance"] == "gradient"


def test_cards_are_json_both_ways(cards, tmp_path):
    scored = replace(cards.cards[0], scores={"Purity": Estimate(0.5, float("nan"))}, label="</script>\u202e")
    whole = replace(cards, cards=(scored, *cards.cards[1:]))
    again = ConceptCards.load(whole.save(tmp_path / "cards.json"))
    assert repr(again.to_dict()) == repr(whole.to_dict())
    assert again[1] == whole[1]
    assert np.isnan(again[0].scores["Purity"].error)
    with pytest.raises(KeyError, match=r"there are \[0, 1"):
        again[99]
    table = again.to_pandas()
    assert len(table) == 8
    assert table["density"].tolist() == [card.density for card in whole.values()]
    data = whole.to_dict()
    for wrong in (
        {},
        {**data, "format": 99},
        {**data, "kind": "interpretations"},
        {**data, "n_rows": "many"},
        {**data, "cards": [{**data["cards"][0], "label": 3}]},
        {**data, "cards": [{**data["cards"][0], "histogram": [0.0]}]},
    ):
        with pytest.raises(InputError, match="expected"):
            ConceptCards.from_json(json.dumps(wrong))
    with pytest.raises(InputError, match="JSON of cards"):
        ConceptCards.from_json("nothing")


def test_mistakes_are_told(split, concepts, activations, monkeypatch):
    labels = Interpretations((ConceptReading(9, "x", ()),), "LLMLabels")
    scores = LabelScores((ConceptScore(0, "x"),), "Detection")
    importance = ConceptImportance("gradient", ("a",), torch.tensor([1]), torch.ones(1, 5), torch.ones(1, 5))
    for options, said in (
        ({"concepts_indices": 8}, "numbers from 0 to 7"),
        ({"interpretations": labels}, "interpretations: expected concepts 0 to 7, .* got concept 9"),
        ({"output": labels}, "output: expected OutputReadings"),
        ({"importance": importance}, "importance: expected the 8 concepts, got 5"),
        ({"scores": [scores, scores]}, "one result a metric"),
        ({"scores": [labels]}, r"scores\[0\]: expected LabelScores"),
        ({"n_bands": -1}, "n_bands"),
        ({"per_band": 0}, "per_band"),
    ):
        with pytest.raises(InputError, match=said):
            unchecked(concepts, TEXTS, activations, **options)
    with pytest.raises(NotFittedError):
        concept_cards(RandomConcepts(split, nb_concepts=3), TEXTS)
    monkeypatch.setattr(making, "_MOST_PRODUCTS", 32)
    with pytest.raises(InputError, match="at most 4 of the 8 concepts"):
        concept_cards(concepts, TEXTS, activations)
    assert concept_cards(concepts, TEXTS, activations, k_neighbours=0)[0].similar == ()
