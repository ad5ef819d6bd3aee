"""Elements: borders are the text's, shown as the text wrote them, and every token is in exactly one."""

import random

import pytest

from interpreto.errors import InputError
from interpreto.text import Sample, Segments, Token, encode_output, encode_source, find_elements
from interpreto.text.borders import sentence_spans, word_spans
from interpreto.types import Granularity
from tests.text.kinds import CHATML, KINDS, chatty, two_words
from tests.tiny import byte_bpe, wordpiece

G = Granularity
WITHOUT_JOINTS = ["wordpiece", "byte_bpe", "byte_fallback"]  # the others have tokens across words


def encoded(text, kind="byte_bpe"):
    return encode_source(KINDS[kind](), text, where="inputs[0]")


def texts(sample, granularity):
    return [element.text for element in find_elements(sample, granularity)]


def check_partition(sample, granularity, elements):
    everything = granularity is G.ALL_TOKENS
    explained = [i for i, token in enumerate(sample.tokens) if everything or not token.fixed]
    assert sorted(i for element in elements for i in element.tokens) == explained
    assert [element.tokens[0] for element in elements] == sorted(element.tokens[0] for element in elements)
    reached = [0] * len(sample.parts)
    for element in sorted(elements, key=lambda element: (element.part, element.start)):
        if element.start == element.end:
            continue
        assert element.text == sample.parts[element.part][element.start : element.end]
        assert reached[element.part] <= element.start, "two elements share a character"
        reached[element.part] = element.end
    for i in explained:
        token = sample.tokens[i]
        owner = next(element for element in elements if i in element.tokens)
        if token.start < token.end:
            start, end = token.letters(sample.parts[token.part])
            assert owner.start <= start
            assert min(end, len(sample.parts[token.part])) <= owner.end
    for part, text in enumerate(sample.parts):
        shown = {k for e in elements if e.part == part for k in range(e.start, e.end)}
        read = {k for i in explained if sample.tokens[i].part == part for k in _letters(sample.tokens[i], text)}
        assert read <= shown, "a character that the model reads is in no element"


def _letters(token, text):
    return range(*token.letters(text)) if token.start < token.end else ()


@pytest.mark.parametrize("kind", WITHOUT_JOINTS)
@pytest.mark.parametrize(
    "text",
    [
        "The quick brown fox, she can't wait: 3.5 cats!",
        "He left at 3 p.m. yesterday. U.S. It is big.",
        "def f(x):\n    return x_1 + 2  # why?\n",
        "one\r\ntwo\r\n\r\nthree",
        "well-known www.example.com a@b.com 50% $3",
        "naïve café, élève",
        "שלום עולם, مرحبا بالعالم.",
        "e\u0301te\u0301 no\u0308",
    ],
)
def test_words_are_the_texts_for_every_tokenizer(kind, text):
    assert texts(encoded(text, kind), G.WORD) == [text[start:end] for start, end in word_spans(text)]
    assert texts(encoded(text, kind), G.SENTENCE) == [text[start:end] for start, end in sentence_spans(text)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_comma_is_a_word_of_its_own(kind):
    assert texts(encoded("the fox, the dog", kind), G.WORD) == ["the", " fox", ",", " the", " dog"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("He came at 3 p.m. yesterday. All good.", ["He came at 3 p.m. yesterday.", " All good."]),
        ("The U.S. It is big.", ["The U.S.", " It is big."]),
        ("- one\n- two\n- three", ["- one", "\n- two", "\n- three"]),
        ("one.\r\ntwo.", ["one.", "\r\ntwo."]),
    ],
)
def test_sentences(kind, text, sentences):
    assert texts(encoded(text, kind), G.SENTENCE) == sentences


@pytest.mark.parametrize("kind", WITHOUT_JOINTS)
def test_full_stops_of_chinese_and_japanese(kind):
    assert texts(encoded("我很好。你呢?他来了。", kind), G.SENTENCE) == ["我很好。", "你呢?他来了。"]
    assert texts(encoded("猫です。犬です。", kind), G.SENTENCE) == ["猫です。", "犬です。"]


@pytest.mark.parametrize("kind", ["byte_bpe", "byte_fallback"])
@pytest.mark.parametrize("emoji", ["😀", "👩‍👩‍👧", "🇫🇷", "👍🏽", "1️⃣"])
def test_an_emoji_cut_into_bytes_is_one_word(kind, emoji):
    assert texts(encoded(f"so {emoji} good", kind), G.WORD) == ["so", f" {emoji}", " good"]
    for shown in texts(encoded(f"so {emoji} good", kind), G.TOKEN):
        assert "�" not in shown


def test_bytes_of_one_character_are_one_token_element():
    sample = encoded("a😀b")
    assert len(sample.tokens) == 6
    elements = find_elements(sample, G.TOKEN)
    assert [(e.text, e.tokens) for e in elements] == [("a", (0,)), ("😀", (1, 2, 3, 4)), ("b", (5,))]


def test_a_token_across_two_words_joins_them():
    sample = encoded("in New York, of the", "two_words")
    assert texts(sample, G.WORD) == ["in", " New York", ",", " of the"]
    assert texts(encoded("of the.\nNew York", "two_words"), G.SENTENCE) == ["of the.", "\nNew York"]


def test_a_chain_of_tokens_across_words_joins_all_of_them():
    tokens = (Token(5, 0, 0, 4), Token(6, 0, 4, 7), Token(7, 0, 7, 8), Token(8, 0, 8, 11))
    for order in (tokens, (tokens[1], tokens[0], tokens[2], tokens[3])):
        sample = Sample(("aa bb cc dd",), order, 4, 4)
        elements = find_elements(sample, G.WORD)
        assert [element.text for element in elements] == ["aa bb cc", " dd"]
        check_partition(sample, G.WORD, elements)


@pytest.mark.parametrize("kind", KINDS)
def test_elements_are_shown_as_the_text_wrote_them(kind):
    shown = "".join(texts(encoded("the fox  met\tÉlan ﬁne\n the dog ", kind), G.TOKEN))
    assert shown == "the fox  met\tÉlan ﬁne\n the dog "


def test_what_the_tokenizer_drops_goes_with_what_follows_or_is_context():
    sample = encoded("a\x07b \x00 c", "wordpiece")
    assert texts(sample, G.TOKEN) == ["a", "\x07b", " \x00 c"]
    assert texts(sample, G.WORD) == ["a", "b", " c"]
    assert texts(encoded("élève", "wordpiece"), G.WORD) == ["élève"]


def test_all_tokens_shows_special_tokens_by_name_in_their_place():
    sample = encode_source(wordpiece(), ("The fox", "A dog"), where="inputs[0]")
    names = {wordpiece().cls_token_id: "[CLS]", wordpiece().sep_token_id: "[SEP]"}
    shown = [(e.text, e.part) for e in find_elements(sample, G.ALL_TOKENS, names)]
    assert shown[0] == ("[CLS]", 0)
    assert shown[-1] == ("[SEP]", 1)
    assert [part for text, part in shown if text == "[SEP]"] == [0, 1]
    check_partition(sample, G.ALL_TOKENS, find_elements(sample, G.ALL_TOKENS, names))


def test_text_granularity_is_one_element_a_text():
    sample = encode_source(wordpiece(), ("The fox", "A dog"), where="inputs[0]")
    assert texts(sample, G.TEXT) == ["The fox", "A dog"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("granularity", G)
def test_own_segments_come_before_the_granularity(kind, granularity):
    segments = Segments.join(["The fox. ", "A dog. "], before="Read this. ", after="Why?")
    sample = encoded(segments, kind)
    elements = find_elements(sample, granularity)
    assert [element.text for element in elements] == ["The fox. ", "A dog. "]
    explained = [i for i, token in enumerate(sample.tokens) if not token.fixed]
    assert sorted(i for element in elements for i in element.tokens) == explained


def test_white_space_before_a_segment_goes_with_what_follows_it():
    """ " Why" holds the last space of the segment, but its letters are context: it must not be removed with it."""
    tokenizer = byte_bpe()
    sample = encode_source(tokenizer, Segments("fox the dog", ((0, 4),)), where="inputs[0]")
    assert [token.fixed for token in sample.tokens if token.start >= 3] == [True] * 2


def test_segments_that_share_a_token_are_joined():
    sample = encode_source(two_words(), Segments("in New York now", ((3, 6), (6, 11), (11, 15))), where="inputs[0]")
    assert texts(sample, G.WORD) == ["New York", " now"]


def test_chat_elements_stay_inside_the_contents():
    sample = encode_source(chatty(CHATML), [{"role": "user", "content": "Hi, you. Go on."}], where="inputs[0]")
    assert texts(sample, G.WORD) == ["Hi", ",", " you", ".", " Go", " on", "."]
    assert texts(sample, G.SENTENCE) == ["Hi, you.", " Go on."]
    assert texts(sample, G.TEXT) == ["Hi, you. Go on."]
    assert "".join(texts(sample, G.TOKEN)) == "Hi, you. Go on."
    assert "".join(texts(sample, G.ALL_TOKENS)) == sample.parts[0]


def test_tokens_without_characters_go_with_their_neighbour_or_stand_alone():
    with_neighbour = Sample(("ab",), (Token(1, 0, 0, 0), Token(2, 0, 0, 2), Token(3, 0, 2, 2)), 3, 3)
    assert [e.tokens for e in find_elements(with_neighbour, G.WORD)] == [(0, 1, 2)]
    alone = Sample(("",), (Token(1, 0, 0, 0), Token(3, 0, 0, 0)), 2, 2)
    for granularity in set(G) - {G.TEXT}:
        assert [e.tokens for e in find_elements(alone, granularity)] == [(0,), (1,)]


HOSTILE = [
    "\ufeffthe fox",
    "a\u200bb c\u00add",
    "\x00\x01the\x7f",
    "a\u202eb c\u200fd",
    "﷽ ſ ß İ ǅ",
    "e" + "\u0301" * 30,
    "the\u2028fox\x85dog\x0bcat\x0ccow",
    "</s><script>alert(1)</script>[MASK]",
    "👩‍👩‍👧‍👦🇫🇷🇩🇪👍🏽",
    "ใครไม่มา 日本語テキスト 한국어",
    "NewYorkof the New York",
    "   \n the   \n ",
    "﷽" * 3 + "\ud7ff",
]


@pytest.mark.parametrize("kind", KINDS)
def test_partition_of_random_and_hostile_texts(kind):
    rng = random.Random(7)
    alphabet = "the fox dog New York of,.!?'\"-_\n\t\r  éÉßﬁ我们。😀👩‍👧🇫🇷\u200b\u0301\x00\x07\u202eשم٣ก3.5[MASK]</s>"
    random_texts = ["".join(rng.choice(alphabet) for _ in range(rng.randint(1, 40))) for _ in range(50)]
    tokenizer = KINDS[kind]()
    tried = 0
    for text in [*HOSTILE, *random_texts]:
        try:
            sample = encode_source(tokenizer, text, where="inputs[0]")
        except InputError:
            continue  # blank, or nothing but special tokens
        tried += 1
        for granularity in G:
            check_partition(sample, granularity, find_elements(sample, granularity))
    assert tried > 50


@pytest.mark.parametrize("kind", KINDS)
def test_partition_of_random_segments_and_outputs(kind):
    rng = random.Random(3)
    alphabet = "the fox of the New York dog, \n é😀"
    tokenizer = KINDS[kind]()
    for _ in range(30):
        pieces = ["".join(rng.choice(alphabet) for _ in range(rng.randint(1, 12))) for _ in range(rng.randint(1, 4))]
        ids = [rng.randrange(len(tokenizer)) for _ in range(rng.randint(1, 12))]
        try:
            source = encode_source(tokenizer, Segments.join(pieces, before="the ", after=" dog"), where="inputs[0]")
        except InputError:
            continue
        sample = source.with_output(*encode_output(tokenizer, source, ids, where="targets[0]", joined=True))
        for granularity in G:
            elements = find_elements(sample, granularity)
            places = [i for element in elements for i in element.tokens]
            assert len(places) == len(set(places))
            own = [i for i, token in enumerate(sample.tokens) if token.part == 0 and not token.fixed]
            assert [i for i in sorted(places) if sample.tokens[i].part == 0] == own
            free = [i for i, token in enumerate(sample.tokens) if token.part == 1 and not token.fixed]
            assert set(free) <= set(places)


def test_linear_in_the_length_of_the_text():
    """Quadratic work would take very long here."""
    sample = encoded("the quick brown fox, 3 cats.\n" * 500)
    assert len(find_elements(sample, G.WORD)) == 500 * 8
    assert len(find_elements(sample, G.SENTENCE)) == 500
    assert len(find_elements(sample, G.TOKEN)) == len(sample.tokens)


@pytest.mark.parametrize("granularity", [Granularity.WORD, Granularity.SENTENCE, Granularity.TEXT])
def test_special_tokens_written_around_a_text_are_in_no_element(granularity):
    text = "<s>A dog. The end.</s>"
    places = [(0, 3), (3, 4), (4, 8), (8, 9), (9, 13), (13, 17), (17, 18), (18, 22)]
    tokens = tuple(Token(i, 0, start, end, fixed=end in (3, 22)) for i, (start, end) in enumerate(places))
    elements = find_elements(Sample((text,), tokens, len(tokens), len(tokens)), granularity)
    assert "".join(element.text for element in elements) == "A dog. The end."
    assert [place for element in elements for place in element.tokens] == list(range(1, 7))
