"""Models come back as they were, and dropout never plays."""

import copy

import pytest
import torch

from interpreto import InputxGradient, Occlusion
from interpreto.model_wrapping.hooks import untouched
from tests.architectures import PAIRS, build
from tests.model_wrapping.plain import Plain


def state(model):
    """Everything of a model that could have changed."""
    return {
        "config": model.config.to_dict(),
        "generation": model.generation_config.to_dict() if model.can_generate() else None,
        "training": [module.training for module in model.modules()],
        "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in model.modules()],
        "attributes": [sorted(vars(module)) for module in model.modules()],
        "requires_grad": [parameter.requires_grad for parameter in model.parameters()],
        "grad": [parameter.grad for parameter in model.parameters()],
        "versions": [tensor._version for tensor in (*model.parameters(), *model.buffers())],
        "places": [tensor.data_ptr() for tensor in (*model.parameters(), *model.buffers())],
    }


@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_models_in_training_stay_as_they_are(name, task):
    plain = Plain.of(name, task, model=build(name, task))
    model, tokenizer = plain.model, plain.tokenizer
    expected = [explain(model, tokenizer)(plain.inputs, plain.targets) for explain in (Occlusion, InputxGradient)]
    model.train()
    next(model.children()).eval()
    next(model.parameters()).requires_grad_(False)
    before, tensors = state(model), copy.deepcopy(model.state_dict())
    found = [explain(model, tokenizer)(plain.inputs, plain.targets) for explain in (Occlusion, InputxGradient)]
    assert state(model) == before
    assert all(torch.equal(tensor, tensors[key]) for key, tensor in model.state_dict().items())
    for (one,), (other,) in zip(expected, found, strict=True):
        assert torch.equal(one.scores.nan_to_num(), other.scores.nan_to_num())


def test_models_stay_as_they_are_after_an_error():
    plain = Plain.of("bert", PAIRS[0][1], model=build("bert", PAIRS[0][1]))
    plain.model.train()
    before = state(plain.model)

    def fail():
        with untouched(plain.model, constant_parameters=True):
            assert not plain.model.training
            assert not any(parameter.requires_grad for parameter in plain.model.parameters())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert state(plain.model) == before
