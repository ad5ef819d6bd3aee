"""Autoencoders at split points; files that are damaged, of something else, or dangerous; nothing fetched unasked."""

import json
import pickle

import huggingface_hub
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from interpreto.concepts.files import load_sae
from interpreto.concepts.files.attaching import point_of_hook, width_at
from interpreto.errors import InputError
from interpreto.model_wrapping import ModelWithSplitPoints
from tests.concepts.files import writers
from tests.concepts.files.writers import draw
from tests.tiny import LINES, byte_bpe, classifier, language_model, metaspace, sequence_to_sequence, wordpiece


@pytest.fixture(autouse=True)
def hub(monkeypatch):
    """No test reaches the hub unless it says how."""

    def unasked(*args, **options):
        raise AssertionError("fetched unasked")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unasked)


@pytest.fixture(scope="module")
def writer():
    return ModelWithSplitPoints(language_model(), [0, 1], tokenizer=byte_bpe())


@pytest.fixture
def wide():
    return draw(0, c=48, d=32)[0]


def test_the_hook_says_where(tmp_path, writer, wide):
    concepts = load_sae(writers.saelens(tmp_path / "a", wide, "jumprelu"), writer)
    assert concepts.split_point == "1"
    activations = writer.get_activations(LINES)
    codes, _ = writers.result("jumprelu", wide, activations["1"])
    torch.testing.assert_close(concepts.encode(activations).double(), codes, rtol=1e-4, atol=1e-4)
    assert concepts.importance(LINES[:1]).signed.shape[1] == 48


def test_the_loaded_are_saved_as_the_fitted_are(tmp_path, writer, wide):
    concepts = load_sae(writers.saelens(tmp_path / "a", wide, "gated"), writer)
    again = type(concepts).load(concepts.save(tmp_path / "b"), writer)
    rows = writer.get_activations(LINES)
    assert torch.equal(again.encode(rows), concepts.encode(rows))


def test_the_user_says_where(tmp_path, writer, wide):
    folder = writers.saelens(tmp_path / "a", wide, "standard")
    assert load_sae(folder, writer, 0).split_point == "0"
    assert load_sae(folder, writer, -1).split_point == "1"
    assert load_sae(folder, None, 5).split_point == 5
    one = ModelWithSplitPoints(language_model(), 0, tokenizer=byte_bpe())
    bare = writers.gemma_scope(tmp_path / "b", wide)  # says nothing
    assert load_sae(bare, one).split_point == "0"
    with pytest.raises(InputError, match=r"does not tell where it belongs; pass one of \['0', '1'\]"):
        load_sae(bare, writer)
    with pytest.raises(InputError, match=r"split_points=\['1'\]"):
        load_sae(folder, one)
    with pytest.raises(InputError, match=r"'blocks.1.hook_resid_post'"):
        load_sae(folder, one)
    unknown = writers.saelens(tmp_path / "c", wide, "standard", hook="blocks.1.hook_mlp_out")
    with pytest.raises(InputError, match=r"names no one place in this model; pass split_point"):
        load_sae(unknown, writer)


def test_a_model_of_another_width_is_refused(tmp_path, writer):
    folder = writers.saelens(tmp_path / "a", draw()[0], "standard")
    with pytest.raises(InputError, match="expected activations of the width 8 that the autoencoder has, got 32"):
        load_sae(folder, writer)


@pytest.mark.parametrize(
    ("hook", "point"),
    [
        ("blocks.1.hook_resid_post", "1"),
        ("blocks.1.hook_resid_pre", "0"),
        ("blocks.0.hook_resid_pre", None),
        ("blocks.7.hook_resid_post", None),
        ("h.1", "1"),
        ("transformer.h.1", "1"),
        ("transformer.h.1.output", "1"),
        ("h.1.mlp", "transformer.h.1.mlp"),
        ("h.0.mlp.c_proj.input", "transformer.h.0.mlp.c_proj:input"),
        ("mlp", None),
        ("layers.1", None),
        ("hook_embed", None),
        ("../h.1", None),
        ("", None),
    ],
)
def test_names_of_other_libraries(writer, hook, point):
    assert point_of_hook(hook, writer) == point


def test_names_where_blocks_are_not_numbered():
    split = ModelWithSplitPoints(sequence_to_sequence(), ["encoder.1", "decoder.0"], tokenizer=metaspace())
    assert point_of_hook("encoder.block.1", split) == "encoder.1"
    assert point_of_hook("block.1", split) is None
    assert point_of_hook("blocks.1.hook_resid_post", split) is None
    assert width_at(split, "decoder.0") == width_at(split, "encoder.1") == 32


def test_sparsify_folders_are_named_after_their_module(tmp_path, wide):
    split = ModelWithSplitPoints(classifier(), ["0", "bert.encoder.layer.0.output"], tokenizer=wordpiece())
    settings = {"expansion_factor": 1, "num_latents": 48}
    assert load_sae(writers.sparsify(tmp_path / "layer.0", wide, settings=settings), split).split_point == "0"
    folder = writers.sparsify(tmp_path / "layer.0.output", wide, settings=settings)
    assert load_sae(folder, split).split_point in ("0", "bert.encoder.layer.0.output")
    gemma = tmp_path / "gemma-scope-2b-pt-res" / "layer_0" / "width_16k" / "average_l0_9"
    assert load_sae(writers.gemma_scope(gemma, wide), split).split_point == "0"


def _break(folder, change):
    path = folder / "sae_weights.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("W_enc"), "expected a tensor 'W_enc'"),
        (lambda t: t.pop("b_dec"), "expected a tensor 'b_dec'"),
        (lambda t: t.pop("threshold"), "expected a tensor 'threshold'"),
        (lambda t: t.update(W_dec=torch.zeros(24, 9)), r"'W_dec' of shape \(24, 8\) or \(8, 24\), got \(24, 9\)"),
        (lambda t: t.update(threshold=torch.zeros(5)), r"'threshold' of shape \(24,\), got \(5,\)"),
        (lambda t: t.update(b_enc=torch.zeros(24, 1)), "'b_enc' of shape"),
        (lambda t: t.update(b_enc=torch.zeros(0)), "'b_enc' of shape"),
        (lambda t: t["W_dec"][3].fill_(float("nan")), "NaN or infinity in|in 'W_dec', got NaN"),
        (lambda t: t["b_enc"][3].fill_(float("inf")), "in 'b_enc', got NaN or infinity"),
        (lambda t: t.update(W_dec=torch.ones(24, 8, dtype=torch.int64)), "expected floats in 'W_dec'"),
        (lambda t: t.update(scaling_factor=torch.full((24,), 2.0)), "'scaling_factor' that is not 1"),
    ],
)
def test_tensors_that_are_not_as_they_should_be(tmp_path, change, message):
    folder = writers.saelens(tmp_path / "a", draw()[0], "jumprelu")
    _break(folder, change)
    with pytest.raises(InputError, match=message):
        load_sae(folder)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"architecture": "transcoder"}, "architecture 'transcoder'"),
        ({"architecture": "skip_transcoder"}, "architecture 'skip_transcoder'"),
        ({"architecture": 3}, "'architecture' to be a text"),
        ({"normalize_activations": "layer_norm"}, "'layer_norm': rows are normalised one by one"),
        ({"normalize_activations": "constant_norm_rescale"}, "'constant_norm_rescale': rows are scaled one by one"),
        ({"normalize_activations": "covariance_whitening"}, "the whitening is not in the files"),
        ({"normalize_activations": "new"}, "'new': it is not known"),
        ({"normalize_activations": "expected_average_only_in"}, "pass mean_norm="),
        ({"reshape_activations": "hook_z"}, "reshape_activations 'hook_z'"),
        ({"hook_head_index": 2}, "hook_head_index 2"),
        ({"activation_fn": "tanh-relu"}, "activation_fn 'tanh-relu'"),
        ({"d_in": 9}, "expected tensors of d_in 9, got 8"),
        ({"d_sae": 25}, "expected tensors of d_sae 25, got 24"),
        ({"apply_b_dec_to_input": "yes"}, "to be true or false"),
        ({"metadata": []}, "'metadata' to be an object"),
        ({"architecture": "topk"}, "'k' to be a whole number above 0, got None"),
        ({"architecture": "topk", "k": 25}, "k 25: there are 24 concepts"),
        ({"architecture": "topk", "k": True}, "'k' to be a whole number"),
        ({"architecture": "matching_pursuit", "residual_threshold": "x"}, "'residual_threshold' to be a number"),
    ],
)
def test_settings_that_cannot_be_represented(tmp_path, settings, message):
    folder = writers.saelens(tmp_path / "a", draw()[0], "standard", settings=settings)
    with pytest.raises(InputError, match=message):
        load_sae(folder)


def test_what_else_cannot_be_represented(tmp_path):
    weights, _ = draw()
    old = writers.saelens(tmp_path / "a", weights, "standard", hook="blocks.3.attn.hook_z", old=True)
    with pytest.raises(InputError, match="reshape_activations 'hook_z'"):
        load_sae(old)
    skip = {"affine_skip_connection": torch.zeros(8, 8)}
    for number, (settings, tensors) in enumerate(
        [({}, skip), ({"hf_hook_point_out": "model.layers.1.mlp.output"}, {}), ({"architecture": "gated"}, {})]
    ):
        folder = writers.gemma_scope_2(tmp_path / f"g{number}", weights, settings=settings, tensors=tensors)
        with pytest.raises(InputError, match=r"transcoder|architecture 'gated'"):
            load_sae(folder)
    for number, settings in enumerate(
        [{"hook_point_out": "blocks.1.hook_mlp_out"}, {"norm_activation": "token-wise"}, {"act_fn": "gelu"}]
    ):
        with pytest.raises(InputError, match=r"transcoder|norm_activation 'token-wise'|act_fn 'gelu'"):
            load_sae(writers.llama_scope(tmp_path / f"l{number}", weights, settings=settings))
    for name in ("transcode", "skip_connection", "signed"):
        with pytest.raises(InputError, match=name):
            load_sae(writers.sparsify(tmp_path / name, weights, settings={name: True}))
    with pytest.raises(InputError, match="activation 'groupmax'"):
        load_sae(writers.sparsify(tmp_path / "s1", weights, settings={"activation": "groupmax"}))
    with pytest.raises(InputError, match="W_skip"):
        load_sae(writers.sparsify(tmp_path / "s2", weights, tensors={"W_skip": torch.zeros(8, 8)}))
    with pytest.raises(InputError, match="num_latents 25"):
        load_sae(writers.sparsify(tmp_path / "s3", weights, settings={"num_latents": 25}))
    trainer = {"dict_class": "CrossCoder"}
    with pytest.raises(InputError, match="dict_class 'CrossCoder'"):
        load_sae(writers.dictionary_learning(tmp_path / "d1", weights, "AutoEncoder", trainer=trainer))
    with pytest.raises(InputError, match="to tell top-k of a row from top-k of a batch"):
        load_sae(writers.dictionary_learning(tmp_path / "d2", weights, "BatchTopKSAE", config=False))
    with pytest.raises(InputError, match="activation_dim 9, got 8"):
        load_sae(writers.dictionary_learning(tmp_path / "d3", weights, "AutoEncoder", trainer={"activation_dim": 9}))


@pytest.mark.parametrize("place", ["metadata", "flat"])
def test_centred_weights_are_told_of(tmp_path, place):
    options = {"model_from_pretrained_kwargs": {"center_writing_weights": True}}
    settings = {"metadata": {"sae_lens_version": "6.0.0", **options}} if place == "metadata" else options
    with pytest.warns(UserWarning, match="the mean over the width is missing"):
        load_sae(writers.saelens(tmp_path / "a", draw()[0], "standard", settings=settings))


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_no_file_is_ever_run(tmp_path):
    folder, mark = tmp_path / "a", tmp_path / "mark"
    folder.mkdir()
    torch.save({"bias": torch.zeros(3), "x": Malicious(mark)}, folder / "ae.pt")
    with pytest.raises(InputError, match="which is never run"):
        load_sae(folder)
    (folder / "ae.pt").write_bytes(pickle.dumps(Malicious(mark), protocol=2))
    with pytest.raises(InputError, match=r"never run|damaged"):
        load_sae(folder)
    torch.save([torch.zeros(3)], folder / "ae.pt")
    with pytest.raises(InputError, match="expected tensors by name, got list"):
        load_sae(folder)
    (tmp_path / "b").mkdir()
    np.savez(tmp_path / "b" / "params.npz", W_enc=np.array([Malicious(mark)], dtype=object))
    with pytest.raises(InputError, match="damaged"):
        load_sae(tmp_path / "b")
    assert not mark.exists()


def test_damaged_files(tmp_path):
    folder = writers.saelens(tmp_path / "a", draw()[0], "standard")
    weights = folder / "sae_weights.safetensors"
    whole = weights.read_bytes()
    for wrong in (whole[:-5], b"", b"\xff" * 200):
        weights.write_bytes(wrong)
        with pytest.raises(InputError, match="damaged"):
            load_sae(folder)
    weights.write_bytes(whole)
    for wrong in ("{", "[]", "\x00", "[" * 100_000):
        (folder / "cfg.json").write_text(wrong)
        with pytest.raises(InputError, match="expected a JSON object"):
            load_sae(folder)
    (folder / "cfg.json").unlink()
    with pytest.raises(InputError, match=r"cfg.json: expected a file with settings, there is none"):
        load_sae(folder)
    gemma = writers.gemma_scope(tmp_path / "b", draw()[0])
    (gemma / "params.npz").write_bytes((gemma / "params.npz").read_bytes()[:100])
    with pytest.raises(InputError, match="damaged"):
        load_sae(gemma)


def test_folders_that_are_none_or_of_several_formats(tmp_path):
    weights, _ = draw()
    with pytest.raises(InputError, match="expected a folder that is there"):
        load_sae(tmp_path / "nothing")
    with pytest.raises(InputError, match="expected a folder that is there"):
        load_sae(str(tmp_path / "nothing"))
    with pytest.raises(InputError, match=r"expected one of \['sae_weights.safetensors'"):
        load_sae(tmp_path)
    folder = writers.saelens(tmp_path / "a", weights, "standard")
    writers.sparsify(folder, weights)
    with pytest.raises(InputError, match=r"got those of \['saelens', 'sparsify'\]; pass format"):
        load_sae(folder)
    assert load_sae(folder, format="sparsify").k == 4
    with pytest.raises(InputError, match="format: expected one of"):
        load_sae(folder, format="other")
    with pytest.raises(InputError, match="mean_norm: expected none for sparsify"):
        load_sae(folder, format="sparsify", mean_norm=1.0)


@pytest.mark.parametrize("subfolder", ["..", "../a", "/a", "a/../..", "a//b", "a\\..\\b", "a\x00", "*", "a/./b"])
def test_no_way_leads_out_of_the_folder(tmp_path, subfolder):
    writers.saelens(tmp_path / "a", draw()[0], "standard")
    (tmp_path / "b").mkdir()
    with pytest.raises(InputError, match="subfolder: expected a path inside"):
        load_sae(tmp_path / "b", subfolder=subfolder)


def test_a_subfolder_is_read(tmp_path):
    writers.saelens(tmp_path / "x" / "blocks.5.hook_resid_post", draw()[0], "standard")
    assert load_sae(tmp_path, subfolder="x/blocks.5.hook_resid_post").nb_concepts == 24
    with pytest.raises(InputError, match="subfolder: expected a folder in"):
        load_sae(tmp_path, subfolder="y")


def test_a_repository_is_fetched_when_it_is_named(tmp_path, monkeypatch):
    weights, x = draw()
    writers.gemma_scope(tmp_path / "layer_1" / "width_16k", weights)
    asked = []

    def fetch(name, **options):
        asked.append((name, options))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    concepts = load_sae("owner/gemma-scope-2b-pt-res", subfolder="layer_1/width_16k", revision="v1")
    torch.testing.assert_close(
        concepts.encode(x).double(), writers.result("jumprelu", weights, x, subtract=False)[0], rtol=1e-4, atol=1e-4
    )
    ((name, options),) = asked
    assert (name, options["revision"]) == ("owner/gemma-scope-2b-pt-res", "v1")
    assert "layer_1/width_16k/params.npz" in options["allow_patterns"]
    assert all(pattern.startswith("layer_1/width_16k/") for pattern in options["allow_patterns"])
    for wrong in ("owner/../x", "a/b/c", "only", "o/..", "http://a/b"):
        with pytest.raises(InputError, match="expected a folder that is there"):
            load_sae(wrong)
    assert len(asked) == 1

    def offline(name, **options):
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(InputError, match=r"no repository of that name could be fetched.*no network"):
        load_sae("owner/name")


def test_the_model_is_untouched(tmp_path, writer, wide):
    before = {name: tensor.clone() for name, tensor in writer.model.state_dict().items()}
    load_sae(writers.saelens(tmp_path / "a", wide, "standard"), writer)
    assert all(torch.equal(tensor, before[name]) for name, tensor in writer.model.state_dict().items())
    assert not any(module._forward_hooks for module in writer.model.modules())
    assert json.loads((tmp_path / "a" / "cfg.json").read_text())["architecture"] == "standard"
