"""Every architecture with every head that it has: the engine's scores are those of the plain model."""

import pytest
import torch
from transformers.models.auto import modeling_auto

from interpreto import Occlusion
from interpreto.types import Removal
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
    (result,) = Occlusion(model, tokenizer, generation={"max_new_tokens": 3})(plain.inputs)
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
