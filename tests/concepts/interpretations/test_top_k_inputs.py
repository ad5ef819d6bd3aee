"""The strongest texts of concepts, held to the slow and obvious way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from interpreto.concepts.base import ConceptExplainer
from interpreto.concepts.interpretations import TopKInputs
from interpreto.concepts.interpretations import base as interpretations_base
from interpreto.concepts.interpretations.rows import blocks
from interpreto.concepts.interpretations.strongest import Choice, Order
from interpreto.concepts.interpretations.texts import readable, token_name
from interpreto.demo import load
from interpreto.errors import InputError, NotFittedError
from interpreto.model_wrapping import ModelWithSplitPoints, TensorRows
from interpreto.text import Segments
from interpreto.types import Task
from tests.architectures import model_and_tokenizer
from tests.concepts.interpretations.plain import TEXTS, WHOLE, row_texts, strongest
from tests.concepts.simple import RandomConcepts, RandomModel
from tests.tiny import byte_bpe, classifier, language_model, metaspace, roberta_bpe, wordpiece

GRANULARITIES = ["cls_token", "all_tokens", "token", "word", "sentence", "sample"]


@pytest.fixture(scope="module")
def bert():
    return ModelWithSplitPoints(classifier(), [1], tokenizer=wordpiece())


@pytest.fixture(scope="module")
def gpt():
    return ModelWithSplitPoints(language_model(), [0, 1], tokenizer=byte_bpe())


def fitted(split, nb_concepts=8, split_point=None, granularity="token", **options):
    explainer = RandomConcepts(split, nb_concepts=nb_concepts, split_point=split_point, **options)
    explainer.fit(split.get_activations(TEXTS, granularity))
    return explainer


def shown(reading):
    return [(example.text, example.activation) for example in reading.examples]


def assert_same(found, wanted):
    assert [text for text, _ in found] == [text for text, _ in wanted]
    np.testing.assert_allclose([a for _, a in found], [a for _, a in wanted], rtol=1e-5, atol=1e-6)


def assert_equal(one, other):
    assert list(one) == list(other)
    for concept in one:
        assert_same(shown(one[concept]), shown(other[concept]))
        places = [
            [(e.input, e.part, e.start, e.end, e.before, e.after) for e in r[concept].examples] for r in (one, other)
        ]
        assert places[0] == places[1]


@pytest.mark.parametrize("kind", ["bert", "gpt"])
@pytest.mark.parametrize("granularity", ["cls_token", "token", "word", "sentence", "sample"])
@pytest.mark.parametrize("k", [1, 5, 100])
def test_strongest_by_hand(kind, granularity, k, request):
    split = request.getfixturevalue(kind)
    explainer = fitted(split, split_point=1, granularity=granularity)
    found = TopKInputs(explainer, activation_granularity=granularity, k_examples=k).interpret("all", TEXTS)
    codes = explainer.encode(split.get_activations(TEXTS, granularity))
    texts = [readable(text) for text in row_texts(split, TEXTS, granularity)]
    assert list(found) == list(range(8))
    for concept, reading in found.items():
        assert reading.label is None
        assert_same(shown(reading), strongest(codes[:, concept], texts, k))


def test_special_tokens_are_shown_by_name(bert):
    explainer = fitted(bert, 20)
    found = TopKInputs(explainer, activation_granularity="all_tokens", k_examples=500).interpret("all", TEXTS)
    texts = {example.text for reading in found.values() for example in reading.examples}
    assert {"[CLS]", "[SEP]"} <= texts
    assert not any("##" in text for text in texts)


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_given_activations_and_stores_give_the_same(gpt, granularity, tmp_path):
    explainer = fitted(gpt, split_point=1)
    interpreter = TopKInputs(explainer, activation_granularity=granularity, k_examples=4, k_context=2)
    computed = interpreter.interpret("all", TEXTS)
    given = gpt.get_activations(TEXTS, granularity)
    assert_equal(computed, interpreter.interpret("all", TEXTS, given))
    assert_equal(computed, interpreter.interpret("all", TEXTS, gpt.get_activations(TEXTS, granularity, store=tmp_path)))
    assert_equal(computed, interpreter.interpret("all", TEXTS, dict(given.items())))
    assert_equal(computed, interpreter.interpret("all", TEXTS, given["1"]))


@pytest.mark.parametrize("k_context", [0, 3])
def test_how_rows_are_cut_changes_nothing(gpt, k_context, monkeypatch):
    explainer = fitted(gpt, split_point=1)
    whole = TopKInputs(explainer, k_examples=6, k_context=k_context).interpret("all", TEXTS)
    for rows, batch in ((1, 1), (7, 2), (40, 3)):
        monkeypatch.setattr(interpretations_base, "_MOST_ROWS", rows)
        monkeypatch.setattr("interpreto.concepts.interpretations.rows._TOKENS_AT_ONCE", rows)
        monkeypatch.setattr("interpreto.concepts.interpretations.rows._TOKENISED_AT_ONCE", batch)
        cut = TopKInputs(explainer, k_examples=6, k_context=k_context, batch_size=batch)
        assert_equal(whole, cut.interpret("all", TEXTS))
        assert_equal(whole, cut.interpret("all", TEXTS, gpt.get_activations(TEXTS)))


def test_the_order_of_inputs_changes_nothing(gpt):
    interpreter = TopKInputs(fitted(gpt, split_point=1), k_examples=6)
    one, other = interpreter.interpret("all", TEXTS), interpreter.interpret("all", TEXTS[::-1])
    for concept in one:
        assert_same(shown(one[concept]), shown(other[concept]))


def test_some_concepts_in_the_order_asked_for(gpt):
    interpreter = TopKInputs(fitted(gpt, split_point=1), k_examples=3)
    every = interpreter.interpret("all", TEXTS)
    for asked in ([5, 0, 5, 2], torch.tensor([5, 0, 2]), np.array([5, 0, 2])):
        some = interpreter.interpret(inputs=TEXTS, concepts_indices=asked)
        assert list(some) == [5, 0, 2]
        for concept in some:
            assert_same(shown(some[concept]), shown(every[concept]))
    assert list(interpreter.interpret(3, TEXTS)) == [3]
    assert list(interpreter.interpret(torch.tensor(3), TEXTS)) == [3]
    assert not interpreter.interpret([], TEXTS)


@dataclass(frozen=True, eq=False)
class LinearModel(RandomModel):
    """Codes of both signs."""

    def encode(self, activations):
        return activations @ self.directions.T


@dataclass(eq=False)
class GivenConcepts(ConceptExplainer):
    """Concepts that are what they are."""

    model: object = None

    @property
    def concept_model(self):
        return self.model


def test_negative_codes_and_dead_concepts_show_nothing(gpt):
    directions = torch.randn(4, 32)
    directions[1] = 0
    explainer = GivenConcepts(gpt, split_point=1, model=LinearModel(directions))
    codes = explainer.encode(gpt.get_activations(TEXTS))
    found = TopKInputs(explainer, k_examples=10_000).interpret("all", TEXTS)
    texts = [readable(text) for text in row_texts(gpt, TEXTS, "token")]
    for concept, reading in found.items():
        assert_same(shown(reading), strongest(codes[:, concept], texts, 10_000))
        assert all(example.activation > 0 for example in reading.examples)
    assert found[1].examples == ()
    assert found[1].name == "(never active)"


@pytest.mark.parametrize("granularity", ["token", "word", "sentence"])
def test_neighbours_are_the_text_around(bert, granularity):
    found = TopKInputs(fitted(bert), activation_granularity=granularity, k_examples=50, k_context=2).interpret(
        "all", TEXTS
    )
    codes = bert.get_activations(TEXTS, granularity)
    sources = codes.sources["1"]
    encoded = fitted(bert).encode(codes)
    spans = [sources.span(row) for row in range(len(sources))]
    for concept, reading in found.items():
        for example in reading.examples:
            text = TEXTS[example.input]
            own = [
                row
                for row, (number, _, start, end) in enumerate(spans)
                if number == example.input and start <= example.start and example.end <= end
            ]
            codes_there = encoded[own, concept]
            row = own[int(codes_there.argmax())]
            near = [r for r in range(max(0, row - 2), min(len(spans), row + 3)) if spans[r][0] == example.input]
            left, right = spans[near[0]][2], spans[near[-1]][3]
            assert text[example.start : example.end] == example.text
            assert example.before == text[left : example.start].lstrip()
            assert example.after == text[example.end : right].rstrip()
            marked = {example.excerpt[m.start : m.end]: m.activation for m in example.marks}
            for r in near:
                piece = text[spans[r][2] : spans[r][3]].strip()
                assert marked[piece] == pytest.approx(
                    max(float(encoded[s, concept]) for s in near if text[spans[s][2] : spans[s][3]].strip() == piece),
                    abs=1e-5,
                ) or [p for p in near if text[spans[p][2] : spans[p][3]].strip() == piece] != [r]


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("kind", ["bert", "gpt"])
def test_texts_are_readable(kind, granularity, request):
    split = request.getfixturevalue(kind)
    explainer = fitted(split, split_point=1)
    found = TopKInputs(explainer, activation_granularity=granularity, k_examples=99, k_context=1).interpret(
        "all", TEXTS
    )
    for reading in found.values():
        for example in reading.examples:
            assert example.text.strip() == example.text != ""
            assert not set("ĠĊ▁\ufffd") & set(example.excerpt)


def test_kinds_of_inputs(bert, gpt):
    pair, own = ("A sad day.", "He ran home."), Segments.join(["A sad day. ", "He ran."], before="So: ")
    ids = bert.tokenizer(["the dog"])
    interpreter = TopKInputs(fitted(bert, 20), activation_granularity="sample", k_examples=9)
    found = interpreter.interpret("all", [pair, own, "  the dog  "])
    texts = {example.text for reading in found.values() for example in reading.examples}
    assert texts == {"A sad day.\nHe ran home.", own.text, "the dog"}
    of_ids = interpreter.interpret("all", ids)
    assert {example.text for reading in of_ids.values() for example in reading.examples} == {"[CLS] the dog [SEP]"}
    words = TopKInputs(fitted(bert, 20), activation_granularity="word", k_examples=9).interpret("all", [pair])
    for example in (example for reading in words.values() for example in reading.examples):
        assert pair[example.part][example.start : example.end] == example.text
    assert interpreter.interpret("all", "the dog")[0]


def test_chats_are_shown_by_what_is_said(gpt):
    import copy

    tokenizer = copy.deepcopy(byte_bpe())
    tokenizer.chat_template = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
    split = ModelWithSplitPoints(language_model(), 1, tokenizer=tokenizer)
    chat = [{"role": "user", "content": "the dog"}, {"role": "assistant", "content": "ran home"}]
    found = TopKInputs(fitted(split), activation_granularity="sample").interpret("all", [chat])
    assert {e.text for reading in found.values() for e in reading.examples} == {"the dog\nran home"}
    tokens = TopKInputs(fitted(split), k_examples=50).interpret("all", [chat])
    assert "user" not in {e.text for reading in tokens.values() for e in reading.examples}


def test_outputs_have_rows_too(gpt):
    explainer = fitted(gpt, split_point=1)
    interpreter = TopKInputs(explainer, k_examples=50, k_context=1)
    texts, outputs = ["Once upon a time", "She said"], [" there was a dog", " what a sad day"]
    found = interpreter.interpret("all", texts, targets=outputs)
    of_outputs = [e for reading in found.values() for e in reading.examples if e.part == 1]
    assert of_outputs
    assert all(outputs[e.input][e.start : e.end] == e.text for e in of_outputs)
    given = gpt.get_activations(texts, targets=outputs)
    assert_equal(found, interpreter.interpret("all", texts, given, targets=outputs))
    with pytest.raises(InputError, match="targets"):
        interpreter.interpret("all", texts, given)


def test_encoder_decoders(tmp_path):
    model, tokenizer = model_and_tokenizer("t5", Task.SEQ2SEQ_LM)
    split = ModelWithSplitPoints(model, "encoder.0", tokenizer=tokenizer)
    explainer = fitted(split)
    found = TopKInputs(explainer, k_examples=3).interpret("all", TEXTS)
    codes = explainer.encode(split.get_activations(TEXTS))
    for concept, reading in found.items():
        assert_same(
            shown(reading), strongest(codes[:, concept], [readable(t) for t in row_texts(split, TEXTS, "token")], 3)
        )
    assert TopKInputs(explainer, use_vocab=True).interpret(0)[0].examples


def alone(split, token, layer):
    """The hidden states of one token between the special tokens of its tokenizer, and its place."""
    tokenizer = split.tokenizer
    around = tokenizer("a")["input_ids"]
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    at = next(i for i in range(len(around)) if around[i : i + len(bare)] == bare)
    ids = [*around[:at], token, *around[at + len(bare) :]]
    with torch.no_grad():
        states = split.model(torch.tensor([ids]), output_hidden_states=True).hidden_states[layer + 1][0]
    return states, at


@pytest.mark.parametrize("kind", ["bert", "gpt"])
@pytest.mark.parametrize("granularity", ["token", "word", "cls_token"])
def test_vocabulary_by_hand(kind, granularity, request):
    split = request.getfixturevalue(kind)
    layer = {"bert": 1, "gpt": 0}[kind]  # GPT-2's last hidden states are after its last norm
    explainer = fitted(split, split_point=layer)
    interpreter = TopKInputs(explainer, activation_granularity=granularity, use_vocab=True, k_examples=7)
    found = interpreter.interpret("all")
    tokenizer = split.tokenizer
    before = tokenizer("a", add_special_tokens=False)["input_ids"][:1]
    ids = [i for i in range(len(tokenizer)) if i not in tokenizer.all_special_ids]
    rows = []
    for token in ids:
        states, at = alone(split, token, layer)
        rows.append(states[at if granularity != "cls_token" else 0 if kind == "bert" else -1])
    codes = explainer.encode(torch.stack(rows))
    names = [token_name(tokenizer, token, before) for token in ids]
    for concept, reading in found.items():
        assert_same(shown(reading), strongest(codes[:, concept], names, 7))
        assert all(e.input is None for e in reading.examples)


@pytest.mark.parametrize("tokenizer", [wordpiece(), byte_bpe(), metaspace(), roberta_bpe()])
def test_names_of_tokens(tokenizer):
    before = tokenizer("a", add_special_tokens=False)["input_ids"][-1:]
    names = {name: token_name(tokenizer, i, before) for name, i in tokenizer.get_vocab().items()}
    for name in names.values():
        assert name == name.strip() != ""
        assert not set("ĠĊ▁\ufffd") & set(name)
        assert not name.startswith("##")
    for raw, wanted in {
        "##ing": "ing",
        "Ġthe": "the",
        "▁dog": "dog",
        "the": "the",
        "Ċ": "\\n",
        "Ġ": "␣",
        "ð": "<0xF0>",
    }.items():
        if raw in names:
            assert names[raw] == wanted


def test_the_shipped_stories_model():
    model, tokenizer = load("stories")
    split = ModelWithSplitPoints(model, 2, tokenizer=tokenizer)
    texts = ["Once upon a time, there was a little dog named Spot.", "The sun was hot and the sea was blue."]
    explainer = RandomConcepts(split, nb_concepts=4)
    explainer.fit(split.get_activations(texts))
    found = TopKInputs(explainer, k_examples=3, k_context=2).interpret("all", texts)
    words = {word for text in texts for word in text.replace(".", " .").replace(",", " ,").split()}
    assert {e.text for reading in found.values() for e in reading.examples} <= words
    assert TopKInputs(explainer, k_examples=3, use_vocab=True).interpret([0])[0].examples


def random_rows(rng, n_inputs=40, c=5, n_texts=30):
    lengths = rng.integers(1, 9, n_inputs)
    inputs = np.repeat(np.arange(n_inputs), lengths)
    at = np.concatenate([np.arange(n) for n in lengths])
    table = np.stack([inputs, np.zeros_like(inputs), at, at + 1, np.full_like(inputs, -1)], axis=1).astype(np.int32)
    codes = torch.from_numpy(rng.normal(size=(len(table), c)).round(1).astype(np.float32))  # with many ties
    keys = rng.integers(0, 2**63, n_texts).astype(np.uint64)[rng.integers(0, n_texts, len(table))]
    return codes, table, keys


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("seed", range(5))
def test_choices_of_any_cut_are_those_of_all_rows_at_once(order, seed):
    codes, table, keys = random_rows(np.random.default_rng(seed))
    results = []
    for size in (1, 3, 17, 10_000):
        found = Choice(5, 4, order, 2)
        first = 0
        for block in blocks(TensorRows(codes), table, size):
            n = len(block.sources)
            found.add(block.activations, block.sources, first, lambda rows, a=first: keys[a + rows])
            first += n
        assert first == len(table)
        results.append(found.ranked())
    for concept in range(5):
        best = {}
        for row in np.lexsort((np.arange(len(keys)), -codes[:, concept].numpy())):
            if codes[row, concept] > 0:
                best.setdefault(int(keys[row]), int(row))
        ranked = sorted(best.items()) if order is Order.RANDOM else list(best.items())
        wanted = sorted((row for _, row in ranked[:4]), key=lambda row: (-float(codes[row, concept]), row))
        for result in results:
            mine = result.concepts == concept
            assert result.rows[mine].tolist() == wanted
            for row, around, spans in zip(wanted, result.around[mine], result.neighbours[mine], strict=True):
                for k, other in enumerate(range(row - 2, row + 3)):
                    inside = 0 <= other < len(table) and table[other, 0] == table[row, 0]
                    assert spans[k].tolist() == (table[other, 2:4].tolist() if inside else [-1, -1])
                    assert around[k] == (float(codes[other, concept]) if inside else 0)


def test_memory_holds_the_chosen_only():
    found = Choice(3, 4, Order.STRONGEST, 1)
    rng = np.random.default_rng(0)
    for first in range(0, 5000, 100):
        codes = torch.from_numpy(rng.random((100, 3), dtype=np.float32))
        table = np.zeros((100, 5), np.int32)
        found.add(codes, table, first, lambda rows, a=first: (rows + a).astype(np.uint64))
        assert len(found.found) <= 12


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ([8], "from 0 to 7"),
        (-1, "from 0 to 7"),
        ("some", "expected 'all'"),
        (1.5, "expected 'all'"),
        ([True, "a"], "expected 'all'"),
        (None, "expected 'all'"),
    ],
)
def test_no_such_concepts(gpt, asked, said):
    with pytest.raises(InputError, match=said):
        TopKInputs(fitted(gpt, split_point=1)).interpret(asked, TEXTS)


def test_activations_of_other_inputs(gpt):
    interpreter = TopKInputs(fitted(gpt, split_point=1))
    given = gpt.get_activations(TEXTS)
    for inputs, activations, said in [
        (TEXTS[:3], given, "of the 3 inputs"),
        (TEXTS[::-1], given, "does not have"),
        (TEXTS[:3], dict(given.items()), "as many as the 3 inputs"),
        (TEXTS, gpt.get_activations(TEXTS, "word"), "activation_granularity='word'"),
        (TEXTS, {"2": given["1"]}, "split_point"),
        (TEXTS, given["1"].long(), "expected floats"),
        (TEXTS, given["1"][:, :7], "width"),
        (TEXTS, torch.full_like(given["1"], torch.nan), "NaN"),
        (None, given, "inputs"),
        ([], None, "at least one text"),
        (["  "], None, "white space"),
    ]:
        with pytest.raises(InputError, match=said):
            interpreter.interpret("all", inputs, activations)


def test_bad_options(gpt):
    explainer = fitted(gpt, split_point=1)
    for options in (
        {"k_examples": 0},
        {"k_context": -1},
        {"batch_size": 0},
        {"activation_granularity": "letter"},
        {"aggregation": "median"},
    ):
        with pytest.raises(InputError, match=next(iter(options))):
            TopKInputs(explainer, **options)
    with pytest.raises(InputError, match="leave out"):
        TopKInputs(explainer, use_vocab=True).interpret("all", TEXTS)
    of_tensors = RandomConcepts(None, nb_concepts=2)
    of_tensors.fit(torch.randn(9, 32))
    with pytest.raises(InputError, match="model_with_split_points"):
        TopKInputs(of_tensors).interpret("all", TEXTS)
    with pytest.raises(NotFittedError):
        TopKInputs(RandomConcepts(gpt, nb_concepts=2, split_point=1)).interpret("all", TEXTS)


def test_whole_texts_are_whole(bert):
    for granularity in WHOLE:
        found = TopKInputs(fitted(bert), activation_granularity=granularity, k_context=3).interpret("all", TEXTS)
        for example in (example for reading in found.values() for example in reading.examples):
            assert TEXTS[example.input].strip() == example.text
            assert (example.before, example.after, example.marks) == ("", "", ())
            assert TEXTS[example.input][example.start : example.end] == example.text
