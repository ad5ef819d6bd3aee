"""Models of the command line: by name, on a CUDA device where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpreto.loading import SHIPPED as SHIPPED
from interpreto.loading import load_model as load_named

if TYPE_CHECKING:
    import transformers


def load_model(
    name: str, revision: str | None = None, device: str | None = None
) -> tuple[transformers.PreTrainedModel, transformers.PreTrainedTokenizerBase]:
    """A model with the head that its configuration names, ready to be explained, and its tokenizer.

    Args:
        name: A folder, a repository of the hub, or `demo:emotion`, `demo:topic`, `demo:stories`.
        revision: Branch, tag or commit of the repository.
        device: Where to run it; by default a CUDA device if there is one.

    Raises:
        InputError: No such model or device.
        ModelError: One that transformers cannot load as it is.
    """
    import torch

    return load_named(name, revision, device or ("cuda" if torch.cuda.is_available() else "cpu"))
