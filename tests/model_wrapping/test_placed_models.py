"""Models that `device_map` placed, that are offloaded, and that are quantised."""

import copy

import pytest
import torch
from accelerate import cpu_offload
from torch import nn
from transformers import pipeline

from interpreto import IntegratedGradients, ModelWithSplitPoints, Occlusion, Saliency
from interpreto.errors import ModelError
from interpreto.model_wrapping import CustomModel
from tests.tiny import byte_bpe, classifier, language_model, wordpiece


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("model")
    language_model().save_pretrained(found)
    byte_bpe().save_pretrained(found)
    return str(found)


def check(model, **close):
    for method in (Occlusion, IntegratedGradients):
        found, plain = (method(m, byte_bpe())("The quick fox", " jumps")[0] for m in (model, language_model()))
        torch.testing.assert_close(found.scores, plain.scores, equal_nan=True, **close)


@pytest.mark.parametrize("device_map", ["cpu", "auto", {"": "cpu"}])
def test_device_maps(folder, device_map):
    split = ModelWithSplitPoints(folder, split_points=1, device_map=device_map)
    check(split.model)
    plain = ModelWithSplitPoints(language_model(), split_points=1, tokenizer=byte_bpe())
    assert torch.equal(split.get_activations("The quick fox")["1"], plain.get_activations("The quick fox")["1"])


def test_a_pipeline_with_a_device_map(folder):
    check(pipeline("text-generation", model=folder, device_map="auto").model)


def test_offloaded_models():
    """Weights wait elsewhere, on the meta device, and come for each layer's pass."""
    model = cpu_offload(language_model(), execution_device=torch.device("cpu"))
    assert all(parameter.is_meta for parameter in model.parameters())
    check(model)
    assert all(parameter.is_meta for parameter in model.parameters())
    split = ModelWithSplitPoints(model, split_points=1, tokenizer=byte_bpe())
    plain = ModelWithSplitPoints(language_model(), split_points=1, tokenizer=byte_bpe())
    assert torch.equal(split.get_activations("The quick fox")["1"], plain.get_activations("The quick fox")["1"])


def test_models_without_weights_are_still_refused():
    with torch.device("meta"):
        model = copy.deepcopy(language_model()).to("meta")
    with pytest.raises(ModelError, match=r"^model: expected a model with weights, got one on the meta device"):
        Occlusion(model, byte_bpe())


@pytest.fixture
def quantised():
    return torch.ao.quantization.quantize_dynamic(classifier(), {nn.Linear}, dtype=torch.qint8)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_whole_numbers(quantised):
    """Perturbations go through them; gradients would be lost, and are refused.

    Rows are run alone: these layers scale a batch as a whole, so that its rows change each other.
    """
    ids = wordpiece()("a sad day", return_tensors="pt")["input_ids"]
    masked = [ids.clone().index_fill_(1, torch.tensor([k]), wordpiece().mask_token_id) for k in (1, 2, 3)]
    with torch.no_grad():
        whole, *hidden = (quantised(row).logits[0] for row in (ids, *masked))
    found = Occlusion(quantised, wordpiece(), batch_size=1)("a sad day", [0, 1, 2])[0]
    torch.testing.assert_close(found.scores.T, torch.stack([whole - row for row in hidden]), atol=1e-5, rtol=1e-5)
    for method in (IntegratedGradients, Saliency):
        with pytest.raises(
            ModelError, match=r"^model: expected one through which gradients flow, got layers without any"
        ):
            method(quantised, wordpiece())("a sad day", 0)
    split = ModelWithSplitPoints(quantised, split_points=1, tokenizer=wordpiece())
    assert split.get_activations("a sad day")["1"].shape == (3, 32)


def test_functions_that_lose_gradients():
    layer = nn.Embedding(len(wordpiece()), 2)
    model = CustomModel(lambda ids: layer(ids).sum(dim=1).detach().numpy(), wordpiece(), embeddings=layer)
    assert Occlusion(model)("a sad day")[0].scores.abs().sum() > 0
    with pytest.raises(ModelError, match="gradients flow, got no path for gradients to its embeddings"):
        Saliency(model)("a sad day")
