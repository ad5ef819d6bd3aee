"""Where files are: a folder on this machine, or a repository of the Hugging Face hub that the user names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from interpreto.errors import InputError

_PIECE = re.compile(r"[\w.\-+=]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """A folder, and what the user called it.

    Args:
        folder: The files are in it.
        name: What the user wrote, which may say what no file says.
    """

    folder: Path
    name: str


def find_folder(
    path_or_id: str | Path,
    files: Sequence[str],
    *,
    subfolder: str | None = None,
    revision: str | None = None,
    token: str | None = None,
) -> Place:
    """The folder with the files; of a repository only these files are fetched.

    What exists on this machine is read and nothing is fetched. Otherwise a name like `"owner/name"` is a repository.

    Args:
        path_or_id: A folder, a file in it, or the name of a repository.
        files: Names of the files that may be wanted.
        subfolder: Where in the folder or the repository they are.
        revision: Branch, tag or commit of the repository.
        token: Key for a private repository; by default the one that `huggingface_hub` knows.

    Raises:
        InputError: No such folder or repository, or a subfolder that leads out of it.
    """
    pieces = [] if subfolder is None else subfolder.strip("/").split("/")
    if not all(is_piece(piece) for piece in pieces) or (subfolder or "").startswith("/"):
        raise InputError(
            f"subfolder: expected a path inside the folder, such as 'layer_5/width_16k', got {subfolder!r}"
        )
    path = Path(path_or_id).expanduser()
    name = "/".join([str(path_or_id), *pieces])
    if path.exists():
        folder = path.joinpath(*pieces) if path.is_dir() else path.parent
        if not folder.is_dir() or (pieces and not path.is_dir()):
            raise InputError(f"subfolder: expected a folder in {path}, got {subfolder!r}")
        return Place(folder, name)
    owner_and_name = str(path_or_id).split("/")
    if isinstance(path_or_id, Path) or len(owner_and_name) != 2 or not all(map(is_piece, owner_and_name)):
        raise InputError(
            f"path_or_id: expected a folder that is there, or a repository 'owner/name' (with subfolder=...), got "
            f"{str(path_or_id)!r}"
        )
    import huggingface_hub  # slow to import, and only needed here

    wanted = ["/".join([*pieces, file]) for file in files]
    try:
        fetched = huggingface_hub.snapshot_download(
            str(path_or_id), allow_patterns=wanted, revision=revision, token=token
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"path_or_id: {str(path_or_id)!r} is no folder here, and no repository of that name could be fetched "
            f"({type(error).__name__}: {error!s:.200})"
        ) from error
    folder = Path(fetched).joinpath(*pieces)
    if not folder.is_dir():
        raise InputError(f"subfolder: expected one with {list(files)} in {path_or_id}, got {subfolder!r}")
    return Place(folder, name)


def is_piece(name: str) -> bool:
    """Whether a name can be one step of a path, and no way out of it.

    >>> is_piece("layers.5.mlp"), is_piece(".."), is_piece("a/b"), is_piece("")
    (True, False, False, False)
    """
    return bool(_PIECE.fullmatch(name)) and name.strip(".") != ""


def hub_name(name: object) -> str | None:
    """A model's name, where it is that of a repository; a path of this machine is nobody else's business.

    >>> hub_name("google/gemma-2-2b"), hub_name("/home/me/model"), hub_name("")
    ('google/gemma-2-2b', None, None)
    """
    good = isinstance(name, str) and is_repository(name) and not Path(name).exists()
    return str(name) if good else None


def is_repository(name: str) -> bool:
    """Whether this can be the name of a repository: `"owner/name"`, or for old models and one's own `"name"`."""
    pieces = name.split("/")
    return len(pieces) <= 2 and all(map(is_piece, pieces))
