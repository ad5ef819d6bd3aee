"""Answers on disk, one line of JSON each: what was answered stays answered, and can be replayed.

A line is added in one write and flushed. What a kill leaves of a line is passed over and asked again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interpreto.errors import InputError, StoreError

_LOG = logging.getLogger(__name__)


@dataclass(eq=False)
class AnswerCache:
    """Answers by what was asked of which model with which settings.

    Args:
        path: The file.
        records: Its lines, by key; of several with one key the last.
    """

    path: Path
    records: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)

    @classmethod
    def opened(cls, path: Path) -> AnswerCache:
        """The answers of a file; none if it is not there yet.

        Raises:
            InputError: A file of something else.
        """
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return cls(path)
        except OSError as error:
            raise InputError(f"cache: expected a file of answers at {path}, it cannot be read ({error})") from error
        lines = [line for line in raw.split(b"\n")[:-1] if line]  # what follows the last line break is half a line
        records = [record for record in map(_record, lines) if record is not None]
        if lines and not records:
            raise InputError(f"cache: expected a file of answers, got another one: {path}; take another name")
        _LOG.info("%s: %d answers, %d damaged lines passed over", path, len(records), len(lines) - len(records))
        return cls(path, {record["key"]: record for record in records})

    @staticmethod
    def key(identity: dict[str, Any], chat: Sequence[dict[str, str]]) -> str:
        """What an answer is known by."""
        text = json.dumps([identity, list(chat)], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def get(self, key: str) -> dict[str, Any] | None:
        """What was answered, if it was."""
        return self.records.get(key)

    def put(
        self, identity: dict[str, Any], chat: Sequence[dict[str, str]], answer: str, tokens: tuple[int, int]
    ) -> None:
        """Write an answer down, for good.

        Args:
            identity: Who answered.
            chat: What was asked.
            answer: What the answer was.
            tokens: How many tokens were read and written.

        Raises:
            StoreError: The file cannot be written; what was written before is kept.
        """
        record: dict[str, Any] = {
            "key": self.key(identity, chat),
            "model": identity,
            "messages": list(chat),
            "answer": answer,
            "prompt_tokens": tokens[0],
            "answer_tokens": tokens[1],
        }
        line = json.dumps(record, default=str).encode() + b"\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+", buffering=0) as file:
                if file.tell() and _last_byte(file) != b"\n":
                    line = b"\n" + line  # ends the half line that a kill left
                written = file.write(line)
                os.fsync(file.fileno())
            if written != len(line):
                raise OSError(f"{written} of {len(line)} bytes were written")
        except OSError as error:
            raise StoreError(
                f"{self.path}: an answer could not be written ({error}); the {len(self.records)} before it are kept. "
                "Make room and call again to go on"
            ) from error
        self.records[record["key"]] = record


def _last_byte(file: Any) -> bytes:
    file.seek(-1, os.SEEK_END)
    return bytes(file.read(1))


def _record(line: bytes) -> dict[str, Any] | None:
    """A line, or `None` where it is damaged."""
    try:
        record = json.loads(line)
        texts = [record["key"], record["answer"]]
        numbers = [record["prompt_tokens"], record["answer_tokens"]]
        messages = [(message["role"], message["content"]) for message in record["messages"]]
    except (ValueError, TypeError, LookupError):
        return None
    right = all(isinstance(text, str) for text in [*texts, *(part for pair in messages for part in pair)])
    return record if right and all(type(number) is int for number in numbers) else None
