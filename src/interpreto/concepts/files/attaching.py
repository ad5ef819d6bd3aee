"""From an autoencoder of a file to concepts of a split point."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from interpreto.concepts.files.folding import SavedAutoencoder
from interpreto.concepts.sparse_autoencoders.base import SAEConcepts
from interpreto.concepts.sparse_autoencoders.batch_top_k import BatchTopKSAE, BatchTopKSAEConcepts
from interpreto.concepts.sparse_autoencoders.gated import GatedSAE, GatedSAEConcepts
from interpreto.concepts.sparse_autoencoders.jump_relu import JumpReLUSAE, JumpReLUSAEConcepts
from interpreto.concepts.sparse_autoencoders.matching_pursuit import MatchingPursuitSAE, MpSAEConcepts
from interpreto.concepts.sparse_autoencoders.sparse_autoencoder import SparseAutoencoder
from interpreto.concepts.sparse_autoencoders.top_k import TopKSAE, TopKSAEConcepts
from interpreto.concepts.sparse_autoencoders.vanilla import VanillaSAE, VanillaSAEConcepts
from interpreto.errors import InputError
from interpreto.model_wrapping import ActivationGranularity, Aggregation, ModelWithSplitPoints
from interpreto.model_wrapping.split_points import blocks

_EXPLAINERS: dict[type[SparseAutoencoder], type[SAEConcepts[Any]]] = {
    VanillaSAE: VanillaSAEConcepts,
    TopKSAE: TopKSAEConcepts,
    BatchTopKSAE: BatchTopKSAEConcepts,
    JumpReLUSAE: JumpReLUSAEConcepts,
    GatedSAE: GatedSAEConcepts,
    MatchingPursuitSAE: MpSAEConcepts,
}
_USUAL_L0 = 32


def attached(
    saved: SavedAutoencoder, split: ModelWithSplitPoints | None, split_point: int | str | None
) -> SAEConcepts[Any]:
    """Fitted concepts at a split point.

    Args:
        saved: The autoencoder.
        split: The split model; `None` to work on tensors alone.
        split_point: Where; by default where the file says, or the only one there is.

    Raises:
        InputError: No such split point, or activations of another width there.
    """
    if split is not None:
        split_point = _point(saved.hook, split, split_point)
        width = width_at(split, split_point)
        if width != saved.model.width:
            raise InputError(
                f"split_point: expected activations of the width {saved.model.width} that the autoencoder has, got "
                f"{width} at {split_point!r}; take another split point, or the model that it was made for"
            )
    kind = _EXPLAINERS[type(saved.model)]
    explainer = kind(
        split, split_point=split_point, nb_concepts=saved.model.nb_concepts, **_options(saved, saved.model.nb_concepts)
    )
    explainer._concept_model = saved.model.to(explainer.fit_device)
    return explainer


def _options(saved: SavedAutoencoder, c: int) -> dict[str, Any]:
    """Options of a training that made it; they matter to nobody who does not fit again."""
    if saved.k is not None:
        return {"k": min(saved.k, c)}
    l0 = saved.l0 if saved.l0 is not None and 0 < saved.l0 < c else min(_USUAL_L0, c / 2)
    return {"target_l0": l0}


def _point(hook: str | None, split: ModelWithSplitPoints, wanted: int | str | None) -> str:
    """The name of the split point.

    Raises:
        InputError: It is not one of the model's, or nothing tells which it is.
    """
    known = [point.name for point in split.split_points]
    if wanted is not None:
        name = split.point_name(wanted)
    elif hook is not None:
        found = point_of_hook(hook, split)
        if found is None:
            raise InputError(
                f"split_point: the file is of {hook!r}, which names no one place in this model; pass split_point=..., "
                f"one of {known}"
            )
        name = found
    elif len(known) == 1:
        return known[0]
    else:
        raise InputError(f"split_point: the file does not tell where it belongs; pass one of {known}")
    if name not in known:
        said = "" if hook is None or wanted is not None else f" (the file says {hook!r})"
        raise InputError(
            f"split_point: expected one of {known}, got {name!r}{said}; split the model there: "
            f"ModelWithSplitPoints(..., split_points=[{name!r}])"
        )
    return name


def point_of_hook(hook: str, split: ModelWithSplitPoints) -> str | None:
    """The split point that a name of another library stands for; `None` where that is not clear.

    `blocks.5.hook_resid_post`, and `blocks.6.hook_resid_pre`, are the output of block 5. Paths of modules are known by
    their ends: `layers.5` and `model.layers.5.output` are block 5, too, `layers.5.mlp` is that module, and what ends in
    `.input` is what enters it.
    """
    numbered = blocks(split.traits)
    stream = re.fullmatch(r"blocks\.(\d+)\.hook_resid_(pre|post)", hook)
    if stream is not None:
        name = str(int(stream[1]) - (stream[2] == "pre"))
        return name if name in numbered else None
    entering = hook.endswith(".input")
    path = hook.removesuffix(".input").removesuffix(".output")
    if not entering:
        at = [name for name, point in numbered.items() if point.call == 0 and _ends(point.path, path)]
        if len(at) == 1:
            return at[0]
    paths = [known for known, _ in split.traits.base.named_modules() if _ends(known, path)]
    return paths[0] + (":input" if entering else "") if len(paths) == 1 else None


def _ends(path: str, end: str) -> bool:
    """Whether one path ends with the other."""
    return bool(path and end) and (f".{path}".endswith(f".{end}") or end.endswith(f".{path}"))


def width_at(split: ModelWithSplitPoints, name: str) -> int:
    """How many numbers an activation has at a split point: a pass of one short text tells."""
    points = tuple(point for point in split.split_points if point.name == name)
    extraction = split.extraction(ActivationGranularity.ALL_TOKENS, Aggregation.MEAN)
    targets = ["a"] if any(point.in_decoder for point in split.split_points) else None
    return int(replace(extraction, points=points).read(split.samples(["a"], targets))[name].shape[1])
