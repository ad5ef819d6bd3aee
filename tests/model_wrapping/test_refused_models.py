"""What cannot be explained is refused in one sentence."""

import pytest
import torch
from jaxtyping import TypeCheckError
from transformers import (
    AutoModel,
    AutoModelForMultipleChoice,
    AutoModelForSequenceClassification,
    ElectraForPreTraining,
)

from interpreto import Occlusion
from interpreto.errors import ModelError
from tests.architectures import ARCHITECTURES, CAUSAL, CLASSES, SEQ2SEQ, build
from tests.tiny import byte_bpe, wordpiece

TEXTS = ["fox", "The quick brown fox"]


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5", "bart", "mamba", "falcon", "deberta-v2"])
def test_models_without_a_head(name):
    architecture = ARCHITECTURES[name]
    model = AutoModel.from_config(architecture.config(CLASSES))
    with pytest.raises(ModelError, match="AutoModelFor"):
        Occlusion(model, architecture.tokenizer())("The quick brown fox")


def test_multiple_choice():
    model = AutoModelForMultipleChoice.from_config(ARCHITECTURES["bert"].config(CLASSES))
    for text in TEXTS:
        with pytest.raises(ModelError, match="AutoModelFor"):
            Occlusion(model, wordpiece())(text)


@pytest.mark.parametrize("n_labels", range(2, 8))
def test_detectors_of_replaced_tokens(n_labels):
    """Their logits are one a token: no classes, even where there are as many of the two."""
    model = ElectraForPreTraining(ARCHITECTURES["electra"].config(CLASSES, num_labels=n_labels))
    with pytest.raises(ModelError, match="AutoModelFor"):
        Occlusion(model, wordpiece())("the dog")


def test_models_without_weights():
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(ARCHITECTURES["bert"].config(CLASSES))
    with pytest.raises(ModelError, match="meta device"):
        Occlusion(model, wordpiece())


@pytest.mark.parametrize("name", ["bert", "gemma3", "bart"])
def test_tokenizers_with_more_tokens_than_the_model_has(name):
    small = build(name, CLASSES, vocab_size=50)
    with pytest.raises(ModelError, match="50 embeddings"):
        Occlusion(small, ARCHITECTURES[name].tokenizer())


def test_tokenizers_with_far_fewer_tokens_than_the_model_has():
    """A warning only: models whose embeddings were extended are right all the same."""
    tokenizer = wordpiece()
    spare = build("bert", CLASSES, vocab_size=len(tokenizer) + 1024)
    assert Occlusion(spare, tokenizer)("the dog")[0].scores.isfinite().all()
    model = build("bert", CLASSES, vocab_size=len(tokenizer) + 1025)
    with pytest.warns(UserWarning, match=r"^tokenizer: 150 tokens for the model's 1175 embeddings; .*another model's"):
        explainer = Occlusion(model, tokenizer)
    assert explainer("the dog")[0].scores.isfinite().all()


def test_a_model_is_tried_once():
    model = build("bert", CLASSES)
    explainer, calls = Occlusion(model, wordpiece()), []
    handle = model.register_forward_pre_hook(lambda _module, _args: calls.append(1))
    for expected in (3, 2, 2):  # the first time also to find out what it is for
        explainer("the dog")
        assert len(calls) == expected
        calls.clear()
    handle.remove()


def test_other_things_than_models():
    # In the tests the annotations are checked too, and may be first.
    with pytest.raises((ModelError, TypeCheckError), match="model"):
        Occlusion("bert-base-uncased", wordpiece())
    with pytest.raises((ModelError, TypeCheckError), match="tokenizer"):
        Occlusion(build("bert", CLASSES), "bert-base-uncased")


def test_encoder_decoders_that_do_not_know_where_to_start():
    model = build("t5", SEQ2SEQ)
    model.config.decoder_start_token_id = model.generation_config.decoder_start_token_id = None
    model.generation_config.bos_token_id = None
    with pytest.raises(ModelError, match="decoder_start_token_id"):
        Occlusion(model, ARCHITECTURES["t5"].tokenizer())("The quick brown fox", "ran")


def test_models_that_answer_with_no_numbers():
    model = build("gpt2", CAUSAL)
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="NaN"):
        Occlusion(model, byte_bpe())("The quick brown fox", " ran")
