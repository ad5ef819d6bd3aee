"""Word and sentence borders of a plain text, by Unicode rules: no tokenizer, no language model, no download.

The spans of either function partition the text: they are consecutive, none is empty, the first starts at 0 and the
last ends at the text's end. White space opens the span that follows it, as byte-level tokenizers write " the"; only
white space at the very end of the text closes the last span. Invisible format characters between white space and
a word (bidi marks, zero-width spaces, byte order marks) go with the white space. No span splits a character from its
accents, and every sentence border is a word border.
"""

from typing import Any

import regex

_FLAGS = regex.VERSION1 | regex.DOTALL | regex.VERBOSE

# All that str.isspace() calls space (Unicode's own list lacks 1C to 1F), the space of no width, and what
# str.splitlines() breaks lines at.
_SPACE = r"\s\x1C-\x1F\u200B"
_BLANK = rf"{_SPACE}\p{{WB=Format}}"
_LINE_BREAK = r"\n-\r\x1C-\x1E\x85\u2028\u2029"
# What hangs on the character before it: accents, emoji modifiers, joiners, bidi marks.
_HANGER = r"[\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]"
_HANGING = rf"{_HANGER}*+"
_HEBREW = r"\p{WB=Hebrew_Letter}"
_LETTER = rf"[\p{{WB=ALetter}}{_HEBREW}]"
_DIGIT = r"\p{WB=Numeric}"
_MARK = r"[\p{Sentence_Terminal}…‥]"  # Unicode leaves the ellipsis out

# Rules 5 to 12 of UAX 29: letters and digits, with the marks that may stand between two letters or two digits. Among
# them is the colon, which joins in Swedish ("EU:s") but not in "Answer:yes"; Unicode's locale data leaves it out too.
_LETTERS_AND_DIGITS = rf"""
    (?: {_HEBREW} {_HANGING} (?: ' {_HANGING} | " {_HANGING} (?= {_HEBREW} ) )
      | {_LETTER} {_HANGING} (?: [\p{{WB=MidLetter}}\p{{WB=MidNumLet}}'--[:﹕：]] {_HANGING} (?= {_LETTER} ) )?+
      | {_DIGIT} {_HANGING} (?: [\p{{WB=MidNum}}\p{{WB=MidNumLet}}'] {_HANGING} (?= {_DIGIT} ) )?+
    )++"""
_RUN = rf"(?: {_LETTERS_AND_DIGITS} | (?: \p{{WB=Katakana}} {_HANGING} )++ )"
# Not \b of the regex package, even with its WORD flag: that leaves an opening quote on a vowel ("'apple", but "'" and
# "banana") and takes quadratic time on flags. Complex_Context holds the letters of scripts written without spaces.
_WORD = regex.compile(
    rf"""
    [{_BLANK}]*+
    (?: (?: \p{{RI}} {_HANGING} ){{1,2}}+  # flags are pairs of regional indicators
      | [0-9#*] \uFE0F?+ \u20E3 {_HANGING}  # keycaps
      | {_MARK}++ {_HANGING}
      | \p{{Extended_Pictographic}} {_HANGING} (?: (?<= \u200D ) \p{{Extended_Pictographic}} {_HANGING} )*+
      | (?: \p{{Line_Break=Complex_Context}} {_HANGING} )++
      | {_RUN} (?: (?: \p{{WB=ExtendNumLet}} {_HANGING} )++ {_RUN}?+ )*+
      | (?: (?: \p{{WB=ExtendNumLet}} {_HANGING} )++ {_RUN}?+ )++
      | ( [\p{{P}}--[\p{{Ps}}\p{{Pe}}]] ) \1*+ {_HANGING}
      | . {_HANGING}
    )
    (?: [{_BLANK}]++ \Z )?+
  | [{_BLANK}]++ \Z
    """,
    _FLAGS,
)

# A stop inside "3.5", "３．５" or "example.com" is no mark.
_NO_STOP = rf"""(?<= {_LETTER} | {_DIGIT} | {_HANGER} )
    [\p{{WB=MidNum}}\p{{WB=MidNumLet}}] {_HANGING} (?: {_LETTER} | {_DIGIT} )"""
_STOPS = rf"(?: (?! {_NO_STOP} ) {_MARK} )++"
# White space without a line break is skipped in one go, or each of its characters would be tried again.
_CANDIDATE = regex.compile(
    rf"""
    # Marks set apart by spaces (". . .", "! !") are one ending.
    (?P<marks> {_STOPS} (?: \x20 {_STOPS} (?= [{_SPACE}] | \Z ) )*+ )
    (?P<close> {_HANGING} (?: [\p{{Pe}}\p{{Pf}}"'] {_HANGING} )*+ )
    # What may also open a quotation closes one where white space follows; French sets » apart.
    [\p{{Pi}}*_`]*+ (?: [\t\p{{Zs}}]*+ [\p{{Pe}}\p{{Pf}}]++ (?= [{_SPACE}] | \Z ) )*+
    (?P<apart> (?= [{_SPACE}] | \Z ) )?+
  | (?: \A | (?= [{_SPACE}] ) ) [{_BLANK}--{_LINE_BREAK}]*+ (?: [{_LINE_BREAK}] [{_BLANK}]*+ | (*SKIP) (*FAIL) )
    """,
    _FLAGS,
)
_OPENING = rf"""{_BLANK}\p{{Ps}}\p{{Pi}}\p{{Pf}}\p{{Pd}}"'`*_¿¡"""
_NEXT = regex.compile(rf"[{_OPENING}]*+ (?P<word> \w*+ ) (?P<dot> \.? )", _FLAGS)
_LAST_WORD = regex.compile(r"[\p{L}\p{M}.]*+ \Z", _FLAGS)
# Parts of one or two letters, "p.m" or "Ph.D", or the initial of a name.
_ACRONYM = regex.compile(r"(?: [\p{Lu}\p{Ll}]{1,2} \. )+ [\p{Lu}\p{Ll}]{1,2} | \p{Lu} \p{M}*", _FLAGS)
_ITEM_NUMBER = regex.compile(rf"[{_BLANK}]*+ (?: \d{{1,3}} (?: \. \d{{1,3}} )* | \p{{L}} )", _FLAGS)
# Leaves out Georgian, whose sentences begin with small letters.
_LOWER = regex.compile(r"\P{L}*+ \p{Sentence_Break=Lower}", _FLAGS)
_LOOK_BACK = 16  # longer than every abbreviation; bounds the work at each mark

# Marks that end a sentence only before white space: inside "3.5", "example.com" or "...what" they do not. Every other
# terminal mark is of a script that leaves no space after it, or serves for nothing else. The space joins "! !".
_SPACED_MARKS = frozenset(".!?…‥․‼‽⁇⁈⁉؝؞؟۔ ")
_COMMAS = frozenset(",،、，")
# The tables are strings to split, for the formatter gives each entry of a list its own line.
# Titles, and abbreviations that point at what follows.
_NEVER_END = frozenset(
    """adm capt cmdr col dr dra drs fr gen gov hon hr lt maj messrs mlle mme mr mrs ms mt mx pres prof rep rev sen sgt
    sra srta ste supt approx bzw ca cf d.h e.g i.e resp v viz vs z.b""".split()  # noqa: SIM905
)
# Ordinary words too ("No." can be an answer), so only a digit gives them away.
_GO_ON_BEFORE_DIGIT = frozenset(
    """art c ch chap eq eqs fig figs no nos nr p par pp sec sect tab vol vols
    apr aug dec feb jan jul jun mar nov oct sep sept""".split()  # noqa: SIM905
)
# Often the last word of a sentence: a capital tells.
_END_BEFORE_CAPITAL = frozenset("al bros co corp dept dist etc inc ltd tel usw".split())  # noqa: SIM905
# Part of a name or its end ("St. Louis", "Main St."): like an acronym, ends a sentence only before a starter.
_END_BEFORE_STARTER = frozenset("ave blvd jr rd sr st".split())  # noqa: SIM905
# After an acronym or an initial a capital may be a name ("the U.S. President", "J. K. Rowling"), but hardly one of
# these, which begin sentences and seldom names.
_STARTERS = frozenset(
    """A After All Also An And As At Because Before But By Can Did Do Does Each Even Every Few For From Had Has Have He
    Her Here His How However I If In Is It Its Later Many Most My No Not Now Of On One Only Or Other Our She Since So
    Some Such Than That The Their Then There Therefore These They This Those Though Thus To Today Under Until We Were
    What When Where Which While Who Why With Would Yes Yet You Your
    Il Elle Ils Elles Nous Vous Der Das Er Sie Wir Ein Eine Él Ella Ellos""".split()  # noqa: SIM905
)


def word_spans(text: str) -> list[tuple[int, int]]:
    """Spans of the words of `text`: Unicode default word boundaries (UAX 29), with punctuation set apart.

    "can't", "3.5", "foo_bar" and "example.com" are one word; hyphens, colons, slashes and "@" separate, so "well-known"
    is three words and an address or URL several. Chinese characters and hiragana are one word each, runs of katakana
    and of Hangul one together. Beyond UAX 29:

    - Sentence marks without white space between are one word ("...", "?!"), and so is any other punctuation mark
      repeated ("--", "***"); brackets are not joined, since each opens or closes something of its own.
    - Each emoji is one word: flags, families, skin tones and keycaps are not split, and neighbours not joined.
    - Thai, Lao, Khmer, Burmese and Tai scripts need a dictionary to split: a run of their letters is one word.

    Linear in the length of the text: about a second per million characters.

    Args:
        text: any string; empty, blank and broken ones (lone surrogates, stray joiners) included.

    Returns:
        `(start, end)` pairs in characters, in order, that partition the text; `[]` for the empty text.

    Example:
        >>> text = "The fox, can't wait... "
        >>> [text[start:end] for start, end in word_spans(text)]
        ['The', ' fox', ',', " can't", ' wait', '... ']

    Reference: Unicode Standard Annex 29, Unicode Text Segmentation, section 4.1.1.
    """
    return [match.span() for match in _WORD.finditer(text)]


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Spans of the sentences of `text`: up to . ! ? … or any other Unicode sentence mark and the quotes it closes.

    Every line break ends a sentence too, so a list falls apart by lines and hard-wrapped prose should be unwrapped
    first. 。 । and the marks of most scripts end one wherever they stand; `. ! ? … ؟ ۔` only before white space or the
    text's end, and not:

    - before a comma or a small letter ("Wait... what?", '"Stop!" he said.'), unless the sentence itself began with a
      small letter, as in texts without capitals;
    - after titles, abbreviations and the number of a list item ("Dr. Smith", "e.g. this", "1. First");
    - after initials and acronyms ("J. K. Rowling", "the U.S. President"), unless a common first word follows
      ("the U.S. It is"); the lists of words are mostly English.

    Thai, which marks no sentences, is split at line breaks only. Linear in the length of the text: about a second per
    million characters.

    Args:
        text: any string; empty, blank and broken ones included.

    Returns:
        `(start, end)` pairs in characters, in order, that partition the text; `[]` for the empty text.

    Example:
        >>> text = "Dr. Smith lives in the U.S. He left at 3 p.m. yesterday."
        >>> [text[start:end] for start, end in sentence_spans(text)]
        ['Dr. Smith lives in the U.S.', ' He left at 3 p.m. yesterday.']
    """
    borders = [0]
    for match in _CANDIDATE.finditer(text):
        if match["marks"]:
            spaced = _SPACED_MARKS.issuperset(match["marks"])
            border = match.end() if spaced else match.end("close")
            ends = not (spaced and match["apart"] is None) and not _goes_on(text, borders[-1], match, border)
        else:
            border, ends = match.start(), match.end() < len(text)
        if ends and border > borders[-1]:
            borders.append(border)
    return list(zip(borders, [*borders[1:], len(text)], strict=True)) if text else []


def _goes_on(text: str, start: int, match: Any, border: int) -> bool:
    """Whether the sentence that began at `start` continues behind the marks matched, which would end it at `border`."""
    following = _NEXT.match(text, border)
    first = text[following.start("word") : following.start("word") + 1]
    before = text[max(start, match.start() - _LOOK_BACK) : match.start()]
    quoted = border > match.end("marks")
    if not first or first in _COMMAS or not before.strip():
        return True
    if not _SPACED_MARKS.issuperset(match["marks"]):
        return quoted and first == "と"  # Japanese "he said" after a quotation
    if match["marks"] == ".":
        word = _LAST_WORD.search(before)[0].strip(".")
        lower = word.lower()
        if lower in _NEVER_END or _ITEM_NUMBER.fullmatch(before) or (lower in _GO_ON_BEFORE_DIGIT and first.isdigit()):
            return True
        if lower in _END_BEFORE_CAPITAL:
            return not first.isupper()
        if lower in _END_BEFORE_STARTER or _ACRONYM.fullmatch(word):
            return following["word"] not in _STARTERS or bool(following["dot"])
    if not _LOWER.match(first):
        return False
    ellipsis = "…" in match["marks"] or match["marks"].count(".") > 1
    return quoted or ellipsis or not _LOWER.match(text, start, start + _LOOK_BACK)
