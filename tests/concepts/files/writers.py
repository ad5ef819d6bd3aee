"""Files of each format with random weights, and what their formulas give, in plain float64 torch.

Nothing of the library is used here.
"""

import json

import numpy as np
import torch
from safetensors.torch import save_file

C, D, N = 24, 8, 50


def draw(seed=0, c=C, d=D):
    """Random weights, biases of some size, and rows."""
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=rng)

    return {
        "w_enc": normal(c, d),
        "w_dec": normal(c, d),
        "b_enc": 0.5 * normal(c),
        "b_dec": normal(d),
        "threshold": normal(c).abs(),
        "b_mag": 0.5 * normal(c),
        "r_mag": 0.3 * normal(c),
    }, normal(N, d)


def wide(weights):
    return {name: tensor.double() for name, tensor in weights.items()}


def top(p, k):
    """The k largest of each row, the others 0, by sorting."""
    out = torch.zeros_like(p)
    for row, values in zip(out, p, strict=True):
        for place in sorted(range(len(values)), key=lambda i: -float(values[i]))[:k]:
            row[place] = values[place]
    return out.clamp(min=0)


def encoded(kind, w, x, *, subtract, k=None):
    """Codes of rows that are already scaled."""
    p = (x - w["b_dec"] if subtract else x) @ w["w_enc"].T
    if kind == "gated":
        return (p + w["b_enc"] > 0) * torch.relu(w["r_mag"].exp() * p + w["b_mag"])
    p = p + w["b_enc"]
    if kind == "standard":
        return torch.relu(p)
    if kind == "topk":
        return top(p, k)
    return torch.relu(p) * (p > w["threshold"])


def result(kind, weights, x, *, subtract=True, k=None, scale=1.0):
    """Codes, and the reconstruction in the units of the rows."""
    w = wide(weights)
    codes = encoded(kind, w, x.double() * scale, subtract=subtract, k=k)
    return codes, (codes @ w["w_dec"] + w["b_dec"]) / scale


def write_json(folder, name, value):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(value))


def saelens(folder, weights, kind, *, settings=None, tensors=None, hook="blocks.1.hook_resid_post", old=False):
    """A SAELens folder, of version 6 or before."""
    c, d = weights["w_enc"].shape
    about = {"architecture": kind, "d_in": d, "d_sae": c, "dtype": "float32", "device": "cpu"}
    about["normalize_activations"] = "none"
    if not old:
        about["metadata"] = {"sae_lens_version": "6.5.0", "hook_name": hook, "model_name": "gpt2"}
    else:
        about["hook_point"] = hook
    named = {"W_dec": weights["w_dec"], "b_dec": weights["b_dec"]}
    if kind != "matching_pursuit":
        named["W_enc"] = weights["w_enc"].T.contiguous()
    if kind == "gated":
        named |= {"b_gate": weights["b_enc"], "b_mag": weights["b_mag"], "r_mag": weights["r_mag"]}
    elif kind != "matching_pursuit":
        named["b_enc"] = weights["b_enc"]
    if kind == "jumprelu":
        named["threshold"] = weights["threshold"]
    named |= tensors or {}
    write_json(folder, "cfg.json", {**about, **(settings or {})})
    save_file(
        {name: tensor for name, tensor in named.items() if tensor is not None}, folder / "sae_weights.safetensors"
    )
    return folder


def gemma_scope(folder, weights, *, lower=False):
    """A `params.npz`."""
    folder.mkdir(parents=True, exist_ok=True)
    w = "w" if lower else "W"
    np.savez(
        folder / "params.npz",
        **{
            f"{w}_enc": weights["w_enc"].T.numpy(),
            f"{w}_dec": weights["w_dec"].numpy(),
            "b_enc": weights["b_enc"].numpy(),
            "b_dec": weights["b_dec"].numpy(),
            "threshold": weights["threshold"].numpy(),
        },
    )
    return folder


def gemma_scope_2(folder, weights, *, settings=None, tensors=None):
    """A `params.safetensors` with its `config.json`."""
    about = {"architecture": "jump_relu", "hf_hook_point_in": "transformer.h.1.output", "width": 24}
    write_json(folder, "config.json", {**about, **(settings or {})})
    named = {
        "w_enc": weights["w_enc"].T.contiguous(),
        "w_dec": weights["w_dec"],
        "b_enc": weights["b_enc"],
        "b_dec": weights["b_dec"],
        "threshold": weights["threshold"],
    }
    save_file({**named, **(tensors or {})}, folder / "params.safetensors")
    return folder


def llama_scope(folder, weights, *, settings=None, dtype=torch.float32):
    """A Llama Scope folder."""
    c, d = weights["w_enc"].shape
    about = {
        "d_model": d,
        "d_sae": c,
        "jump_relu_threshold": 0.3,
        "dataset_average_activation_norm": {"in": 5.0, "out": 5.0},
        "hook_point_in": "blocks.1.hook_resid_post",
        "hook_point_out": "blocks.1.hook_resid_post",
        "norm_activation": "dataset-wise",
    }
    write_json(folder, "hyperparams.json", {**about, **(settings or {})})
    (folder / "checkpoints").mkdir()
    named = {
        "encoder.weight": weights["w_enc"],
        "decoder.weight": weights["w_dec"].T.contiguous(),
        "encoder.bias": weights["b_enc"],
        "decoder.bias": weights["b_dec"],
    }
    save_file({name: tensor.to(dtype) for name, tensor in named.items()}, folder / "checkpoints" / "final.safetensors")
    return folder


def sparsify(folder, weights, *, settings=None, tensors=None):
    """A sparsify folder."""
    c, d = weights["w_enc"].shape
    about = {
        "activation": "topk",
        "expansion_factor": c // d,
        "normalize_decoder": True,
        "num_latents": 0,
        "k": 4,
        "multi_topk": False,
        "skip_connection": False,
        "transcode": False,
        "d_in": d,
    }
    write_json(folder, "cfg.json", {**about, **(settings or {})})
    named = {
        "encoder.weight": weights["w_enc"],
        "encoder.bias": weights["b_enc"],
        "W_dec": weights["w_dec"],
        "b_dec": weights["b_dec"],
    }
    save_file({**named, **(tensors or {})}, folder / "sae.safetensors")
    return folder


def dictionary_learning(folder, weights, name, *, trainer=None, config=True):
    """An `ae.pt`, with its `config.json` or without."""
    c, d = weights["w_enc"].shape
    about = {"dict_class": name, "activation_dim": d, "dict_size": c, "k": 4, "layer": 1, "lm_name": "gpt2"}
    folder.mkdir(parents=True, exist_ok=True)
    if config:
        write_json(folder, "config.json", {"trainer": {**about, **(trainer or {})}, "buffer": {"ctx_len": 128}})
    linear = {"encoder.weight": weights["w_enc"], "decoder.weight": weights["w_dec"].T.contiguous()}
    square = {"W_enc": weights["w_enc"].T.contiguous(), "W_dec": weights["w_dec"], "b_enc": weights["b_enc"]}
    chosen = {"k": torch.tensor(4, dtype=torch.int), "threshold": torch.tensor(0.7)}
    named = {
        "AutoEncoder": {**linear, "encoder.bias": weights["b_enc"], "bias": weights["b_dec"]},
        "AutoEncoderNew": {**linear, "encoder.bias": weights["b_enc"], "decoder.bias": weights["b_dec"]},
        "AutoEncoderTopK": {**linear, **chosen, "encoder.bias": weights["b_enc"], "b_dec": weights["b_dec"]},
        "BatchTopKSAE": {**linear, **chosen, "encoder.bias": weights["b_enc"], "b_dec": weights["b_dec"]},
        "MatryoshkaBatchTopKSAE": {
            **square, **chosen, "b_dec": weights["b_dec"], "group_sizes": torch.tensor([c // 2, c - c // 2])
        },
        "JumpReluAutoEncoder": {**square, "b_dec": weights["b_dec"], "threshold": weights["threshold"]},
        "GatedAutoEncoder": {
            **linear,
            "decoder_bias": weights["b_dec"],
            "gate_bias": weights["b_enc"],
            "mag_bias": weights["b_mag"],
            "r_mag": weights["r_mag"],
        },
    }  # fmt: skip
    torch.save(named[name], folder / "ae.pt")
    return folder
