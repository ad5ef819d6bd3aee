"""Load the models that come with the package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal, get_args

from interpreto.errors import InputError

if TYPE_CHECKING:
    import transformers

ModelName = Literal["emotion", "topic", "stories"]


# The model is Any, as with AutoModelForSequenceClassification: with transformers' own classes pyright and mypy refuse
# `model.generate(...)` and `model.config.id2label[0]`, which run.
def load(name: ModelName) -> tuple[Any, transformers.PreTrainedTokenizerFast]:
    """A trained model in float32 and evaluation mode, and its tokenizer, from the files of the package.

    Takes a fraction of a second and reads no network. The models are small enough to explain on any processor
    in moments, and too small for any other use: their cards, `demo/models/*/README.md`, tell how often they err.

    Args:
        name: `"emotion"`, a BERT that finds one of 7 emotions in a sentence; `"topic"`, a DistilBERT that finds one
            of 14 topics of an encyclopedia's paragraph; `"stories"`, a Llama that continues stories for small children.

    Returns:
        The model and its fast tokenizer.

    Raises:
        InputError: No model has that name.

    >>> model, tokenizer = load("emotion")
    >>> logits = model(**tokenizer("I am so happy to see you", return_tensors="pt")).logits
    >>> model.config.id2label[int(logits.argmax())]
    'joy'
    """
    if name not in get_args(ModelName):
        known = get_args(ModelName)
        near = get_close_matches(str(name), known, n=1)
        guess = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"name: expected one of {', '.join(known)}, got {name!r:.60}{guess}")
    from transformers import (  # slow to import, and only needed here
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
        AutoTokenizer,
    )

    folder = str(files("interpreto.demo") / "models" / name)
    auto = AutoModelForCausalLM if name == "stories" else AutoModelForSequenceClassification
    with without_progress_bar():
        model = auto.from_pretrained(folder, local_files_only=True)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return model.float().eval(), tokenizer


@contextmanager
def without_progress_bar() -> Iterator[None]:
    """Without the bar of transformers for weights that are on the disk; downloads have one of their own."""
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging  # its functions are not typed
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
