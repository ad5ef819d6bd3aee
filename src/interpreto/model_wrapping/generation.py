"""What a model writes by itself, with the user's settings and without a trace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from transformers import GenerationConfig

from interpreto.errors import InputError, check_count
from interpreto.model_wrapping.hooks import untouched
from interpreto.model_wrapping.traits import Traits

_DEFAULT_LENGTH = 20  # new tokens where nobody says how many; transformers takes as many, and warns
_LENGTHS = frozenset(("max_new_tokens", "max_length", "generation_config"))
_COUNTS = ("max_new_tokens", "max_length", "num_beams")
_GIVEN = ("input_ids", "inputs", "inputs_embeds", "attention_mask")  # the text's, not the user's
_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")


def generate(
    traits: Traits, source: Sequence[int], *, joined: bool, options: Mapping[str, Any], seed: int, where: str
) -> list[int]:
    """The row that `model.generate` gives for a prompt or an encoder's input.

    Model, its settings and the caller's random state stay as they were. Where nobody says how long an answer may be,
    it is 20 tokens. A length that the model's own settings name is shortened to what the model has positions for, one
    of the user's is refused.

    Args:
        traits: The model.
        source: Ids of the prompt, or of the encoder's input.
        joined: Whether the answer goes on in the prompt's row.
        options: What the user passes on to `generate`.
        seed: Seed, for settings that sample.
        where: What to call the input in an error.

    Raises:
        InputError: Options that `generate` does not take, or more tokens than there is room for.
    """
    model: Any = traits.runner
    ids = torch.tensor([list(source)], device=traits.device)
    settings, others = _settings(traits, options, len(source) if joined else 1, where)
    devices = list(range(torch.cuda.device_count())) if traits.device.type == "cuda" else []
    with untouched(model), torch.no_grad(), torch.random.fork_rng(devices):
        torch.default_generator.manual_seed(seed)
        if devices:
            torch.cuda.manual_seed_all(seed)
        with _blamed_on(options):
            rows = model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=settings, **others
            )
    return [int(i) for i in rows[0]]


def check_settings(options: Any) -> None:
    """Refuse settings that cannot be meant for any model.

    Raises:
        InputError: The message names the setting.

    >>> check_settings({"max_new_tokens": 0})
    Traceback (most recent call last):
    interpreto.errors.InputError: generation: max_new_tokens: expected a whole number, at least 1, got 0
    """
    if not isinstance(options, Mapping):
        raise InputError(
            "generation: expected settings for model.generate by name, as {'max_new_tokens': 20}, got "
            f"{options!r:.60}"
        )
    config = options.get("generation_config")
    if config is not None and not isinstance(config, GenerationConfig):
        raise InputError(f"generation: generation_config: expected a GenerationConfig, got {config!r:.60}")
    for name in _GIVEN:
        if name in options:
            raise InputError(f"generation: {name}: that is the explained text; leave it out")
    for name in _COUNTS:
        if options.get(name) is not None:
            check_count(f"generation: {name}", options[name], 1)
    if options.get("num_return_sequences", 1) != 1:
        raise InputError(
            f"generation: num_return_sequences: expected 1, for one output is explained, got "
            f"{options['num_return_sequences']!r:.60}; generate the others yourself and pass them as targets"
        )


def room_to_leave(options: Mapping[str, Any]) -> int:
    """How many tokens a prompt that is cut leaves free: as many as the user asks for, or what is usual."""
    found = options.get("max_new_tokens", getattr(options.get("generation_config"), "max_new_tokens", None))
    return found if isinstance(found, int) else _DEFAULT_LENGTH


@contextmanager
def _blamed_on(options: Mapping[str, Any]) -> Iterator[None]:
    """Turn what generate says of settings that it does not take into an error that shows them."""
    try:
        yield
    except InputError:
        raise
    except (ValueError, TypeError, AttributeError, ArithmeticError) as error:
        if not options and not isinstance(error, ValueError):
            raise
        shown = ", ".join(f"{name}={value!r:.40}" for name, value in options.items()) or "none"
        raise InputError(
            f"generation: expected settings that model.generate takes, got {shown}, of which it says: {error}"
        ) from error


def ends(traits: Traits) -> list[int]:
    """The ids with which the model ends what it writes."""
    found = getattr(traits.base.generation_config, "eos_token_id", None)
    return list(found) if isinstance(found, (list, tuple)) else [] if found is None else [found]


def pads(traits: Traits) -> list[int]:
    """The ids with which shorter answers of a batch may have been filled up."""
    found = (getattr(traits.base.generation_config, "pad_token_id", None), traits.tokenizer.pad_token_id)
    return [i for i in found if i is not None]


def _settings(
    traits: Traits, options: Mapping[str, Any], begun: int, where: str
) -> tuple[GenerationConfig, dict[str, Any]]:
    """The user's settings over the model's own, and what `generate` takes besides settings."""
    own = dict(options)
    settings = deepcopy(own.pop("generation_config", None) or traits.base.generation_config)
    if own.get("do_sample") is False:  # transformers would warn of what the model's own sampling leaves behind
        for name in _SAMPLING:
            setattr(settings, name, None)
    with _blamed_on(options):
        others = settings.update(**own)
    settings.return_dict_in_generate = False
    settings.pad_token_id = next(iter([*pads(traits), *ends(traits)]), None)
    longest = settings.max_new_tokens
    asked = not options.keys().isdisjoint(_LENGTHS)
    if longest is None and settings.max_length not in (None, _DEFAULT_LENGTH):
        longest = settings.max_length - begun
        if longest < 1 and asked:
            raise InputError(
                f"generation: max_length: expected more than the {begun} tokens of {where}, which it counts too, got "
                f"{settings.max_length}; pass max_new_tokens"
            )
    longest = _DEFAULT_LENGTH if longest is None or longest < 1 else longest
    room = longest if traits.limit is None else traits.limit - begun
    if room < 1 or (longest > room and asked):
        raise InputError(
            f"{where}: expected room for {longest} new tokens, got {room}: {begun} of the {traits.limit} that the "
            "model reads are taken; shorten the prompt, ask for fewer, or pass truncation=True"
        )
    settings.max_new_tokens, settings.max_length = min(longest, room), None
    return settings, others
