"""Fitted concepts as others share models: a folder with a card, or a repository of the Hugging Face hub."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from interpreto.concepts import models, sparse_autoencoders
from interpreto.concepts.files.attaching import width_at
from interpreto.concepts.files.folders import find_folder, hub_name, is_repository
from interpreto.concepts.files.saved import read_settings
from interpreto.concepts.learned import LearnedConcepts
from interpreto.errors import InputError
from interpreto.model_wrapping import ModelWithSplitPoints
from interpreto.saving import write_whole

_FILES = ("concepts.json", "concept_model.safetensors")
_CARD = "README.md"


def save_pretrained(
    concept_explainer: LearnedConcepts, folder: str | Path, *, license: str | None = None, base_model: str | None = None
) -> Path:
    """Write fitted concepts and a model card to a folder; `from_pretrained` reads it.

    Args:
        concept_explainer: Fitted concepts.
        folder: Made if it is not there; a card that is there is kept.
        license: The licence that the card names, such as `"mit"`; yours to choose, and none by default.
        base_model: What the model is called on the hub; by default what its configuration says, where that is no path.

    Returns:
        The folder.

    Raises:
        InputError: Concepts that nothing was learned for.
        NotFittedError: Nothing was learned yet.
        StoreError: The folder cannot be written.
    """
    explainer: Any = concept_explainer
    if not isinstance(explainer, LearnedConcepts):
        raise InputError(f"concept_explainer: expected concepts that were learned, got {type(explainer).__name__}")
    place = concept_explainer.save(folder)
    if not (place / _CARD).exists():
        write_whole(place / _CARD, model_card(concept_explainer, license, base_model).encode())
    return place


def from_pretrained(
    path_or_id: str | Path,
    model_with_split_points: ModelWithSplitPoints | None = None,
    *,
    subfolder: str | None = None,
    revision: str | None = None,
    token: str | None = None,
) -> LearnedConcepts:
    """Read fitted concepts of any method from a folder or a repository of the Hugging Face hub.

    What exists on this machine is read, and nothing is fetched. Nothing in the files is ever run.

    Args:
        path_or_id: A folder, or a repository `"owner/name"`.
        model_with_split_points: The split model that they belong to, for calls that need it.
        subfolder: Where in the folder or repository they are.
        revision: Branch, tag or commit of the repository.
        token: Key for a private repository; it is passed on and kept nowhere.

    Raises:
        InputError: Nothing there, a damaged file, an unknown method, or another split point or width than the model's.
    """
    folder = find_folder(path_or_id, _FILES, subfolder=subfolder, revision=revision, token=token).folder
    kinds = _kinds()
    name = read_settings(folder / _FILES[0]).text("explainer")
    if name not in kinds:
        raise InputError(f"{folder}: expected concepts of one of {sorted(kinds)}, got {name!r:.60}")
    found = kinds[name].load(folder, model_with_split_points)
    for tensor_name, tensor in found.concept_model.tensors().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{folder}: expected numbers in {tensor_name!r}, got NaN or infinity; the file is damaged")
    split = model_with_split_points
    if split is not None and (found.split_point is not None or len(split.split_points) == 1):
        width = width_at(split, found.split_point_name())
        if width != found.concept_model.width:
            raise InputError(
                f"model_with_split_points: expected activations of the width {found.concept_model.width} that the "
                f"concepts have, got {width}; take the model that they were learned from"
            )
    return found


def push_to_hub(
    concept_explainer: LearnedConcepts,
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | None = None,
    license: str | None = None,
    base_model: str | None = None,
    revision: str | None = None,
    commit_message: str = "Concepts",
) -> str:
    """Upload fitted concepts and a model card to a repository of the Hugging Face hub, which is made if need be.

    A card that is there is kept.

    Args:
        concept_explainer: Fitted concepts.
        repo_id: `"owner/name"`.
        private: Whether a repository that is made is private; by default what the owner has set.
        token: Key with the right to write; by default the one that `huggingface_hub` knows. It is passed on and kept
            nowhere.
        license: The licence that the card names; yours to choose, and none by default.
        base_model: What the model is called on the hub.
        revision: Branch to write to.
        commit_message: What the commit is called.

    Returns:
        The address of the commit.

    Raises:
        InputError: No name of a repository.
        NotFittedError: Nothing was learned yet.
        HfHubHTTPError: The hub refuses: a key without the right to write, a name that is taken.
    """
    if not is_repository(repo_id):
        raise InputError(f"repo_id: expected the name of a repository, 'owner/name', got {repo_id!r}")
    from huggingface_hub import HfApi  # slow to import, and only needed here

    with TemporaryDirectory() as folder:
        place = save_pretrained(concept_explainer, Path(folder) / "concepts", license=license, base_model=base_model)
        api = HfApi(token=token)
        api.create_repo(repo_id, private=private, exist_ok=True)
        kept = [_CARD] if api.file_exists(repo_id, _CARD, revision=revision) else None
        commit = api.upload_folder(
            repo_id=repo_id,
            folder_path=place,
            commit_message=commit_message,
            revision=revision,
            ignore_patterns=kept,
        )
    return str(commit)


def model_card(concept_explainer: LearnedConcepts, license: str | None = None, base_model: str | None = None) -> str:
    """The model card: what the concepts are of, how they were learned, how well they explain, how to load them.

    What comes from files or models is written as JSON, which neither the head's YAML nor Markdown reads as more than
    a text.
    """
    model, split = concept_explainer.concept_model, concept_explainer.model_with_split_points
    if base_model is None and split is not None:
        base_model = hub_name(getattr(split.traits.base.config, "_name_or_path", ""))
    point = concept_explainer._known_split_point()
    head: dict[str, Any] = {"library_name": "interpreto", "tags": ["interpreto", "concepts", "interpretability"]}
    head |= {} if license is None else {"license": license}
    head |= {} if base_model is None else {"base_model": base_model}
    report = concept_explainer.report
    facts = {
        "method": type(concept_explainer).__name__,
        "model": base_model,
        "split_point": point,
        "concepts": model.nb_concepts,
        "width": model.width,
        "options": concept_explainer._options(),
        "fit": None if report is None else {k: v for k, v in report.to_dict().items() if k != "losses"},
    }
    lines = [
        "---",
        *(f"{name}: {_quoted(value)}" for name, value in head.items()),
        "---",
        "",
        f"# {type(concept_explainer).__name__}",
        "",
        f"{model.nb_concepts} concepts in activations of width {model.width}, learned with interpreto.",
        "",
        *(f"    {line}" for line in _quoted(facts, indent=1).splitlines()),
        "",
        "```python",
        "from interpreto import ModelWithSplitPoints",
        "from interpreto.concepts.files import from_pretrained",
        "",
        "split = ModelWithSplitPoints(..., split_points=[...])  # the model and split point above",
        'concepts = from_pretrained("owner/name", split)',
        "codes = concepts.encode(split.get_activations(texts))",
        "```",
        "",
    ]
    return "\n".join(lines)


def _quoted(value: Any, indent: int | None = None) -> str:
    """As JSON of letters alone, which is YAML, too."""
    return json.dumps(value, ensure_ascii=True, indent=indent, default=str)


def _kinds() -> dict[str, type[LearnedConcepts]]:
    """Concepts that can be loaded, by name."""
    named = {name: getattr(room, name) for room in (models, sparse_autoencoders) for name in room.__all__}
    return {name: kind for name, kind in named.items() if issubclass(kind, LearnedConcepts)}
