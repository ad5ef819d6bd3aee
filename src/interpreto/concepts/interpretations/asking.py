"""Labels from a language model: all prompts at once, and a warning that names those without an answer."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

from interpreto.concepts.interpretations.prompts import label_in
from interpreto.errors import warn
from interpreto.model_wrapping.llm_interface import Answer, Chat, Failure, LLMInterface

Key = TypeVar("Key", bound=Hashable)

_NAMED = 5


def labels_of(
    llm: LLMInterface, chats: Mapping[Key, Chat], name: Callable[[Key], str], *, progress: bool
) -> dict[Key, str | None]:
    """The label in the answer to each chat, `None` where there is none; the user is warned of these.

    Args:
        llm: The language model.
        chats: What it is asked.
        name: What to call a chat in the warning.
        progress: Whether to show a progress bar.

    Raises:
        ModelCallError: The language model cannot be asked at all.
    """
    labels: dict[Key, str | None] = {}
    failed = []
    for key, outcome in zip(chats, llm.generate(list(chats.values()), progress=progress), strict=True):
        labels[key] = label_in(outcome.text) if isinstance(outcome, Answer) else None
        if labels[key] is None:
            reason = outcome.reason if isinstance(outcome, Failure) else f"no label in {outcome.text!r:.80}"
            failed.append(f"{name(key)} ({reason})")
    if failed:
        more = f"; and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
        warn(
            f"{len(failed)} of {len(chats)} concepts got no label: {'; '.join(failed[:_NAMED])}{more}; "
            "interpret again to ask for these"
        )
    return labels
