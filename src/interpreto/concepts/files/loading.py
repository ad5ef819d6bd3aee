"""Sparse autoencoders that others have trained, as concepts."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any

from interpreto.concepts.files.attaching import attached
from interpreto.concepts.files.dictionary_learning import read_dictionary_learning
from interpreto.concepts.files.folders import Place, find_folder
from interpreto.concepts.files.gemma_scope import read_gemma_scope
from interpreto.concepts.files.llama_scope import read_llama_scope
from interpreto.concepts.files.saelens import read_saelens
from interpreto.concepts.files.sparsify import read_sparsify
from interpreto.concepts.sparse_autoencoders.base import SAEConcepts
from interpreto.errors import InputError
from interpreto.model_wrapping import ModelWithSplitPoints
from interpreto.model_wrapping.activations import choice


class SAEFormat(str, Enum):
    """Who wrote the files of a sparse autoencoder."""

    SAELENS = "saelens"
    """`cfg.json` and `sae_weights.safetensors`."""
    GEMMA_SCOPE = "gemma_scope"
    """`params.npz`, or `params.safetensors` for Gemma Scope 2."""
    LLAMA_SCOPE = "llama_scope"
    """`hyperparams.json` and `checkpoints/final.safetensors`."""
    SPARSIFY = "sparsify"
    """`cfg.json` and `sae.safetensors`."""
    DICTIONARY_LEARNING = "dictionary_learning"
    """`ae.pt`, and mostly `config.json`."""


_KNOWN_BY = {
    "sae_weights.safetensors": SAEFormat.SAELENS,
    "params.npz": SAEFormat.GEMMA_SCOPE,
    "params.safetensors": SAEFormat.GEMMA_SCOPE,
    "hyperparams.json": SAEFormat.LLAMA_SCOPE,
    "sae.safetensors": SAEFormat.SPARSIFY,
    "ae.pt": SAEFormat.DICTIONARY_LEARNING,
}
_FILES = (*_KNOWN_BY, "cfg.json", "config.json", "sparsity.safetensors", "checkpoints/final.safetensors")


def load_sae(
    path_or_id: str | Path,
    model_with_split_points: ModelWithSplitPoints | None = None,
    split_point: int | str | None = None,
    *,
    format: SAEFormat | str | None = None,
    subfolder: str | None = None,
    revision: str | None = None,
    mean_norm: float | None = None,
) -> SAEConcepts[Any]:
    """A trained sparse autoencoder of SAELens, Gemma Scope, Llama Scope, sparsify or dictionary_learning, as concepts.

    Codes are those that the formula of its type gives with the tensors of the file; what its library does around it
    (biases that are not subtracted, scaled inputs) is folded into the tensors. Directions keep the length that they
    have in the file. Tensors become float32. Options of the training that the file does not tell, such as `target_l0`,
    get usual values, and matter only to a new `fit`.

    What exists on this machine is read, and nothing is fetched. A name `"owner/name"` is a repository of the Hugging
    Face hub, of which the files of one autoencoder are fetched. No file is ever run: a `.pt` with anything but tensors
    in it is refused.

    Args:
        path_or_id: A folder, a file in it, or a repository.
        model_with_split_points: The split model, whose activations the autoencoder is of; `None` to work on tensors.
        split_point: Which of its split points; by default where the files say (`blocks.5.hook_resid_post`, `layers.5`),
            or the only one there is.
        format: Who wrote the files; by default told from their names. Needed, too, where there are as many concepts as
            dimensions, so that matrices cannot be told from their transposes.
        subfolder: Where in the folder or repository the files are, such as `"layer_12/width_16k/average_l0_82"`.
        revision: Branch, tag or commit of the repository.
        mean_norm: For SAELens files with `expected_average_only_in`, the mean norm of the activations.

    Returns:
        Fitted concepts: `encode`, `decode`, `importance` and the others are ready.

    Raises:
        InputError: No such files, damaged ones, an autoencoder that cannot be represented (transcoders, rows that are
            normalised one by one), a split point that is not there or has another width.

    >>> import tempfile
    >>> import torch
    >>> from interpreto.concepts import TopKSAEConcepts
    >>> from interpreto.concepts.files import save_saelens
    >>> concepts = TopKSAEConcepts(None, nb_concepts=16, k=2, n_steps=1)
    >>> _ = concepts.fit(torch.randn(32, 8))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     again = load_sae(save_saelens(concepts, folder))
    >>> type(again).__name__, again.nb_concepts, again.k
    ('TopKSAEConcepts', 16, 2)
    """
    place = find_folder(path_or_id, _FILES, subfolder=subfolder, revision=revision)
    kind = _recognised(place) if format is None else choice("format", format, SAEFormat)
    if mean_norm is not None and kind is not SAEFormat.SAELENS:
        raise InputError(f"mean_norm: expected none for {kind.value}, whose files tell it, got {mean_norm}")
    named = format is not None
    if kind is SAEFormat.SAELENS:
        saved = read_saelens(place, as_written=named, mean_norm=mean_norm)
    elif kind is SAEFormat.GEMMA_SCOPE:
        saved = read_gemma_scope(place, as_written=named)
    elif kind is SAEFormat.LLAMA_SCOPE:
        saved = read_llama_scope(place, as_written=named)
    elif kind is SAEFormat.SPARSIFY:
        saved = read_sparsify(place, as_written=named)
    else:
        saved = read_dictionary_learning(place, as_written=named)
    return attached(saved, model_with_split_points, split_point)


def _recognised(place: Place) -> SAEFormat:
    """The format, from the names of the files."""
    found = sorted({kind.value for name, kind in _KNOWN_BY.items() if (place.folder / name).is_file()})
    if len(found) == 1:
        return SAEFormat(found[0])
    if found:
        raise InputError(f"{place.folder}: expected files of one format, got those of {found}; pass format=...")
    there = sorted(path.name for path in place.folder.iterdir())[:10]
    raise InputError(
        f"{place.folder}: expected one of {list(_KNOWN_BY)}, got {there}; pass the folder of one autoencoder, "
        "with subfolder=... where it is inside"
    )
