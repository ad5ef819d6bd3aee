"""A language model behind an OpenAI-compatible API: OpenAI's own, or any server that speaks like it."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import KW_ONLY, InitVar, dataclass, field
from email.utils import parsedate_to_datetime
from threading import Event, Thread
from time import time
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from interpreto.errors import InputError, MissingExtraError, ModelCallError, check_count
from interpreto.model_wrapping.llm_interface.interface import Answer, Chat, Failure, LLMInterface

_LOG = logging.getLogger(__name__)
_LONGEST_WAIT = 120.0
_PATIENCE = 1.0  # seconds that a run which is stopped in the middle waits for the calls on their way
_REFUSED = (401, 403, 404)
_NOT_OPTIONS = ("messages", "model", "stream", "n", "temperature", "max_tokens")


@dataclass(eq=False)
class OpenAILLM(LLMInterface):
    """A model behind an OpenAI-compatible API, asked at temperature 0, several prompts at once.

    Time-outs, dropped connections, half a body, 429, 408, 409 and errors of the server (500 and more) are tried again,
    each time after twice the wait, or after what `Retry-After` says. A wrong key, an unknown model and an empty
    account end the run at once. A prompt that the server refuses, and an answer that was cut off at its longest
    length, fail alone. The key is in no representation, log, cache, error or result.

    Args:
        api_key: The key, as `os.getenv("OPENAI_API_KEY")`. It is needed when something is asked, not before. A server
            of your own at `base_url` may need none.
        model: Name of the model.
        base_url: Where the API is, as `"http://localhost:8000/v1"`; by default the environment's `OPENAI_BASE_URL`, or
            OpenAI's.
        timeout: Seconds without a word from the server, after which a call has failed.
        max_retries: Further tries of a failed call.
        max_concurrency: Calls at once.
        temperature: 0 for the most probable words; `None` for models that take no temperature.
        max_tokens: The longest answer; `None` leaves it to the server.
        options: More fields of the request's body, as `{"seed": 0}` or `{"max_completion_tokens": 200}`.
        first_wait: Seconds before the first retry.

    Raises:
        InputError: An option out of range, or a key in the wrong place.
    """

    api_key: InitVar[str | None] = None
    model: str = "gpt-4.1-nano"
    _: KW_ONLY
    base_url: str | None = None
    timeout: float = 60.0
    max_retries: int = 5
    max_concurrency: int = 8
    temperature: float | None = 0.0
    max_tokens: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    first_wait: float = 0.5
    _key: _Secret = field(init=False, repr=False)

    def __post_init__(self, api_key: str | None) -> None:
        check_count("max_retries", self.max_retries, 0)
        check_count("max_concurrency", self.max_concurrency, 1)
        if self.max_tokens is not None:
            check_count("max_tokens", self.max_tokens, 1)
        for name in ("timeout", "first_wait"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
                raise InputError(f"{name}: expected a number of seconds above 0, got {value!r}")
        wrong = [name for name in self.options if name in _NOT_OPTIONS or name.startswith("extra_")]
        if wrong:
            raise InputError(f"options: expected further fields of the request's body, got {wrong}")
        address = urlsplit(self._server or "")
        if "@" in address.netloc or address.query:
            name = "base_url" if self.base_url is not None else "OPENAI_BASE_URL"
            raise InputError(f"{name}: expected an address without user, password and query; pass the key as api_key")
        self._key = _Secret(api_key)

    @property
    def identity(self) -> dict[str, Any]:
        """The model's name, its server, and the settings."""
        settings = {"temperature": self.temperature, "max_tokens": self.max_tokens, **self.options}
        address = urlsplit(self._server or "")  # set in the environment since it was checked, perhaps
        server = urlunsplit((address.scheme, address.netloc.rpartition("@")[2], address.path, "", "")) or None
        return {"model": self.model, "server": server, "settings": settings}

    @property
    def _server(self) -> str | None:
        return self.base_url or os.environ.get("OPENAI_BASE_URL") or None

    def ask(self, chats: Sequence[Chat]) -> Iterator[tuple[int, Answer | Failure]]:
        """Ask several at once; answers come as they come.

        Raises:
            ModelCallError: No key, a wrong one, no such model, or an account without credit.
            MissingExtraError: The package `openai` is not installed.
        """
        client, stop = self._client(), Event()
        pool = ThreadPoolExecutor(self.max_concurrency)
        waiting = {pool.submit(self._answer, client, chat, stop): number for number, chat in enumerate(chats)}
        try:
            for done in as_completed(waiting):
                outcome = done.result()
                if isinstance(outcome, _Refusal):
                    raise ModelCallError(outcome.reason)
                yield waiting[done], outcome
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            closing = Thread(target=_close, args=(pool, client), daemon=True)
            closing.start()
            closing.join(_PATIENCE)

    def _client(self) -> Any:
        try:
            import openai  # an extra, and slow to import
        except ImportError:
            raise MissingExtraError("openai", "llm", "OpenAILLM") from None
        key = self._key.value
        if key is None and self._server is None:
            raise ModelCallError(
                "api_key: expected a key, got none; set the environment variable OPENAI_API_KEY and pass "
                'OpenAILLM(os.getenv("OPENAI_API_KEY")), or pass base_url for a server of your own'
            )
        # Never None: the client would then send the environment's key to whatever server it talks to.
        return openai.OpenAI(api_key=key or "none", base_url=self._server, timeout=self.timeout, max_retries=0)

    def _answer(self, client: Any, chat: Chat, stop: Event) -> Answer | Failure | _Refusal:
        """One chat, tried again where that may help. Raises nothing: an error of the client holds its request."""
        reason = "not asked"
        for call in range(self.max_retries + 1):
            if stop.is_set():
                return Failure(reason, calls=call)
            outcome = self._call(client, chat)
            if not isinstance(outcome, _Trouble):
                return outcome if isinstance(outcome, _Refusal) else _counted(outcome, call + 1)
            reason = f"{outcome.reason}, after {call + 1} tries"
            if outcome.wait is not None and outcome.wait > _LONGEST_WAIT:
                return Failure(f"{outcome.reason}; the server asks to wait {outcome.wait:.0f} seconds", calls=call + 1)
            if call < self.max_retries:
                backoff = min(self.first_wait * 2.0**call, _LONGEST_WAIT) * (1 - random.random() / 4)
                wait = backoff if outcome.wait is None else outcome.wait
                _LOG.info("%s: try %d: %s; the next one in %.1f seconds", self.model, call + 1, outcome.reason, wait)
                stop.wait(wait)
        return Failure(reason, calls=self.max_retries + 1)

    def _call(self, client: Any, chat: Chat) -> Answer | Failure | _Trouble | _Refusal:
        import openai

        settings = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        given = {name: value for name, value in settings.items() if value is not None}
        try:
            reply = client.chat.completions.create(model=self.model, messages=list(chat), **given, **self.options)
        except openai.APITimeoutError:
            return _Trouble(f"no answer within {self.timeout:g} seconds")
        except openai.APIConnectionError as error:
            return _Trouble(self._told(f"no connection ({error.__cause__ or error})"))
        except openai.APIStatusError as error:
            return self._status(error)
        except (openai.OpenAIError, ValueError, UnicodeError) as error:  # ValueError: half a body is no JSON
            return _Trouble(self._told(f"an answer that cannot be read ({type(error).__name__})"))
        return self._read(reply)

    def _status(self, error: Any) -> Failure | _Trouble | _Refusal:
        status = int(error.status_code)
        said = error.body.get("message") if isinstance(error.body, dict) else None
        reason = self._told(f"the server answers {status}: {said or error.message}")
        if status in _REFUSED:
            hint = {404: "check model and base_url"}.get(status, "check api_key")
            return _Refusal(f"{self.model}: {reason}; {hint}")
        if status == 429 and error.code == "insufficient_quota":
            return _Refusal(f"{self.model}: {reason}; the account has nothing left to pay with")
        if status in (408, 409, 429) or status >= 500:
            return _Trouble(reason, _retry_after(error.response.headers))
        return Failure(reason)

    def _read(self, reply: Any) -> Answer | Failure | _Trouble:
        choices = getattr(reply, "choices", None)
        choice = choices[0] if isinstance(choices, list) and choices else None
        message = getattr(choice, "message", None)
        if message is None:
            return _Trouble("half an answer, without a message")
        how = getattr(choice, "finish_reason", None)
        text = getattr(message, "content", None)
        if how == "length":
            return Failure("an answer that was cut off at its longest length; raise max_tokens")
        if how == "content_filter" or getattr(message, "refusal", None):
            return Failure("the model refuses to answer")
        if not isinstance(text, str) or not text.strip():
            return Failure("an empty answer")
        usage = getattr(reply, "usage", None)
        counts = [getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens")]
        prompt_tokens, answer_tokens = (count if isinstance(count, int) else 0 for count in counts)
        return Answer(self._key.hidden_in(text), prompt_tokens, answer_tokens)

    def _told(self, text: str) -> str:
        """What a server says, short, on one line, and without the key."""
        return " ".join(self._key.hidden_in(text).split())[:300]


class _Secret:
    """A key that shows itself nowhere.

    Raises:
        InputError: Something that is no key; it is not shown.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str | None) -> None:
        if value is not None and (not isinstance(value, str) or not value.strip().isascii()):
            raise InputError("api_key: expected the key as a text of ASCII characters, got something else")
        self._value = (value or "").strip() or None

    @property
    def value(self) -> str | None:
        """The key."""
        return self._value

    def hidden_in(self, text: str) -> str:
        """The text with the key painted over; a key of a few letters is no secret, but part of other words."""
        return text.replace(self._value, "***") if self._value and len(self._value) >= _SHORTEST_SECRET else text

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> Any:
        raise TypeError("an API key is not written to files; make the OpenAILLM anew where it is needed")


_SHORTEST_SECRET = 8


@dataclass(frozen=True, slots=True)
class _Trouble:
    """A call that may do better another time; `wait` is what the server asks for."""

    reason: str
    wait: float | None = None


@dataclass(frozen=True, slots=True)
class _Refusal:
    """No call will do better."""

    reason: str


def _close(pool: ThreadPoolExecutor, client: Any) -> None:
    """End the connections once no call is on its way any more."""
    pool.shutdown(wait=True)
    client.close()


def _counted(outcome: Answer | Failure, calls: int) -> Answer | Failure:
    if isinstance(outcome, Failure):
        return Failure(outcome.reason, calls)
    return Answer(outcome.text, outcome.prompt_tokens, outcome.answer_tokens, calls)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait, given as milliseconds, seconds or a date."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) / unit
        except (KeyError, ValueError):
            continue
        return seconds if 0 <= seconds < float("inf") else None
    try:
        return max(0.0, parsedate_to_datetime(headers["retry-after"]).timestamp() - time())
    except (KeyError, ValueError, TypeError, IndexError):
        return None
