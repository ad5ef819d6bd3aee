"""dictionary_learning: `ae.pt` and `config.json`."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from interpreto.concepts.files.folders import Place
from interpreto.concepts.files.folding import SavedAutoencoder, folded
from interpreto.concepts.files.saved import SavedSettings, SavedTensors, read_settings, read_tensors
from interpreto.concepts.sparse_autoencoders.batch_top_k import BatchTopKSAE
from interpreto.concepts.sparse_autoencoders.gated import GatedSAE
from interpreto.concepts.sparse_autoencoders.jump_relu import JumpReLUSAE
from interpreto.concepts.sparse_autoencoders.sparse_autoencoder import SparseAutoencoder
from interpreto.concepts.sparse_autoencoders.top_k import TopKSAE
from interpreto.concepts.sparse_autoencoders.vanilla import VanillaSAE


def read_dictionary_learning(place: Place, *, as_written: bool = False) -> SavedAutoencoder:
    """An autoencoder of any of that library's classes, told apart by its tensors.

    - `AutoEncoder`: `ReLU((x - bias) W^T + b_enc)`; `AutoEncoderNew` the same without subtracting a bias.
    - `AutoEncoderTopK`: the `k` largest of `ReLU((x - b_dec) W^T + b_enc)` of each row.
    - `BatchTopKSAE`, `MatryoshkaBatchTopKSAE`: those above the threshold, whatever the other rows are.
    - `JumpReluAutoEncoder`: `p 1[p > threshold]` with `p = ReLU(x W_enc + b_enc)`; the bias is not subtracted.
    - `GatedAutoEncoder`: `1[p + gate_bias > 0] ReLU(exp(r_mag) p + mag_bias)` with `p = (x - decoder_bias) W^T`.

    Versions of that library differ in whether codes are multiplied by the norm of their direction; here they are not.

    Args:
        place: The folder.
        as_written: Whether square matrices are taken as the format writes them.

    Raises:
        InputError: Files that are missing or damaged, something else than tensors in them, or an unknown class.
    """
    tensors = read_tensors(place.folder / "ae.pt", as_written=as_written)
    trainer = read_settings(place.folder / "config.json", needed=False).part("trainer")
    name = trainer.text("dict_class") or _class_of(tensors)
    if name not in _CLASSES:
        raise trainer.refuse(f"dict_class {name!r}", f"known are {sorted(_CLASSES)}")
    model, k = _model(name, tensors, trainer)
    trainer.check_width("activation_dim", model.width)
    trainer.check_width("dict_size", model.nb_concepts)
    site = re.fullmatch(r"resid_post_layer_(\d+)", trainer.text("submodule_name") or "")
    return SavedAutoencoder(model=model, hook=None if site is None else f"blocks.{site[1]}.hook_resid_post", k=k)


_CLASSES = {
    "AutoEncoder": "bias",
    "AutoEncoderNew": "decoder.bias",
    "AutoEncoderTopK": "b_dec",
    "BatchTopKSAE": "b_dec",
    "MatryoshkaBatchTopKSAE": "b_dec",
    "JumpReluAutoEncoder": "b_dec",
    "GatedAutoEncoder": "decoder_bias",
}
"""What each class calls its bias."""


def _class_of(tensors: SavedTensors) -> str:
    """The class, where no settings name it."""
    if "W_enc" in tensors:
        return "MatryoshkaBatchTopKSAE" if "group_sizes" in tensors else "JumpReluAutoEncoder"
    for name in ("GatedAutoEncoder", "AutoEncoder", "AutoEncoderNew"):
        if _CLASSES[name] in tensors:
            return name
    raise SavedSettings(tensors.path, {}).refuse(
        f"the tensors {sorted(tensors.tensors)}",
        "config.json with trainer.dict_class is needed to tell top-k of a row from top-k of a batch",
    )


def _model(name: str, tensors: SavedTensors, trainer: SavedSettings) -> tuple[SparseAutoencoder, int | None]:
    bias = tensors.vector(_CLASSES[name])
    named_enc = "W_enc" in tensors
    if name == "GatedAutoEncoder":
        biases = [tensors.vector(part) for part in ("gate_bias", "mag_bias", "r_mag")]
    else:
        biases = [tensors.vector("b_enc" if named_enc else "encoder.bias")]
    c, d = len(biases[0]), len(bias)
    parts = folded(
        tensors.matrix("W_enc" if named_enc else "encoder.weight", c, d, transposed=named_enc),
        tensors.matrix("W_dec" if named_enc else "decoder.weight", c, d, transposed=not named_enc),
        bias,
        subtracted=name not in ("JumpReluAutoEncoder", "AutoEncoderNew"),
    )
    if name == "GatedAutoEncoder":
        gate_bias, magnitude_bias, log_magnitude = (tensors.vector(part, c) for part in _GATED)
        return GatedSAE(
            **parts.tensors, gate_bias=gate_bias, magnitude_bias=magnitude_bias, log_magnitude=log_magnitude
        ), None
    linear: dict[str, Tensor] = {**parts.tensors, "encoder_bias": biases[0] + parts.shift}
    if name in ("AutoEncoder", "AutoEncoderNew"):
        return VanillaSAE(**linear), None
    if name == "JumpReluAutoEncoder":
        return JumpReLUSAE(**linear, threshold=tensors.vector("threshold", c).clamp(min=0)), None
    k = int(tensors.number("k")) if "k" in tensors else trainer.count("k")
    if not 1 <= k <= c:
        raise trainer.refuse(f"k {k}", f"there are {c} concepts")
    if name == "AutoEncoderTopK":
        return TopKSAE(**linear, k=k), k
    threshold = tensors.number("threshold")  # below 0 where it was never set
    return BatchTopKSAE(**linear, threshold=torch.tensor(max(threshold, 0.0))), k


_GATED = ("gate_bias", "mag_bias", "r_mag")
