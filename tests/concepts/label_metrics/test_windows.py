"""Windows: all that a text has, in pieces of about equal size, with the largest code of each."""

import numpy as np
import pytest

from interpreto.concepts.label_metrics.fade import in_strata
from interpreto.concepts.label_metrics.windows import Reading, Sign, window_numbers
from interpreto.errors import InputError
from interpreto.model_wrapping import ActivationGranularity, Aggregation, ModelWithSplitPoints
from tests.concepts.interpretations.plain import TEXTS
from tests.concepts.label_metrics.planted import concepts, texts
from tests.concepts.simple import RandomConcepts
from tests.tiny import byte_bpe, classifier, language_model, wordpiece


def reading(explainer, granularity="token", columns=(0, 1, 2), sign="positive", size=5, batch_size=None):
    kinds = ActivationGranularity(granularity), Aggregation.MEAN
    return Reading(explainer, columns, *kinds, batch_size, Sign(sign), size)


@pytest.fixture(scope="module")
def writer():
    split = ModelWithSplitPoints(language_model(), 1, tokenizer=byte_bpe())
    found = RandomConcepts(split, nb_concepts=4)
    found.fit(split.get_activations(TEXTS))
    return found


@pytest.fixture(scope="module")
def reader():
    split = ModelWithSplitPoints(classifier(), 1, tokenizer=wordpiece())
    found = RandomConcepts(split, nb_concepts=4)
    found.fit(split.get_activations(TEXTS))
    return found


@pytest.mark.parametrize("kind", ["writer", "reader"])
@pytest.mark.parametrize("granularity", ["token", "all_tokens", "word", "sentence", "cls_token", "sample"])
@pytest.mark.parametrize("sign", ["positive", "negative", "absolute"])
def test_windows_have_the_largest_codes_of_their_rows(request, kind, granularity, sign):
    explainer = request.getfixturevalue(kind)
    activations = explainer.split.get_activations(TEXTS, granularity)
    codes = {"positive": 1, "negative": -1, "absolute": 1}[sign] * explainer.encode(activations)[:, [2, 0]]
    sources = activations.sources["1"].table
    whole = granularity in ("cls_token", "sample")
    windows, table = reading(explainer, granularity, (2, 0), sign).windows(TEXTS, None)
    again, _ = reading(explainer, granularity, (2, 0), sign, batch_size=1).windows(TEXTS, activations)
    assert np.array_equal(windows.sources, again.sources)
    assert np.allclose(windows.codes, again.codes, atol=1e-5)
    assert len({windows.text(w) for w in range(len(windows))}) == len(windows)
    assert np.array_equal(table.sources, sources.numpy())
    for w in range(len(windows)):
        start, end = windows.rows[w]
        rows = [r for r in range(start, end) if whole or sources[r, 3] > sources[r, 2]]
        assert len(rows) <= 5
        assert np.allclose(windows.codes[w], codes[rows].amax(dim=0), atol=1e-5)
        number, _, first, last, _ = windows.sources[w]
        assert {int(sources[r, 0]) for r in rows} == {number}
        assert whole or windows.text(w) == TEXTS[number][first:last].strip() or not TEXTS[number][first:last].strip()


def test_windows_of_a_text_are_all_of_it_and_about_equal():
    rng = np.random.default_rng(0)
    rows = []
    for number in range(30):
        for part in range(rng.integers(1, 3)):
            for k in range(rng.integers(1, 40)):
                rows.append((number, part, k, k + (rng.random() < 0.9), 0))
    sources = np.array(rows, np.int32)
    found = window_numbers(sources, 8, whole=False)
    visible = sources[:, 3] > sources[:, 2]
    assert np.array_equal(found >= 0, visible)
    assert np.array_equal(np.unique(found[visible]), np.arange(found.max() + 1))
    assert (np.diff(found[visible]) >= 0).all()
    for text in np.unique(sources[visible][:, :2], axis=0):
        own = found[visible & (sources[:, :2] == text).all(axis=1)]
        sizes = np.unique(own, return_counts=True)[1]
        assert sizes.max() - sizes.min() <= 1
        assert len(sizes) == -(-len(own) // 8)
    assert np.array_equal(window_numbers(sources, 8, whole=True), np.arange(len(sources)))


@pytest.mark.parametrize("given", [False, True])
def test_elements_are_the_rows_of_a_window(writer, given):
    activations = writer.split.get_activations(TEXTS)
    codes = writer.encode(activations).numpy()
    windows, table = reading(writer, columns=(3, 1)).windows(TEXTS, activations if given else None)
    wanted = [(w % 2, w) for w in range(0, len(windows), 3)]
    found = table.elements(windows, wanted)
    assert set(found) == set(wanted)
    for column, w in wanted:
        start, end = windows.rows[w]
        pieces = [TEXTS[windows.sources[w, 0]][s:e].strip() for s, e in table.sources[start:end, 2:4]]
        kept = [k for k, piece in enumerate(pieces) if piece]
        own = found[column, w]
        assert [windows.text(w)[s:e] for s, e in own.spans] == [pieces[k] for k in kept]
        assert np.allclose(own.codes, codes[start:end, (3, 1)[column]][kept], atol=1e-5)


def test_the_order_of_inputs_does_not_matter():
    these = texts(40)
    forth, back = (reading(concepts(), size=6).windows(own, None)[0] for own in (these, these[::-1]))
    assert [forth.text(w) for w in range(len(forth))] == [back.text(w) for w in range(len(back))]
    assert np.array_equal(forth.codes, back.codes)


def test_new_texts_have_the_largest_codes_of_their_words():
    own = reading(concepts(), columns=(1, 3), sign="negative")
    found = own.largest(["Once a dog saw a fish", "Once a house", "Once a dog"], 3)
    assert found.tolist() == [4.0, 0.0, 1.0]
    assert own.largest([], 3).tolist() == []
    assert own.readable("a dog")
    assert not own.readable("")
    assert not own.readable("\ud800")
    assert not own.readable("dog " * 600)


def test_strata_are_even_and_the_top_is_there():
    rng = np.random.default_rng(0)
    codes = rng.permutation(np.arange(2000)).astype(np.float32)
    drawn = in_strata(codes, 200, np.random.default_rng(1))
    assert len(set(drawn)) == 200
    values = np.sort(codes[drawn])
    assert set(values[-20:]) == set(range(1980, 2000))
    counts = np.histogram(values[:-20], [0, 990, 1485, 1881, 1980])[0]
    assert counts.tolist() == [45, 45, 45, 45]
    assert sorted(in_strata(codes[:7], 200, rng)) == list(range(7))
    few = in_strata(codes[:40], 39, rng)
    assert len(set(few)) == 39


def test_bad_inputs(writer):
    with pytest.raises(InputError, match="inputs: expected the texts"):
        reading(writer).windows(None, None)
    with pytest.raises(InputError, match="activations"):
        reading(writer).windows(TEXTS, writer.split.get_activations(TEXTS[:3]))


def test_of_equal_windows_the_same_one_is_read_in_any_order(reader):
    texts = ["I was sad. The dog ran.", "The dog ran. We are great.", "The dog ran."]
    found = {}
    for order in (texts, texts[::-1], texts[1:] + texts[:1]):
        windows, _ = reading(reader, "sentence", sign="absolute").windows(order, None)
        codes = {windows.text(w): windows.codes[w] for w in range(len(windows))}
        for text, code in codes.items():
            assert np.allclose(found.setdefault(text, code), code, atol=1e-6)
    assert len(found) == 3
