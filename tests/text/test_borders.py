import random
import time
from collections.abc import Callable

import pytest
import regex

from interpreto.text.borders import sentence_spans, word_spans

Spans = Callable[[str], list[tuple[int, int]]]

# "|" stands for a border.
WORDS = {
    "apostrophe": "I| can't|,| he| doesn’t",
    "elision": "L'été| d’un| homme",
    "quotes": "'|apple|'| '|pear|'| \"|egg|\"| “|oak|”",
    "numbers": "3.5| 1,000.25| $|7| 50|%| 12|:|30",
    "names in code": "foo_bar| __init__| x|(|y|[|0|]|)| a|+|b| !|=",
    "hyphens": "state|-|of|-|the|-|art",
    "address": "me|@|example.com",
    "url": "https|:|//|x.org|/|a|?|b|=|1",
    "colon": "Answer|:|yes",
    "punctuation": "fox|,| jumps|.| Why|?!| No|...| a| --| b|!!!| ***",
    "mixed punctuation": "a|,|;| .|”|)",
    "brackets": "(|(|x|)|)",
    "spaces": "  two|  spaces|\tand|\r\n\r\nlines|\xa0here|\x1cthere  \n",
    "accents": "e\u0301te\u0301| n\u0303|!\u0301| \u0301|x",
    "german": "Straße|,| Größe|!",
    "russian": "Привет|,| мир|!",
    "greek": "Καλημέρα| κόσμε",
    "arabic": "مرحبا| بالعالم|؟",
    "hebrew": 'צה"ל| אמר| שלום',
    "hindi": "नमस्ते| दुनिया|।",
    "chinese": "我|们|在|北|京|。",
    "japanese": "東|京|タワー|に|行|く",
    "korean": "한국어는| 좋다",
    "thai": "สวัสดีครับ| ผม|123|ก็ดี",
    "lao, khmer, burmese": "ສະບາຍດີ| សួស្តី| မင်္ဂလာပါ",
    "space of no width": "สวัสดี|\u200bครับ",
    "joiner of no width": "می‌خواهم| کتاب",
    "families": "👨‍👩‍👧|👨‍👩‍👧|😀|😀| a|😀|b",
    "skin tones": "👍🏽|👍| 👩🏿‍🚀",
    "flags": "🇫🇷|🇩🇪|🇫",
    "tag flag": "🏴󠁧󠁢󠁥󠁮󠁧󠁿|🏴",
    "keycaps": "1️⃣|2️⃣|#️⃣|3",
    "emoji of text characters": "❤️‍🔥|ℹ️|‼️|‼️",
    "marks of direction": "\u200fabc| \u200fdef\u200e| x",
    "byte order mark": "\ufeffHello| you",
    "broken": "a|\x00|b|\ud800|\udfff|c\u200d| \u200d|d",
    "mathematical letters": "𝒳𝒴| 𝟙",
}

SENTENCES = {
    "plain": "One. |Two! |Three? |Four… |Five",
    "no capital after digits": "He has 3. |5 left.",
    "small p.m.": "3 p.m. yesterday.",
    "p.m.": "We met at 3 p.m. yesterday.",
    "p.m. ends": "We met at 3 p.m. |They left.",
    "acronym ends": "He moved to the U.S. |It is big.",
    "acronym alone": "U.S. |It is big.",
    "acronym goes on": "the U.S. President spoke.",
    "acronym at the line's end": "He left the U.S.|\nPresident Smith stayed.",
    "degree": "Ph.D. Smith has a Ph.D. |He knows.",
    "titles": "Dr. Smith met Mr. Jones at No. 5. |They left.",
    "no": "Was it you? |No. |They left.",
    "initials": "J. K. Rowling wrote it. |A. A. Milne too.",
    "I": "It was I. |Then J. I. Smith came.",
    "street": "On Main St. |He saw St. Louis.",
    "e.g.": "e.g. this, i.e. That, vs. Him, cf. Kant.",
    "etc. ends": "Apples, etc. |Then pears.",
    "etc. goes on": "apples, etc. then pears, etc. (and so on).",
    "figure": "See Fig. 3 on p. 5, vol. 2. |I ate a fig. |Good.",
    "month": "On Jan. 5 it rained.",
    "decimals": "It is 3.5 or v1.2.3 at example.com is it.",
    "ellipsis": "Wait... what? |Wait... |What?",
    "ellipsis at the start": "... And then. |So",
    "spaced ellipsis": "Well . . . |Then ! ! |So",
    "interrobang": "What?! |No.",
    "he said": '"Stop!" he said. |“Go?” she asked.',
    "she left": '"Stop." |She left. |“Go.” |He went. |(He ran.) |So',
    "single quotes": "He said: 'No.' |Then",
    "french": "« Quoi ? » dit-il. |« Oui. » |Elle part.",
    "german": "„Halt!“ rief er. |»Nein.« |Er ging.",
    "spanish": "¿Qué? |¡No! |Sí.",
    "russian": "«Стоп!» — сказал он. |— Да! |А. С. Пушкин.",
    "yahoo": "Yahoo! is big. |Jeopardy, too.",
    "no capitals": 'this is bad. |i hated it! |she said "stop!" and left... or so. |why?',
    "markdown": "*Stop.* |She left. |**No.** |`Go.` |Yes.",
    "dot before a name": "I like it. |.NET is fun.",
    "comma": "Wait! , he said.",
    "detached quote at the end": 'He left . "',
    "list": "1. Do it.|\n2. Do that.|\r\n\r\n- milk|\n- eggs\n",
    "lines": "\n\n  a|\n\n \n  b c|\u2028d|\x85e\n \n",
    "blank lines of no width": "a.|\n\n\u200b\n b.",
    "code": "x = 1.|\ny = a.b(c)|\n# Done. |Next",
    "no white space": "Hi!Ok.Go?Yes",
    "emoji": "Wow‼️ |Great. |😀 Yes!",
    "chinese": "我说：“走。”|他走了！|真的？！|好……吧。|",
    "chinese decimals": "値は３．５です。|次．|次",
    "japanese": "「行くよ。」|彼は言った。|「待って！」と彼女は言った。|走れ。|とても。|",
    "japanese comma": "「走れ！」、彼は言った。|",
    "accented mark": "走。\u0301|x",
    "arabic": "ما هذا؟ |لا أعرف. |نعم",
    "arabic with marks of direction": "ما هذا؟\u200f |لا",
    "urdu": "یہ ہے۔ |وہ ہے۔",
    "hindi": "यह है। |वह है॥|हाँ",
    "armenian": "Այո։ |Ոչ։",
    "georgian": "ამბავი. |კარგი.",
    "burmese": "ကောင်းတယ်။|ဟုတ်တယ်။",
    "thai": "สวัสดีครับ ผมสบายดี|\nลาก่อน",
    "korean": "좋다. |가자!",
}

ALPHABET = [
    *" \t\n\r\x0b\x1c\x1f\x85\u2028\xa0\u3000\u200b\u200c\u200d\u200e\u200f\u2067\ufeff\x00\x07\ud800\udfff\xad",
    *".!?…‥。！？．｡؟۔।॥,;:'\"-—_*()[]«»“”‘’「」„`#/@aBcßéZ09７\u0301\u0308\ufe0f\u20e3👍🏽👩🇫🇷😀❤ℹ日本のカタ한국กัຂាခم١שלनमა\U000e007f",
    *["U.S.", "Dr.", "etc.", "No.", "p.m.", "It", "1.", "e.g."],
]
N = 100_000


def pieces(text: str, spans: Spans) -> list[str]:
    return [text[start:end] for start, end in spans(text)]


def random_texts(alphabet: list[str], seed: int, count: int = 5_000) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices(alphabet, k=rng.randrange(12))) for _ in range(count)]


@pytest.mark.parametrize("marked", WORDS.values(), ids=WORDS.keys())
def test_words(marked: str) -> None:
    assert pieces(marked.replace("|", ""), word_spans) == marked.split("|")


@pytest.mark.parametrize("marked", SENTENCES.values(), ids=SENTENCES.keys())
def test_sentences(marked: str) -> None:
    # In the table the space stands before the border, where it is easier on the eye.
    expected = regex.sub(r"( )\|", r"|\1", marked).rstrip("|").split("|")
    assert pieces(marked.replace("|", ""), sentence_spans) == expected


@pytest.mark.parametrize("spans", [word_spans, sentence_spans])
def test_empty_and_blank(spans: Spans) -> None:
    assert spans("") == []
    for blank in (" ", "\n", "\r\n \t\xa0\n", "\x1c\x85\u2028", "\u200b\u200f \ufeff"):
        assert spans(blank) == [(0, len(blank))]


@pytest.mark.parametrize("spans", [word_spans, sentence_spans])
def test_random_texts_are_partitioned(spans: Spans) -> None:
    for text in random_texts(ALPHABET, seed=0):
        found = spans(text)
        assert "".join(text[start:end] for start, end in found) == text, ascii(text)
        assert all(start < end for start, end in found), ascii(text)
        assert [end for _, end in found[:-1]] == [start for start, _ in found[1:]], ascii(text)
        assert not found or (found[0][0], found[-1][1]) == (0, len(text)), ascii(text)


@pytest.mark.parametrize("spans", [word_spans, sentence_spans])
def test_random_texts_keep_spaces_and_marks_in_place(spans: Spans) -> None:
    for text in random_texts(ALPHABET, seed=1):
        found = spans(text)
        assert len(found) < 2 or all(text[start:end].strip() for start, end in found), ascii(text)
        assert not any(text[end - 1].isspace() for _, end in found[:-1]), ascii(text)
        assert not any(regex.match(r"\p{M}", text[start:]) for start, _ in found[1:]), ascii(text)
        graphemes = {match.start() for match in regex.finditer(r"\X", text)}
        assert graphemes.issuperset(start for start, _ in found), ascii(text)


def test_sentence_borders_are_word_borders() -> None:
    for text in random_texts(ALPHABET, seed=2):
        words = {start for start, _ in word_spans(text)}
        assert words.issuperset(start for start, _ in sentence_spans(text)), ascii(text)


def test_words_agree_with_the_borders_of_regex() -> None:
    """A second writing of UAX 29, on characters where `\\b` of the regex package is right."""
    border = regex.compile(r"\b", regex.VERSION1 | regex.WORD)
    alphabet = list("abZßé79٣७.,;·’_‿-$+(]שלЖनमカタ日のㄱ한💡⚽")
    compared = 0
    # We join marks of a kind; regex joins an apostrophe to a vowel behind it.
    apart = regex.compile(r"\A\Z|([\p{P}])\1|’[aé]")
    for text in random_texts(alphabet, seed=3):
        if not apart.search(text):
            ends = [match.start() for match in border.finditer(text)][1:]
            assert [end for _, end in word_spans(text)] == ends, ascii(text)
            compared += 1
    assert compared > 3_000


HOSTILE = {
    "one word": "a" * N,
    "dots": "." * N,
    "dots in a text": "a" + "." * N + "b",
    "spaced dots": ". " * N,
    "spaces": " " * N,
    "spaces in a text": "x." + " " * N + "X",
    "spaces of all kinds": "x" + " \u200b" * N + "x",
    "lines": "\r\n" * N + "x",
    "flags": "🇫🇷" * N,
    "broken flags": "🇫\u200d" * N,
    "accents": "a" + "\u0301" * N + ".",
    "joiners": "👨\u200d" * N,
    "keycaps": "1️⃣" * N,
    "thai": "กั" * N,
    "underscores": "_" * N,
    "apostrophes": "a'" * N,
    "domain": "a." * N,
    "brackets": "(" * N + "a!) b" * (N // 10),
    "quotes": "a. »" * (N // 4),
    "abbreviations": " " * N + "a.b. " * (N // 5),
    "chinese": "走。」" * (N // 3),
    "prose": "The (brown) fox can't jump 32.3 feet, right? Dr. Smith left at 3 p.m. He knew.\n" * (N // 80),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("spans", [word_spans, sentence_spans])
def test_long_texts_take_linear_time(spans: Spans, text: str) -> None:
    start = time.process_time()
    found = spans(text)
    # Well above the half second they take on a slow machine; quadratic time takes minutes on most of them.
    assert time.process_time() - start < 5
    assert sum(end - start for start, end in found) == len(text)
