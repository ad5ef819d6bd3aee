"""Activations on disk: memory-mapped shards that a killed run can go on with, and that are never loaded whole.

A store is a folder: `store.json` says what it holds, each `shard-*.safetensors` holds the rows of some texts in a row.
A shard is written beside its place, flushed, and moved there in one step, so a shard is there whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm.auto import tqdm

from interpreto.errors import InputError, StoreError
from interpreto.model_wrapping.activation_rows import ActivationRows
from interpreto.model_wrapping.activations import ActivationGranularity, Activations, RowSources
from interpreto.model_wrapping.extraction import Extraction
from interpreto.model_wrapping.fingerprint import fingerprint
from interpreto.saving import replace_whole
from interpreto.text import Sample

try:
    import fcntl

    lock_file: Callable[[Any, int], None] | None = fcntl.flock
except ImportError:
    lock_file = None

_LOG = logging.getLogger(__name__)
_ABOUT, _FORMAT = "store.json", 1
_KEYS = {"format", "model", "points", "granularity", "aggregation", "dtype", "predictions", "n_inputs"}
_SHARD_BYTES = 1 << 25
_MOST_TEXTS = 4096


@dataclass(frozen=True, eq=False, repr=False)
class ActivationStore(Mapping[str, "ActivationRows | Tensor"]):
    """Activations on disk, by split point; `"predictions"` `(n,)` where they were asked for.

    Args:
        folder: Where they are.

    Raises:
        InputError: No store there, a damaged file, or a store that is not complete.
    """

    folder: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder))
        done, wanted = self.shards[-1].last if self.shards else 0, self.about["n_inputs"]
        if done < wanted:
            raise InputError(
                f"{self.folder}: expected the activations of {wanted} texts, got those of {done}; "
                "call get_activations with the same texts and store to go on"
            )

    @cached_property
    def about(self) -> dict[str, Any]:
        """What the store holds."""
        about = _read_about(self.folder)
        if about is None:
            raise InputError(f"{self.folder}: expected a store of activations, there is no {_ABOUT}")
        return about

    @cached_property
    def shards(self) -> tuple[_Shard, ...]:
        """Its shards, in order."""
        return tuple(_shards(self.folder))

    @property
    def granularity(self) -> ActivationGranularity:
        """What a row belongs to."""
        return ActivationGranularity(self.about["granularity"])

    @cached_property
    def sources(self) -> dict[str, RowSources]:
        """By split point, where each row comes from."""
        by_side = {
            side: RowSources(torch.cat([shard.tensor(f"sources.{side}") for shard in self.shards]))
            for side in set(self.about["points"].values())
        }
        return {name: by_side[side] for name, side in self.about["points"].items()}

    def __getitem__(self, name: str) -> ActivationRows | Tensor:
        if name == "predictions" and self.about["predictions"]:
            return torch.cat([shard.tensor("predictions") for shard in self.shards])
        if name not in self.about["points"]:
            raise KeyError(f"{name!r}; there are {list(self)}")
        return _StoredRows(tuple(shard.tensor(f"rows.{name}") for shard in self.shards))

    def __iter__(self) -> Iterator[str]:
        yield from self.about["points"]
        if self.about["predictions"]:
            yield "predictions"

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __repr__(self) -> str:
        return f"ActivationStore({str(self.folder)!r}, {list(self)}, granularity={self.granularity.value!r})"


@dataclass(frozen=True, eq=False)
class _StoredRows(ActivationRows):
    """Rows of one split point, in memory-mapped pieces."""

    pieces: tuple[Tensor, ...]

    @cached_property
    def _ends(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        return np.cumsum([len(piece) for piece in self.pieces], dtype=np.int64)

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return int(self._ends[-1])

    @property
    def width(self) -> int:
        """How many numbers a row has."""
        return self.pieces[0].shape[1]

    def take(self, indices: Int[Tensor, " b"]) -> Float[Tensor, "b d"]:
        """These rows, in this order, as float32."""
        if len(indices) and not (int(indices.min()) >= 0 and int(indices.max()) < self.n_rows):
            raise InputError(f"rows: expected numbers from 0 to {self.n_rows - 1}, got {indices.tolist()[:5]}...")
        found = torch.empty(len(indices), self.width)
        which = torch.from_numpy(np.searchsorted(self._ends, indices.cpu().numpy(), side="right"))
        for number in sorted(set(which.tolist())):
            here = which == number
            start = int(self._ends[number]) - len(self.pieces[number])
            found[here] = self.pieces[number][indices[here] - start].float()
        return found


@dataclass(frozen=True, slots=True)
class _Shard:
    """One file: the rows of the texts from `first` up to, not including, `last`."""

    path: Path
    first: int
    last: int
    digest: str

    def tensor(self, name: str) -> Tensor:
        with safe_open(self.path, framework="pt") as file:
            return file.get_tensor(name)  # type: ignore[no-any-return]  # memory-mapped, not read


def _shards(folder: Path) -> list[_Shard]:
    """The shards of a folder, each beginning where the last one ended.

    Raises:
        InputError: A damaged shard, or a missing one.
    """
    found: list[_Shard] = []
    for path in sorted(folder.glob("shard-*.safetensors")):
        try:
            with safe_open(path, framework="pt") as file:
                about = file.metadata()
            shard = _Shard(path, int(about["first"]), int(about["last"]), about["digest"])
        except (SafetensorError, OSError, TypeError, KeyError, ValueError) as error:
            raise InputError(
                f"{path}: expected a shard of activations, got a damaged file ({error}); delete it and call "
                "get_activations again to have it made anew"
            ) from error
        found.append(shard)
    reached = 0
    for number, shard in enumerate(found):
        if shard.first != reached:
            raise InputError(
                f"{folder}: expected a shard that begins with inputs[{reached}], got {shard.path.name}, which begins "
                f"with inputs[{shard.first}]; delete it and all after it and call get_activations again"
            )
        reached = found[number].last
    return found


def _read_about(folder: Path) -> dict[str, Any] | None:
    path = folder / _ABOUT
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        if about["format"] != _FORMAT:
            raise InputError(f"{path}: expected a store of format {_FORMAT}, got {about['format']!r}")
        missing = _KEYS - set(about)
        if missing:
            raise KeyError(*missing)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, OSError) as error:
        raise InputError(f"{path}: expected the description of a store, got a damaged file ({error!r})") from error
    return about  # type: ignore[no-any-return]


def extract_to_store(
    extraction: Extraction,
    items: Sequence[Any],
    samples: Callable[[int, int], list[Sample]],
    folder: Path,
    *,
    dtype: torch.dtype | None,
    progress: bool,
) -> ActivationStore:
    """Fill a store, from where it ends; only one process at a time may.

    Args:
        extraction: How activations are read.
        items: What the texts are known by, one each: a store goes on only with the same ones.
        samples: Tokenises the texts from one number up to another.
        folder: Made if it is not there.
        dtype: The number type of the rows; by default the model's.
        progress: Whether to show a progress bar.

    Raises:
        InputError: A store of another model, other texts or other options, or a damaged file.
        StoreError: The disk is full, cannot be written, or another process is writing; what was written before is kept.
    """
    with _alone(folder):
        return _extract(extraction, items, samples, folder, dtype=dtype, progress=progress)


def _extract(
    extraction: Extraction,
    items: Sequence[Any],
    samples: Callable[[int, int], list[Sample]],
    folder: Path,
    *,
    dtype: torch.dtype | None,
    progress: bool,
) -> ActivationStore:
    points = {point.name: "output" if point.in_decoder else "source" for point in extraction.points}
    about = {
        "format": _FORMAT,
        "model": fingerprint(extraction.traits),
        "points": points,
        "granularity": extraction.granularity.value,
        "aggregation": extraction.aggregation.value,
        "dtype": "the model's" if dtype is None else str(dtype).removeprefix("torch."),
        "predictions": extraction.predictions,
    }
    known = _read_about(folder)
    for name, value in about.items():
        if known is not None and known[name] != value:
            raise InputError(
                f"store: expected a store with {name} {value!r} at {folder}, got one with {known[name]!r}; "
                "take another folder"
            )
    shards = _shards(folder)
    if shards and known is None:
        raise InputError(f"store: expected {_ABOUT} beside the shards in {folder}, it is missing; take another folder")
    for shard in shards:
        if shard.last > len(items) or shard.digest != _digest(items[shard.first : shard.last]):
            raise InputError(
                f"store: expected the texts that {folder} was made from, got others among inputs[{shard.first}] to "
                f"inputs[{shard.last - 1}]; take another folder"
            )
    start = shards[-1].last if shards else 0
    _LOG.info("%s: %d of %d texts are there", folder, start, len(items))
    with _written(folder, f"the activations of the first {start} texts"):
        folder.mkdir(parents=True, exist_ok=True)
        _describe(folder, {**about, "n_inputs": len(items) if known is None else known["n_inputs"]})
    with tqdm(total=len(items), initial=start, desc="activations", unit="text", disable=not progress) as bar:
        for number, (chunk, first) in enumerate(_chunks(extraction, samples, start, len(items)), start=len(shards)):
            last = first + len(chunk)
            tensors = _tensors(extraction.read(chunk, first), points, dtype)
            metadata = {"first": str(first), "last": str(last), "digest": _digest(items[first:last])}
            path = folder / f"shard-{number:06d}.safetensors"
            with _written(folder, f"the activations of the first {first} texts"):
                replace_whole(path, lambda place, t=tensors, m=metadata: save_file(t, place, m))  # type: ignore[misc]
            bar.update(len(chunk))
    with _written(folder, "everything"):
        _describe(folder, {**about, "n_inputs": len(items)})
    return ActivationStore(folder)


def _describe(folder: Path, about: dict[str, Any]) -> None:
    text = json.dumps(about, indent=1)
    replace_whole(folder / _ABOUT, lambda path: path.write_text(text, encoding="utf-8"))


def _tensors(found: Activations, points: Mapping[str, str], dtype: torch.dtype | None) -> dict[str, Tensor]:
    tensors = {f"rows.{name}": found[name] if dtype is None else found[name].to(dtype) for name in points}
    tensors |= {f"sources.{side}": found.sources[name].table.clone() for name, side in points.items()}
    if "predictions" in found:
        tensors["predictions"] = found["predictions"]
    for name in points:
        if not bool(torch.isfinite(tensors[f"rows.{name}"]).all()):
            raise InputError(f"dtype: expected one that holds the activations, got {dtype}, in which some are infinite")
    return tensors


def _chunks(
    extraction: Extraction, samples: Callable[[int, int], list[Sample]], start: int, end: int
) -> Iterator[tuple[list[Sample], int]]:
    """Texts in order, as many at once as make a shard of some megabytes."""
    width = 4 * len(extraction.points) * int(getattr(extraction.traits.config, "hidden_size", 0) or 1024)
    tokens = max(1, _SHARD_BYTES // width)
    chunk: list[Sample] = []
    first, size = start, 0
    for at in range(start, end, 64):
        for sample in samples(at, min(at + 64, end)):
            if chunk and (size + len(sample.tokens) > tokens or len(chunk) >= _MOST_TEXTS):
                yield chunk, first
                first, chunk, size = first + len(chunk), [], 0
            chunk.append(sample)
            size += len(sample.tokens)
    if chunk:
        yield chunk, first


def _digest(items: Sequence[Any]) -> str:
    found = hashlib.sha256()
    for item in items:
        found.update(repr(item).encode("utf-8", "surrogatepass") + b"\0")
    return found.hexdigest()


@contextmanager
def _written(folder: Path, kept: str) -> Iterator[None]:
    """Turn trouble with the disk into one clear error."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise StoreError(
            f"{folder}: could not be written ({error}); kept: {kept}. Make room and call again to go on"
        ) from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from writing to a store; the system takes the lock off a process that is killed."""
    if lock_file is None:  # Windows
        yield
        return
    with _written(folder, "what is there"):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    with lock:
        try:
            lock_file(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"{folder}: another process is writing to this store; wait for it") from None
        for left in folder.glob("*.part"):  # of a run that was killed
            left.unlink(missing_ok=True)
        yield
