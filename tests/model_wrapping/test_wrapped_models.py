"""Models under another name, in PEFT's hands or compiled are explained as the plain ones."""

import copy

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model

from interpreto import InputxGradient, Occlusion
from interpreto.errors import ModelError
from tests.architectures import ANSWERS, CAUSAL, CLASSES, LABELS, MASKED, SEQ2SEQ, build
from tests.model_wrapping.plain import Plain

CASES = [
    ("bert", CLASSES),
    ("llama", CLASSES),
    ("bart", CLASSES),
    ("gpt2", CAUSAL),
    ("mistral", CAUSAL),
    ("t5", SEQ2SEQ),
    ("roberta", MASKED),
    ("t5", LABELS),
    ("distilbert", ANSWERS),
]
KINDS = {CLASSES: "SEQ_CLS", CAUSAL: "CAUSAL_LM", SEQ2SEQ: "SEQ_2_SEQ_LM", LABELS: "TOKEN_CLS", ANSWERS: "QUESTION_ANS"}


def results(model, plain):
    return [explain(model, plain.tokenizer)(plain.inputs, plain.targets)[0] for explain in (Occlusion, InputxGradient)]


def compare(model, plain):
    for one, other in zip(results(plain.model, plain), results(model, plain), strict=True):
        assert one.task is other.task
        torch.testing.assert_close(one.scores, other.scores, atol=5e-5, rtol=1e-4, equal_nan=True)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_classes_of_another_name(name, task):
    plain = Plain.of(name, task, model=build(name, task))
    model = copy.deepcopy(plain.model)
    model.__class__ = type("Ours", (type(plain.model),), {})
    compare(model, plain)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_low_rank_adapters(name, task):
    plain = Plain.of(name, task, model=build(name, task))
    heads = [n for n, _ in plain.model.named_children() if n in ("classifier", "qa_outputs")]  # PEFT trains them whole
    settings = LoraConfig(
        task_type=KINDS.get(task),
        r=2,
        target_modules="all-linear",
        exclude_modules=heads or None,
        fan_in_fan_out=name == "gpt2",
        init_lora_weights=False,
    )
    adapted = get_peft_model(copy.deepcopy(plain.model), settings).eval()
    merged = copy.deepcopy(adapted).merge_and_unload()
    assert not torch.equal(merged(**inputs(plain))[0], plain.model(**inputs(plain))[0])
    compare(adapted, Plain.of(name, task, model=merged))


def inputs(plain):
    found = {"input_ids": torch.tensor([plain.source])}
    if plain.task is SEQ2SEQ:
        found["decoder_input_ids"] = torch.tensor([plain.output])
    return found


def test_adapted_embeddings():
    plain = Plain.of("bert", CLASSES, model=build("bert", CLASSES))
    settings = LoraConfig(r=2, target_modules=["word_embeddings", "query"], init_lora_weights=False)
    adapted = get_peft_model(copy.deepcopy(plain.model), settings).eval()
    compare(adapted, Plain.of("bert", CLASSES, model=copy.deepcopy(adapted).merge_and_unload()))


def test_learned_prompts_are_refused():
    plain = Plain.of("gpt2", CAUSAL, model=build("gpt2", CAUSAL))
    settings = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    with pytest.raises(ModelError, match="learned prompt"):
        Occlusion(get_peft_model(plain.model, settings), plain.tokenizer)(plain.inputs, plain.targets)


@pytest.mark.parametrize(("name", "task", "in_place"), [("bert", CLASSES, False), ("gpt2", CAUSAL, True)])
def test_compiled_models(name, task, in_place):
    plain = Plain.of(name, task, model=build(name, task))
    model = copy.deepcopy(plain.model)
    if in_place:
        model.compile(backend="eager")
    else:
        model = torch.compile(model, backend="eager")
    with torch.no_grad():
        model(**inputs(plain))  # so that there is compiled code, which looks at no hook that comes later
    compiled = model._compiled_call_impl
    compare(model, plain)
    assert model._compiled_call_impl is compiled
    torch._dynamo.reset()
