"""Answers that are known before they are asked: for tests, galleries, and runs without a key."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interpreto.errors import InputError
from interpreto.model_wrapping.llm_interface.answer_cache import AnswerCache
from interpreto.model_wrapping.llm_interface.interface import Answer, Chat, Failure, LLMInterface


@dataclass(eq=False)
class RecordedLLM(LLMInterface):
    """Answers from a mapping, a function or a file; what they do not know fails.

    Args:
        answers: From the content of a prompt's last message to the answer, or a function of the chat that gives the
            answer, or `None` where it knows none.
        name: What to call it.

    Raises:
        InputError: Answers of another kind.

    >>> RecordedLLM({"What is black and white?": "a newspaper"}).generate(["What is black and white?"])[0].text
    'a newspaper'
    """

    answers: Mapping[str, str] | Callable[[Chat], str | None] = field(repr=False)
    name: str = "recorded"
    asked: list[Chat] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.answers, Mapping) and not callable(self.answers):
            raise InputError(
                "answers: expected a mapping from prompts to answers, or a function of the chat, got "
                f"{type(self.answers).__name__}"
            )

    @classmethod
    def load(cls, path: str | Path) -> RecordedLLM:
        """Replay the answers that another model's `cache` wrote down, by what was asked; of several the last.

        Raises:
            InputError: No such file, or one of something else.
        """
        if not Path(path).is_file():
            raise InputError(f"path: expected a file of answers, there is none at {path}")
        records = AnswerCache.opened(Path(path)).records.values()
        known = {_asked(record["messages"]): str(record["answer"]) for record in records}
        names = {str(record["model"].get("model", "recorded")) for record in records}
        return cls(lambda chat: known.get(_asked(chat)), name=" and ".join(sorted(names)) or "recorded")

    @property
    def identity(self) -> dict[str, Any]:
        """Its name."""
        return {"model": self.name}

    def ask(self, chats: Sequence[Chat]) -> Iterator[tuple[int, Answer | Failure]]:
        """Look the answers up."""
        for number, chat in enumerate(chats):
            self.asked.append(chat)
            text = self.answers.get(chat[-1]["content"]) if isinstance(self.answers, Mapping) else self.answers(chat)
            yield number, Failure("no recorded answer to this prompt") if text is None else Answer(text)


def _asked(messages: Sequence[Mapping[str, str]]) -> str:
    return json.dumps([[message["role"], message["content"]] for message in messages])
