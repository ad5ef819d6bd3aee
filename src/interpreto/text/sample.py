"""One text as the model sees it: ids, and where each id stands in the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Token:
    """One id of a sample and the characters it stands for.

    Args:
        id: The id, exactly as the tokenizer (or the model, for generated text) gave it.
        part: Which of the sample's texts it belongs to.
        start: First character in that part.
        end: One past the last character; equal to `start` for a token that stands for no characters.
        fixed: Special and chat-template tokens, and everything outside the user's own segments: never removed.
        type_id: Token type (segment) id for models that use one.
    """

    id: int
    part: int
    start: int
    end: int
    fixed: bool = False
    type_id: int = 0

    def letters(self, text: str) -> tuple[int, int]:
        """Its characters in the text without the white space around them; its first one if there is nothing else."""
        piece = text[self.start : self.end]
        if not piece.strip():
            return self.start, self.start + 1
        return self.end - len(piece.lstrip()), self.start + len(piece.rstrip())


@dataclass(frozen=True, slots=True)
class Sample:
    """The ids that a model is given for one text, in one row, with the texts they come from.

    For a causal language model the row is prompt + output; for an encoder-decoder it is source, then the decoder's
    prefix (its start token), then output; for everything else it is the source alone.

    Args:
        parts: The texts: `(text,)`, `(text, pair)`, or `(prompt, output)`.
        tokens: The row, as long as everything that the model reads.
        source_length: Number of tokens of the source (prompt, or encoder input).
        output_start: Where the explained output begins in the row; the row's length where there is none.
        regions: The explained stretches of text as `(part, start, end)`: contents of chat messages, or the user's own
            segments. `None`: the texts as a whole.
        own_segments: Whether each region is one element, whatever the granularity.
        uses_type_ids: Whether the tokenizer gave token type ids.
    """

    parts: tuple[str, ...]
    tokens: tuple[Token, ...]
    source_length: int
    output_start: int
    regions: tuple[tuple[int, int, int], ...] | None = None
    own_segments: bool = False
    uses_type_ids: bool = False

    @property
    def ids(self) -> list[int]:
        """The ids of the row."""
        return [token.id for token in self.tokens]

    def with_output(self, text: str, output: Sequence[Token], prefix: Sequence[Token] = ()) -> Sample:
        """The same source, followed by an output (and, for an encoder-decoder, the decoder's prefix before it)."""
        part = len(self.parts)
        placed = tuple(replace(token, part=part) for token in output)
        row = (*self.tokens, *(replace(token, part=part) for token in prefix), *placed)
        return replace(self, parts=(*self.parts, text), tokens=row, output_start=len(row) - len(placed))

    def to_dict(self) -> dict[str, Any]:
        """As plain lists and numbers, ready for JSON."""
        return {
            "parts": list(self.parts),
            "tokens": [[t.id, t.part, t.start, t.end, int(t.fixed), t.type_id] for t in self.tokens],
            "source_length": self.source_length,
            "output_start": self.output_start,
            "regions": None if self.regions is None else [list(region) for region in self.regions],
            "own_segments": self.own_segments,
            "uses_type_ids": self.uses_type_ids,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Sample:
        """The inverse of `to_dict`."""
        regions = data["regions"]
        return cls(
            parts=tuple(data["parts"]),
            tokens=tuple(
                Token(i, part, start, end, bool(fixed), kind) for i, part, start, end, fixed, kind in data["tokens"]
            ),
            source_length=data["source_length"],
            output_start=data["output_start"],
            regions=None if regions is None else tuple((part, start, end) for part, start, end in regions),
            own_segments=data["own_segments"],
            uses_type_ids=data["uses_type_ids"],
        )
