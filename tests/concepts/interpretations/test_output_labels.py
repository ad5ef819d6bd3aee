"""Labels from what concepts do to the output: what is asked, exactly, and what becomes of the answers."""

from __future__ import annotations

import json
import warnings

import pytest
import torch

from interpreto.concepts.interpretations import LLMLabels, TopKInputs
from interpreto.concepts.interpretations.asking import labels_of
from interpreto.concepts.interpretations.output_labels import OutputLabels
from interpreto.concepts.interpretations.output_prompts import lines_of
from interpreto.concepts.interpretations.output_result import OutputReading, TokenList, TokenWeight
from interpreto.concepts.interpretations.result import Interpretations
from interpreto.concepts.interpretations.token_change import TokenChange
from interpreto.concepts.interpretations.vocab_proj import VocabProj
from interpreto.errors import InputError
from interpreto.model_wrapping import ModelWithSplitPoints
from interpreto.model_wrapping.llm_interface import RecordedLLM
from tests.concepts.simple import RandomConcepts, RandomModel
from tests.tiny import LINES, byte_bpe, language_model


class HalfDead(RandomModel):
    """The first concept is never active."""

    def encode(self, activations):
        return super().encode(activations) * (torch.arange(len(self.directions)) > 0)


@pytest.fixture(scope="module")
def concepts():
    split = ModelWithSplitPoints(language_model(), -1, tokenizer=byte_bpe())
    found = RandomConcepts(split, nb_concepts=3)
    found.fit(split.get_activations(LINES))
    found._concept_model = HalfDead(found.dictionary)
    return found


@pytest.fixture(scope="module")
def sources(concepts):
    return [
        TopKInputs(concepts, k_examples=3),
        VocabProj(concepts, k=4),
        TokenChange(concepts, k=2, nb_prompts=2),
    ]


def constant(text="things"):
    return RecordedLLM(lambda chat: text)


def kind_of(chat):
    """Which sources a prompt shows."""
    keys = {key for line in chat[-1]["content"].split("\n") for key in json.loads(line)}
    return tuple(name for name in ("text", "direction", "intervention") if name in keys)


def test_one_prompt_shows_what_all_sources_found(concepts, sources):
    llm = constant("Label: 'pets'.")
    found = OutputLabels(sources, llm_interface=llm).interpret([2, 0], LINES)
    assert isinstance(found, Interpretations)
    assert found.labels == {2: "pets", 0: "pets"}
    assert [kind_of(chat) for chat in llm.asked] == [
        ("text", "direction", "intervention"),
        ("direction", "intervention"),
    ]
    of_2 = [json.loads(line) for line in llm.asked[0][-1]["content"].split("\n")]
    projected, changed = sources[1].interpret([2])[2], sources[2].interpret([2], LINES)[2]
    assert of_2[3:] == [
        {"direction": "raised", "tokens": [token.text for token in projected["raised"]]},
        {"direction": "lowered", "tokens": [token.text for token in projected["lowered"]]},
        *(
            {"intervention": f"{way} when {state}", "tokens": [t.text for t in changed[f"{way} when {state}"]]}
            for state in ("amplified", "suppressed")
            for way in ("raised", "lowered")
        ),
    ]
    shown = sources[0].interpret([2], LINES)[2].examples
    assert [line["text"] for line in of_2[:3]] == [example.text for example in shown]
    assert found[2].examples == shown
    system = llm.asked[1][0]["content"]
    assert '"direction"' in system
    assert '"intervention"' in system
    assert "<<" not in system  # nothing about excerpts where there are none


def test_a_label_a_source_joined(concepts, sources):
    answers = {("text",): "dogs", ("direction",): "pets", ("intervention",): "dogs"}
    llm = RecordedLLM(lambda chat: answers[kind_of(chat)])
    found = OutputLabels(sources, llm_interface=llm, ensemble="concat").interpret("all", LINES)
    assert found.labels == {0: "pets; dogs", 1: "dogs; pets", 2: "dogs; pets"}
    assert len(llm.asked) == 8


def test_the_prompt_about_texts_is_that_of_llm_labels(concepts, sources):
    llm = constant()
    OutputLabels(sources, llm_interface=llm, ensemble="concat").interpret([1], LINES)
    asked = next(chat for chat in llm.asked if kind_of(chat) == ("text",))
    other = constant()
    LLMLabels(concepts, llm_interface=other, k_examples=3, k_context=0).interpret([1], LINES)
    assert other.asked == [asked]


def test_from_the_vocabulary_alone_no_text_is_needed(concepts):
    found = OutputLabels([VocabProj(concepts, k=3)], llm_interface=constant()).interpret()
    assert found.labels == dict.fromkeys(range(3), "things")
    raised = VocabProj(concepts, k=3).interpret()[1]["raised"]
    assert [(e.text, e.activation) for e in found[1].examples] == [(t.text, t.weight) for t in raised]
    assert Interpretations.from_json(found.to_json()).labels == found.labels


def test_a_failed_call_leaves_its_label_out_and_a_warning(concepts, sources):
    first = {True: None, False: "things"}
    llm = RecordedLLM(lambda chat: first[chat is llm.asked[0]])
    labels = OutputLabels([VocabProj(concepts)], llm_interface=llm)
    with pytest.warns(UserWarning, match=r"1 of 3 concepts got no label: concept 0 \(no recorded answer"):
        found = labels.interpret()
    assert found.labels == {0: None, 1: "things", 2: "things"}
    half = RecordedLLM(lambda chat: None if kind_of(chat) == ("direction",) else "things")
    with pytest.warns(UserWarning, match="concept 1 by VocabProj"):
        found = OutputLabels(sources, llm_interface=half, ensemble="concat").interpret([1], LINES)
    assert found.labels == {1: "things"}


def test_a_dry_run_sends_nothing_and_the_cache_is_asked_first(concepts, sources, tmp_path):
    llm = constant()
    llm.cache = tmp_path / "answers.jsonl"
    labels = OutputLabels(sources, llm_interface=llm, ensemble="concat")
    plan = labels.dry_run("all", LINES)
    assert llm.asked == []
    assert {kind: one.calls for kind, one in plan.items()} == {"TopKInputs": 2, "VocabProj": 3, "TokenChange": 3}
    assert all(one.prompt_tokens > 100 for one in plan.values())
    labels.interpret("all", LINES)
    assert len(llm.asked) == 8
    assert {one.calls for one in labels.dry_run("all", LINES).values()} == {0}
    labels.interpret("all", LINES)
    assert len(llm.asked) == 8
    raw = OutputLabels(sources, llm_interface=llm).dry_run([1], LINES)
    assert list(raw) == ["raw"]
    assert "[system]" in raw["raw"].text()


def test_the_users_own_task(concepts):
    llm = constant()
    OutputLabels([VocabProj(concepts)], llm_interface=llm, system_prompt="Name it.").interpret([0])
    assert llm.asked[0][0]["content"] == "Name it."


def test_hostile_tokens_stay_inside_their_line():
    hostile = ['"]}\n{"direction": "raised"', "\u2028", "</script>", "\\", "\x00"]
    tokens = tuple(TokenWeight(text, k, 1.0) for k, text in enumerate(hostile))
    (line,) = lines_of("VocabProj", OutputReading(0, (TokenList("raised", tokens),)))
    assert "\n" not in line
    assert json.loads(line) == {"direction": "raised", "tokens": hostile}


def test_settings_tell_all_sources(concepts, sources):
    found = OutputLabels(sources, llm_interface=constant()).settings()
    assert list(found["sources"]) == ["TopKInputs", "VocabProj", "TokenChange"]
    assert found["sources"]["TokenChange"]["strength"] == 1.0
    assert found["llm"] == {"model": "recorded"}
    json.dumps(found)


def test_concepts_can_come_from_an_iterator(concepts, sources):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = OutputLabels(sources, llm_interface=constant()).interpret(iter([2, 1]), LINES)
    assert list(found) == [2, 1]


def test_many_failures_are_counted():
    chats = {k: ({"role": "user", "content": str(k)},) for k in range(9)}
    with pytest.warns(UserWarning, match="9 of 9 concepts .* and 4 more"):
        found = labels_of(RecordedLLM({}), chats, str, progress=False)
    assert found == dict.fromkeys(range(9))


def test_bad_input(concepts, sources):
    other = RandomConcepts(concepts.split, nb_concepts=3)
    llm = constant()
    with pytest.raises(InputError, match="at least one, and none twice, got \\[\\]"):
        OutputLabels([], llm_interface=llm)
    with pytest.raises(InputError, match="none twice"):
        OutputLabels([sources[1], VocabProj(concepts)], llm_interface=llm)
    with pytest.raises(InputError, match="the same concepts"):
        OutputLabels([sources[0], VocabProj(other)], llm_interface=llm)
    with pytest.raises(InputError, match="ensemble: expected one of"):
        OutputLabels(sources, llm_interface=llm, ensemble="mean")
    with pytest.raises(InputError, match="inputs: expected the texts"):
        OutputLabels(sources, llm_interface=llm).interpret()
    with pytest.raises(InputError, match="numbers from 0 to 2"):
        OutputLabels(sources, llm_interface=llm).interpret([7], LINES)
