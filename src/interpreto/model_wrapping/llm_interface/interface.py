"""Asking a language model many things: what was answered before is not asked again, what fails is told apart."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from interpreto.errors import InputError
from interpreto.model_wrapping.llm_interface.answer_cache import AnswerCache

Chat = tuple[dict[str, str], ...]
"""Messages, each with a role (`system`, `user` or `assistant`) and a content."""

_ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a language model answered.

    Args:
        text: The answer.
        prompt_tokens: Tokens of the prompt, as the model counts them; 0 where nobody said.
        answer_tokens: Tokens of the answer.
        calls: Calls that it took, retries included; 0 where it comes from the cache.
    """

    text: str
    prompt_tokens: int = 0
    answer_tokens: int = 0
    calls: int = 1


@dataclass(frozen=True, slots=True)
class Failure:
    """A prompt that got no answer.

    Args:
        reason: Why, and what to do about it.
        calls: Calls that were made for it.
    """

    reason: str
    calls: int = 1


@dataclass(frozen=True, slots=True)
class Usage:
    """What a language model was asked so far.

    Args:
        calls: Calls made, retries included.
        answered: Prompts that it answered.
        cached: Prompts whose answer was known from before.
        failed: Prompts without an answer.
        prompt_tokens: Tokens that it read, as it counts them.
        answer_tokens: Tokens that it wrote.
    """

    calls: int = 0
    answered: int = 0
    cached: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0


@dataclass(eq=False)
class LLMInterface(ABC):
    """A language model that answers chats.

    A model of your own needs `identity` and `ask`.

    Args:
        cache: A file in which every answer is written down as it comes, one line of JSON each. A run that was killed
            and is made again asks only what it has no answer to, and `RecordedLLM.load` replays the file. It is made
            if it is not there. It holds prompts and answers, never a key.
    """

    _: KW_ONLY
    cache: str | Path | None = None
    usage: Usage = field(default_factory=Usage, init=False, repr=False)

    @property
    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """The model's name and everything that changes its answers, as plain values; no secrets."""

    @abstractmethod
    def ask(self, chats: Sequence[Chat]) -> Iterator[tuple[int, Answer | Failure]]:
        """Ask, without any cache.

        Yields:
            The number of a chat, and what came of it, in whatever order they come.

        Raises:
            ModelCallError: The model cannot be asked at all.
        """

    def generate(self, prompts: Any, *, progress: bool = False) -> list[Answer | Failure]:
        """Answers to prompts, in their order; equal prompts are asked once.

        Args:
            prompts: A list of texts, or of chats: lists of messages `{"role": ..., "content": ...}`.
            progress: Whether to show a progress bar.

        Returns:
            One `Answer` or `Failure` a prompt: a failed one does not stop the others.

        Raises:
            InputError: Something that is no prompt, or a cache that is none.
            ModelCallError: The model cannot be asked at all; what was answered before that is in the cache.
            StoreError: The cache cannot be written.
        """
        chats = [as_chat(prompt, f"prompts[{number}]") for number, prompt in enumerate(_listed(prompts))]
        cache, identity = self._cache(), self.identity
        keys = [AnswerCache.key(identity, chat) for chat in chats]
        found: dict[str, Answer | Failure] = {}
        for key in keys:
            known = cache.get(key) if cache is not None and key not in found else None
            if known is not None:
                found[key] = Answer(known["answer"], known["prompt_tokens"], known["answer_tokens"], calls=0)
                self.usage = replace(self.usage, cached=self.usage.cached + 1)
        missing = {key: chat for key, chat in zip(keys, chats, strict=True) if key not in found}
        names = list(missing)
        with tqdm(total=len(names), desc="language model", unit="prompt", disable=not progress) as bar:
            for number, outcome in self.ask(list(missing.values())) if missing else ():
                self._count(outcome)
                if cache is not None and isinstance(outcome, Answer):
                    tokens = outcome.prompt_tokens, outcome.answer_tokens
                    cache.put(identity, missing[names[number]], outcome.text, tokens)
                found[names[number]] = outcome
                bar.update()
        return [found[key] for key in keys]

    def unanswered(self, prompts: Any) -> int:
        """How many distinct prompts `generate` would ask: those without an answer in the cache."""
        cache, identity = self._cache(), self.identity
        keys = {AnswerCache.key(identity, as_chat(prompt, "prompts")) for prompt in _listed(prompts)}
        return sum(cache is None or cache.get(key) is None for key in keys)

    def count_tokens(self, chat: Chat) -> int:
        """About how many tokens a chat has: four bytes a token, and four tokens a message around it."""
        return sum(4 + math.ceil(len(message["content"].encode()) / 4) for message in chat)

    def _cache(self) -> AnswerCache | None:
        return None if self.cache is None else AnswerCache.opened(Path(self.cache))

    def _count(self, outcome: Answer | Failure) -> None:
        usage = replace(self.usage, calls=self.usage.calls + outcome.calls)
        if isinstance(outcome, Failure):
            self.usage = replace(usage, failed=usage.failed + 1)
        else:
            self.usage = replace(
                usage,
                answered=usage.answered + 1,
                prompt_tokens=usage.prompt_tokens + outcome.prompt_tokens,
                answer_tokens=usage.answer_tokens + outcome.answer_tokens,
            )


def as_chat(prompt: Any, where: str) -> Chat:
    """A prompt as messages; a text is one by the user. Broken Unicode becomes question marks.

    Raises:
        InputError: No prompt.

    >>> as_chat("Hello", "prompt")
    ({'role': 'user', 'content': 'Hello'},)
    """
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    if not isinstance(messages, Sequence) or not messages:
        raise InputError(f"{where}: expected a text or a list of messages, got {prompt!r:.80}")
    chat = []
    for message in messages:
        role = message.get("role") if isinstance(message, Mapping) else None
        content = message.get("content") if isinstance(message, Mapping) else None
        if role not in _ROLES or not isinstance(content, str):
            raise InputError(
                f"{where}: expected messages with a role of {list(_ROLES)} and a content that is text, "
                f"got {message!r:.80}"
            )
        chat.append({"role": role, "content": content.encode("utf-8", "replace").decode()})
    return tuple(chat)


def _listed(prompts: Any) -> Sequence[Any]:
    if isinstance(prompts, (str, Mapping)) or not isinstance(prompts, Sequence):
        raise InputError(f"prompts: expected a list of texts or chats, got {prompts!r:.80}; pass [prompt]")
    return prompts
