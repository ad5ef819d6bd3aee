"""From rows of activations back to the text that they come from, readable: never a tokenizer's spelling of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32, UInt64
from numpy import ndarray
from transformers import PreTrainedTokenizerBase

from interpreto.concepts.interpretations.result import Example, Mark
from interpreto.errors import InputError
from interpreto.model_wrapping import ModelWithSplitPoints
from interpreto.text import Sample, Segments
from interpreto.text.inputs import is_pair


@dataclass(frozen=True, eq=False)
class Texts:
    """The texts that rows come from.

    Args:
        parts: The texts of an input, by its number.
        tokenizer: Names tokens that stand for no characters.
        whole: Whether a row is shown by its whole input.
        numbered: Whether inputs are the user's; the tokens of a vocabulary are not.
    """

    parts: Callable[[int], tuple[str, ...]]
    tokenizer: PreTrainedTokenizerBase
    whole: bool = False
    numbered: bool = True

    def keys(self, sources: Int32[ndarray, "r 5"], seed: int) -> UInt64[ndarray, " r"]:
        """A random number for the text of each row, the same for equal texts."""
        digests = [
            hashlib.blake2b(f"{seed} {self._placed(source)[0]}".encode(), digest_size=8).digest()
            for source in sources.tolist()
        ]
        return np.frombuffer(b"".join(digests), np.uint64).copy()

    def whole_keys(self, sources: Int32[ndarray, "r 5"]) -> UInt64[ndarray, " r"]:
        """A number for each row, the same for equal places in equal inputs."""
        digests = []
        for number, part, start, end, _ in sources.tolist():
            said = repr((self.parts(number) if self.numbered else number, part, start, end))
            digests.append(hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=8).digest())
        return np.frombuffer(b"".join(digests), np.uint64).copy()

    def example(
        self,
        source: Int32[ndarray, " 5"],
        activation: float,
        neighbours: Int32[ndarray, "w 2"],
        around: Float32[ndarray, " w"],
    ) -> Example:
        """A row as an example, with its neighbours."""
        number, part, *_ = source.tolist()
        text, start, end = self._placed(source.tolist())
        if not self.numbered:
            return Example(text, activation)
        if self.whole or len(neighbours) == 1:
            return Example(text, activation, "", "", number, start, end, part)
        whole = self.parts(number)[part]
        there = neighbours[:, 0] >= 0
        before = whole[int(neighbours[there, 0].min()) : start].lstrip()
        after = whole[end : int(neighbours[there, 1].max())].rstrip()
        origin, grown = start - len(before), len(text) - (end - start)
        best: dict[tuple[int, int], float] = {}
        for k, ((first, last), code) in enumerate(zip(neighbours.tolist(), around.tolist(), strict=True)):
            if k == len(neighbours) // 2:
                span = (len(before), len(before) + len(text))
            else:
                piece = whole[max(first, 0) : max(last, 0)]
                at = first + len(piece) - len(piece.lstrip())
                shift = -origin if at < end else grown - origin
                span = (at + shift, at + shift + len(piece.strip()))
            if span[0] < span[1]:
                best[span] = max(code, best.get(span, code))
        marks = tuple(Mark(*span, code) for span, code in sorted(best.items()))
        return Example(text, activation, before, after, number, start, end, part, marks)

    def _placed(self, source: Sequence[int]) -> tuple[str, int, int]:
        """What a row is shown as, and the characters in its text."""
        number, part, start, end, token = source
        parts = self.parts(number)
        if self.whole:
            text = "\n".join(parts).strip()
            first = parts[0].find(text) if len(parts) == 1 else 0
            return text, first, first + len(text)
        if part >= len(parts) or end > len(parts[part]):
            raise InputError(
                f"activations: expected those of these inputs, got a row of character {end} of inputs[{number}], which "
                f"has {[len(text) for text in parts]}; pass the inputs, and targets, that they come from"
            )
        raw = parts[part][start:end]
        if raw.strip():
            first = start + len(raw) - len(raw.lstrip())
            return raw.strip(), first, first + len(raw.strip())
        return readable(raw) if raw else token_name(self.tokenizer, token), start, end


def texts_of(split: ModelWithSplitPoints, items: Sequence[Any], targets: Sequence[Any] | None, *, whole: bool) -> Texts:
    """The texts of inputs, as the model reads them.

    Args:
        split: The split model.
        items: The inputs, one by one.
        targets: What the model wrote, where rows of that are wanted.
        whole: Whether a row is shown by its whole input; of a chat that is what its messages say.
    """
    known: dict[int, tuple[str, ...]] = {}

    def parts(number: int) -> tuple[str, ...]:
        item = items[number]
        if targets is None and isinstance(item, str):
            return (str(item),)
        if targets is None and isinstance(item, Segments):
            return (item.text,)
        if targets is None and is_pair(item):
            return tuple(str(text) for text in item)
        if number not in known:
            if len(known) >= _REMEMBERED:
                known.clear()
            sample = split.samples([item], None if targets is None else [targets[number]], number)[0]
            known[number] = _messages(sample) if whole else sample.parts
        return known[number]

    return Texts(parts, split.tokenizer, whole=whole)


_REMEMBERED = 1024


def _messages(sample: Sample) -> tuple[str, ...]:
    if sample.regions is None or sample.own_segments:
        return tuple(part for part in sample.parts if part)
    said = tuple(sample.parts[part][start:end].strip() for part, start, end in sample.regions)
    return said + sample.parts[1:]


def readable(text: str) -> str:
    """A text without the white space around it; of nothing but white space, what it consists of.

    >>> readable(" the"), readable("\\n"), readable("  ")
    ('the', '\\\\n', '␣␣')
    """
    return text.strip() or "".join(_BLANKS.get(char, f"\\u{ord(char):04x}") for char in text)


_BLANKS = {" ": "␣", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def token_name(tokenizer: PreTrainedTokenizerBase, token: int, before: Sequence[int] = ()) -> str:
    """What a token stands for by itself: its text, the name of a special token, or the bytes of a piece of a character.

    Args:
        tokenizer: Its tokenizer.
        token: The id.
        before: Ids to show it after, so that it looks as in the middle of a text.
    """
    old = str(tokenizer.decode(list(before), clean_up_tokenization_spaces=False)) if before else ""
    new = str(tokenizer.decode([*before, token], clean_up_tokenization_spaces=False))
    text = new[len(old) :] if new.startswith(old) else str(tokenizer.decode([token]))
    if text and "\ufffd" not in text:
        return readable(text)
    name = str(tokenizer.convert_ids_to_tokens(token))
    if all(char in _BYTES for char in name):  # a byte-level vocabulary writes each byte as a letter
        return "".join(f"<0x{_BYTES[char]:02X}>" for char in name)
    return readable(name.replace("▁", " "))


def _byte_letters() -> dict[str, int]:
    """The letters that stand for bytes in byte-level vocabularies: printable ones for themselves, then from 256 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + k): byte for k, byte in enumerate(others)}


_BYTES = _byte_letters()
