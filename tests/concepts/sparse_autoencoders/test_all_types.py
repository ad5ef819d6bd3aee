"""What every type of sparse autoencoder must do."""

import pytest
import torch

from interpreto.concepts.sparse_autoencoders import base
from interpreto.errors import InputError, StoreError
from interpreto.model_wrapping import ModelWithSplitPoints
from tests.concepts.sparse_autoencoders.planted import OPTIONS, TYPES, make, planted
from tests.tiny import LINES, byte_bpe, language_model

_, ROWS = planted()
FITTED = {}


def fitted(name):
    if name not in FITTED:
        FITTED[name] = make(name)
        FITTED[name].fit(ROWS)
    return FITTED[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", TYPES)
def test_planted_directions_are_found(name):
    directions, rows = planted(n=8000, c=32, d=48)
    concepts = make(name, nb_concepts=40, n_steps=1000, batch_size=128, lr=5e-3)
    report = concepts.fit(rows)
    found = (directions @ concepts.dictionary.T).max(dim=1).values
    assert (found > 0.9).float().mean() >= 0.9
    assert report.l0 == pytest.approx(3, rel=0.1)
    assert report.dead_fraction < 0.21  # there are eight concepts more than directions
    assert report.explained_variance > 0.5
    assert len(report.losses) == 1000


@pytest.mark.parametrize("name", TYPES)
def test_codes_are_the_same_after_saving(name, tmp_path):
    concepts = fitted(name)
    loaded = type(concepts).load(concepts.save(tmp_path))
    assert torch.equal(loaded.encode(ROWS), concepts.encode(ROWS))
    assert torch.equal(loaded.dictionary, concepts.dictionary)
    assert loaded.report == concepts.report


@pytest.mark.parametrize("name", TYPES)
def test_a_row_does_not_depend_on_its_neighbours(name):
    concepts, some = fitted(name), ROWS[:60]
    whole = concepts.encode(some)
    assert (whole >= 0).all()
    for size in (1, 7):
        pieces = torch.cat([concepts.encode(piece) for piece in some.split(size)])
        torch.testing.assert_close(pieces, whole, rtol=1e-4, atol=1e-5)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(concepts.encode(some[order]), whole[order], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", TYPES)
def test_decoder_rows_have_norm_1(name):
    torch.testing.assert_close(fitted(name).dictionary.norm(dim=1), torch.ones(24))


@pytest.mark.parametrize("name", TYPES)
def test_decode_is_linear_in_the_dictionary(name):
    model = fitted(name).concept_model
    codes = model.encode(ROWS[:5])
    torch.testing.assert_close(model.decode(codes), codes @ model.dictionary + model.bias)


@pytest.mark.parametrize("name", TYPES)
def test_a_seed_repeats(name):
    again, other = make(name), make(name, seed=1)
    again.fit(ROWS)
    other.fit(ROWS)
    assert torch.equal(again.dictionary, fitted(name).dictionary)
    assert again.report == fitted(name).report
    assert not torch.equal(other.dictionary, again.dictionary)


@pytest.mark.parametrize("name", TYPES)
def test_gradients_equal_finite_differences(name):
    model = fitted(name).concept_model
    double = type(model)(**{n: t.double() for n, t in model.tensors().items()}, **model.settings())
    x = ROWS[:4].double()
    weights = torch.randn(4, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    ahead = torch.randn(4, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(2))

    def score(rows):
        codes = double.encode(rows)
        return (codes * weights).sum() + double.decode(codes * weights).square().sum()

    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(score(leaf), leaf)
    assert not any(tensor.requires_grad for tensor in model.tensors().values())
    step = 1e-6 * ahead
    numeric = (score(x + step) - score(x - step)) / 2e-6
    assert float((gradient * ahead).sum()) == pytest.approx(float(numeric), rel=1e-4)


@pytest.mark.parametrize("name", TYPES)
def test_a_stopped_training_goes_on(name, tmp_path, monkeypatch):
    path = tmp_path / "folder" / "training.safetensors"
    whole = fitted(name)

    def stop_at(self, model, x, training):
        if training.step == 47:
            raise KeyboardInterrupt
        return loss(self, model, x, training)

    stopped = make(name, checkpoint=path, checkpoint_every=20)
    loss = type(stopped).loss
    with monkeypatch.context() as patch:
        patch.setattr(type(stopped), "loss", stop_at)
        with pytest.raises(KeyboardInterrupt):
            stopped.fit(ROWS)
    steps = []
    with monkeypatch.context() as patch:
        patch.setattr(type(stopped), "loss", lambda *args: steps.append(args[3].step) or loss(*args))
        resumed = make(name, checkpoint=str(path), checkpoint_every=30)
        resumed.fit(ROWS)
    assert steps == list(range(40, 60))
    assert resumed.report == whole.report
    for tensor, other in zip(
        resumed.concept_model.tensors().values(), whole.concept_model.tensors().values(), strict=True
    ):
        assert torch.equal(tensor, other)
    done = make(name, checkpoint=path)
    done.fit(ROWS)
    assert done.report == whole.report


@pytest.mark.parametrize("name", TYPES)
def test_scale_of_the_rows_is_folded_in(name):
    concepts, large = fitted(name), make(name)
    large.fit(64 * ROWS)
    torch.testing.assert_close(large.dictionary, concepts.dictionary)
    torch.testing.assert_close(large.encode(64 * ROWS[:50]), 64 * concepts.encode(ROWS[:50]), rtol=1e-3, atol=1e-3)
    model = concepts.concept_model
    codes, larger = model.encode(ROWS), model.of_larger(4.0)
    assert torch.equal(larger.encode(4 * ROWS), 4 * codes)
    torch.testing.assert_close(larger.decode(4 * codes), 4 * model.decode(codes))


@pytest.mark.parametrize("name", ["TopKSAEConcepts", "VanillaSAEConcepts"])
def test_a_store_gives_the_same_as_a_tensor(name, tmp_path):
    split = ModelWithSplitPoints(language_model(), 0, tokenizer=byte_bpe())
    store = split.get_activations(LINES, "all_tokens", store=tmp_path / "store")
    memory = split.get_activations(LINES, "all_tokens")
    options = {"nb_concepts": 8, "batch_size": 16, "n_steps": 20}
    found = []
    for activations in (store, memory):
        concepts = make(name, **options)
        concepts.model_with_split_points = split
        concepts.fit(activations)
        found.append(concepts)
    assert torch.equal(found[0].dictionary, found[1].dictionary)
    assert found[0].report == found[1].report


def test_rows_are_never_read_whole(monkeypatch):
    from interpreto.model_wrapping import TensorRows

    sizes = []
    take = TensorRows.take
    monkeypatch.setattr(TensorRows, "all", lambda self: pytest.fail("read whole"))
    monkeypatch.setattr(TensorRows, "take", lambda self, i: sizes.append(len(i)) or take(self, i))
    make("TopKSAEConcepts").fit(ROWS.repeat(20, 1))
    assert max(sizes) <= 1 << 14


def test_rows_with_large_norms_are_left_out():
    wild = torch.cat([ROWS, 1000 * torch.randn(20, 24, generator=torch.Generator().manual_seed(0))])
    without, with_them = make("TopKSAEConcepts"), make("TopKSAEConcepts", outlier_norm=None)
    without.fit(wild)
    with_them.fit(wild)
    calm = without.concept_model
    assert (ROWS - calm.decode(calm.encode(ROWS))).square().mean() < ROWS.var()
    assert not torch.equal(calm.dictionary, with_them.dictionary)


@pytest.mark.parametrize("name", TYPES)
def test_refuses_what_cannot_be(name):
    (option,) = OPTIONS[name]
    of_k = [(25, "at most as many as there are concepts"), (0, "at least 1"), (-1, "at least 1")]
    of_target = [(24.0, "fewer than the concepts"), (0.0, "more than 0"), (-1.0, "more than 0")]
    for value, message in of_k if option == "k" else of_target:
        with pytest.raises(InputError, match=message):
            make(name, **{option: value})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size: expected a whole number, at least 1, got 0"),
        ({"n_steps": -5}, "n_steps: expected"),
        ({"n_steps": None, "n_epochs": 0}, "n_epochs: expected"),
        ({"n_epochs": 2}, "expected one of them"),
        ({"lr": 0.0}, "lr: expected"),
        ({"outlier_norm": 0.5}, "outlier_norm: expected"),
        ({"checkpoint_every": 0}, "checkpoint_every: expected"),
        ({"nb_concepts": 0}, "nb_concepts: expected"),
    ],
)
def test_refuses_options(options, message):
    with pytest.raises(InputError, match=message):
        make("TopKSAEConcepts", **options)


def test_refuses_the_checkpoint_of_another_training(tmp_path):
    path = tmp_path / "training.safetensors"
    make("TopKSAEConcepts", n_steps=5, checkpoint=path).fit(ROWS)
    with pytest.raises(InputError, match="expected a training with options"):
        make("TopKSAEConcepts", n_steps=6, checkpoint=path).fit(ROWS)
    with pytest.raises(InputError, match="expected a training with activations"):
        make("TopKSAEConcepts", n_steps=5, checkpoint=path).fit(ROWS + 1)
    with pytest.raises(InputError, match="expected a training with explainer"):
        make("BatchTopKSAEConcepts", n_steps=5, checkpoint=path).fit(ROWS)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="damaged file"):
        make("TopKSAEConcepts", n_steps=5, checkpoint=path).fit(ROWS)


def test_a_checkpoint_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="could not be written"):
        make("TopKSAEConcepts", n_steps=5, checkpoint=tmp_path / "file" / "training").fit(ROWS)


def test_epochs_and_steps():
    concepts = make("TopKSAEConcepts", n_steps=None, n_epochs=2, batch_size=64)
    assert len(concepts.fit(ROWS).losses) == 2 * (4000 // 64)
    few = make("TopKSAEConcepts", n_steps=3, batch_size=5000)
    assert len(few.fit(ROWS).losses) == 3


def test_every_option_is_described():
    for name in ("batch_size", "n_steps", "n_epochs", "lr", "outlier_norm", "checkpoint"):
        assert f"{name}:" in base.SAEConcepts.__doc__
