"""What is added to rows, by hand, and the strength that is looked for."""

import math

import pytest
import torch
from torch.nn.functional import kl_div

from interpreto.concepts.models.affine_model import AffineModel
from interpreto.concepts.steering import Operation, kl_divergence
from interpreto.concepts.steering.edits import Addition, CodeChange, CodeEdit, moved, together
from interpreto.concepts.steering.strength import strength_for
from interpreto.errors import InputError
from tests.concepts.simple import RandomModel

BOOST, CLAMP = Operation.BOOST, Operation.CLAMP


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def affine():
    """An affine model that is no projection: encoder and decoder have nothing to do with each other."""
    return AffineModel(randn(6), randn(4, 6, seed=1), randn(4, 6, seed=2))


@pytest.mark.parametrize("concept", range(4))
def test_affine_models_move_along_the_decoder(affine, concept):
    rows = randn(9, 6, seed=3)
    codes = affine.encode(rows)[:, concept, None]
    clamped = CodeEdit(affine, (CodeChange(concept, CLAMP, 2.5),)).shift(rows)
    torch.testing.assert_close(clamped, (2.5 - codes) * affine.decoder[concept], atol=2e-6, rtol=1e-5)
    boosted = CodeEdit(affine, (CodeChange(concept, BOOST, 3.0),)).shift(rows)
    torch.testing.assert_close(boosted, 2 * codes * affine.decoder[concept], atol=2e-6, rtol=1e-5)


def test_rows_without_the_concept_stay_to_the_bit():
    model = RandomModel(randn(5, 6, seed=4))  # rectified: many codes are 0
    rows = randn(40, 6, seed=5)
    silent = model.encode(rows)[:, 2] == 0
    assert 5 < int(silent.sum()) < 35
    shift = CodeEdit(model, (CodeChange(2, BOOST, 3.0),)).shift(rows)
    assert torch.equal((shift == 0).all(dim=1), silent)
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        states = rows.to(dtype)[None]
        edit = CodeEdit(model, (CodeChange(2, BOOST, 3.0),))
        after = moved(states, torch.ones(1, 40, dtype=torch.bool), [edit])
        own = model.encode(states[0].to(model.directions))[:, 2] == 0
        assert after.dtype is dtype
        assert torch.equal(after[0, own], states[0, own])
        assert not (after[0, ~own] == states[0, ~own]).all(dim=1).any()


def test_nothing_to_do_is_nothing(affine):
    states, chosen = randn(2, 3, 6), torch.ones(2, 3, dtype=torch.bool)
    for neutral in (CodeEdit(affine, (CodeChange(1, BOOST, 1.0),)), Addition(affine.decoder[0], 0.0)):
        assert moved(states, chosen, [neutral]) is None
    assert moved(states, ~chosen, [Addition(affine.decoder[0], 1.0)]) is None


def test_only_chosen_rows_move(affine):
    states, chosen = randn(2, 3, 6), torch.tensor([[True, False, True], [False, False, True]])
    before = states.clone()
    after = moved(states, chosen, [Addition(affine.decoder[0], 2.0)])
    assert torch.equal(states, before)
    assert torch.equal(after[~chosen], states[~chosen])
    torch.testing.assert_close(after[chosen], states[chosen] + 2 * affine.decoder[0])


def test_changes_of_one_model_are_decoded_together(affine):
    rows = randn(7, 6, seed=3)
    first, second = CodeChange(0, BOOST, 2.0), CodeChange(3, CLAMP, 1.0)
    added = Addition(randn(6, seed=8), 0.5)
    merged = together([CodeEdit(affine, (first,)), added, CodeEdit(affine, (second,))])
    assert [type(edit) for edit in merged] == [CodeEdit, Addition]
    codes = affine.encode(rows)
    wanted = codes[:, :1] * affine.decoder[0] + (1 - codes[:, 3:]) * affine.decoder[3]
    torch.testing.assert_close(merged[0].shift(rows), wanted, atol=2e-6, rtol=1e-5)


def test_gradients_flow_through_what_is_added(affine):
    states = randn(1, 3, 6).requires_grad_()
    edit = CodeEdit(affine, (CodeChange(1, BOOST, 3.0),))
    after = moved(states, torch.ones(1, 3, dtype=torch.bool), [edit])
    weights = randn(6, seed=6)
    (found,) = torch.autograd.grad((after[0, 1] * weights).sum(), states)
    wanted = weights + 2 * (affine.decoder[1] @ weights) * affine.encoder[1]
    torch.testing.assert_close(found[0, 1], wanted)
    assert not found[0, 0].any()


def test_divergence_is_that_of_torch():
    clean, steered = randn(5, 11).log_softmax(-1), randn(5, 11, seed=1).log_softmax(-1)
    wanted = kl_div(steered, clean, log_target=True, reduction="none").sum(-1)
    torch.testing.assert_close(kl_divergence(clean, steered), wanted.double(), atol=1e-6, rtol=1e-5)
    assert not kl_divergence(clean, clean).any()


def tried(function):
    """A function, and the strengths it was asked for."""
    asked = []

    def noted(strength):
        asked.append(strength)
        return function(strength)

    return noted, asked


@pytest.mark.parametrize("kl", [1e-4, 0.25, 0.5, 7.0])
@pytest.mark.parametrize("start", [0.01, 1.0, 300.0])
def test_strengths_of_known_shifts(kl, start):
    function, asked = tried(lambda strength: strength**2 / 8)
    found = strength_for(kl, function, start=start, tolerance=1e-4)
    assert found.kl == pytest.approx(kl, rel=1e-4)
    assert found.value == pytest.approx(math.sqrt(8 * kl), rel=1e-4)
    assert found.n_measured == len(asked)
    exact, low, high = math.sqrt(8 * kl), 0.0, math.inf
    for strength in asked:  # every try is nearer than the ends it is between
        assert low < strength < high
        low, high = (strength, high) if strength < exact else (low, strength)


def test_shifts_that_cannot_be_reached_say_what_was():
    with pytest.raises(InputError, match=r"largest was 0\.3 at a strength of"):
        strength_for(0.5, lambda strength: 0.3 * (1 - math.exp(-strength)))
    with pytest.raises(InputError, match=r"largest was 0\.5 at a strength of 5, and stronger ones give no numbers"):
        strength_for(0.6, lambda strength: strength / 10 if strength < 5 else math.nan)
    found = strength_for(0.1, lambda strength: strength**2 / 1000 if strength < 12 else math.nan)
    assert found.kl == pytest.approx(0.1, rel=0.01)  # though 16 is too much
    with pytest.raises(InputError, match=r"jumps over 0\.5 nats, from 0\.1 at a strength of 3"):
        strength_for(0.5, lambda strength: 0.1 if strength < 3 else 0.9)
    assert strength_for(0.5, lambda strength: strength if strength < 3 else math.inf, start=4.0).kl == 0.5
