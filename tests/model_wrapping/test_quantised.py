"""Quantised models: explained as they are, left as they are, and refused where gradients would get lost in them.

torchao is tested where it is installed. It is not among the packages for development, because transformers then imports
it wherever it is imported itself, and it talks on standard error.
"""

from functools import partial
from importlib.util import find_spec

import pytest
import torch
from optimum import quanto
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, QuantoConfig

from interpreto import (
    AttnLRP,
    DeepLift,
    InputxGradient,
    IntegratedGradients,
    KernelShap,
    ModelWithSplitPoints,
    Occlusion,
    Saliency,
)
from interpreto.concepts import ConceptsToOutput, PCAConcepts
from interpreto.errors import ModelError
from tests.architectures import CAUSAL, build, metaspace
from tests.tiny import LINES, classifier, wordpiece

GRADIENTS = [Saliency, InputxGradient, partial(IntegratedGradients, tolerance=None), DeepLift, AttnLRP]
LOST = r"^model: expected one through which gradients flow, got layers without any, "
NO_RULE = "^model: expected one made of operations that relevance has rules for, got 'linear_dynamic'"
CLOSE = {"atol": 1e-5, "rtol": 1e-4, "equal_nan": True}
TORCHAO = pytest.mark.skipif(find_spec("torchao") is None, reason="torchao is not installed")


def by_quanto(model, weights, chosen):
    """Layers compute with numbers again, made from the weights."""
    quanto.quantize(model, weights=weights, include=chosen)
    quanto.freeze(model)
    return model


def by_torchao(model, config, chosen):
    """Weights, or rows too, as whole numbers."""
    from torchao import quantization

    quantization.quantize_(model, getattr(quantization, config)(), lambda _module, path: path in chosen)
    return model


def by_torch(model, _kind, chosen):
    """Rows of whole numbers go through layers; a batch is scaled as a whole."""
    return torch.ao.quantization.quantize_dynamic(model, set(chosen), dtype=torch.qint8)


WEIGHTS = [
    pytest.param(by_quanto, quanto.qint8, id="quanto-int8"),
    pytest.param(by_quanto, quanto.qfloat8, id="quanto-float8"),
    pytest.param(by_torchao, "Int8WeightOnlyConfig", id="torchao-int8", marks=TORCHAO),
    pytest.param(by_torchao, "IntxWeightOnlyConfig", id="torchao-intx", marks=TORCHAO),
    pytest.param(by_torchao, "Float8WeightOnlyConfig", id="torchao-float8", marks=TORCHAO),
]
ROWS = [
    pytest.param(
        by_torch,
        None,
        id="torch",
        marks=[pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")],
    ),
    pytest.param(by_torchao, "Int8DynamicActivationInt8WeightConfig", id="torchao-int8", marks=TORCHAO),
]


def models():
    """Plain models, with their tokenizers, a text and a target."""
    return {
        "classifier": (classifier(), wordpiece(), "What a sad day.", 1),
        "llama": (build("llama", CAUSAL), metaspace(), "the lazy dog", " is sad"),
    }


def quantised(how, kind, name="llama", part=""):
    """A model whose linear layers are quantised, all but the head of one that writes, as they mostly are."""
    model, tokenizer, text, target = models()[name]
    layers = [path for path, module in model.named_modules() if isinstance(module, nn.Linear) and path != "lm_head"]
    return how(model, kind, [path for path in layers if part in path]), tokenizer, text, target


def written_out(model, name):
    """The slow obvious way: the plain model with the numbers that the weights stand for."""
    plain = models()[name][0]
    for path, layer in model.named_modules():
        if hasattr(layer, "in_features") and type(layer.weight) is not nn.Parameter:
            plain.get_submodule(path).weight = nn.Parameter(layer.weight.dequantize().detach().clone())
    return plain


def numbers(value, name=""):
    """Every number that a model is made of, those inside of quantised and packed weights too."""
    if isinstance(value, nn.Module):
        return numbers(dict(value.state_dict()))
    if isinstance(value, dict):
        return numbers(list(value.items()))
    if isinstance(value, (list, tuple)):
        return {key: tensor for k, item in enumerate(value) for key, tensor in numbers(item, f"{name}.{k}").items()}
    if not isinstance(value, torch.Tensor):
        return {}
    if hasattr(value, "__tensor_flatten__"):
        parts = value.__tensor_flatten__()[0]
        return {key: x for part in parts for key, x in numbers(getattr(value, part), f"{name}.{part}").items()}
    return {name: (value.int_repr() if value.is_quantized else value).clone()}


def state(model):
    """What could have changed of a model besides its numbers."""
    return {
        "parameters": [(name, type(p), p.requires_grad, p.grad) for name, p in model.named_parameters()],
        "modules": [(type(m), m.training, len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()],
    }


@pytest.fixture
def unchanged():
    """Looks at the end whether the models that it is told of are as they were, to the bit."""
    told = []

    def tell(model):
        told.append((model, numbers(model), state(model)))
        assert any(tensor.element_size() == 1 for tensor in told[-1][1].values())

    yield tell
    assert told
    for model, before, expected in told:
        after = numbers(model)
        assert before.keys() == after.keys()
        assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
        assert state(model) == expected


@pytest.mark.parametrize("name", models())
@pytest.mark.parametrize(("how", "kind"), WEIGHTS)
def test_attributions_are_those_of_the_numbers_that_the_weights_stand_for(how, kind, name, unchanged):
    model, tokenizer, text, target = quantised(how, kind, name)
    unchanged(model)
    plain = written_out(model, name)
    for method in (KernelShap, Occlusion, *GRADIENTS):
        expected = method(plain, tokenizer)(text, target)[0].scores
        torch.testing.assert_close(method(model, tokenizer)(text, target)[0].scores, expected, **CLOSE)
        assert expected.nan_to_num().abs().sum() > 0


@pytest.mark.parametrize("method", [partial(KernelShap, n_perturbations=96), Occlusion, Saliency])
@pytest.mark.parametrize(("how", "kind"), WEIGHTS)
def test_batches_change_nothing(how, kind, method, unchanged):
    model, tokenizer, *_ = quantised(how, kind, "classifier")
    unchanged(model)
    together = method(model, tokenizer)(LINES, 1)
    for one, other in zip(together, method(model, tokenizer, batch_size=1)(LINES, 1), strict=True):
        torch.testing.assert_close(one.scores, other.scores, **CLOSE)


@pytest.mark.parametrize("name", models())
@pytest.mark.parametrize(("how", "kind"), WEIGHTS)
def test_concepts(how, kind, name, unchanged):
    model, tokenizer, *_ = quantised(how, kind, name)
    with torch.no_grad():  # transformers leaves hooks of its own
        inputs = [tokenizer(line, return_tensors="pt") for line in LINES]
        states = [model(**row, output_hidden_states=True).hidden_states[1][0] for row in inputs]
    unchanged(model)
    split = ModelWithSplitPoints(model, split_points=0, tokenizer=tokenizer)
    activations = split.get_activations(LINES, "all_tokens")
    torch.testing.assert_close(activations["0"], torch.cat(states), **CLOSE)
    concepts = PCAConcepts(split, nb_concepts=3)
    concepts.fit(activations)
    plain = PCAConcepts(ModelWithSplitPoints(written_out(model, name), 0, tokenizer=tokenizer), nb_concepts=3)
    plain.fit(activations)
    found, expected = (c.importance(LINES[:2], None, "all_tokens").overall() for c in (concepts, plain))
    torch.testing.assert_close(found, expected, **CLOSE)
    assert expected.abs().sum() > 0


@pytest.mark.parametrize(("how", "kind"), ROWS)
def test_gradients_that_would_get_lost_are_refused(how, kind, unchanged):
    """Around the layers lead residual streams: what comes back by those alone would look like gradients."""
    model, tokenizer, text, target = quantised(how, kind)
    unchanged(model)
    for method in GRADIENTS:
        with pytest.raises(ModelError, match=f"{LOST}Linear|{NO_RULE}"):
            method(model, tokenizer)(text, target)
    split = ModelWithSplitPoints(model, split_points=0, tokenizer=tokenizer)
    activations = split.get_activations(LINES, "token")
    concepts = PCAConcepts(split, nb_concepts=3)
    concepts.fit(activations)
    with pytest.raises(ModelError, match=LOST + "Linear"):
        concepts.importance(LINES[:2], None, "token")
    with pytest.raises(ModelError, match=LOST + "Linear"):
        Saliency(ConceptsToOutput(concepts, granularity="token"))(text, target)


@pytest.mark.parametrize(("how", "kind"), ROWS)
def test_perturbations_need_no_gradients(how, kind, unchanged):
    model, tokenizer, text, target = quantised(how, kind, "classifier")
    unchanged(model)
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    hidden = [ids.clone().index_fill_(1, torch.tensor([k]), tokenizer.mask_token_id) for k in range(1, len(ids[0]) - 1)]
    with torch.no_grad():
        whole, *others = (model(row).logits[0, target] for row in (ids, *hidden))
    found = Occlusion(model, tokenizer, granularity="token", batch_size=1)(text, target)[0].scores[0]
    torch.testing.assert_close(found, torch.stack([whole - other for other in others]), **CLOSE)
    assert KernelShap(model, tokenizer)(text, target)[0].scores.abs().sum() > 0


@pytest.mark.parametrize(("how", "kind"), ROWS)
def test_only_layers_that_gradients_come_by_count(how, kind, unchanged):
    """Concepts above the quantised blocks have gradients; what enters the model has none."""
    model, tokenizer, text, target = quantised(how, kind, part=".layers.0.")
    unchanged(model)
    with pytest.raises(ModelError, match=LOST):
        Saliency(model, tokenizer)(text, target)
    split = ModelWithSplitPoints(model, split_points=0, tokenizer=tokenizer)
    concepts = PCAConcepts(split, nb_concepts=3)
    concepts.fit(split.get_activations(LINES, "token"))
    assert concepts.importance(LINES[:2], None, "token").overall().abs().sum() > 0
    assert Saliency(ConceptsToOutput(concepts, granularity="token"))(text, target)[0].scores.abs().sum() > 0


class Kernel(nn.Module):
    """A linear layer by an operation of its own."""

    def __init__(self, layer, operation):
        super().__init__()
        self.in_features, self.weight, self.operation = layer.in_features, layer.weight, operation

    def forward(self, x):
        return self.operation(x, self.weight)


_OPERATIONS = torch.library.Library("interpreto_tests", "DEF")
_OPERATIONS.define("silent_linear(Tensor x, Tensor weight) -> Tensor")
_OPERATIONS.impl("silent_linear", lambda x, weight: x.detach() @ weight.detach().T, "CPU")


@torch.library.custom_op("interpreto_tests::failing_linear", mutates_args=())
def failing_linear(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return x @ weight.T


@pytest.mark.parametrize("operation", ["silent_linear", "failing_linear"])
def test_kernels_without_a_derivative(operation):
    """Their answers say that they require gradients, which then are none (bitsandbytes in 4 bit), or an error."""
    model, tokenizer, text, target = models()["llama"]
    expected = Occlusion(model, tokenizer)(text, target)[0].scores
    kernel = Kernel(model.model.layers[1].mlp.up_proj, getattr(torch.ops.interpreto_tests, operation).default)
    model.model.layers[1].mlp.up_proj = kernel
    for method in (Saliency, IntegratedGradients):
        with pytest.raises(ModelError, match=LOST + "Kernel"):
            method(model, tokenizer)(text, target)
    torch.testing.assert_close(Occlusion(model, tokenizer)(text, target)[0].scores, expected, **CLOSE)


@pytest.mark.parametrize("name", models())
def test_as_transformers_loads_them(name, tmp_path, unchanged):
    plain, tokenizer, text, target = models()[name]
    plain.save_pretrained(tmp_path)
    auto = AutoModelForCausalLM if name == "llama" else AutoModelForSequenceClassification
    model = auto.from_pretrained(tmp_path, quantization_config=QuantoConfig(weights="int8")).eval()
    unchanged(model)
    for method in (Occlusion, Saliency):
        expected = method(written_out(model, name), tokenizer)(text, target)[0].scores
        torch.testing.assert_close(method(model, tokenizer)(text, target)[0].scores, expected, **CLOSE)
