"""Every architecture with every head that it has: the engine's scores are those of the plain model."""

import pytest
import torch
from transformers.models.auto import modeling_auto

from interpreto import Occlusion
from interpreto.errors import InputError
from interpreto.types import InferenceMode, Removal
from tests.architectures import (
    ANSWERS,
    ARCHITECTURES,
    AUTO,
    CAUSAL,
    CLASSES,
    LABELS,
    MASKED,
    PAIRS,
    SEQ2SEQ,
    build,
    model_and_tokenizer,
)
from tests.model_wrapping.plain import Plain, engine, keeps

MAPPINGS = {
    CLASSES: modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    LABELS: modeling_auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
    ANSWERS: modeling_auto.MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES,
    CAUSAL: modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    SEQ2SEQ: modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    MASKED: modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_table_has_every_task_that_the_architecture_has(name):
    architecture = ARCHITECTURES[name]
    found = {task for task, mapping in MAPPINGS.items() if architecture.kind in mapping}
    if SEQ2SEQ in found:
        found.discard(MASKED)  # the same class again: it fills masks by writing the whole text
    assert found == set(architecture.tasks)
    assert set(MAPPINGS) == set(AUTO)


@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_task_is_recognised_and_the_models_own_answer_explained(name, task):
    model, tokenizer = model_and_tokenizer(name, task)
    plain = Plain.of(name, task)
    options = {"generation": {"max_new_tokens": 3}} if task.generates else {}
    (result,) = Occlusion(model, tokenizer, **options)(plain.inputs)
    assert result.task is task
    assert len(result.targets) == {CLASSES: 1, LABELS: 4, ANSWERS: 2, MASKED: 1}.get(task, len(result.targets)) > 0
    assert result.scores.shape == (len(result.targets), len(result.elements))
    for target, scores in zip(result.targets, result.scores, strict=True):
        assert scores.isfinite().tolist() == [target.sees(element) for element in result.elements]


@pytest.mark.parametrize("removal", list(Removal))
@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_scores_are_the_plain_models(name, task, removal):
    model, tokenizer = model_and_tokenizer(name, task)
    refused = {
        Removal.MASK: tokenizer.mask_token is None,
        Removal.DELETE: task in (LABELS, ANSWERS),
        Removal.ATTENTION: False,
    }
    if refused[removal]:
        pytest.skip("refused with a message of its own")
    plain = Plain.of(name, task)
    scorer, (text,) = engine(model, tokenizer, plain.inputs, plain.targets, removal=removal)
    assert sorted(i for element in text.elements for i in element.tokens) == plain.own
    keep = keeps(len(text.elements))
    expected = []
    for row in keep:
        removed = {i for element, kept in zip(text.elements, row, strict=True) if not kept for i in element.tokens}
        expected.append(plain.scores(removed, removal))
    (scores,) = scorer.scores([text], [keep])
    torch.testing.assert_close(scores, torch.tensor(expected), atol=1e-5, rtol=1e-5)
    assert float((scores[1] - scores[0]).abs().max()) > 1e-3  # words matter


@pytest.mark.parametrize("name", ["bert", "bart", "t5", "llama", "gpt2", "deberta-v2"])
def test_regression(name):
    model = build(name, CLASSES, num_labels=1)
    plain = Plain.of(name, CLASSES, model=model)
    (result,) = Occlusion(model, plain.tokenizer)(plain.inputs)
    answer = plain.run(plain.source, [1] * len(plain.source)).logits[0]
    torch.testing.assert_close(result.target_scores, answer, atol=1e-5, rtol=1e-5)
    with pytest.raises(InputError, match="regression"):
        Occlusion(model, plain.tokenizer, inference_mode="softmax")(plain.inputs)


@pytest.mark.parametrize("name", ["bert", "bart", "llama"])
def test_many_labels_and_pairs_of_texts(name):
    model = build(name, CLASSES, problem_type="multi_label_classification")
    plain = Plain(name, CLASSES, ("The quick brown fox", "A sad day"), model, ARCHITECTURES[name].tokenizer())
    call = plain.tokenizer(*plain.text)
    answer = plain.run(call["input_ids"], call["attention_mask"], call.get("token_type_ids")).logits[0]
    every = torch.arange(3).view(1, -1)
    for mode, expected in (("softmax", answer.sigmoid()), ("log_softmax", answer.sigmoid().log())):
        (result,) = Occlusion(model, plain.tokenizer, inference_mode=mode)([plain.text], every)
        torch.testing.assert_close(result.target_scores, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("name", "task"), [(n, t) for n, t in PAIRS if n in ("bert", "bart", "llama", "gemma3")])
def test_probabilities(name, task):
    """The softmax runs over all classes or tokens, or over all places of the text for the ends of an answer."""
    model, tokenizer = model_and_tokenizer(name, task)
    plain = Plain.of(name, task)
    ids, mask = plain.row, [1] * len(plain.row)
    if task is SEQ2SEQ:
        output = torch.tensor([plain.prefix + plain.output[:-1]])
        with torch.no_grad():
            answer = model(input_ids=torch.tensor([plain.source]), decoder_input_ids=output)
    else:
        answer = plain.run(ids, mask, plain._call().get("token_type_ids") if task is not CAUSAL else None)
    if task is ANSWERS:
        first, last = plain._answer_places()
        wanted = [answer.start_logits[0].softmax(0)[first], answer.end_logits[0].softmax(0)[last]]
    else:
        chances = answer.logits[0].softmax(-1)
        start = len(plain.source) - 1
        wanted = {
            CLASSES: lambda: [chances[0], chances[2]],
            LABELS: lambda: [chances[plain._read_places()[place], label] for place, label in ((0, 1), (3, 2))],
            MASKED: lambda: [chances[plain._read_places()[0], token] for token in (7, 9)],
            CAUSAL: lambda: [chances[start + k, token] for k, token in enumerate(plain.output)],
            SEQ2SEQ: lambda: [chances[k, token] for k, token in enumerate(plain.output)],
        }[task]()
    for mode in (InferenceMode.SOFTMAX, InferenceMode.LOG_SOFTMAX):
        scorer, (text,) = engine(model, tokenizer, plain.inputs, plain.targets, mode=mode)
        (scores,) = scorer.scores([text], [torch.ones(1, len(text.elements), dtype=torch.bool)])
        expected = torch.stack(wanted)[None]
        expected = expected if mode is InferenceMode.SOFTMAX else expected.log()
        torch.testing.assert_close(scores, expected, atol=1e-5, rtol=1e-4)
