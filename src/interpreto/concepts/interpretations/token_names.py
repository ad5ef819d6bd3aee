"""The tokens of a vocabulary by readable names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from transformers import PreTrainedTokenizerBase

from interpreto.concepts.interpretations.texts import token_name
from interpreto.text import encode_source


@dataclass(frozen=True, eq=False)
class TokenNames:
    """What tokens look like in the middle of a text: `"the"`, whatever the vocabulary calls it.

    Args:
        tokenizer: Theirs.
    """

    tokenizer: PreTrainedTokenizerBase
    _before: list[int] = field(default_factory=list, init=False, repr=False)
    _known: dict[int, str] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        probe = encode_source(self.tokenizer, "a", where="tokenizer")
        self._before.extend([token.id for token in probe.tokens if not token.fixed][:1])

    def __call__(self, token: int) -> str:
        """The name of one token; of a row of the model's vocabulary without any, its number."""
        if token not in self._known:
            there = token < len(self.tokenizer)
            self._known[token] = token_name(self.tokenizer, token, self._before) if there else f"[{token}]"
        return self._known[token]

    def of(self, tokens: Iterable[int]) -> dict[int, str]:
        """Names by id."""
        return {token: self(token) for token in sorted(set(tokens))}
