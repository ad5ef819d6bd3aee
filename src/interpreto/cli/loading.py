"""Models by name: shipped ones, folders, and the hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from interpreto.errors import InputError, ModelError

if TYPE_CHECKING:
    import transformers

SHIPPED = "demo:"


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

    model, tokenizer = _shipped(name) if name.startswith(SHIPPED) else _fetched(name, revision)
    moved: Any = model
    try:
        moved = moved.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device: expected one that is there, such as cpu, got {device!r} ({error!s:.200})") from error
    return moved.eval(), tokenizer


def _shipped(name: str) -> tuple[Any, Any]:
    from interpreto.demo.models_loading import ModelName, load

    wanted: Any = name.removeprefix(SHIPPED)
    if wanted not in get_args(ModelName):
        known = ", ".join(SHIPPED + known for known in get_args(ModelName))
        raise InputError(f"model: expected one of {known}, got {name!r:.60}")
    return load(wanted)


def _fetched(name: str, revision: str | None) -> tuple[Any, Any]:
    import transformers
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging  # its functions are not typed
    logging.disable_progress_bar()  # downloads have one of their own
    options = {} if revision is None else {"revision": revision}
    try:
        config = transformers.AutoConfig.from_pretrained(name, **options)
        architecture = (getattr(config, "architectures", None) or ["none"])[0]
        head: Any = getattr(transformers, architecture, None)
        if head is None:
            raise ModelError(
                f"model: the configuration of {name!r} names no class of transformers ({architecture}); load it in "
                "Python, with the class that it needs"
            )
        return head.from_pretrained(name, **options), transformers.AutoTokenizer.from_pretrained(name, **options)
    except (OSError, ValueError) as error:
        if isinstance(error, ModelError):
            raise
        raise InputError(
            f"model: {name!r} is no folder here, and no repository of that name could be loaded "
            f"({type(error).__name__}: {error!s:.300})"
        ) from error
