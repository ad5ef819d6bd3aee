"""What users pass as a model, taken apart: pipelines and custom models bring their tokenizer."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import nn

from interpreto.errors import ModelError
from interpreto.model_wrapping.custom_model import CustomModel


@runtime_checkable
class TextPipeline(Protocol):
    """A pipeline of transformers, known by what it has: its module is slow to import."""

    @property
    def model(self) -> Any:
        """The model that it runs."""
        ...

    @property
    def tokenizer(self) -> Any:
        """Its tokenizer; `None` for pipelines of images and sounds."""
        ...

    @property
    def preprocess(self) -> Any:
        """From inputs to tensors."""
        ...


def model_and_tokenizer(model: Any, tokenizer: Any) -> tuple[Any, Any]:
    """Model and tokenizer of a pipeline or a custom model; of anything else what was given.

    Only these two are taken from a pipeline. What it does around its model (thresholds, grouping of labels, settings of
    generation, truncation) is not part of what is explained. A tokenizer that is given besides takes the place of the
    pipeline's.

    Args:
        model: A model, or what stands for one.
        tokenizer: The tokenizer that was given with it, if any.

    Raises:
        ModelError: A pipeline without tokenizer.
    """
    if isinstance(model, CustomModel):
        return model, model.tokenizer if tokenizer is None else tokenizer
    if isinstance(model, (nn.Module, type)) or not isinstance(model, TextPipeline):
        return model, tokenizer
    tokenizer = model.tokenizer if tokenizer is None else tokenizer
    if tokenizer is None or getattr(model.model, "main_input_name", "input_ids") != "input_ids":
        raise ModelError(
            f"model: expected a pipeline of texts, got a {type(model).__name__} "
            f"{'without a tokenizer' if tokenizer is None else f'whose input is {model.model.main_input_name!r}'}; "
            "images and sounds cannot be explained here"
        )
    return model.model, tokenizer
