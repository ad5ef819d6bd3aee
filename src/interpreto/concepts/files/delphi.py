"""Codes as EleutherAI's delphi caches them, so that it can explain and score concepts."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from jaxtyping import Int32
from numpy import ndarray
from safetensors import SafetensorError
from safetensors.numpy import save_file

from interpreto.concepts.base import ConceptExplainer
from interpreto.concepts.files.coded import CodedInputs
from interpreto.concepts.files.folders import hub_name, is_piece
from interpreto.errors import InputError, StoreError, check_count
from interpreto.saving import write_whole

_CODE = np.dtype([("row", "<u4"), ("place", "<u4"), ("concept", "<u4"), ("value", "<f4")])


def write_delphi(
    concept_explainer: ConceptExplainer,
    folder: str | Path,
    inputs: Any,
    *,
    activations: Any = None,
    hookpoint: str | None = None,
    n_splits: int = 5,
    batch_size: int | None = None,
) -> Path:
    """Write the codes that are not 0 as `delphi` caches latents.

    `<folder>/<hookpoint>/<first>_<last>.safetensors` holds the concepts from the first to the last: `locations`
    `(n, 3)` are the text, the place of the token in it, and the concept less the first; `activations` `(n,)` are the
    codes, in float16, or float32 where one is too large for that; `tokens` are the ids of all texts, with padding after
    the shorter ones, where no code is. `config.json` is beside them. Special tokens have no codes.

    Texts are read once; codes wait on disk, and memory holds those of one file at a time.

    Args:
        concept_explainer: Fitted concepts of a split model.
        folder: Where to; made if it is not there.
        inputs: Texts, as `get_activations` takes them.
        activations: The texts' activations at granularity `"token"`; by default the model is run.
        hookpoint: What the split point is called; by default the path of its module.
        n_splits: How many files.
        batch_size: Texts a forward pass.

    Returns:
        The folder `<folder>/<hookpoint>`.

    Raises:
        InputError: No texts, activations that are not theirs, or a name that leads out of the folder.
        NotFittedError: Nothing was learned yet.
        StoreError: The folder cannot be written.

    Reference: Paulo et al. (2025), Automatically interpreting millions of features in large language models,
    arXiv:2410.13928.
    """
    texts = CodedInputs(concept_explainer, inputs, activations, batch_size)
    c = concept_explainer.concept_model.nb_concepts
    check_count("n_splits", n_splits, 1)
    if n_splits > c:
        raise InputError(f"n_splits: expected at most as many as there are concepts ({c}), got {n_splits}")
    name = hookpoint if hookpoint is not None else concept_explainer.point.path
    if not is_piece(name):
        raise InputError(f"hookpoint: expected letters, digits and . _ -, got {name!r}")
    place = Path(folder) / name
    edges = np.linspace(0, c, n_splits + 1).astype(np.int64)
    try:
        place.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=place) as waiting:
            files = [Path(waiting) / str(k) for k in range(n_splits)]
            _spool(texts, edges, files)
            tokens = _tokens(texts)
            for k, file in enumerate(files):
                codes = np.fromfile(file, _CODE)
                first, last = int(edges[k]), int(edges[k + 1]) - 1
                draft = Path(waiting) / "draft"
                save_file(_split(codes, first, tokens), draft)
                draft.replace(place / f"{first}_{last}.safetensors")
        about = {
            "model_name": hub_name(getattr(texts.explainer.split.traits.base.config, "_name_or_path", "")) or "",
            "dataset_repo": "",
            "dataset_split": "",
            "dataset_name": "",
            "batch_size": batch_size or 0,
            "ctx_len": tokens.shape[1],
            "n_tokens": tokens.size,
            "n_splits": n_splits,
        }
        write_whole(place / "config.json", (json.dumps(about, indent=1) + "\n").encode())
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{place}: could not be written ({error}); make room, or take another folder") from error
    return place


def _spool(texts: CodedInputs, edges: ndarray, files: list[Path]) -> None:
    """Write the codes that are not 0 to the file that their concept belongs to, in order."""
    with ExitStack() as stack:
        outputs = [stack.enter_context(file.open("wb")) for file in files]
        for block in texts.blocks():
            rows, concepts = (part.numpy() for part in (block.codes != 0).nonzero(as_tuple=True))
            found = np.empty(len(rows), _CODE)
            found["row"], found["place"] = block.numbers[block.owners[rows]], block.places[rows]
            found["concept"], found["value"] = concepts, block.codes.numpy()[rows, concepts]
            owner = np.searchsorted(edges, concepts, side="right") - 1
            for k, output in enumerate(outputs):
                output.write(found[owner == k].tobytes())


def _tokens(texts: CodedInputs) -> Int32[ndarray, "n l"]:
    """The ids of every text, padded at the end."""
    tokenizer = texts.explainer.split.tokenizer
    filler = next((i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None), 0)
    rows = [np.array(texts.sample(number).ids, np.int32) for number in range(len(texts.items))]
    table = np.full((len(rows), max(map(len, rows))), filler, np.int32)
    for row, ids in zip(table, rows, strict=True):
        row[: len(ids)] = ids
    return table


def _split(codes: ndarray, first: int, tokens: Int32[ndarray, "n l"]) -> dict[str, ndarray]:
    """The tensors of one file."""
    locations = np.stack([codes["row"], codes["place"], codes["concept"] - np.uint32(first)], axis=1)
    small = len(codes) == 0 or int(locations.max()) < 1 << 16
    fits = len(codes) == 0 or float(np.abs(codes["value"]).max()) <= float(np.finfo(np.float16).max)
    return {
        "locations": locations.astype(np.uint16 if small else np.uint32),
        "activations": codes["value"].astype(np.float16 if fits else np.float32),
        "tokens": tokens,
    }
