"""SAELens: `cfg.json` and `sae_weights.safetensors`."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from interpreto.concepts.files.folders import Place
from interpreto.concepts.files.folding import FoldedParts, SavedAutoencoder, folded, with_unit_norm
from interpreto.concepts.files.saved import SavedSettings, SavedTensors, read_settings, read_tensors
from interpreto.concepts.sparse_autoencoders.gated import GatedSAE
from interpreto.concepts.sparse_autoencoders.jump_relu import JumpReLUSAE
from interpreto.concepts.sparse_autoencoders.matching_pursuit import MatchingPursuitSAE
from interpreto.concepts.sparse_autoencoders.sparse_autoencoder import SparseAutoencoder
from interpreto.concepts.sparse_autoencoders.top_k import TopKSAE
from interpreto.concepts.sparse_autoencoders.vanilla import VanillaSAE
from interpreto.errors import InputError, warn

WEIGHTS, SETTINGS, SPARSITY = "sae_weights.safetensors", "cfg.json", "sparsity.safetensors"


def read_saelens(place: Place, *, as_written: bool = False, mean_norm: float | None = None) -> SavedAutoencoder:
    """An autoencoder of SAELens, from version 6 on or before.

    `p = (s x - b_dec) W_enc + b_enc`, where the bias is subtracted if `apply_b_dec_to_input`, and `s` is `sqrt(d)` over
    the mean norm of the activations for `expected_average_only_in`, else 1; `x_hat = (z W_dec + b_dec) / s`. Codes `z`:

    - `standard`: `ReLU(p)`.
    - `topk`: the `k` largest of `ReLU(p)`; with `rescale_acts_by_decoder_norm` of `p` times the norms of the
      directions, which then count as 1.
    - `jumprelu`: `ReLU(p) 1[p > threshold]`.
    - `gated`: `1[p + b_gate > 0] ReLU(exp(r_mag) p + b_mag)`, without `b_enc`.
    - `matching_pursuit`: as `MpSAEConcepts`, `max_iterations` turns; a row stops earlier once what is left of it is
      shorter than `residual_threshold`, or, with `stop_on_duplicate_support`, after a turn without a new concept.

    Args:
        place: The folder.
        as_written: Whether square matrices are taken as the format writes them.
        mean_norm: Mean norm of the activations, for `expected_average_only_in`, of which the files do not tell it.

    Raises:
        InputError: Files that are missing or damaged, or an autoencoder that cannot be represented: transcoders and
            other architectures, rows that are normalised one by one (`layer_norm`, `constant_norm_rescale`) or
            whitened, reshaped heads.
    """
    settings = read_settings(place.folder / SETTINGS)
    metadata = settings.part("metadata")
    tensors = read_tensors(place.folder / WEIGHTS, as_written=as_written)
    architecture = _architecture(settings)
    hook = next((s.text(n) for s in (metadata, settings) for n in ("hook_name", "hook_point") if s.get(n)), None)
    _refuse_what_cannot_be(settings, metadata, hook)
    scale = _scale(settings, len(tensors.vector("b_dec")), mean_norm)
    if architecture == "matching_pursuit":
        model = _matching_pursuit(settings, tensors, scale)
    elif architecture == "gated":
        model = _gated(settings, tensors, scale)
    else:
        model = _linear(architecture, settings, tensors, scale)
    settings.check_width("d_in", model.width)
    settings.check_width("d_sae", model.nb_concepts)
    k = model.k if isinstance(model, (TopKSAE, MatchingPursuitSAE)) else None
    return SavedAutoencoder(model=model, hook=hook, l0=_l0(place.folder / SPARSITY, model.nb_concepts), k=k)


def _architecture(settings: SavedSettings) -> str:
    """The type; before version 6 top-k was an activation function of the standard one."""
    name = settings.text("architecture") or "standard"
    activation = settings.text("activation_fn") or settings.text("activation_fn_str") or "relu"
    if name == "standard" and activation == "topk":
        return "topk"
    if name not in ("standard", "topk", "jumprelu", "gated", "matching_pursuit"):
        raise settings.refuse(f"architecture {name!r}", "it is not one of standard, topk, jumprelu, gated, ...")
    if activation != "relu" and not (name == "topk" and activation == "topk"):
        raise settings.refuse(f"activation_fn {activation!r}", "only 'relu' and 'topk' are known")
    return name


def _refuse_what_cannot_be(settings: SavedSettings, metadata: SavedSettings, hook: str | None) -> None:
    reshape = settings.get("reshape_activations", "hook_z" if "hook_z" in (hook or "") else "none")
    if reshape != "none":
        raise settings.refuse(f"reshape_activations {reshape!r}", "heads are no activations of a split point")
    head = metadata.get("hook_head_index", settings.get("hook_head_index"))
    if head is not None:
        raise settings.refuse(f"hook_head_index {head!r}", "a head is no split point")
    options = (metadata if metadata.get("model_from_pretrained_kwargs") else settings).part(
        "model_from_pretrained_kwargs"
    )
    if options.flag("center_writing_weights"):
        warn(
            f"{settings.path}: it was trained on a model whose weights TransformerLens had centred, so that the mean "
            "over the width is missing in its activations; codes of a transformers model's activations differ; "
            "subtract each row's mean before encode"
        )


def _scale(settings: SavedSettings, d: int, mean_norm: float | None) -> float:
    """What rows are multiplied with."""
    how = settings.get("normalize_activations", "none")
    if isinstance(how, bool):
        how = "expected_average_only_in" if how else "none"
    if how == "none":
        return 1.0
    if how != "expected_average_only_in":
        raise settings.refuse(f"normalize_activations {how!r}", _NORMALISATIONS.get(how, "it is not known"))
    if mean_norm is None:
        raise InputError(
            f"{settings.path}: normalize_activations is {how!r}, and the files do not tell the mean norm of the "
            "activations; pass mean_norm=..., measured at the split point"
        )
    if not mean_norm > 0:
        raise InputError(f"mean_norm: expected a number above 0, got {mean_norm}")
    return float(d**0.5 / mean_norm)


_NORMALISATIONS = {
    "layer_norm": "rows are normalised one by one, and codes do not tell how",
    "constant_norm_rescale": "rows are scaled one by one, and codes do not tell how",
    "covariance_whitening": "the whitening is not in the files; fold it in SAELens, and save again",
}


def _parts(settings: SavedSettings, tensors: SavedTensors, c: int, scale: float) -> FoldedParts:
    bias = tensors.vector("b_dec")
    return folded(
        tensors.matrix("W_enc", c, len(bias), transposed=True),
        tensors.matrix("W_dec", c, len(bias), transposed=False) * _decoder_factors(settings, tensors, c)[:, None],
        bias,
        subtracted=settings.flag("apply_b_dec_to_input", True),
        scale_in=scale,
    )


def _decoder_factors(settings: SavedSettings, tensors: SavedTensors, c: int) -> Tensor:
    """Before version 6: what codes are multiplied with before they are decoded, learned after the training."""
    name = next((name for name in ("finetuning_scaling_factor", "scaling_factor") if name in tensors), None)
    factors = torch.ones(c) if name is None else tensors.vector(name, c)
    if not settings.flag("finetuning_scaling_factor") and not bool(torch.isclose(factors, torch.ones(c)).all()):
        raise settings.refuse(f"a tensor {name!r} that is not 1", "finetuning_scaling_factor is not set")
    return factors


def _linear(architecture: str, settings: SavedSettings, tensors: SavedTensors, scale: float) -> SparseAutoencoder:
    b_enc = tensors.vector("b_enc")
    c = len(b_enc)
    parts = _parts(settings, tensors, c, scale)
    linear = {**parts.tensors, "encoder_bias": b_enc + parts.shift}
    if architecture == "standard":
        return VanillaSAE(**linear)
    if architecture == "jumprelu":
        return JumpReLUSAE(**linear, threshold=tensors.vector("threshold", c).clamp(min=0))  # codes are at least 0
    k = (settings if settings.get("k") is not None else settings.part("activation_fn_kwargs")).count("k")
    if k > c:
        raise settings.refuse(f"k {k}", f"there are {c} concepts")
    if settings.flag("rescale_acts_by_decoder_norm"):  # by the norms as they were written
        linear |= with_unit_norm(linear["encoder"], linear["encoder_bias"], linear["decoder"], scale)
    return TopKSAE(**linear, k=k)


def _gated(settings: SavedSettings, tensors: SavedTensors, scale: float) -> SparseAutoencoder:
    b_gate = tensors.vector("b_gate")
    c = len(b_gate)
    parts = _parts(settings, tensors, c, scale)
    log_magnitude = tensors.vector("r_mag", c)
    return GatedSAE(
        **parts.tensors,
        gate_bias=b_gate + parts.shift,
        magnitude_bias=tensors.vector("b_mag", c) + log_magnitude.exp() * parts.shift,
        log_magnitude=log_magnitude,
    )


def _matching_pursuit(settings: SavedSettings, tensors: SavedTensors, scale: float) -> SparseAutoencoder:
    if scale != 1:
        raise settings.refuse("normalize_activations in a matching pursuit", "its codes would be in other units")
    bias = tensors.vector("b_dec")
    written = tensors.tensors.get("W_dec", torch.zeros(0)).shape
    c = next((size for size in written if size != len(bias)), len(bias))
    decoder = tensors.matrix("W_dec", c, len(bias), transposed=False)
    threshold = _USUAL_THRESHOLD
    if settings.get("residual_threshold") is not None:
        threshold = max(0.0, settings.number("residual_threshold"))  # below 0 it never stops, as for 0
    return MatchingPursuitSAE(
        decoder=decoder,
        bias=bias * float(settings.flag("apply_b_dec_to_input", True)),
        k=settings.count("max_iterations", len(bias)),
        smallest_residual=threshold,
        stop_on_repeat=settings.flag("stop_on_duplicate_support", True),
    )


_USUAL_THRESHOLD = 1e-2
"""What SAELens takes where the file does not tell."""


def _l0(path: Path, c: int) -> float | None:
    """Mean number of concepts in a row, from how often each is active."""
    if not path.is_file():
        return None
    frequencies = read_tensors(path).tensors.get("sparsity")
    if frequencies is None or frequencies.shape != (c,):
        return None
    return float((10 ** frequencies.double().clamp(max=0)).sum())  # logarithms of frequencies
