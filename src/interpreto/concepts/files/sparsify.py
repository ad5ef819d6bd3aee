"""EleutherAI's sparsify: `cfg.json` and `sae.safetensors`, in a folder named after the hookpoint."""

from __future__ import annotations

from interpreto.concepts.files.folders import Place
from interpreto.concepts.files.folding import SavedAutoencoder, folded
from interpreto.concepts.files.saved import read_settings, read_tensors
from interpreto.concepts.sparse_autoencoders.top_k import TopKSAE


def read_sparsify(place: Place, *, as_written: bool = False) -> SavedAutoencoder:
    """The `k` largest of `ReLU((x - b_dec) W^T + b)`, `x_hat = z W_dec + b_dec`.

    Args:
        place: The folder.
        as_written: Whether square matrices are taken as the format writes them.

    Raises:
        InputError: Files that are missing or damaged, a transcoder, a skip connection, or an activation other than
            top-k.

    Reference: Gao et al. (2025), Scaling and evaluating sparse autoencoders, arXiv:2406.04093.
    """
    settings = read_settings(place.folder / "cfg.json")
    tensors = read_tensors(place.folder / "sae.safetensors", as_written=as_written)
    activation = settings.get("activation", "topk")
    if activation != "topk":
        raise settings.refuse(f"activation {activation!r}", "only 'topk' is known")
    for name, why in _NOT_REPRESENTED.items():
        if settings.flag(name):
            raise settings.refuse(name, why)
    if "W_skip" in tensors:
        raise settings.refuse("W_skip", _NOT_REPRESENTED["skip_connection"])
    bias, encoder_bias = tensors.vector("b_dec"), tensors.vector("encoder.bias")
    c, d = len(encoder_bias), len(bias)
    settings.check_width("d_in", d)
    latents = settings.get("num_latents", 0)
    if latents == 0 and settings.get("expansion_factor") is not None:
        latents = d * settings.count("expansion_factor")
    if latents not in (0, c):
        raise settings.refuse(f"num_latents {latents!r:.60}", f"the tensors have {c}")
    parts = folded(
        tensors.matrix("encoder.weight", c, d, transposed=False),
        tensors.matrix("W_dec", c, d, transposed=False),
        bias,
        subtracted=True,
    )
    k = settings.count("k")
    if k > c:
        raise settings.refuse(f"k {k}", f"there are {c} concepts")
    model = TopKSAE(**parts.tensors, encoder_bias=encoder_bias, k=k)
    hookpoint = place.name.rstrip("/").split("/")[-1]
    named = "." in hookpoint or hookpoint.startswith("embed")
    return SavedAutoencoder(model=model, hook=hookpoint if named else None, k=k)


_NOT_REPRESENTED = {
    "transcode": "a transcoder reads one place and writes another",
    "skip_connection": "codes do not tell what goes around them",
    "signed": "codes of both signs are chosen by their size",
}
