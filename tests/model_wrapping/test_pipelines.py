"""A pipeline is taken for its model and tokenizer, wherever these are."""

import pytest
import torch
import transformers
from transformers import BertForMaskedLM, BertForTokenClassification, BertModel, pipeline

from interpreto import InputxGradient, KernelShap, ModelWithSplitPoints, Occlusion
from interpreto.attributions.metrics import Comprehensiveness, Deletion, Infidelity, Insertion, Sufficiency
from interpreto.concepts import NeuronsAsConcepts
from interpreto.errors import InputError, ModelError
from tests.attributions.cases import cases
from tests.tiny import bert, byte_bpe, classifier, language_model, wordpiece

TASKS = {
    "text-classification": (classifier, wordpiece, "classification"),
    "text-generation": (language_model, byte_bpe, "causal"),
    "fill-mask": (lambda: bert(BertForMaskedLM, num_labels=2, seed=1), wordpiece, "masked"),
    "token-classification": (lambda: bert(BertForTokenClassification, num_labels=4, seed=1), wordpiece, "tokens"),
}
OLDER = {"question-answering": "answers", "text2text-generation": "seq2seq"}  # before transformers 5


def make(task):
    if task in OLDER:
        if task not in transformers.pipelines.SUPPORTED_TASKS:
            pytest.skip(f"transformers {transformers.__version__} has no pipeline for {task}")
        case = cases()[OLDER[task]]
        return pipeline(task, model=case.model(), tokenizer=case.tokenizer(), device="cpu"), case
    model, tokenizer, name = TASKS[task]
    return pipeline(task, model=model(), tokenizer=tokenizer(), device="cpu"), cases()[name]


@pytest.mark.parametrize("task", [*TASKS, *OLDER])
@pytest.mark.parametrize("method", [Occlusion, KernelShap, InputxGradient])
def test_explains_as_model_and_tokenizer_do(task, method):
    given, case = make(task)
    explainer = method(given)
    assert explainer.model is given.model
    assert explainer.tokenizer is given.tokenizer
    for one, other in zip(
        explainer(case.inputs, case.targets),
        method(given.model, given.tokenizer)(case.inputs, case.targets),
        strict=True,
    ):
        assert one.to_json() == other.to_json()


def test_explains_what_the_pipeline_answers():
    given, _ = make("text-classification")
    for text in ("The quick fox.", "A sad day"):
        answer = given(text)[0]
        found = Occlusion(given, inference_mode="softmax")(text)[0]
        assert found.target_names == (answer["label"],)
        assert float(found.target_scores[0]) == pytest.approx(answer["score"], abs=1e-5)
    given, _ = make("fill-mask")
    best = given("The [MASK] fox.")[0]
    found = Occlusion(given, inference_mode="softmax")("The [MASK] fox.")[0]
    assert found.target_names == (best["token_str"],)
    assert float(found.target_scores[0]) == pytest.approx(best["score"], abs=1e-5)


@pytest.mark.parametrize("metric", [Insertion, Deletion, Comprehensiveness, Sufficiency])
def test_metrics(metric):
    given, case = make("text-classification")
    results = Occlusion(given)(case.inputs)
    assert metric(given)(results).score == metric(given.model, given.tokenizer)(results).score
    assert Infidelity(given)(results).score == Infidelity(given.model, given.tokenizer)(results).score


def test_split_points():
    given, _ = make("text-classification")
    split = ModelWithSplitPoints(given, split_points=1)
    assert split.model is given.model
    assert split.tokenizer is given.tokenizer
    plain = ModelWithSplitPoints(given.model, split_points=1, tokenizer=given.tokenizer)
    texts = ["The quick fox.", "A sad day"]
    assert torch.equal(split.get_activations(texts)["1"], plain.get_activations(texts)["1"])
    concepts = NeuronsAsConcepts(split)
    assert Occlusion(concepts)(texts[0], [3])[0].scores.shape == (1, 4)


def test_features_are_split_but_not_explained():
    given = pipeline("feature-extraction", model=bert(BertModel, 2, 0), tokenizer=wordpiece(), device="cpu")
    activations = ModelWithSplitPoints(given, split_points=-1).get_activations("a sad day", "all_tokens")["1"]
    torch.testing.assert_close(activations, torch.tensor(given("a sad day"))[0], atol=1e-5, rtol=1e-4)
    with pytest.raises(ModelError, match=r"^model: expected one that classifies texts"):
        Occlusion(given)("a sad day")


def test_what_is_given_besides_wins():
    given, _ = make("text-classification")
    other = byte_bpe()
    with pytest.raises(ModelError, match="tokenizer: expected a vocabulary that fits the model's"):
        Occlusion(given, other)


def image_pipeline():
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    size = {"height": 16, "width": 16}
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=16, patch_size=8
    )
    return pipeline(
        "image-classification",
        model=ViTForImageClassification(config),
        image_processor=ViTImageProcessor(size=size),
        device="cpu",
    )


def test_images_are_refused():
    for use in (Occlusion, Insertion, lambda given: ModelWithSplitPoints(given, split_points=0)):
        with pytest.raises(
            ModelError, match=r"^model: expected a pipeline of texts, got a ImageClassificationPipeline"
        ):
            use(image_pipeline())


def test_models_without_tokenizer_are_still_refused():
    with pytest.raises(
        ModelError, match=r"^tokenizer: expected the model's own tokenizer, got None; only concepts, pip"
    ):
        Occlusion(classifier())
    with pytest.raises(ModelError, match=r"^model: expected a loaded model, got the text 'org/mood'; load it first"):
        Occlusion("org/mood")
    with pytest.raises(InputError, match=r"^tokenizer: a loaded model needs its tokenizer"):
        ModelWithSplitPoints(classifier(), split_points=0)
