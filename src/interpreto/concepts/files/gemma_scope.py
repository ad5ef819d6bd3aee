"""Gemma Scope: JumpReLU autoencoders as `params.npz`, and those of Gemma Scope 2 as `params.safetensors`."""

from __future__ import annotations

import re

from interpreto.concepts.files.folders import Place
from interpreto.concepts.files.folding import SavedAutoencoder, folded
from interpreto.concepts.files.saved import SavedTensors, read_settings, read_tensors
from interpreto.concepts.sparse_autoencoders.jump_relu import JumpReLUSAE


def read_gemma_scope(place: Place, *, as_written: bool = False) -> SavedAutoencoder:
    """`z = p 1[p > theta]` with `p = ReLU(x W_enc + b_enc)`, `x_hat = z W_dec + b_dec`; the bias is not subtracted.

    Autoencoders of token embeddings (in a folder `embedding/width_...`) were trained on rows divided by `sqrt(d)`:
    codes are those of such rows, and what the dictionary adds is multiplied by it again. Their bias is taken as it is,
    as SAELens does.

    Args:
        place: The folder.
        as_written: Whether square matrices are taken as the format writes them.

    Raises:
        InputError: Files that are missing or damaged, or a transcoder.

    Reference: Lieberum et al. (2024), Gemma Scope, arXiv:2408.05147.
    """
    old = place.folder / "params.npz"
    file = read_tensors(old if old.is_file() else place.folder / "params.safetensors", as_written=as_written)
    lowered = {name.lower(): tensor for name, tensor in file.tensors.items()}
    tensors = SavedTensors(file.path, lowered, as_written)
    settings = read_settings(place.folder / "config.json", needed=False)
    architecture, entering, leaving = (
        settings.text(name) for name in ("architecture", "hf_hook_point_in", "hf_hook_point_out")
    )
    if architecture not in (None, "jump_relu"):
        raise settings.refuse(f"architecture {architecture!r}", "only 'jump_relu' is known")
    if "affine_skip_connection" in tensors or (leaving is not None and leaving != entering):
        raise settings.refuse(
            "a transcoder", f"it reads {entering!r} and writes {leaving or 'with a skip connection'!r}"
        )
    b_enc, bias = tensors.vector("b_enc"), tensors.vector("b_dec")
    c, d = len(b_enc), len(bias)
    embedding = re.search(r"(^|/)embedding/width_[^/]+", _path(place)) is not None
    parts = folded(
        tensors.matrix("w_enc", c, d, transposed=True) / (d**0.5 if embedding else 1.0),
        tensors.matrix("w_dec", c, d, transposed=False) * (d**0.5 if embedding else 1.0),
        bias,
        subtracted=False,
    )
    threshold = tensors.vector("threshold", c).clamp(min=0)  # codes are at least 0
    model = JumpReLUSAE(**parts.tensors, encoder_bias=b_enc + parts.shift, threshold=threshold)
    l0 = re.search(r"average_l0_(\d+)", _path(place))
    return SavedAutoencoder(
        model=model, hook=entering or _hook(_path(place), embedding), l0=None if l0 is None else float(l0[1])
    )


def _path(place: Place) -> str:
    """The repository and folder, or the whole path of a local folder, however it was written."""
    local = place.folder.resolve().as_posix()
    return f"{place.name}/{local}" if place.name not in local else local


def _hook(name: str, embedding: bool) -> str | None:
    """Where it belongs, from the names of its repository and folder."""
    layer, site = re.search(r"layer_(\d+)", name), re.search(r"gemma-scope-[\w.-]+-(res|mlp|att)(?=/|$)", name)
    if embedding:
        return "hook_embed"
    if layer is None or site is None:
        return None
    kind = {"res": "hook_resid_post", "mlp": "hook_mlp_out", "att": "attn.hook_z"}[site[1]]
    return f"blocks.{layer[1]}.{kind}"
