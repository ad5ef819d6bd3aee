"""Llama Scope: `hyperparams.json` and `checkpoints/final.safetensors`."""

from __future__ import annotations

import torch

from interpreto.concepts.files.folders import Place
from interpreto.concepts.files.folding import SavedAutoencoder, folded
from interpreto.concepts.files.saved import SavedSettings, read_settings, read_tensors
from interpreto.concepts.sparse_autoencoders.jump_relu import JumpReLUSAE


def read_llama_scope(place: Place, *, as_written: bool = False) -> SavedAutoencoder:
    """`z = p 1[p > s theta]` with `p = s x W_enc^T + b_enc`, `x_hat = (z W_dec^T + b_dec) / s`, `s = sqrt(d) / norm`.

    `norm` is the mean norm of the activations that it was trained on; the threshold is written in their units. Where
    thresholds were compared with codes times the norm of their direction, they are divided by it.

    Args:
        place: The folder.
        as_written: Whether square matrices are taken as the format writes them.

    Raises:
        InputError: Files that are missing or damaged, a transcoder, or rows that are each scaled by themselves.

    Reference: He et al. (2024), Llama Scope, arXiv:2410.20526.
    """
    settings = read_settings(place.folder / "hyperparams.json")
    entering, leaving = settings.text("hook_point_in"), settings.text("hook_point_out")
    if leaving is not None and leaving != entering:
        raise settings.refuse("a transcoder", f"it reads {entering!r} and writes {leaving!r}")
    activation = settings.get("act_fn", "jumprelu")
    if activation not in ("jumprelu", "topk"):  # topk was made a JumpReLU before it was published
        raise settings.refuse(f"act_fn {activation!r}", "only 'jumprelu' is known")
    tensors = read_tensors(place.folder / "checkpoints" / "final.safetensors", as_written=as_written)
    b_enc = tensors.vector("encoder.bias")
    c = len(b_enc)
    d = settings.count("d_model")
    bias = tensors.vector("decoder.bias", d) if "decoder.bias" in tensors else torch.zeros(d)
    settings.check_width("d_sae", c)
    scale_in, scale_out = _scales(settings, d)
    encoder = tensors.matrix("encoder.weight", c, d, transposed=False)
    decoder = tensors.matrix("decoder.weight", c, d, transposed=True)
    subtracted = settings.flag("apply_decoder_bias_to_pre_encoder")
    parts = folded(encoder, decoder, bias, subtracted=subtracted, scale_in=scale_in, scale_out=scale_out)
    threshold = torch.full((c,), settings.number("jump_relu_threshold") * scale_in).clamp(min=0)
    if settings.flag("sparsity_include_decoder_norm"):
        threshold = threshold / decoder.norm(dim=1).clamp(min=1e-12)
    model = JumpReLUSAE(**parts.tensors, encoder_bias=b_enc + parts.shift, threshold=threshold)
    return SavedAutoencoder(model=model, hook=entering)


def _scales(settings: SavedSettings, d: int) -> tuple[float, float]:
    """What rows are multiplied with, and what reconstructions are divided by."""
    how = settings.get("norm_activation", "dataset-wise")
    if how == "inference":
        return 1.0, 1.0
    if how != "dataset-wise":
        raise settings.refuse(f"norm_activation {how!r}", "rows are scaled one by one, which codes do not tell")
    norms = settings.part("dataset_average_activation_norm")
    norm_in = norms.number("in")
    norm_out = norm_in if norms.get("out") is None else norms.number("out")
    if norm_in <= 0 or norm_out <= 0:
        raise settings.refuse(f"mean norms {norm_in} and {norm_out}", "they are above 0")
    return d**0.5 / norm_in, d**0.5 / norm_out
