"""What is written for SAELens is read back the same, by this library and by SAELens where it is installed."""

import json

import pytest
import torch

from interpreto.concepts import (
    ArchetypalSAEConcepts,
    BatchTopKSAEConcepts,
    GatedSAEConcepts,
    JumpReLUSAEConcepts,
    MatryoshkaSAEConcepts,
    MpSAEConcepts,
    PCAConcepts,
    TopKSAEConcepts,
    VanillaSAEConcepts,
)
from interpreto.concepts.files import load_sae, save_saelens
from interpreto.errors import InputError, NotFittedError, StoreError
from interpreto.model_wrapping import ModelWithSplitPoints
from tests.concepts.files import writers
from tests.tiny import LINES, byte_bpe, language_model

KINDS = {
    "vanilla": (VanillaSAEConcepts, {"target_l0": 4.0}, "standard"),
    "topk": (TopKSAEConcepts, {"k": 4}, "topk"),
    "archetypal": (ArchetypalSAEConcepts, {"k": 4}, "topk"),
    "batch": (BatchTopKSAEConcepts, {"k": 4}, "jumprelu"),
    "matryoshka": (MatryoshkaSAEConcepts, {"k": 4}, "jumprelu"),
    "jumprelu": (JumpReLUSAEConcepts, {"target_l0": 4.0}, "jumprelu"),
    "gated": (GatedSAEConcepts, {"target_l0": 4.0}, "gated"),
    "mp": (MpSAEConcepts, {"k": 4}, "matching_pursuit"),
}


@pytest.fixture(scope="module")
def rows():
    return 3 * torch.randn(300, 12, generator=torch.Generator().manual_seed(0)) + 1


def fitted(name, rows):
    kind, options, architecture = KINDS[name]
    concepts = kind(None, nb_concepts=20, n_steps=60, batch_size=64, **options)
    concepts.fit(rows)
    return concepts, architecture


@pytest.mark.parametrize("name", KINDS)
def test_written_and_read_back(name, rows, tmp_path):
    concepts, architecture = fitted(name, rows)
    folder = save_saelens(concepts, tmp_path / "a" / "b")
    about = json.loads((folder / "cfg.json").read_text())
    assert (about["architecture"], about["d_in"], about["d_sae"]) == (architecture, 12, 20)
    assert sorted(path.name for path in folder.iterdir()) == ["cfg.json", "sae_weights.safetensors"]
    again = load_sae(folder)
    codes = concepts.encode(rows)
    assert bool((codes != 0).any())
    torch.testing.assert_close(again.encode(rows), codes, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(again.decode(codes), concepts.decode(codes), rtol=1e-6, atol=1e-6)
    first = (folder / "sae_weights.safetensors").read_bytes(), (folder / "cfg.json").read_bytes()
    save_saelens(concepts, folder)
    assert ((folder / "sae_weights.safetensors").read_bytes(), (folder / "cfg.json").read_bytes()) == first


@pytest.mark.parametrize("name", KINDS)
def test_sae_lens_gives_the_same_codes(name, rows, tmp_path):
    sae_lens = pytest.importorskip("sae_lens")
    concepts, _ = fitted(name, rows)
    theirs = sae_lens.SAE.load_from_disk(save_saelens(concepts, tmp_path))
    with torch.no_grad():
        codes, again = theirs.encode(rows), theirs(rows)
    own = concepts.encode(rows)
    assert torch.equal(codes != 0, own != 0)
    torch.testing.assert_close(codes, own, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(again, concepts.decode(own), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("subtract", [True, False])
@pytest.mark.parametrize("name", ["Standard", "TopK", "JumpReLU", "Gated", "MatchingPursuit"])
def test_what_sae_lens_writes_is_read(name, subtract, rows, tmp_path):
    saes = pytest.importorskip("sae_lens.saes")
    options = {"TopK": {"k": 4, "rescale_acts_by_decoder_norm": True}}
    options["MatchingPursuit"] = {"residual_threshold": 0, "stop_on_duplicate_support": False, "max_iterations": 4}
    config = getattr(saes, f"{name}SAEConfig")(
        d_in=12, d_sae=20, apply_b_dec_to_input=subtract, **options.get(name, {})
    )
    theirs = getattr(saes, f"{name}SAE")(config)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(torch.randn_like(parameter).abs() if parameter is getattr(theirs, "threshold", None)
                            else 0.5 * torch.randn_like(parameter))  # fmt: skip
        theirs.save_model(tmp_path)
        codes, again = theirs.encode(rows), theirs(rows)
    own = load_sae(tmp_path)
    torch.testing.assert_close(own.encode(rows), codes, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(own.decode(own.encode(rows)), again, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("subtract", [True, False])
@pytest.mark.parametrize(
    "stops",
    [
        {},
        {"residual_threshold": 0.0},
        {"residual_threshold": 2.0, "stop_on_duplicate_support": False},
        {"residual_threshold": 2.0, "max_iterations": 3},
    ],
)
def test_pursuits_stop_where_those_of_sae_lens_stop(stops, subtract, rows, tmp_path):
    sae_lens = pytest.importorskip("sae_lens")
    saes = sae_lens.saes
    theirs = saes.MatchingPursuitSAE(
        saes.MatchingPursuitSAEConfig(d_in=12, d_sae=20, apply_b_dec_to_input=subtract, **stops)
    )
    rng = torch.Generator().manual_seed(0)
    directions = torch.randn(20, 12, generator=rng)
    with torch.no_grad():
        theirs.W_dec.copy_(directions / directions.norm(dim=1, keepdim=True))
        theirs.b_dec.copy_(torch.randn(12, generator=rng))
        theirs.save_model(tmp_path / "a")
        codes, again = theirs.encode(rows), theirs(rows)
    own = load_sae(tmp_path / "a")
    for one in (own, load_sae(save_saelens(own, tmp_path / "b"))):
        found = one.encode(rows)
        assert torch.equal(found != 0, codes != 0)
        torch.testing.assert_close(found, codes, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(one.decode(found), again, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        written = sae_lens.SAE.load_from_disk(tmp_path / "b").encode(rows)
    torch.testing.assert_close(written, codes, rtol=1e-4, atol=1e-4)
    l0 = (codes != 0).sum(dim=1)
    assert l0.min() < l0.max() or stops.get("max_iterations") == 3


def test_early_stops_of_a_pursuit_are_written(tmp_path):
    weights, x = writers.draw(3)
    weights["w_dec"] /= weights["w_dec"].norm(dim=1, keepdim=True)
    first = load_sae(writers.saelens(tmp_path / "a", weights, "matching_pursuit", settings={"residual_threshold": 0.5}))
    folder = save_saelens(first, tmp_path / "b")
    about = json.loads((folder / "cfg.json").read_text())
    assert (about["residual_threshold"], about["max_iterations"], about["stop_on_duplicate_support"]) == (0.5, 8, True)
    assert torch.equal(load_sae(folder).encode(x), first.encode(x))


def test_the_file_says_where_it_belongs(rows, tmp_path):
    split = ModelWithSplitPoints(language_model(), [1, "transformer.h.0.mlp"], tokenizer=byte_bpe())
    activations = split.get_activations(LINES)
    for point, hook in (("1", "blocks.1.hook_resid_post"), ("transformer.h.0.mlp", "transformer.h.0.mlp")):
        concepts = TopKSAEConcepts(split, split_point=point, nb_concepts=40, k=4, n_steps=20, batch_size=32)
        concepts.fit(activations)
        folder = save_saelens(concepts, tmp_path / point, model_name="owner/model")
        metadata = json.loads((folder / "cfg.json").read_text())["metadata"]
        assert (metadata["hook_name"], metadata["model_name"]) == (hook, "owner/model")
        again = load_sae(folder, split)
        assert again.split_point == point
        torch.testing.assert_close(again.encode(activations), concepts.encode(activations))


def test_no_path_of_this_machine_is_written(rows, tmp_path):
    model = language_model()
    model.config._name_or_path = str(tmp_path)
    split = ModelWithSplitPoints(model, 1, tokenizer=byte_bpe())
    concepts = TopKSAEConcepts(split, nb_concepts=40, k=4, n_steps=20, batch_size=32)
    concepts.fit(split.get_activations(LINES))
    assert str(tmp_path) not in (save_saelens(concepts, tmp_path / "a") / "cfg.json").read_text()


def test_what_cannot_be_written(rows, tmp_path):
    with pytest.raises(NotFittedError):
        save_saelens(TopKSAEConcepts(None, nb_concepts=4, k=2), tmp_path)
    other = PCAConcepts(None, nb_concepts=2)
    other.fit(rows)
    with pytest.raises(InputError, match="expected a sparse autoencoder, got PCAConcepts"):
        save_saelens(other, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="could not be written"):
        save_saelens(fitted("topk", rows)[0], tmp_path / "file")


def test_a_loaded_one_is_written_again(tmp_path):
    weights, x = writers.draw()
    folder = writers.saelens(tmp_path / "a", weights, "jumprelu", settings={"apply_b_dec_to_input": False})
    again = load_sae(save_saelens(load_sae(folder), tmp_path / "b"))
    codes, _ = writers.result("jumprelu", weights, x, subtract=False)
    torch.testing.assert_close(again.encode(x).double(), codes, rtol=1e-4, atol=1e-4)
