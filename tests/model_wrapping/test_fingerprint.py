"""The same model has the same fingerprint, wherever it comes from, and another model another one."""

import copy

import pytest
import torch
from tokenizers.normalizers import NFC
from torch import nn

from interpreto.model_wrapping import Traits
from interpreto.model_wrapping.fingerprint import fingerprint
from tests.tiny import classifier, wordpiece


def quantised(model):
    return torch.ao.quantization.quantize_dynamic(copy.deepcopy(model), {nn.Linear}, dtype=torch.qint8)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("kind", [copy.deepcopy, quantised, lambda model: copy.deepcopy(model).half()])
def test_weights_tell_models_apart(kind):
    model = classifier()
    known = fingerprint(Traits(kind(model), wordpiece()))
    assert fingerprint(Traits(kind(model), wordpiece())) == known
    with torch.no_grad():
        for layer in (m for m in model.modules() if isinstance(m, nn.Linear)):
            layer.weight.neg_()
    assert fingerprint(Traits(kind(model), wordpiece())) != known


def test_so_do_tokenizers_and_number_types():
    model, other = classifier(), copy.deepcopy(wordpiece())
    other.backend_tokenizer.normalizer = NFC()
    known = {
        fingerprint(Traits(model, wordpiece())),
        fingerprint(Traits(model, other)),
        fingerprint(Traits(copy.deepcopy(model).double(), wordpiece())),
    }
    assert len(known) == 3


def test_the_configuration_counts_and_so_does_every_weight():
    model, tokenizer = classifier(), wordpiece()
    known = fingerprint(Traits(model, tokenizer))
    labels = dict(model.config.id2label)
    model.config.id2label = dict(zip(labels, reversed(labels.values()), strict=True))
    assert fingerprint(Traits(model, tokenizer)) != known
    model.config.id2label = labels
    assert fingerprint(Traits(model, tokenizer)) == known
    with torch.no_grad():
        model.get_input_embeddings().weight[7, 5] += 1e-3
    assert fingerprint(Traits(model, tokenizer)) != known


def test_how_the_tokenizer_was_called_last_does_not():
    model, tokenizer = classifier(), copy.deepcopy(wordpiece())
    known = fingerprint(Traits(model, tokenizer))
    tokenizer(["a day", "a sad, sad day"], padding=True, truncation=True, max_length=5)
    assert fingerprint(Traits(model, tokenizer)) == known
