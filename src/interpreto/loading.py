"""Models by name: shipped ones, folders, and repositories of the hub. No code that comes with a model is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from interpreto.demo.models_loading import ModelName, load, without_progress_bar
from interpreto.errors import InputError, ModelError, warn

if TYPE_CHECKING:
    import transformers

SHIPPED = "demo:"
_SHOWN = 6  # files of a folder


def is_shipped(name: str) -> bool:
    """Whether a name is that of a model that comes with the package.

    Raises:
        InputError: It begins as one, and is none.

    >>> is_shipped("demo:emotion"), is_shipped("bert-base-uncased")
    (True, False)
    """
    if not name.startswith(SHIPPED):
        return False
    known = [SHIPPED + one for one in get_args(ModelName)]
    if name not in known:
        raise InputError(f"model: expected one of {', '.join(known)}, got {name!r:.80}")
    return True


def first_architecture(config: transformers.PretrainedConfig) -> str | None:
    """The class that a configuration names first, whatever else it holds in that place; `None` where it names none."""
    named: Any = getattr(config, "architectures", None)
    first = named[0] if isinstance(named, (list, tuple)) and named else named
    return first if isinstance(first, str) else None


def load_config(name: str, revision: str | None = None) -> transformers.PretrainedConfig:
    """The configuration of a model, which says what it is.

    Args:
        name: A folder, or a repository of the hub.
        revision: Branch, tag or commit of the repository.

    Raises:
        InputError: No such folder or repository, or nothing that can be read in it; the revision of a folder.
        ModelError: A model that needs code of its own, or that this version of transformers does not know.
    """
    import transformers

    _check_revision(name, revision)
    if Path(name).is_dir() and not (Path(name) / "config.json").is_file():
        found = sorted(path.name for path in Path(name).iterdir())
        holds = ", ".join(found[:_SHOWN]) + ", ..." * (len(found) > _SHOWN) if found else "nothing"
        raise InputError(f"model: expected a config.json in the folder {name!r:.200}, which holds {holds:.200}")
    options = _revision(revision)
    with _told(name, revision, "its config.json"):
        described, _ = transformers.PretrainedConfig.get_config_dict(name, **options)
        if not isinstance(described, dict):
            raise ModelError(f"model: expected an object in the config.json of {name!r:.200}, got {described!r:.40}")
        _refuse_kernels(name, described)
        return cast(
            "transformers.PretrainedConfig",
            transformers.AutoConfig.from_pretrained(name, trust_remote_code=False, **options),
        )


def load_model(
    name: str,
    revision: str | None = None,
    device: str | None = None,
    *,
    loader: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> tuple[transformers.PreTrainedModel, transformers.PreTrainedTokenizerBase]:
    """A model, ready to be explained, and its tokenizer.

    Args:
        name: A folder, a repository of the hub, or `demo:emotion`, `demo:topic`, `demo:stories`.
        revision: Branch, tag or commit of the repository.
        device: Where to move it; by default it stays where it was loaded.
        loader: The class of transformers that loads it; by default the one that its configuration names.
        options: Further options of the model's `from_pretrained`.

    Raises:
        InputError: No such model or device, or the revision of what is in no repository.
        ModelError: One that transformers cannot load as it is.

    Warns:
        InterpretoWarning: Weights that are in no file of the model, which transformers draws at random.
    """
    if is_shipped(name):
        _check_revision(name, revision)
        model, tokenizer = load(cast(ModelName, name.removeprefix(SHIPPED)))
    else:
        model, tokenizer = _fetched(name, revision, loader, options or {})
    return _moved(model, device).eval(), tokenizer


def _fetched(name: str, revision: str | None, loader: str | None, options: Mapping[str, Any]) -> tuple[Any, Any]:
    import transformers

    config = load_config(name, revision)
    head: Any = _head(name, config) if loader is None else getattr(transformers, loader)
    given = {"trust_remote_code": False, **_revision(revision)}
    with _told(name, revision, "its weights"), without_progress_bar():
        model, info = head.from_pretrained(name, **{**options, **given}, output_loading_info=True)
    missing = sorted(info["missing_keys"])
    if missing:
        warn(
            f"model: {len(missing)} weights of {name!r:.200} are in none of its files and were drawn at random "
            f"({', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}); what uses them decides at random"
        )
    with _told(name, revision, "its tokenizer"):
        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(name, **given)
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise InputError(
            f"model: expected the files of a tokenizer, such as a tokenizer.json, beside the model {name!r:.200}, got "
            "none with words in it; save the tokenizer there too"
        )
    return model, tokenizer


def _head(name: str, config: Any) -> Any:
    """The class of a model, by its configuration.

    Raises:
        ModelError: It names none of transformers.
    """
    import transformers

    first = first_architecture(config)
    head = None if first is None else getattr(transformers, first, None)
    if not (isinstance(head, type) and issubclass(head, transformers.PreTrainedModel)):
        raise ModelError(
            f"model: expected the class of a model in the architectures of the config.json of {name!r:.200}, such as "
            f"BertForSequenceClassification, got {getattr(config, 'architectures', None)!r:.60}; "
            "load it in Python, with the class that it needs"
        )
    return head


def _refuse_kernels(name: str, described: Any) -> None:
    """Refuse a configuration, at any depth, by which transformers would fetch a repository of code and run it.

    Raises:
        ModelError: It has one.
    """
    if not isinstance(described, dict):
        return
    for key, value in described.items():
        if key.endswith("attn_implementation") and "/" in str(value):
            raise ModelError(
                f"model: the config.json of {name!r:.200} asks for code from elsewhere ({key}: {value!s:.60}), which "
                "is never run here; take that out, or load the model in Python"
            )
        _refuse_kernels(name, value)


def _moved(model: Any, device: str | None) -> Any:
    if device is None:
        return model
    try:
        return model.to(device)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise InputError(
            f"device: expected one that is there and has room, such as cpu, got {device!r:.40} ({_brief(error)})"
        ) from error


def _check_revision(name: str, revision: str | None) -> None:
    """Refuse a revision that would be looked for nowhere.

    Raises:
        InputError: It is of a shipped model, or of a folder.
    """
    kind = "a model of the package" if name.startswith(SHIPPED) else "a folder" if Path(name).is_dir() else None
    if revision is not None and kind is not None:
        raise InputError(f"revision: expected none, for {name!r:.200} is {kind} and has no others; leave it out")


def _revision(revision: str | None) -> dict[str, str]:
    return {} if revision is None else {"revision": revision}


@contextmanager
def _told(name: str, revision: str | None, part: str) -> Iterator[None]:
    """Errors of transformers, which are of many kinds, as what they mean for who gave the name."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:
        raise _meant(name, revision, part, error) from error


def _meant(name: str, revision: str | None, part: str, error: Exception) -> InputError | ModelError:
    from huggingface_hub import errors as hub

    causes = [error]
    while isinstance(causes[-1].__cause__, Exception):
        causes.append(causes[-1].__cause__)

    def is_(*kinds: type) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if "trust_remote_code" in str(error):
        return ModelError(
            f"model: {name!r:.200} needs code of its own, which is never run here; load it in Python, if you trust it"
        )
    if Path(name).is_dir():
        return InputError(f"model: {part} could not be loaded from the folder {name!r:.200} ({_brief(error)})")
    if Path(name).exists():
        return InputError(f"model: expected the folder of a model, got the file {name!r:.200}")
    nowhere = f"model: {name!r:.200} is no folder here, and "
    if is_(hub.HFValidationError):
        return InputError(f"{nowhere}can be no name of a repository either; look for a slip")
    if is_(hub.RevisionNotFoundError):
        return InputError(f"revision: expected a branch, tag or commit of {name!r:.200}, got {revision!r:.60}")
    if is_(hub.GatedRepoError):
        return InputError(f"model: the repository {name!r:.200} is given only to who was let in; ask there, and log in")
    if is_(hub.RepositoryNotFoundError):
        return InputError(f"{nowhere}the hub shows no repository of that name; look for a slip, or log in")
    if is_(hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled, ConnectionError):
        missing = "nothing of that name" if part == "its config.json" else f"of {part} not all"
        return InputError(
            f"{nowhere}{missing} is in the cache of the hub, while the network cannot be used{_why_offline()}"
        )
    return InputError(f"model: {part} could not be loaded from the repository {name!r:.200} ({_brief(error)})")


def _why_offline() -> str:
    from huggingface_hub.constants import HF_HUB_OFFLINE

    return " (HF_HUB_OFFLINE is set)" if HF_HUB_OFFLINE else ""


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())!s:.300}"
