"""Integrated gradients against captum, completeness, and a model that is linear in its embeddings."""

import dataclasses

import pytest
import torch
from captum.attr import LayerIntegratedGradients
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from interpreto import Contrast, IntegratedGradients
from interpreto.demo import load
from interpreto.errors import InputError
from tests.attributions.plain import OUTPUT, PROMPT, TEXT, plain_classifier, plain_language_model
from tests.tiny import byte_bpe, classifier, language_model, wordpiece

CLASSES = torch.arange(3)[None]


@pytest.mark.parametrize("n_steps", [5, 32])
def test_equal_to_captum_on_a_classifier(n_steps):
    plain = plain_classifier()
    explainer = IntegratedGradients(classifier(), wordpiece(), granularity="token", n_steps=n_steps, tolerance=None)
    result = explainer(TEXT, CLASSES)[0]
    baseline = [i if k in plain.fixed else wordpiece().mask_token_id for k, i in enumerate(plain.ids)]
    captum = LayerIntegratedGradients(lambda ids: plain.model(ids).logits, plain.model.get_input_embeddings())
    for target in range(3):
        found = captum.attribute(
            torch.tensor([plain.ids]), torch.tensor([baseline]), target, n_steps=n_steps, method="gausslegendre"
        )
        expected = found[0].sum(dim=-1)
        free = [i for i in range(len(plain.ids)) if i not in plain.fixed]
        torch.testing.assert_close(result.scores[target], expected[free].float(), atol=1e-5, rtol=1e-5)
        assert expected[plain.fixed].abs().max() == 0


def test_equal_to_captum_on_a_language_model():
    plain = plain_language_model()
    explainer = IntegratedGradients(
        language_model(), byte_bpe(), granularity="token", n_steps=8, tolerance=None, baseline="<|endoftext|>"
    )
    (result,) = explainer.explain(PROMPT, OUTPUT)
    captum = LayerIntegratedGradients(
        lambda ids: plain.read(plain.model(ids).logits), plain.model.get_input_embeddings()
    )
    ids = torch.tensor([plain.ids])
    for k, target in enumerate(result.targets):
        found = captum.attribute(
            ids, torch.zeros_like(ids), k, n_steps=8, method="gausslegendre", internal_batch_size=1
        )
        expected = found[0].sum(dim=-1).float()
        assert expected[target.first :].abs().max() == 0
        torch.testing.assert_close(result.scores[k, : target.first], expected[: target.first], atol=1e-5, rtol=1e-5)
        assert result.scores[k, target.first :].isnan().all()


@pytest.mark.parametrize("baseline", ["mask", "pad", "zero", "mean", "dog"])
def test_complete_on_a_curved_classifier(baseline):
    explainer = IntegratedGradients(classifier(), wordpiece(), baseline=baseline)
    result = explainer(TEXT, CLASSES)[0]
    assert result.gaps.abs().max() <= 1e-4 * (result.target_scores - result.baseline_scores).abs().max()


def test_complete_on_a_curved_language_model():
    (result,) = IntegratedGradients(language_model(), byte_bpe()).explain(PROMPT, OUTPUT)
    assert (result.gaps.abs() <= 1e-4 * (result.target_scores - result.baseline_scores).abs()).all()


@pytest.mark.parametrize("name", ["emotion", "topic"])
def test_complete_on_trained_classifiers(name):
    """The topic model has a ReLU before its classes, so that gradients jump along the path."""
    model, tokenizer = load(name)
    texts = ["I am so happy to see you!", "Nobody came, and the small village by the river was silent."]
    for result in IntegratedGradients(model, tokenizer)(texts):
        assert abs(result.gaps) <= 1e-4 * abs(result.target_scores - result.baseline_scores)


def test_complete_on_a_trained_language_model():
    """Its RMSNorm has a singularity at zero, so that the path must not begin there."""
    model, tokenizer = load("stories")
    result = IntegratedGradients(model, tokenizer)("Once upon a time, there was a little dog", " named Spot")[0]
    assert (result.gaps.abs() <= 1e-4 * (result.target_scores - result.baseline_scores).abs()).all()


def test_a_quarter_of_the_usual_50_steps_mostly_leaves_a_gap_of_a_thousandth():
    texts = [
        "I am so happy to see you!",
        "I was scared of the dark and could not sleep.",
        "He shouted at me again, and I am furious.",
        "We miss our dog so much.",
        "What a lovely surprise, thank you for everything!",
        "i feel like nobody cares about what i say",
        "The film was long.",
        "I can't believe that she said yes.",
        "My hands were shaking when the doctor called.",
    ]
    results = IntegratedGradients(*load("emotion"), tolerance=1e-3)(texts)
    assert sorted(steps for result in results for steps in result.settings["steps"])[len(texts) // 2] <= 50 / 4
    for result in results:
        assert abs(result.gaps) <= 1e-3 * abs(result.target_scores - result.baseline_scores)


def test_baseline_score_is_the_score_of_the_masked_text():
    plain = plain_classifier()
    result = IntegratedGradients(classifier(), wordpiece(), n_steps=2)(TEXT, CLASSES)[0]
    free = [i for i in range(len(plain.ids)) if i not in plain.fixed]
    expected = plain.scores([plain.without(free, wordpiece().mask_token_id)])[0]
    torch.testing.assert_close(result.baseline_scores, expected, atol=1e-5, rtol=0)


class LinearModel(PreTrainedModel):
    """Logits are a linear function of the embeddings, different at each place."""

    config_class = PretrainedConfig

    def __init__(self) -> None:
        super().__init__(PretrainedConfig(num_labels=2))
        torch.manual_seed(0)
        self.embedding = nn.Embedding(len(wordpiece()), 8)
        self.weights = nn.Parameter(torch.randn(64, 8, 2))

    def get_input_embeddings(self) -> nn.Module:
        return self.embedding

    def forward(self, input_ids: torch.Tensor) -> SequenceClassifierOutput:
        e = self.embedding(input_ids)
        return SequenceClassifierOutput(logits=torch.einsum("bld,ldc->bc", e, self.weights[: e.shape[1]]))


@pytest.mark.parametrize("baseline", ["mask", "zero", "mean", torch.linspace(-1, 1, 8)])
def test_exact_with_one_step_where_the_model_is_linear(baseline):
    model, ids = LinearModel(), plain_classifier().ids
    explainer = IntegratedGradients(
        model, wordpiece(), granularity="token", n_steps=1, tolerance=None, baseline=baseline
    )
    result = explainer(TEXT, torch.arange(2)[None])[0]
    table = model.embedding.weight.detach()
    named = {"mask": table[wordpiece().mask_token_id], "zero": torch.zeros(8), "mean": table.mean(dim=0)}
    nothing = baseline if isinstance(baseline, torch.Tensor) else named[baseline]
    for place in range(1, len(ids) - 1):
        expected = (table[ids[place]] - nothing) @ model.weights[place].detach()
        torch.testing.assert_close(result.scores[:, place - 1], expected, atol=1e-5, rtol=1e-5)
    assert result.gaps.abs().max() <= 1e-4


def test_an_element_equal_to_its_baseline_gets_zero():
    result = IntegratedGradients(classifier(), wordpiece(), baseline="dog", n_steps=4)("you are dog, great", 0)[0]
    scores = dict(zip([element.text.strip() for element in result.elements], result.scores[0].tolist(), strict=True))
    assert scores["dog"] == 0
    assert scores["great"] != 0


# Refinement


class JumpingModel(LinearModel):
    """ReLUs of linear functions of the embeddings, whose integrals are known: `(w . e - c)+` along a straight path."""

    def __init__(self, n_kinks: int = 6) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.randn(64, 8, n_kinks))
        self.offsets = nn.Parameter(torch.linspace(-4, 4, n_kinks))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> SequenceClassifierOutput:
        e = self.embedding(input_ids) * (1 if attention_mask is None else attention_mask[:, :, None])
        kinks = (torch.einsum("bld,ldc->bc", e, self.weights[: e.shape[1]]) - self.offsets).relu()
        return SequenceClassifierOutput(logits=torch.stack([kinks.sum(dim=1), kinks[:, 0] - kinks[:, 1]], dim=1))

    def integrals(self, ids: list[int], start: torch.Tensor) -> torch.Tensor:
        """Of both classes and each token: its difference times the mean slope, which is that of a share of the path."""
        with torch.no_grad():
            table, weights = self.embedding.weight.double(), self.weights[: len(ids)].double()
            difference = torch.einsum("ld,ldc->lc", table[ids] - start, weights)
            low = torch.einsum("ld,ldc->c", start.double(), weights) - self.offsets.double()
            high = low + difference.sum(dim=0)
            share = (high.relu() - low.relu()) / (high - low)
            tokens = difference * share
            return torch.stack([tokens.sum(dim=1), tokens[:, 0] - tokens[:, 1]])


def test_jumps_of_the_gradient_are_found():
    model, plain = JumpingModel(), plain_classifier()
    explainer = IntegratedGradients(model, wordpiece(), granularity="token", baseline="mask")
    (result,) = explainer(TEXT, [[0, 1]])
    start = model.embedding.weight.detach()[[i if k in plain.fixed else 4 for k, i in enumerate(plain.ids)]]
    expected = model.integrals(plain.ids, start)[:, 1:-1]
    assert wordpiece().mask_token_id == 4
    torch.testing.assert_close(result.scores.double(), expected, atol=2e-4 * float(expected.abs().max()), rtol=0)
    rough = explainer_with(explainer, tolerance=None, n_steps=64)(TEXT, [[0, 1]])[0]
    assert result.gaps.abs().max() < rough.gaps.abs().max() / 10
    assert max(result.settings["steps"]) < 200


def explainer_with(explainer, **options):
    return dataclasses.replace(explainer, **options)


def test_what_a_target_takes_depends_on_no_other():
    """Neither on the other targets and texts, nor on what is written later."""
    explainer = IntegratedGradients(JumpingModel(), wordpiece(), tolerance=1e-3)
    texts = [TEXT, "a dog", "What a sad, sad day"]
    together = explainer(texts, torch.arange(2).expand(3, -1))
    for text, result in zip(texts, together, strict=True):
        for target in (0, 1):
            (alone,) = explainer(text, target)
            assert alone.settings["steps"] == [result.settings["steps"][target]]
            torch.testing.assert_close(alone.scores[0], result.scores[target], atol=1e-5, rtol=1e-5)
    assert len({steps for result in together for steps in result.settings["steps"]}) > 3
    explainer = IntegratedGradients(language_model(), byte_bpe())
    (whole,), (begun,) = explainer(PROMPT, OUTPUT), explainer(PROMPT, OUTPUT[: len(" is it")])
    assert len(begun.targets) < len(whole.targets)
    assert whole.settings["steps"][: len(begun.targets)] == begun.settings["steps"]
    kept = whole.scores[: len(begun.targets), : len(begun.elements)]
    torch.testing.assert_close(kept, begun.scores, atol=1e-5, rtol=1e-5, equal_nan=True)


def test_a_spent_budget_warns_once_and_keeps_what_there_is():
    model, tokenizer = JumpingModel(), wordpiece()
    explainer = IntegratedGradients(model, tokenizer, max_steps=40)
    message = "IntegratedGradients: 3 of 3 targets are not complete to 0.0001 .* after 40 steps; most is missing for "
    with pytest.warns(UserWarning, match=message) as caught:
        results = explainer([TEXT, "What a sad, sad day"], [[0, 1], 0])
    assert len(caught) == 1
    for result in results:
        assert all(28 <= steps <= 40 for steps in result.settings["steps"])
        assert result.scores.isfinite().all()
        assert result.gaps.abs().max() > 0


class CancellingModel(LinearModel):
    """A bump on the way that is gone at its end: nothing in all, but not on the way."""

    def forward(self, input_ids: torch.Tensor) -> SequenceClassifierOutput:
        e = self.embedding(input_ids)[:, 1]
        share = (e[:, 0] - 1) / 2
        bump = 16 * (share * (1 - share)) ** 2
        return SequenceClassifierOutput(logits=torch.stack([bump, 1000 + bump * 1e-4], dim=1))


@pytest.mark.parametrize("label", [0, 1, Contrast(0, 0)])
def test_small_differences_do_not_run_away(label):
    model = CancellingModel()
    with torch.no_grad():
        model.embedding.weight.fill_(1.0)
        model.embedding.weight[wordpiece().convert_tokens_to_ids("dog")] = 3.0
    (result,) = IntegratedGradients(model, wordpiece())("dog", label)
    assert result.settings["steps"][0] <= 60
    assert abs(result.target_scores - result.baseline_scores) <= 1e-3


def test_numbers_of_few_digits_are_asked_for_no_more_than_they_have():
    model = classifier().to(torch.bfloat16)
    results = IntegratedGradients(model, wordpiece())([TEXT, "a dog"], CLASSES.expand(2, -1))
    assert max(steps for result in results for steps in result.settings["steps"]) <= 200


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_steps": 0}, "n_steps: expected a whole number, at least 1, got 0"),
        ({"max_steps": 8}, "max_steps: expected a whole number, at least 12, got 8"),
        ({"tolerance": 0.0}, "tolerance: expected above 0, or None for n_steps, got 0.0"),
        ({"tolerance": float("nan")}, "tolerance: expected above 0"),
    ],
)
def test_refused_options(options, message):
    with pytest.raises(InputError, match=f"^{message}"):
        IntegratedGradients(classifier(), wordpiece(), **options)
