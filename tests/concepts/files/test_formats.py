"""Autoencoders of each format give the codes of its formula, written a second time in `writers`."""

import pytest
import torch

from interpreto.concepts.files import load_sae
from interpreto.errors import InputError
from tests.concepts.files import writers
from tests.concepts.files.writers import D, draw, result


def close(folder, x, expected, **options):
    """Whether a folder is read as concepts with these codes and reconstructions."""
    concepts = load_sae(folder, **options)
    codes = concepts.encode(x)
    assert codes.dtype == torch.float32
    torch.testing.assert_close(codes.double(), expected[0], rtol=2e-5, atol=2e-5)
    torch.testing.assert_close(concepts.decode(codes).double(), expected[1], rtol=2e-5, atol=2e-5)
    assert bool((codes != 0).any())
    assert bool((codes == 0).any())
    return concepts


@pytest.mark.parametrize("subtract", [True, False])
@pytest.mark.parametrize("kind", ["standard", "jumprelu", "gated", "topk"])
def test_saelens(tmp_path, kind, subtract):
    weights, x = draw()
    settings = {"apply_b_dec_to_input": subtract, **({"k": 5} if kind == "topk" else {})}
    folder = writers.saelens(tmp_path / "a", weights, kind, settings=settings)
    close(folder, x, result(kind, weights, x, subtract=subtract, k=5))


@pytest.mark.parametrize("subtract", [True, False])
@pytest.mark.parametrize("kind", ["standard", "jumprelu", "gated", "topk"])
def test_saelens_scaled_inputs_are_folded(tmp_path, kind, subtract):
    weights, x = draw(1)
    settings = {"apply_b_dec_to_input": subtract, "normalize_activations": "expected_average_only_in", "k": 5}
    folder = writers.saelens(tmp_path / "a", weights, kind, settings=settings)
    expected = result(kind, weights, x, subtract=subtract, k=5, scale=D**0.5 / 1.7)
    close(folder, x, expected, mean_norm=1.7)


@pytest.mark.parametrize("scaled", [False, True])
def test_saelens_topk_by_decoder_norm(tmp_path, scaled):
    weights, x = draw(2)
    settings = {"k": 3, "rescale_acts_by_decoder_norm": True}
    if scaled:
        settings["normalize_activations"] = "expected_average_only_in"
    folder = writers.saelens(tmp_path / "a", weights, "topk", settings=settings)
    w, scale = writers.wide(weights), D**0.5 / 1.7 if scaled else 1.0
    norms = w["w_dec"].norm(dim=1)
    codes = writers.top(((x.double() * scale - w["b_dec"]) @ w["w_enc"].T + w["b_enc"]) * norms, 3)
    expected = codes, ((codes / norms) @ w["w_dec"] + w["b_dec"]) / scale
    plain = writers.top((x.double() * scale - w["b_dec"]) @ w["w_enc"].T + w["b_enc"], 3)
    assert not torch.equal(codes != 0, plain != 0)  # the choice is another one
    close(folder, x, expected, mean_norm=1.7 if scaled else None)


def test_a_direction_that_is_zero_stays_zero(tmp_path):
    weights, x = draw()
    weights["w_dec"][3] = 0
    folder = writers.saelens(tmp_path / "a", weights, "topk", settings={"k": 24, "rescale_acts_by_decoder_norm": True})
    concepts = load_sae(folder)
    assert bool((concepts.encode(x)[:, 3] == 0).all())
    assert bool(torch.isfinite(concepts.decode(concepts.encode(x))).all())


def pursued(w, x, turns, threshold, stop_on_repeat):
    """Codes of a pursuit row by row, and how many turns each row made."""
    codes, made = torch.zeros(len(x), len(w["w_dec"]), dtype=torch.float64), []
    for row, start in enumerate(x.double() - w["b_dec"]):
        left, support, turn, going = start, set(), 0, True
        while going and turn < turns:
            turn += 1
            products = w["w_dec"] @ left
            best = int(products.argmax())
            codes[row, best] += products[best].clamp(min=0)
            left = left - products[best].clamp(min=0) * w["w_dec"][best]
            before, support = support, set(codes[row].nonzero()[:, 0].tolist())
            going = not (stop_on_repeat and support == before) and left.norm() >= threshold
        made.append(turn)
    return codes, made


@pytest.mark.parametrize(
    ("settings", "stops", "made"),
    [
        ({"residual_threshold": 0, "stop_on_duplicate_support": False, "max_iterations": 4}, (4, 0, False), {4}),
        ({"residual_threshold": 0, "max_iterations": 40}, (40, 0, True), range(2, 20)),
        ({"residual_threshold": 1.0, "stop_on_duplicate_support": False}, (8, 1.0, False), range(1, 9)),
        ({"residual_threshold": -1, "stop_on_duplicate_support": False}, (8, 0, False), {8}),
        ({"residual_threshold": 1e9}, (8, 1e9, True), {1}),
        ({}, (8, 1e-2, True), range(2, 9)),
    ],
)
def test_saelens_matching_pursuit(tmp_path, settings, stops, made):
    weights, x = draw(3)
    weights["w_dec"] /= weights["w_dec"].norm(dim=1, keepdim=True)
    folder = writers.saelens(tmp_path / "a", weights, "matching_pursuit", settings=settings)
    w = writers.wide(weights)
    codes, turns = pursued(w, x, *stops)
    assert set(turns) <= set(made)
    assert len(made) == 1 or len(set(turns)) > 1  # rows stop at different turns
    concepts = close(folder, x, (codes, codes @ w["w_dec"] + w["b_dec"]))
    torch.testing.assert_close(concepts.encode(x[:1]).double(), codes[:1], rtol=2e-5, atol=2e-5)
    again = type(concepts).load(concepts.save(tmp_path / "b"))
    assert torch.equal(again.encode(x), concepts.encode(x))


def test_saelens_pursuit_without_a_sensible_stop(tmp_path):
    for number, threshold in enumerate(("small", float("nan"), True)):
        settings = {"residual_threshold": threshold}
        folder = writers.saelens(tmp_path / str(number), draw()[0], "matching_pursuit", settings=settings)
        with pytest.raises(InputError, match="'residual_threshold' to be a number"):
            load_sae(folder)
    scaled = {"normalize_activations": "expected_average_only_in"}
    folder = writers.saelens(tmp_path / "scaled", draw()[0], "matching_pursuit", settings=scaled)
    with pytest.raises(InputError, match="its codes would be in other units"):
        load_sae(folder, mean_norm=1.7)


def test_saelens_before_version_6(tmp_path):
    weights, x = draw(4)
    old = {"normalize_activations": None, "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 4}}
    concepts = close(
        writers.saelens(tmp_path / "a", weights, "standard", settings=old, old=True),
        x,
        result("topk", weights, x, k=4),
    )
    assert type(concepts).__name__ == "TopKSAEConcepts"
    factors = torch.rand(writers.C) + 0.5
    tuned = {"finetuning_scaling_factor": True, "activation_fn": "relu", "normalize_activations": False}
    folder = writers.saelens(
        tmp_path / "b", weights, "standard", settings=tuned, tensors={"scaling_factor": factors}, old=True
    )
    codes, _ = result("standard", weights, x)
    w = writers.wide(weights)
    close(folder, x, (codes, (codes * factors.double()) @ w["w_dec"] + w["b_dec"]))
    ones = {"scaling_factor": torch.ones(writers.C)}
    folder = writers.saelens(tmp_path / "c", weights, "standard", tensors=ones, old=True)
    close(folder, x, result("standard", weights, x))
    folder = writers.saelens(tmp_path / "d", weights, "standard", settings={"normalize_activations": True}, old=True)
    close(folder, x, result("standard", weights, x, scale=D**0.5 / 2), mean_norm=2.0)


def test_saelens_sparsity_tells_the_number_of_active_concepts(tmp_path):
    weights, _ = draw()
    folder = writers.saelens(tmp_path / "a", weights, "standard")
    frequencies = torch.full((writers.C,), 0.25)
    writers.save_file({"sparsity": frequencies.log10()}, folder / "sparsity.safetensors")
    assert load_sae(folder).target_l0 == pytest.approx(6)


@pytest.mark.parametrize("lower", [False, True])
def test_gemma_scope(tmp_path, lower):
    weights, x = draw(5)
    folder = writers.gemma_scope(tmp_path / "layer_1" / "width_16k" / "average_l0_7", weights, lower=lower)
    concepts = close(folder, x, result("jumprelu", weights, x, subtract=False))
    assert concepts.target_l0 == 7
    close(folder / "params.npz", x, result("jumprelu", weights, x, subtract=False))  # by its file


def test_gemma_scope_of_embeddings(tmp_path):
    weights, x = draw(6)
    folder = writers.gemma_scope(tmp_path / "embedding" / "width_4k", weights)
    scaled = {**weights, "w_enc": weights["w_enc"] / D**0.5, "w_dec": weights["w_dec"] * D**0.5}
    close(folder, x, result("jumprelu", scaled, x, subtract=False))


def test_gemma_scope_2(tmp_path):
    weights, x = draw(7)
    close(writers.gemma_scope_2(tmp_path / "a", weights), x, result("jumprelu", weights, x, subtract=False))


@pytest.mark.parametrize("subtract", [True, False])
@pytest.mark.parametrize("norms", [{"in": 5.0}, {"in": 5.0, "out": 5.0}, {"in": 5.0, "out": 3.0}])
@pytest.mark.parametrize("by_norm", [True, False])
def test_llama_scope(tmp_path, subtract, norms, by_norm):
    weights, x = draw(8)
    settings = {
        "dataset_average_activation_norm": norms,
        "apply_decoder_bias_to_pre_encoder": subtract,
        "sparsity_include_decoder_norm": by_norm,
    }
    folder = writers.llama_scope(tmp_path / "a", weights, settings=settings)
    w, scale, out = writers.wide(weights), D**0.5 / 5, D**0.5 / norms.get("out", 5.0)
    p = (x.double() * scale - subtract * w["b_dec"]) @ w["w_enc"].T + w["b_enc"]
    codes = torch.relu(p) * (p * (w["w_dec"].norm(dim=1) if by_norm else 1) > 0.3 * scale)
    close(folder, x, (codes, (codes @ w["w_dec"] + w["b_dec"]) / out))


def test_llama_scope_that_was_folded(tmp_path):
    weights, x = draw(9)
    folder = writers.llama_scope(tmp_path / "a", weights, settings={"norm_activation": "inference"})
    weights["threshold"] = torch.full((writers.C,), 0.3)
    close(folder, x, result("jumprelu", weights, x, subtract=False))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_files_become_float32(tmp_path, dtype):
    weights, x = draw(10)
    folder = writers.llama_scope(tmp_path / "a", weights, settings={"norm_activation": "inference"}, dtype=dtype)
    rounded = {name: tensor.to(dtype).float() for name, tensor in weights.items()}
    rounded["threshold"] = torch.full((writers.C,), 0.3)
    concepts = close(folder, x, result("jumprelu", rounded, x, subtract=False))
    assert {tensor.dtype for tensor in concepts.concept_model.tensors().values()} == {torch.float32}


def test_sparsify(tmp_path):
    weights, x = draw(11)
    close(writers.sparsify(tmp_path / "layers.1", weights), x, result("topk", weights, x, k=4))
    again = writers.sparsify(tmp_path / "a", weights, settings={"num_latents": 24, "expansion_factor": 32})
    close(again, x, result("topk", weights, x, k=4))


@pytest.mark.parametrize(
    ("name", "kind", "subtract"),
    [
        ("AutoEncoder", "standard", True),
        ("AutoEncoderNew", "standard", False),
        ("AutoEncoderTopK", "topk", True),
        ("BatchTopKSAE", "jumprelu", True),
        ("MatryoshkaBatchTopKSAE", "jumprelu", True),
        ("JumpReluAutoEncoder", "jumprelu", False),
        ("GatedAutoEncoder", "gated", True),
    ],
)
def test_dictionary_learning(tmp_path, name, kind, subtract):
    weights, x = draw(12)
    folder = writers.dictionary_learning(tmp_path / "a", weights, name)
    bare = writers.dictionary_learning(tmp_path / "b", weights, name, config=False)
    if name in ("BatchTopKSAE", "MatryoshkaBatchTopKSAE"):
        weights["threshold"] = torch.full((writers.C,), 0.7)
    expected = result(kind, weights, x, subtract=subtract, k=4)
    close(folder, x, expected)
    if name not in ("AutoEncoderTopK", "BatchTopKSAE"):
        close(bare, x, expected)


def test_a_code_at_its_threshold_is_zero(tmp_path):
    weights, _ = draw()
    weights["w_enc"][:, :] = 0
    weights["w_enc"][:, 0] = 1
    weights["b_enc"][:], weights["b_dec"][:], weights["threshold"][:] = 0, 0, 0.5
    concepts = load_sae(writers.gemma_scope(tmp_path / "a", weights))
    x = torch.zeros(3, D)
    x[:, 0] = torch.tensor([0.5, 0.500001, 0.4])
    assert (concepts.encode(x) > 0)[:, 0].tolist() == [False, True, False]


def test_a_threshold_below_zero_lets_no_negative_code_through(tmp_path):
    weights, x = draw(13)
    weights["threshold"] -= 10
    close(writers.saelens(tmp_path / "a", weights, "jumprelu"), x, result("jumprelu", weights, x))


def test_of_equal_codes_k_are_kept(tmp_path):
    weights, _ = draw()
    weights["w_enc"][:] = weights["w_enc"][0]
    weights["b_enc"][:] = 5.0
    concepts = load_sae(writers.sparsify(tmp_path / "a", weights))
    assert ((concepts.encode(0.01 * torch.randn(6, D)) > 0).sum(dim=1) == 4).all()


@pytest.mark.parametrize("name", ["saelens", "sparsify", "dictionary_learning"])
def test_square_matrices_need_the_name_of_the_format(tmp_path, name):
    weights, x = draw(14, c=D, d=D)
    if name == "saelens":
        folder = writers.saelens(tmp_path / "a", weights, "topk", settings={"k": 4})
    elif name == "sparsify":
        folder = writers.sparsify(tmp_path / "a", weights)
    else:
        folder = writers.dictionary_learning(tmp_path / "a", weights, "AutoEncoderTopK")
    with pytest.raises(ValueError, match=r"cannot be told from its transpose; pass format="):
        load_sae(folder)
    close(folder, x, result("topk", weights, x, k=4), format=name)


def test_a_matrix_that_can_only_be_transposed_is(tmp_path):
    weights, x = draw(15)
    turned = {"W_enc": weights["w_enc"].contiguous()}
    close(writers.saelens(tmp_path / "a", weights, "standard", tensors=turned), x, result("standard", weights, x))
