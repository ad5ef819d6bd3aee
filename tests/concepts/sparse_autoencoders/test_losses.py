"""Losses and gradients of each type, against a slow and obvious second computation."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from scipy.optimize import minimize

from interpreto.concepts.sparse_autoencoders import sparse_autoencoder
from interpreto.concepts.sparse_autoencoders import training as training_module
from interpreto.concepts.sparse_autoencoders.archetypal import centroids
from interpreto.concepts.sparse_autoencoders.auxiliary import auxiliary_loss
from interpreto.concepts.sparse_autoencoders.batch_top_k import chosen_of_batch
from interpreto.concepts.sparse_autoencoders.jump_relu import jump_relu
from interpreto.concepts.sparse_autoencoders.matching_pursuit import MatchingPursuitSAE
from interpreto.concepts.sparse_autoencoders.sparse_codes import decoded, largest, top_of_batch, top_of_rows
from interpreto.concepts.sparse_autoencoders.sparsity import steered
from interpreto.concepts.sparse_autoencoders.start import geometric_median, start_of
from interpreto.model_wrapping import TensorRows
from tests.concepts.sparse_autoencoders.planted import TYPES, begun, make, planted

_, ROWS = planted(n=300)
N = 20


def disturbed(name, **options):
    """A training in its middle: parameters that are not those of the start."""
    concepts = make(name, **options)
    parameters, training, x = begun(concepts, ROWS, step=60)
    rng = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in parameters.values():
            parameter += 0.1 * torch.randn(parameter.shape, generator=rng)
        if "weights" in parameters:
            concepts.constrain(parameters, training)
    return concepts, parameters, training, x[:N]


def dense(codes, c):
    found = torch.zeros(len(codes.starts), c)
    ends = [*codes.starts.tolist()[1:], len(codes.values)]
    for row, (first, last) in enumerate(zip(codes.starts.tolist(), ends, strict=True)):
        for at in range(first, last):
            found[row, codes.columns[at]] += codes.values[at]
    return found


def pre(p, x):
    return torch.stack([p["encoder"] @ (row - p["bias"]) + p["encoder_bias"] for row in x])


def kept(values, count):
    """The `count` largest of all entries, the others 0."""
    least = values.flatten().sort(descending=True).values[count - 1]
    return torch.where(values >= least, values, torch.zeros(()))


def share(x, again, variance):
    return sum(((row - other) ** 2).sum() for row, other in zip(x, again, strict=True)) / len(x) / variance


def slow_loss(name, concepts, p, training, x):
    variance = training.variance
    if name == "MpSAEConcepts":
        total = 0.0
        for row in x:
            left = row - p["bias"]
            for _ in range(concepts.k):
                i = int((p["decoder"] @ left).argmax())
                left = left - torch.relu(p["decoder"][i] @ left) * p["decoder"][i]
            total = total + (left**2).sum()
        return total / len(x) / variance
    if name == "GatedSAEConcepts":
        projected = (x - p["bias"]) @ p["encoder"].T
        gate = projected + p["gate_bias"]
        codes = (gate > 0) * torch.relu(projected * p["log_magnitude"].exp() + p["magnitude_bias"])
        opened = gate.clamp(min=0)
        alone = opened @ p["decoder"].detach() + p["bias"].detach()
        weight = training.buffers["weight"]
        return (
            share(x, codes @ p["decoder"] + p["bias"], variance)
            + weight * opened.sum(dim=1).mean() / variance
            + share(x, alone, variance)
        )
    values = pre(p, x)
    if name == "VanillaSAEConcepts":
        codes = values.clamp(min=0)
        error = share(x, codes @ p["decoder"] + p["bias"], variance)
        return error + training.buffers["weight"] * codes.sum(dim=1).mean() / variance
    if name == "JumpReLUSAEConcepts":
        active = values > p["threshold"]
        error = share(x, (values * active) @ p["decoder"] + p["bias"], variance)
        return error + training.buffers["weight"] * active.float().sum(dim=1).mean() / variance
    values = values.clamp(min=0)
    if name in ("TopKSAEConcepts", "ArchetypalSAEConcepts"):
        codes = torch.stack([kept(row, concepts.k) for row in values])
        decoder = p.get("decoder")
        if decoder is None:
            mixed = p["weights"] @ training.buffers["points"] + p["free"]
            decoder = mixed / mixed.norm(dim=1, keepdim=True)
        return share(x, codes @ decoder + p["bias"], variance)
    codes = kept(values, concepts.k * len(x))
    if name == "BatchTopKSAEConcepts":
        return share(x, codes @ p["decoder"] + p["bias"], variance)
    sizes = [1, 2, 3, 6, 24]
    assert concepts.sizes == sizes
    return sum(share(x, codes[:, :m] @ p["decoder"][:m] + p["bias"], variance) for m in sizes) / len(sizes)


@pytest.mark.parametrize("name", TYPES)
def test_loss_and_gradients_equal_the_slow_ones(name):
    concepts, p, training, x = disturbed(name)
    loss = concepts.loss(concepts.model(p, training), x, training)
    slow = slow_loss(name, concepts, p, training, x)
    torch.testing.assert_close(loss, slow)
    names = [key for key in p if key != "threshold"]  # its gradient is straight through, and tested below
    of_loss, of_slow = (torch.autograd.grad(value, [p[key] for key in names]) for value in (loss, slow))
    for key, own, other in zip(names, of_loss, of_slow, strict=True):
        torch.testing.assert_close(own, other, msg=lambda text, key=key: f"{key}: {text}")


@pytest.mark.parametrize("name", TYPES)
def test_dead_concepts_are_counted(name):
    concepts, p, training, x = disturbed(name)
    training.dead_after, training.step = N, 64
    with torch.no_grad():
        p["bias"] += 0
        model = concepts.model(p, training)
        concepts.loss(model, x, training)
    active = training.idle == 0
    assert active.any()
    assert set(training.idle.tolist()) <= {0, N}
    assert training.dead.tolist() == (~active).nonzero()[:, 0].tolist()


@pytest.mark.parametrize("c", [4, 65, 100, 1024, 2051])
@pytest.mark.parametrize("k", [1, 3, 4])
def test_the_largest_are_those_of_a_plain_top_k(c, k):
    values = torch.randn(30, c, generator=torch.Generator().manual_seed(c)).requires_grad_()
    found, columns = largest(values, k)
    order = columns.argsort(dim=1)
    plain, expected = values.topk(k, dim=1)
    assert torch.equal(columns.gather(1, order), expected.sort(dim=1).values)
    assert torch.equal(values.gather(1, columns), found)
    gradients = [torch.autograd.grad(kept.square().sum(), values)[0] for kept in (found, plain)]
    assert torch.equal(*gradients)
    alike = torch.ones(2, c)
    assert all(len(set(row)) == k for row in largest(alike, k)[1].tolist())


def test_sparse_codes_hold_what_was_chosen():
    values = torch.randn(6, 10, generator=torch.Generator().manual_seed(0))
    rows = dense(top_of_rows(values.split(4), 3), 10)
    assert torch.equal(rows, torch.stack([kept(row, 3) for row in values]))
    lopsided = torch.cat([values[:5] - 100, values[5:]])
    for size in (1, 4, 6):
        assert torch.equal(dense(top_of_batch(values.split(size), 6, 3), 10), kept(values, 18))
        codes = top_of_batch(lopsided.split(size), 6, 1)
        assert torch.equal(dense(codes, 10), kept(lopsided, 6))
    directions = torch.randn(10, 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(decoded(codes, directions), dense(codes, 10) @ directions)


def test_the_largest_of_a_batch_of_many_concepts():
    values = torch.randn(64, 500, generator=torch.Generator().manual_seed(0))
    values[40:] += 1
    for size in (7, 30, 64):
        assert torch.equal(dense(top_of_batch(values.split(size), 64, 5), 500), kept(values, 320))
    values[3, 7] = float("nan")
    assert len(top_of_batch(values.split(30), 64, 5).values) == 320


def dense_loss(concepts, model, x, training):
    """The loss of `TopKSAEConcepts` with nothing sparse in it."""
    p = (x - model.bias) @ model.encoder.T + model.encoder_bias
    values, columns = torch.relu(p).topk(concepts.k, dim=1)
    training.saw(columns.flatten(), len(x))
    error = x - torch.zeros_like(p).scatter(1, columns, values) @ model.decoder - model.bias
    loss, dead, most = error.square().sum() / len(x) / training.variance, training.dead, x.shape[1] // 2
    if len(dead) == 0:
        return loss
    values, columns = torch.relu(p[:, dead]).topk(min(most, len(dead)), dim=1)
    again = torch.zeros(len(x), len(dead)).scatter(1, columns, values) @ model.decoder[dead]
    missed = error.detach()
    share = (missed - again).square().sum() / missed.square().sum()
    return loss + concepts.aux_coefficient * share * min(len(dead) / most, 1)


@pytest.mark.parametrize("n_dead", [0, 5, 90])
def test_sparse_codes_have_the_loss_and_the_gradients_of_dense_ones(n_dead, monkeypatch):
    monkeypatch.setattr(sparse_autoencoder, "_BLOCK", 7 * 150)
    concepts, p, training, _ = disturbed("TopKSAEConcepts", nb_concepts=150)
    _, x = planted(n=100, seed=1)
    training.dead = torch.arange(3, 3 + n_dead)
    model = concepts.model(p, training)
    of_each = []
    for loss in (concepts.loss(model, x, training), dense_loss(concepts, model, x, training)):
        of_each.append((loss, *torch.autograd.grad(loss, list(p.values()))))
    for own, other in zip(*of_each, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-6)


def test_training_with_sparse_codes_goes_as_with_dense_ones(monkeypatch):
    monkeypatch.setattr(sparse_autoencoder, "_BLOCK", 30 * 100)
    options = {"nb_concepts": 100, "n_steps": 120, "lr": 1e-3}
    sparse, plain, most_dead = make("TopKSAEConcepts", **options), make("TopKSAEConcepts", **options), [0]

    def loss(model, x, training):
        most_dead.append(len(training.dead))
        return dense_loss(plain, model, x, training)

    plain.loss = loss
    expected, report = plain.fit(ROWS), sparse.fit(ROWS)
    assert max(most_dead) > 0
    torch.testing.assert_close(torch.tensor(report.losses), torch.tensor(expected.losses), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(sparse.dictionary, plain.dictionary, rtol=0, atol=1e-2)


def test_codes_of_a_row_are_its_largest(monkeypatch):
    concepts, p, training, x = disturbed("TopKSAEConcepts")
    model = concepts.model({name: tensor.detach() for name, tensor in p.items()}, training)
    expected = torch.stack([kept(row.clamp(min=0), 3) for row in model.pre_activations(x)])
    assert torch.equal(model.encode(x), expected)
    assert torch.equal(model.encode(x.clone().requires_grad_()), expected)
    monkeypatch.setattr(training_module, "_IN_CACHE", 24 * 7)
    assert torch.equal(model.encode(x), expected)
    assert torch.equal(model.encode(x.clone().requires_grad_()), expected)
    assert model.encode(x[:0]).shape == (0, 24)


def test_batch_top_k_keeps_k_times_the_rows_and_follows_the_smallest():
    concepts, p, training, x = disturbed("BatchTopKSAEConcepts")
    model = concepts.model(p, training)
    training.step = 0
    codes = chosen_of_batch(model, x, 3, training)
    smallest = codes.values.min().item()
    assert len(codes.values) == 3 * N
    assert len(set(codes.starts.diff().tolist())) > 1
    assert model.threshold.item() == pytest.approx(smallest)
    training.n_steps, training.step = 10**6, 10**5
    chosen_of_batch(model, 2 * x, 3, training)
    second = kept(pre(p, 2 * x), 3 * N)
    second = second[second > 0].min().item()
    assert model.threshold.item() == pytest.approx(smallest + 0.001 * (second - smallest))
    assert training.buffers["threshold"].dtype == torch.float32


def test_auxiliary_loss():
    concepts, p, training, x = disturbed("TopKSAEConcepts")
    model = concepts.model(p, training)
    dead = torch.tensor([1, 4, 5, 9, 20])
    error = torch.randn(N, 24, generator=torch.Generator().manual_seed(3)).requires_grad_()
    loss = auxiliary_loss(model.some_pre_activations(x, dead), model.decoder, error, dead)
    again = torch.stack([kept(row, 5) for row in pre(p, x)[:, dead].clamp(min=0)]) @ p["decoder"][dead]
    slow = ((error.detach() - again) ** 2).sum() / (error.detach() ** 2).sum() * 5 / 12
    torch.testing.assert_close(loss, slow)
    gradients = torch.autograd.grad(loss, [error, p["encoder"], p["decoder"]], allow_unused=True)
    assert gradients[0] is None
    for gradient in gradients[1:]:
        touched = gradient.abs().sum(dim=1) > 0
        assert touched[dead].any()
        assert not touched[[i for i in range(24) if i not in dead.tolist()]].any()


def test_auxiliary_loss_takes_half_the_width_at_most():
    concepts, p, training, x = disturbed("TopKSAEConcepts")
    model, dead = concepts.model(p, training), torch.arange(24)
    again = torch.stack([kept(row, 12) for row in pre(p, x).clamp(min=0)]) @ p["decoder"]
    loss = auxiliary_loss(model.some_pre_activations(x, dead), model.decoder, x, dead)
    torch.testing.assert_close(loss, ((x - again) ** 2).sum() / (x**2).sum())
    none = dead[:0]
    assert auxiliary_loss(model.some_pre_activations(x, none), model.decoder, x, none) == 0


def test_shut_gates_are_pulled_at():
    concepts, p, training, x = disturbed("GatedSAEConcepts")
    with torch.no_grad():
        p["gate_bias"][[3, 8]] = -100.0
    gradients = []
    for training.dead in (torch.tensor([], dtype=torch.int64), torch.tensor([3, 8])):
        training.buffers["weight"].fill_(0.1)
        loss = concepts.loss(concepts.model(p, training), x, training)
        gradients.append(torch.autograd.grad(loss, [p["encoder"], p["decoder"]]))
    for without, with_dead in zip(*gradients, strict=True):
        moved = (with_dead - without).abs().sum(dim=1)
        assert moved[[3, 8]].all()
        assert moved.sum() == pytest.approx(moved[[3, 8]].sum().item(), rel=1e-3)
        assert not without[[3, 8]].any()


def test_straight_through_gradients():
    p = torch.tensor([[0.5, 1.02, 3.0], [0.98, 0.96, 0.0]], requires_grad=True)
    threshold = torch.tensor([1.0, 1.0, 2.0], requires_grad=True)
    upstream = torch.tensor([[1.0, 2.0, 3.0], [5.0, 7.0, 11.0]])
    width = 0.06
    codes, counts = jump_relu(p, threshold, width)
    assert torch.equal(codes, torch.tensor([[0, 1.02, 3.0], [0, 0, 0]]))
    assert counts.tolist() == [0, 1, 1]
    to_p, to_threshold = torch.autograd.grad(codes, [p, threshold], upstream, retain_graph=True)
    assert torch.equal(to_p, torch.tensor([[0, 2.0, 3.0], [0, 0, 0]]))
    # Within 0.03 of the threshold: 0.98 (upstream 5) in the first column, 1.02 (upstream 2) in the second.
    torch.testing.assert_close(to_threshold, torch.tensor([-(1 / width) * 5, -(1 / width) * 2, 0]))
    to_p, to_threshold = torch.autograd.grad(counts, [p, threshold], torch.tensor([5.0, 7.0, 11.0]))
    assert not to_p.any()
    torch.testing.assert_close(to_threshold, torch.tensor([-5 / width, -7 / width, 0]))


def test_threshold_gradient_of_the_whole_loss():
    concepts, p, training, x = disturbed("JumpReLUSAEConcepts", bandwidth=1.0)
    loss = concepts.loss(concepts.model(p, training), x, training)
    (gradient,) = torch.autograd.grad(loss, p["threshold"])
    width, values, theta = (24 / 3.0) ** 0.5, pre(p, x), p["threshold"]
    weight = training.buffers["weight"]
    codes = (values * (values > theta)).detach().requires_grad_()
    error = share(x, codes @ p["decoder"] + p["bias"], training.variance)
    (to_codes,) = torch.autograd.grad(error, codes)
    expected = torch.zeros(24)
    for n in range(N):
        for i in range(24):
            if abs(values[n, i] - theta[i]) < width / 2:
                expected[i] += (-(theta[i] / width) * to_codes[n, i]).item()
                expected[i] += (-(1 / width) * weight / N / training.variance).item()
    torch.testing.assert_close(gradient, expected)


def test_steps_keep_the_decoder_on_the_sphere(monkeypatch):
    gradients = []
    clip = torch.nn.utils.clip_grad_norm_

    def spy(parameters, most):
        parameters = list(parameters)
        gradients.append((parameters[0].detach().clone(), parameters[0].grad.clone()))
        assert most == 1
        return clip(parameters, most)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", spy)
    make("TopKSAEConcepts", n_steps=5).fit(ROWS)
    for decoder, gradient in gradients:
        torch.testing.assert_close(decoder.norm(dim=1), torch.ones(24))
        assert (gradient * decoder).sum(dim=1).abs().max() < 1e-6 * gradient.norm(dim=1).max() + 1e-9


def test_learning_rate_rises_and_falls():
    _, _, training, _ = disturbed("TopKSAEConcepts")
    rates = []
    for training.step in range(100):
        rates.append(training.learning_rate)
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert set(rates[10:81]) == {1.0}
    assert rates[80:] == pytest.approx([1 - i / 20 for i in range(20)])


def test_steering():
    _, _, training, _ = disturbed("VanillaSAEConcepts")
    before = training.buffers["weight"].item()
    high = steered(training, torch.tensor(9.0), 3.0).item()
    low = steered(training, torch.tensor(1.0), 3.0).item()
    assert high > before
    assert low == pytest.approx(before)
    assert steered(training, torch.tensor(3.0), 3.0).item() == pytest.approx(low)


def test_matching_pursuit_stops_where_nothing_is_left():
    concepts, p, training, _ = disturbed("MpSAEConcepts")
    with torch.no_grad():
        p["decoder"] /= p["decoder"].norm(dim=1, keepdim=True)
        model = concepts.model(p, training)
        codes = model.encode(2 * p["decoder"][[5]] + p["bias"])
    torch.testing.assert_close(codes, F.one_hot(torch.tensor([5]), 24) * 2.0)


def test_matching_pursuit_stops_early():
    """Directions at 0, 60 and 180 degrees: a turn leaves what is at a right angle, and the next one half of that."""
    decoder = torch.tensor([[1.0, 0.0], [0.5, 0.75**0.5], [-1.0, 0.0]])
    x = torch.tensor([[1.0, 0.5], [3.0, 0.0]])
    best = [0, 1, 2, 1, 2, 1]
    lengths = [0.5**turn for turn in range(1, 7)]
    amounts = [1.0, *(length * 0.75**0.5 for length in lengths[:-1])]

    def codes(**stops):
        return MatchingPursuitSAE(decoder=decoder, bias=torch.zeros(2), k=6, **stops).encode(x)

    def after(turns):
        found = torch.tensor([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
        for i, amount in zip(best[:turns], amounts, strict=False):
            found[0, i] += amount
        return found

    torch.testing.assert_close(codes(), after(6))
    torch.testing.assert_close(codes(stop_on_repeat=True), after(4))  # the turn that repeats is still made
    for turns, length in enumerate(lengths[:-1], start=1):
        torch.testing.assert_close(codes(smallest_residual=1.01 * length), after(turns))
    torch.testing.assert_close(codes(smallest_residual=9.0, stop_on_repeat=True), after(1))


def test_matching_pursuit_scales_and_saves_its_stops():
    plain = MatchingPursuitSAE(decoder=torch.eye(3), bias=torch.ones(3), k=2)
    assert plain.settings() == {"k": 2}  # as saved before there were stops
    model = MatchingPursuitSAE(
        decoder=torch.eye(3), bias=torch.ones(3), k=2, smallest_residual=0.5, stop_on_repeat=True
    )
    assert model.settings() == {"k": 2, "smallest_residual": 0.5, "stop_on_repeat": True}
    assert model.of_larger(4.0).settings() == {"k": 2, "smallest_residual": 2.0, "stop_on_repeat": True}
    x = torch.randn(9, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model.of_larger(4.0).encode(4 * x), 4 * model.encode(x))


def test_archetypes_are_mixtures():
    _, p, training, _ = disturbed("ArchetypalSAEConcepts")
    assert (p["weights"] >= 0).all()
    torch.testing.assert_close(p["weights"].sum(dim=1), torch.ones(24))
    assert (p["free"].norm(dim=1) <= training.buffers["longest"] * 1.0001).all()
    strict = make("ArchetypalSAEConcepts", relaxation=0.0)
    parameters, training, _ = begun(strict, ROWS)
    mixtures = parameters["weights"] @ training.buffers["points"]
    torch.testing.assert_close(strict.model(parameters, training).dictionary, F.normalize(mixtures))


def test_centroids_of_groups():
    rng = torch.Generator().manual_seed(0)
    corners = 10 * torch.eye(4)
    rows = (corners[:, None] + 0.01 * torch.randn(4, 50, 4, generator=rng)).flatten(0, 1)
    found = centroids(rows, 40, seed=0)
    assert found.shape == (40, 4)
    assert torch.cdist(rows, found).min(dim=1).values.max() < 0.05


def test_geometric_median_is_where_distances_are_smallest():
    rows = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) ** 3
    best = minimize(lambda m: (rows - torch.tensor(m)).norm(dim=1).sum().item(), rows.mean(dim=0).tolist(), tol=1e-10)
    assert geometric_median(rows).tolist() == pytest.approx(best.x.tolist(), abs=1e-3)


def test_rows_are_scaled_to_the_root_of_their_width():
    rows = 7 * torch.randn(100, 9, generator=torch.Generator().manual_seed(0)) + 3
    start = start_of(TensorRows(rows), 5, outlier_norm=None, seed=0, device=torch.device("cpu"))
    assert (start.scale * rows).norm(dim=1).mean().item() == pytest.approx(3)
    assert start.rows.norm(dim=1).mean().item() == pytest.approx(3)
    assert start.variance == pytest.approx(start.rows.var(dim=0, correction=0).sum().item(), rel=1e-5)
