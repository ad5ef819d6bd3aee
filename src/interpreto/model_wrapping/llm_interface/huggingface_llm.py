"""A language model on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from jinja2 import TemplateError
from torch import nn
from transformers import PreTrainedTokenizerBase

from interpreto.errors import InputError, ModelError, check_count
from interpreto.model_wrapping.fingerprint import fingerprint
from interpreto.model_wrapping.generation import ends, generate
from interpreto.model_wrapping.llm_interface.interface import Answer, Chat, Failure, LLMInterface
from interpreto.model_wrapping.traits import Traits
from interpreto.text import encode_source, text_ids


@dataclass(eq=False)
class HuggingFaceLLM(LLMInterface):
    """A loaded HuggingFace model that writes, always its most probable words; it is the same afterwards, to the bit.

    Chats go through the tokenizer's chat template. A template that refuses system messages gets them at the head of
    the first message. A tokenizer without one gets a plain dialogue that ends with `Assistant:`. The names of special
    tokens in a message are broken up, so that a text cannot end its own message.

    Args:
        model: The model.
        tokenizer: Its fast tokenizer.
        max_new_tokens: The longest answer. A chat model that does not come to its end by then has failed; of a model
            without chat template, which seldom comes to an end, what it wrote is taken.

    Raises:
        ModelError: A model that does not write.
    """

    model: nn.Module = field(repr=False)
    tokenizer: PreTrainedTokenizerBase = field(repr=False)
    max_new_tokens: int = 64

    def __post_init__(self) -> None:
        check_count("max_new_tokens", self.max_new_tokens, 1)
        if not self.traits.base.can_generate():
            raise ModelError(f"model: expected one that writes, got {type(self.traits.base).__name__}")

    @cached_property
    def traits(self) -> Traits:
        """The model and its tokenizer."""
        return Traits(self.model, self.tokenizer)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The model's class and weights, and the longest answer."""
        return {
            "model": type(self.traits.base).__name__,
            "weights": fingerprint(self.traits),
            "chat_template": self.tokenizer.chat_template,
            "max_new_tokens": self.max_new_tokens,
        }

    def count_tokens(self, chat: Chat) -> int:
        """The tokens of a chat, counted by the tokenizer."""
        return len(self._ids(chat))

    def ask(self, chats: Sequence[Chat]) -> Iterator[tuple[int, Answer | Failure]]:
        """Write the answers, one after the other."""
        for number, chat in enumerate(chats):
            try:
                yield number, self._answer(chat)
            except InputError as error:
                yield number, Failure(str(error), calls=0)

    def _answer(self, chat: Chat) -> Answer | Failure:
        traits, prompt = self.traits, self._ids(chat)
        joined = not traits.is_encoder_decoder
        options = {"do_sample": False, "max_new_tokens": self.max_new_tokens}
        row = generate(traits, prompt, joined=joined, options=options, seed=0, where="prompt")
        written = row[len(prompt) :] if joined else row[1:]
        cut = len(written) >= self.max_new_tokens and written[-1] not in ends(traits)
        if cut and self.tokenizer.chat_template is not None:
            return Failure(f"cut off after {self.max_new_tokens} tokens; raise max_new_tokens")
        text = str(self.tokenizer.decode(written, skip_special_tokens=True)).strip()
        if not text:
            return Failure("an empty answer")
        return Answer(text, len(prompt), len(written))

    def _ids(self, chat: Chat) -> list[int]:
        chat = tuple({**message, "content": self._plain(message["content"])} for message in chat)
        if self.tokenizer.chat_template is not None:
            return text_ids(self.tokenizer, self._rendered(chat), where="prompt")
        if self.traits.is_encoder_decoder or len(chat) == 1:
            text = "\n\n".join(message["content"] for message in chat)
        else:
            turns = [f"{_SPEAKERS[message['role']]}{message['content']}" for message in chat]
            text = "\n\n".join([*turns, _SPEAKERS["assistant"].strip()])
        return encode_source(self.tokenizer, text, where="prompt", limit=self.traits.limit).ids

    def _rendered(self, chat: Chat) -> str:
        try:
            return self._template(chat)
        except TemplateError as error:
            if chat[0]["role"] != "system" or len(chat) == 1:
                raise InputError(f"prompt: the tokenizer's chat template refuses this chat: {error}") from error
        first = {**chat[1], "content": f"{chat[0]['content']}\n\n{chat[1]['content']}"}
        try:
            return self._template((first, *chat[2:]))
        except TemplateError as error:
            raise InputError(f"prompt: the tokenizer's chat template refuses this chat: {error}") from error

    def _template(self, chat: Chat) -> str:
        return str(self.tokenizer.apply_chat_template(list(chat), tokenize=False, add_generation_prompt=True))

    def _plain(self, text: str) -> str:
        for name in self._special_names:
            text = text.replace(name, f"{name[0]}\u200b{name[1:]}")
        return text

    @cached_property
    def _special_names(self) -> list[str]:
        added = [token.content for token in self.tokenizer.added_tokens_decoder.values() if token.special]
        return sorted({name for name in (*self.tokenizer.all_special_tokens, *added) if len(name) > 1})


_SPEAKERS = {"system": "", "user": "User: ", "assistant": "Assistant: "}
