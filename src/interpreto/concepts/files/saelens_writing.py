"""Sparse autoencoders written as SAELens reads them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from interpreto.concepts.base import ConceptExplainer
from interpreto.concepts.files.folders import hub_name
from interpreto.concepts.files.saelens import SETTINGS, WEIGHTS
from interpreto.concepts.sparse_autoencoders.batch_top_k import BatchTopKSAE
from interpreto.concepts.sparse_autoencoders.gated import GatedSAE
from interpreto.concepts.sparse_autoencoders.jump_relu import JumpReLUSAE
from interpreto.concepts.sparse_autoencoders.matching_pursuit import MatchingPursuitSAE
from interpreto.concepts.sparse_autoencoders.sparse_autoencoder import LinearSparseAutoencoder, SparseAutoencoder
from interpreto.concepts.sparse_autoencoders.top_k import TopKSAE
from interpreto.concepts.tensor_folder import TensorFolder
from interpreto.errors import InputError


def save_saelens(concept_explainer: ConceptExplainer, folder: str | Path, *, model_name: str | None = None) -> Path:
    """Write a fitted sparse autoencoder as SAELens (6 and later) reads it, with the same codes.

    `VanillaSAEConcepts` become `standard`; `TopKSAEConcepts` and `ArchetypalSAEConcepts` `topk`; `JumpReLUSAEConcepts`,
    and with one threshold for all concepts `BatchTopKSAEConcepts` and `MatryoshkaSAEConcepts`, `jumprelu`;
    `GatedSAEConcepts` `gated`; `MpSAEConcepts` `matching_pursuit`.

    Args:
        concept_explainer: The fitted concepts.
        folder: Made if it is not there.
        model_name: What the model is called on the hub; by default what its configuration says, where that is no path.

    Returns:
        The folder.

    Raises:
        InputError: Concepts that are no sparse autoencoder's.
        NotFittedError: Nothing was learned yet.
        StoreError: The folder cannot be written.
    """
    model = concept_explainer.concept_model
    if not isinstance(model, SparseAutoencoder):
        raise InputError(
            f"concept_explainer: expected a sparse autoencoder, got {type(concept_explainer).__name__}, which SAELens "
            "has no architecture for; use save_pretrained"
        )
    model = replace(model, **{name: tensor.detach().float().cpu() for name, tensor in model.tensors().items()})
    architecture, tensors, own = _written(model)
    settings = {
        "architecture": architecture,
        "d_in": model.width,
        "d_sae": model.nb_concepts,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        **own,
        "metadata": _metadata(concept_explainer, model_name),
    }
    place = Path(folder)
    _FILES.write(place, tensors, settings)
    return place


def _written(model: SparseAutoencoder) -> tuple[str, dict[str, Tensor], dict[str, Any]]:
    """Architecture, tensors, and settings of its own."""
    tensors = {"W_dec": model.decoder.clone(), "b_dec": model.bias.clone()}
    if isinstance(model, MatchingPursuitSAE):
        return (
            "matching_pursuit",
            tensors,
            {
                "residual_threshold": model.smallest_residual,
                "max_iterations": model.k,
                "stop_on_duplicate_support": model.stop_on_repeat,
            },
        )
    if isinstance(model, GatedSAE):
        biases = {"b_gate": model.gate_bias, "b_mag": model.magnitude_bias, "r_mag": model.log_magnitude}
        return "gated", {**tensors, "W_enc": model.encoder.T, **biases}, {}
    if not isinstance(model, LinearSparseAutoencoder):
        raise InputError(f"concept_explainer: expected a known sparse autoencoder, got {type(model).__name__}")
    tensors |= {"W_enc": model.encoder.T, "b_enc": model.encoder_bias.clone()}
    if isinstance(model, TopKSAE):
        return "topk", tensors, {"k": model.k, "rescale_acts_by_decoder_norm": False}
    if isinstance(model, (JumpReLUSAE, BatchTopKSAE)):
        threshold = model.threshold.expand(model.nb_concepts).clone()
        return "jumprelu", {**tensors, "threshold": threshold}, {}
    return "standard", tensors, {}


def _metadata(explainer: ConceptExplainer, model_name: str | None) -> dict[str, Any]:
    split = explainer.model_with_split_points
    about: dict[str, Any] = {
        "sae_lens_version": "6.0.0",  # whose format this is
        "sae_lens_training_version": None,
        "written_by": "interpreto",
        "model_name": model_name,
        "hook_name": None if explainer.split_point is None else str(explainer.split_point),
        "hook_head_index": None,
    }
    if split is None:
        return about
    point = explainer.point
    name = str(getattr(split.traits.base.config, "_name_or_path", ""))
    block = re.fullmatch(r"\d+", point.name)
    return {
        **about,
        "model_name": model_name or hub_name(name),
        "hook_name": f"blocks.{point.name}.hook_resid_post" if block else point.name,
        "hf_hook_name": f"{point.path}.{'input' if point.entering else 'output'}",
    }


_FILES = TensorFolder(WEIGHTS, SETTINGS, "a sparse autoencoder of SAELens", paired=False)
