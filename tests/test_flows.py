"""Words, concepts and decision in one result."""

import json
from functools import cache

import pytest
import torch

from interpreto import InputxGradient, KernelShap, ModelWithSplitPoints, Occlusion
from interpreto.concepts import ConceptsToOutput, InputToConcepts
from interpreto.errors import InputError
from interpreto.flows import ConceptFlow, ConceptFlows
from tests.concepts.simple import RandomConcepts
from tests.tiny import LINES, byte_bpe, classifier, language_model, wordpiece

TEXTS = ["The quick fox ran home", "a sad day"]


@cache
def concepts(writes=False):
    model, tokenizer = (language_model(), byte_bpe()) if writes else (classifier(), wordpiece())
    split = ModelWithSplitPoints(model, tokenizer=tokenizer, split_points=0)
    found = RandomConcepts(split, nb_concepts=8)
    found.fit(split.get_activations(LINES))
    return found


def test_both_halves_are_the_explanations_of_the_bridges():
    flows = ConceptFlows(concepts(), n_concepts=3, weights=KernelShap, words=InputxGradient, at="sum")(
        TEXTS, [[0, 2], [1, 2]]
    )
    weights = KernelShap(ConceptsToOutput(concepts()))(TEXTS, [[0, 2], [1, 2]])
    for k, (flow, whole) in enumerate(zip(flows, weights, strict=True)):
        by_number = {e.tokens[0]: whole.scores[:, c] for c, e in enumerate(whole.elements)}
        size = {number: float(scores.abs().max()) for number, scores in by_number.items()}
        strongest = sorted(size, key=lambda number: -size[number])[:3]
        assert flow.concepts == strongest
        torch.testing.assert_close(flow.weights.scores, torch.stack([by_number[i] for i in strongest], dim=1))
        (words,) = InputxGradient(InputToConcepts(concepts(), at="sum"))(TEXTS[k], strongest)
        torch.testing.assert_close(flow.words.scores, words.scores, atol=1e-5, rtol=1e-4)
        assert flow.weights.std_errors.shape == flow.weights.scores.shape


def test_what_goes_through_is_the_weight_shared_out():
    (flow,) = ConceptFlows(concepts(), n_concepts=4)(TEXTS[0])
    t, c, g = 1, len(flow.concepts), len(flow.words.elements)
    assert flow.through.shape == (t, c, g)
    moved = (flow.words.scores.abs().sum(dim=1) > 0).float()
    torch.testing.assert_close(flow.through.abs().sum(dim=2), flow.weights.scores.abs() * moved)
    signs = flow.through.sign() * flow.weights.scores.sign()[:, :, None]
    assert torch.equal(signs, flow.words.scores.sign()[None] * flow.weights.scores.sign().abs()[:, :, None])


def test_other_removals_and_any_iterable():
    rows = concepts().split.get_activations(LINES)
    flows = ConceptFlows(concepts(), removal="mean", reference=rows, max_concepts=4)(text for text in TEXTS)
    assert [len(flow.concepts) <= 4 for flow in flows] == [True, True]
    assert flows[0].weights.settings["concept_removal"] == "mean"
    assert flows[0].weights.gaps is None


def test_models_that_write():
    (flow,) = ConceptFlows(concepts(True), n_concepts=3)("What a great day", " it is")
    assert flow.weights.scores.shape == (2, 3)
    assert flow.through.isfinite().all()
    assert ConceptFlow.from_json(flow.to_json()).to_json() == flow.to_json()


def test_saved_flows_come_back(tmp_path):
    (flow,) = ConceptFlows(concepts())(TEXTS[1])
    flow.save(tmp_path / "flow.json")
    again = ConceptFlow.load(tmp_path / "flow.json")
    assert again.to_json() == flow.to_json()
    assert again.concepts == flow.concepts
    assert torch.equal(again.through, flow.through)
    data = json.loads(flow.to_json())
    for broken in ("", "[]", "{}", json.dumps({**data, "kind": "attribution"}), json.dumps({**data, "words": 1})):
        with pytest.raises(InputError, match="file: expected"):
            ConceptFlow.from_json(broken)


def test_bad_input():
    with pytest.raises(InputError, match="n_concepts: expected"):
        ConceptFlows(concepts(), n_concepts=0)
    one, other = ConceptFlows(concepts())(TEXTS)
    with pytest.raises(InputError, match="expected explanations of one text"):
        ConceptFlow(one.words, other.weights)
    (fewer,) = Occlusion(concepts())(TEXTS[0], one.concepts[:2])
    with pytest.raises(InputError, match="expected the same concepts"):
        ConceptFlow(fewer, one.weights)
    with pytest.raises(InputError, match="words: expected an explanation of concepts"):
        ConceptFlow(Occlusion(classifier(), wordpiece())(TEXTS[0])[0], one.weights)
    with pytest.raises(InputError, match="expected an explanation of codes"):
        ConceptFlow(one.weights, one.weights)
    with pytest.raises(InputError, match="words_options: Occlusion has no option 'granulariti'"):
        ConceptFlows(concepts(), words_options={"granulariti": "word"})
    with pytest.raises(InputError, match="at: expected"):
        ConceptFlows(concepts(), at="bst")
