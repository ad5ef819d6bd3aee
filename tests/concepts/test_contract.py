"""What every concept method must do, whatever it learns."""

from dataclasses import replace

import pytest
import torch

from interpreto.concepts import models, sparse_autoencoders
from interpreto.concepts.base import ConceptExplainer
from interpreto.concepts.learned import LearnedConcepts
from interpreto.errors import InputError, NotFittedError
from interpreto.model_wrapping import TensorRows

FAMILIES = [models, sparse_autoencoders]
METHODS = [getattr(family, name) for family in FAMILIES for name in family.__all__]
"""Every public method."""
LEARNED = [method for method in METHODS if issubclass(method, LearnedConcepts)]
OPTIONS = {
    "KMeansConcepts": [{}, {"codes": "one_hot"}, {"codes": "cosine"}],
    "NMFConcepts": [{"relu": "clip"}, {"relu": "split"}],
    **{
        name: [
            {**({"target_l0": 2.0} if name.startswith(("Gated", "JumpReLU", "Vanilla")) else {"k": 2}), "n_steps": 40}
        ]
        for name in sparse_autoencoders.__all__
    },
}
"""Options to try where there is more than one way to fit signed rows, and more than the defaults."""
CASES = [
    pytest.param(method, options, id="-".join([method.__name__, *map(str, options.values())]))
    for method in LEARNED
    for options in OPTIONS.get(method.__name__, [{}])
]


def some_rows(n=200, d=8, seed=0):
    """Sparse combinations of directions, on a mean, with noise: something for every method."""
    rng = torch.Generator().manual_seed(seed)
    codes = torch.rand(n, 4, generator=rng) ** 4
    directions = torch.randn(4, d, generator=torch.Generator().manual_seed(0))
    return codes @ directions + 0.3 + 0.05 * torch.randn(n, d, generator=rng)


@pytest.fixture(scope="module")
def fitted():
    """A method after its fit, once for all tests."""
    known = {}

    def fit(method, options):
        key = (method, tuple(options.items()))
        if key not in known:
            known[key] = method(None, nb_concepts=4, **options)
            known[key].fit(some_rows())
        return known[key]

    return fit


@pytest.mark.parametrize(("method", "options"), CASES)
def test_shapes_and_report(method, options, fitted):
    explainer = fitted(method, options)
    x = some_rows(11, seed=1)
    codes = explainer.encode(x)
    assert codes.shape == (11, 4)
    assert explainer.decode(codes).shape == (11, 8)
    assert explainer.dictionary.shape == (4, 8)
    for values in (codes, explainer.decode(codes), explainer.dictionary):
        assert values.isfinite().all()
        assert not values.requires_grad
    report = explainer.report
    assert report.n_rows == report.n_measured == 200
    codes = explainer.encode(some_rows())
    error = (some_rows() - explainer.decode(codes)).double().square().sum()
    total = (some_rows() - some_rows().mean(dim=0)).double().square().sum()
    assert report.explained_variance == pytest.approx(float(1 - error / total), abs=1e-5)
    assert report.l0 == pytest.approx(float((codes != 0).double().sum(dim=1).mean()))


@pytest.mark.parametrize(("method", "options"), CASES)
def test_a_row_is_encoded_by_itself(method, options, fitted):
    explainer = fitted(method, options)
    x = some_rows(9, seed=1)
    codes = explainer.encode(x)
    alone = torch.cat([explainer.encode(row[None]) for row in x])
    torch.testing.assert_close(alone, codes, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(explainer.encode(x.flip(0)).flip(0), codes, atol=1e-5, rtol=1e-5)
    assert torch.equal(explainer.encode(x), codes)
    assert explainer.encode(x[:0]).shape == (0, 4)


@pytest.mark.parametrize(("method", "options"), CASES)
def test_a_seed_repeats_to_the_bit(method, options, fitted):
    explainer = fitted(method, options)
    state = torch.get_rng_state()
    again = method(None, nb_concepts=4, **options)
    assert again.fit(some_rows()) == explainer.report
    assert torch.equal(torch.get_rng_state(), state)
    for name, tensor in again.concept_model.tensors().items():
        assert torch.equal(tensor, explainer.concept_model.tensors()[name]), name


@pytest.mark.parametrize(("method", "options"), CASES)
def test_saved_and_loaded_is_the_same_to_the_bit(method, options, fitted, tmp_path):
    explainer = fitted(method, options)
    loaded = method.load(explainer.save(tmp_path / "concepts"))
    x = some_rows(9, seed=1)
    codes = explainer.encode(x)
    assert torch.equal(loaded.encode(x), codes)
    assert torch.equal(loaded.decode(codes), explainer.decode(codes))
    assert loaded.report == explainer.report
    assert {name: getattr(loaded, name) for name in options} == options
    assert loaded.concept_model.settings() == explainer.concept_model.settings()


@pytest.mark.parametrize(("method", "options"), CASES)
def test_gradients_match_finite_differences(method, options, fitted):
    model = fitted(method, options).concept_model
    model = replace(model, **{name: tensor.double() for name, tensor in model.tensors().items()})
    x = some_rows(4, seed=3).double()
    codes = model.encode(x)
    assert torch.autograd.gradcheck(model.decode, codes.clone().requires_grad_())
    if type(model).encodes_differentiably:
        assert torch.autograd.gradcheck(model.encode, x.clone().requires_grad_(), eps=1e-7, atol=1e-4)


@pytest.mark.parametrize(("method", "options"), CASES)
def test_one_unit_of_a_code_adds_its_direction(method, options, fitted):
    explainer = fitted(method, options)
    codes = explainer.encode(some_rows(5, seed=2))
    for k in range(4):
        more = codes + torch.eye(4)[k]
        torch.testing.assert_close(
            explainer.decode(more) - explainer.decode(codes),
            explainer.dictionary[k].expand(5, -1),
            atol=1e-5,
            rtol=1e-5,
        )


@pytest.mark.parametrize(("method", "options"), CASES)
def test_gradients_flow_from_activations_to_codes(method, options, fitted):
    explainer = fitted(method, options)
    if not type(explainer.concept_model).encodes_differentiably:
        pytest.skip("codes are steps")
    x = some_rows(3, seed=4).requires_grad_()
    explainer.encode(x).square().sum().backward()
    assert x.grad.isfinite().all()
    assert x.grad.any()


@pytest.mark.parametrize(("method", "options"), CASES)
def test_half_precision_and_rows_of_any_kind(method, options):
    half = some_rows().bfloat16()
    explainer = method(None, nb_concepts=4, split_point="3", **options)
    explainer.fit(half)
    codes = explainer.encode(half)
    assert codes.dtype == torch.float32
    again = method(None, nb_concepts=4, split_point="3", **options)
    again.fit({"3": TensorRows(half), "5": None})
    assert torch.equal(again.encode({"3": half.float()}), codes)


@pytest.mark.parametrize(("method", "options"), CASES)
def test_bad_activations_are_refused(method, options, fitted):
    new = method(None, nb_concepts=4, **options)
    for call in (lambda: new.encode(some_rows()), lambda: new.dictionary, lambda: new.save("nowhere")):
        with pytest.raises(NotFittedError, match=method.__name__):
            call()
    broken = some_rows()
    broken[7, 2] = torch.nan
    for wrong, message in [
        (broken, "NaN or infinity in row 7"),
        (torch.zeros(20, 8), "zeros in every row"),
        (some_rows(3), "at least as many rows as concepts"),
        (some_rows()[0], r"floats \(n, d\)"),
        (some_rows().long(), r"floats \(n, d\)"),
    ]:
        with pytest.raises(InputError, match=message):
            new.fit(wrong)
    explainer = fitted(method, options)
    with pytest.raises(InputError, match="width 8"):
        explainer.encode(some_rows(d=7))
    with pytest.raises(InputError, match="NaN"):
        explainer.encode(broken)
    with pytest.raises(InputError, match=r"\(n, 4\)"):
        explainer.decode(torch.zeros(2, 3))


@pytest.mark.parametrize(("method", "options"), CASES)
def test_a_failed_fit_loses_nothing(method, options):
    explainer = method(None, nb_concepts=4, **options)
    explainer.fit(some_rows())
    codes = explainer.encode(some_rows())
    with pytest.raises(InputError):
        explainer.fit(torch.zeros(20, 8))
    assert torch.equal(explainer.encode(some_rows()), codes)


@pytest.mark.parametrize("method", METHODS)
def test_methods_are_explainers_that_name_their_source(method):
    assert issubclass(method, ConceptExplainer)
    assert "Reference" in method.__doc__


@pytest.mark.parametrize("method", LEARNED)
def test_bad_options_are_refused(method):
    for options in ({"nb_concepts": 0}, {"nb_concepts": 4, "seed": -1}):
        with pytest.raises(InputError, match="expected a whole number"):
            method(None, **{**OPTIONS.get(method.__name__, [{}])[0], **options})
