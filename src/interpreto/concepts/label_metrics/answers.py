"""What is read out of a language model's answers. What cannot be read is `None`, never a guess."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from interpreto.concepts.interpretations.prompts import THOUGHTS

_LIST = re.compile(r"\[[\s\d,;]*\]")


def numbers_in(answer: str | None, count: int, largest: int) -> list[int] | None:
    """The last list of `count` numbers from 0 to `largest` in an answer, or all of it where it is nothing but numbers.

    Several lists of a single number must agree, for `[1]` may also be a text that the answer speaks of.

    >>> numbers_in("Text 1 fits, so: [1, 0]", 2, 1), numbers_in("1, 0", 2, 1), numbers_in("[1]", 2, 1)
    ([1, 0], [1, 0], None)
    >>> numbers_in("[0], because of what text [1] says", 1, 1)
    """
    said = "" if answer is None else THOUGHTS.sub("", answer).strip()
    bare = [said] if re.fullmatch(r"[\d\s,;]+", said, re.ASCII) else []
    lists = [[int(digits) for digits in re.findall(r"[0-9]{1,9}", found)] for found in [*_LIST.findall(said), *bare]]
    fitting = [numbers for numbers in lists if len(numbers) == count and max(numbers) <= largest]
    sure = len(fitting) > 0 and (count > 1 or all(numbers == fitting[0] for numbers in fitting))
    return fitting[-1] if sure else None


def texts_in(answer: str | None) -> list[str] | None:
    """The texts of a JSON list in an answer, blank ones left out.

    >>> texts_in('Sure: ["A dog.", "A cat."]'), texts_in("A dog.")
    (['A dog.', 'A cat.'], None)
    """
    said = "" if answer is None else THOUGHTS.sub("", answer)
    first, last = said.find("["), said.rfind("]")
    try:
        found = json.loads(said[first : last + 1])
    except (ValueError, RecursionError):
        return None
    texts = (
        [text.strip() for text in found if isinstance(text, str) and text.strip()] if isinstance(found, list) else []
    )
    return texts or None


def distinct(texts: Iterable[str], label: str) -> list[str]:
    """Each text once, whatever its case and punctuation, and none that says nothing beyond the words of the label.

    >>> distinct(["A red wine.", "a red wine", "Red wines!", "She drank red wine."], "red wines")
    ['A red wine.', 'She drank red wine.']
    """
    own = set(_words(label))
    kept: dict[tuple[str, ...], str] = {}
    for text in texts:
        words = _words(text)
        if not words or not own or not set(words) <= own:
            kept.setdefault(tuple(words) or (text,), text)
    return list(kept.values())


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
