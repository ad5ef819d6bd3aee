"""DeepLIFT against slopes by hand, contributions that are passed forward, captum, integrals, and summation to delta."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from captum.attr import DeepLift as CaptumDeepLift
from torch import Tensor, nn
from torch.overrides import _get_current_function_mode_stack
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from interpreto import IntegratedGradients, ModelWithSplitPoints, Segments
from interpreto.attributions.methods.deep_lift import DeepLift
from interpreto.concepts import InputToConcepts, NeuronsAsConcepts
from interpreto.demo import load
from interpreto.errors import ModelError
from interpreto.model_wrapping.paired_gradients import PairedGradients
from interpreto.model_wrapping.secants import SecantRules, paired
from interpreto.types import Task
from tests.architectures import ARCHITECTURES, PAIRS, build, model_and_tokenizer
from tests.attributions.plain import TEXT, plain_classifier
from tests.attributions.test_contract import fingerprint
from tests.tiny import byte_bpe, classifier, language_model, wordpiece

CLASSES = torch.arange(2)[None]


def multipliers(function, x, at_baseline, *targets):
    """What the rules hand back from one number that a function makes, and that number."""
    point = paired(x.clone().requires_grad_(), at_baseline)
    with SecantRules():
        answer = function(point)[targets]
    return torch.autograd.grad(answer, point)[0], answer.detach()


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


# By hand


def test_two_layers_by_hand():
    first, second = random(3, 4), random(4, seed=1)
    x, x0 = random(3, seed=2), random(3, seed=3)

    def function(x):
        return (torch.tanh(x @ first) @ second)[None]

    slopes = [(h.tanh() - h0.tanh()) / (h - h0) for h, h0 in zip(x @ first, x0 @ first, strict=True)]
    expected = [sum(first[i, k] * slopes[k] * second[k] for k in range(4)) for i in range(3)]
    found, answer = multipliers(function, x, x0, 0)
    torch.testing.assert_close(found, torch.stack(expected))
    torch.testing.assert_close(answer, function(x)[0])


@dataclass(frozen=True)
class Shared:
    """A value, its value at the baseline, and what each input brings of the difference: `parts (k, *shape)`."""

    now: Tensor
    before: Tensor
    parts: Tensor

    def linear(self, function):
        return Shared(function(self.now), function(self.before), torch.stack([function(part) for part in self.parts]))

    def plus(self, other):
        return Shared(self.now + other.now, self.before + other.before, self.parts + other.parts)

    def bent(self, function):
        now, before = function(self.now), function(self.before)
        return Shared(now, before, self.parts * (now - before) / (self.now - self.before))

    def times(self, other, product=torch.mul):
        mine, others = (self.now + self.before) / 2, (other.now + other.before) / 2
        parts = [product(a, others) + product(mine, b) for a, b in zip(self.parts, other.parts, strict=True)]
        return Shared(product(self.now, other.now), product(self.before, other.before), torch.stack(parts))

    def normed(self, eps):
        size = self.times(self).linear(lambda x: x.mean(dim=-1, keepdim=True))
        return self.times(Shared(size.now + eps, size.before + eps, size.parts).bent(torch.rsqrt))

    def centred(self):
        return self.linear(lambda x: x - x.mean(dim=-1, keepdim=True))

    def softmax(self):
        total = self.bent(torch.exp).linear(lambda x: x.sum(dim=-1, keepdim=True)).bent(torch.log)
        return self.plus(total.linear(torch.neg)).bent(torch.exp)


L, D, H = 4, 6, 5
Q, K, V, O = (random(D, D, seed=k) / 2 for k in range(4))  # noqa: E741
GATE, UP, DOWN = random(D, H, seed=4), random(D, H, seed=5), random(H, D, seed=6)


def layer(x):
    """Attention with one head and a gated feed-forward network, each after a norm and beside a residual connection."""
    y = x * torch.rsqrt(x.pow(2).mean(dim=-1, keepdim=True) + 1e-6)
    weights = nn.functional.softmax((y @ Q) @ (y @ K).transpose(-1, -2) / D**0.5, dim=-1)
    x = x + (weights @ (y @ V)) @ O
    y = nn.functional.layer_norm(x, (D,))
    return x + (nn.functional.gelu(y @ GATE) * (y @ UP)) @ DOWN


def shared_by_layer(x):
    y = x.normed(1e-6)
    queries, keys, values = (y.linear(lambda z, w=w: z @ w) for w in (Q, K, V))
    logits = queries.times(keys.linear(lambda z: z.T), torch.matmul).linear(lambda z: z / D**0.5)
    x = x.plus(logits.softmax().times(values, torch.matmul).linear(lambda z: z @ O))
    y = x.centred().normed(1e-5)
    gated = y.linear(lambda z: z @ GATE).bent(nn.functional.gelu).times(y.linear(lambda z: z @ UP))
    return x.plus(gated.linear(lambda z: z @ DOWN))


def test_equal_to_contributions_that_are_passed_forward_by_hand():
    """Of each number that enters two layers, what it brings to each quantity on the way, instead of the way back."""
    x, x0 = random(L, D, seed=7), random(L, D, seed=8)
    parts = torch.diag_embed((x - x0).flatten()).view(L * D, L, D)
    by_hand = shared_by_layer(shared_by_layer(Shared(x, x0, parts)))
    torch.testing.assert_close(by_hand.now, layer(layer(x)))
    for target in ((0, 1), (L - 1, 3)):
        found, answer = multipliers(lambda x: layer(layer(x)), x, x0, *target)
        torch.testing.assert_close(
            (found * (x - x0)).flatten(), by_hand.parts[:, target[0], target[1]], atol=1e-9, rtol=1e-7
        )
        torch.testing.assert_close(answer, by_hand.now[target])
        at_ends = layer(layer(x))[target] - layer(layer(x0))[target]
        torch.testing.assert_close((found * (x - x0)).sum(), at_ends)


FUNCTIONS = {
    "gelu": nn.functional.gelu,
    "relu": torch.relu,
    "rsqrt": lambda x: (x.square() + 1e-9).rsqrt(),
    "division": lambda x: 1 / (x * x + 1e-3) + x / (x.exp() + 1),
    "softplus": nn.functional.softplus,
    "cube": lambda x: torch.pow(input=x, exponent=3),
    "clamp": lambda x: x.clamp(-0.5, max=1),
    "two to the": lambda x: 2**x,
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("apart", [2.0, 1e-3, 1e-7, 1e-12, 0.0])
def test_slopes_of_values_that_are_close(name, apart):
    """In float32, as exact as if all of it had been done with twice the digits; nowhere a division by nothing."""
    x = torch.cat([random(40), torch.zeros(2).double()]).float()
    x0 = x + apart * random(42, seed=1).float()
    found, _ = multipliers(lambda x: FUNCTIONS[name](x).sum()[None], x, x0, 0)
    a, b = x.double(), x0.double()
    middle = ((a + b) / 2).requires_grad_()
    (derivative,) = torch.autograd.grad(FUNCTIONS[name](middle).sum(), middle)
    slope = (FUNCTIONS[name](a) - FUNCTIONS[name](b)) / (a - b)
    expected = torch.where((a - b).abs() > 1e-6, slope, derivative).float()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("function", [torch.softmax, torch.log_softmax])
def test_a_softmax_of_logits_that_are_far_away_from_those_of_the_baseline(function):
    """And of places that a mask hides, as minus infinity or as the least number there is."""
    x, x0 = random(6).float() * 5, random(6, seed=1).float() * 5 + 300

    def masked(x):
        lowest = torch.tensor([0, 0, 0, 0, float("-inf"), torch.finfo(torch.float32).min])
        return function(x + lowest, dim=-1)

    for k in range(4):
        found, answer = multipliers(masked, x, x0, k)
        assert (found[4:] == 0).all()
        assert found.abs().max() <= 1
        torch.testing.assert_close(answer, masked(x)[k])
        torch.testing.assert_close((found * (x - x0)).sum(), masked(x)[k] - masked(x0)[k], atol=1e-4, rtol=0)


# Summation to delta


def asked(name, task):
    tokenizer = ARCHITECTURES[name].tokenizer()
    if task.generates:
        return ["The sad dog ran", "a dog is"], [" a dog", " sad"]
    if task is Task.MASKED_LM:
        return [f"The {tokenizer.mask_token} dog ran", f"{tokenizer.mask_token} is sad"], None
    if task is Task.QUESTION_ANSWERING:
        return [("Who is sad", "The sad dog ran"), ("Who", "a dog ran")], None
    return ["The sad dog ran", "a dog"], None


@pytest.mark.parametrize(
    ("name", "task"), [pair for pair in PAIRS if pair[0] not in ("falcon-alibi", "mixtral")], ids=str
)
@pytest.mark.filterwarnings("ignore")
def test_scores_add_up_to_the_difference_from_the_baseline(name, task):
    model, tokenizer = model_and_tokenizer(name, task)
    before = fingerprint(model, tokenizer)
    results = DeepLift(model, tokenizer)(*asked(name, task))
    assert fingerprint(model, tokenizer) == before
    for result in results:
        assert result.gaps.abs().max() <= 2e-5
        assert result.scores.nan_to_num().abs().max() > 1e-3


@pytest.mark.parametrize("mode", ["log_softmax", "softmax"])
@pytest.mark.parametrize("name", ["bert", "gpt2", "llama", "t5"])
def test_of_probabilities_too(name, mode):
    for task in ARCHITECTURES[name].tasks:
        model, tokenizer = model_and_tokenizer(name, task)
        for result in DeepLift(model, tokenizer, inference_mode=mode, granularity="token")(*asked(name, task)):
            change = (result.target_scores - result.baseline_scores).abs().max()
            assert result.gaps.abs().max() <= 1e-5 + 1e-5 * change
            assert result.gaps.abs().max() <= 1e-2 * change  # of small ones, too


@pytest.mark.parametrize("name", ["emotion", "topic", "stories"])
def test_of_trained_models_and_with_more_digits(name):
    """The slopes do not suffer from differences of numbers that are nearly equal."""
    model, tokenizer = load(name)
    question = ("Once upon a time, there was a little dog", " named Spot") if name == "stories" else ("I am so happy!",)
    (result,) = DeepLift(model, tokenizer)(*question)
    assert result.gaps.abs().max() <= 1e-5 * result.target_scores.abs().max()
    (exact,) = DeepLift(load(name)[0].double(), tokenizer)(*question)
    torch.testing.assert_close(result.scores, exact.scores, atol=2e-5, rtol=1e-4, equal_nan=True)


def test_in_half_precision():
    model, tokenizer = classifier().bfloat16(), wordpiece()
    (result,), (exact,) = (DeepLift(m, tokenizer)(TEXT, CLASSES) for m in (model, classifier()))
    assert (result.scores - exact.scores).abs().max() <= 0.1 * exact.scores.abs().max()


# Other ways to the same numbers


class Plain(PreTrainedModel):
    """Layers of torch on the embeddings of all places."""

    config_class = PretrainedConfig

    def __init__(self, *layers: nn.Module, pooled: bool = False, length: int = 32) -> None:
        super().__init__(PretrainedConfig(num_labels=2))
        torch.manual_seed(0)
        self.embedding = nn.Embedding(len(wordpiece()), 8)
        width = 8 if pooled else 8 * length
        self.layers = nn.Sequential(nn.Linear(width, 16), *layers, nn.Linear(16, 2))
        self.pooled, self.length = pooled, length

    def get_input_embeddings(self) -> nn.Module:
        return self.embedding

    def forward(self, input_ids: Tensor) -> SequenceClassifierOutput:
        e = self.embedding(input_ids)
        missing = self.length - e.shape[1]
        read = e.mean(dim=1) if self.pooled else nn.functional.pad(e, (0, 0, 0, missing)).flatten(1)
        return SequenceClassifierOutput(logits=self.layers(read))

    def ends(self) -> tuple[Tensor, Tensor, list[int]]:
        """Embeddings of the text and of its baseline, and the places that are free."""
        plain = plain_classifier()
        free = [k for k in range(len(plain.ids)) if k not in plain.fixed]
        ids = torch.tensor(plain.ids)
        nothing = ids.clone()
        nothing[free] = wordpiece().mask_token_id
        with torch.no_grad():
            return self.embedding(ids), self.embedding(nothing), free


@pytest.mark.parametrize(
    "layers",
    [
        (nn.Tanh(), nn.Linear(16, 16), nn.Sigmoid()),
        (nn.ReLU(), nn.Linear(16, 16), nn.LeakyReLU(0.1), nn.Linear(16, 16), nn.ELU()),
        (nn.Softplus(), nn.Linear(16, 16), nn.ReLU()),
    ],
)
@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks")
def test_equal_to_captum_on_layers_that_captum_knows(layers):
    model = Plain(*layers)
    x, x0, free = model.ends()
    (result,) = DeepLift(model, wordpiece(), granularity="token")(TEXT, CLASSES)

    class Read(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = model.layers

        def forward(self, e):
            return self.layers(nn.functional.pad(e, (0, 0, 0, model.length - e.shape[1])).flatten(1))

    for target in range(2):
        found = CaptumDeepLift(Read()).attribute(x[None].requires_grad_(), x0[None], target=target)
        torch.testing.assert_close(result.scores[target], found[0, free].sum(dim=-1).detach(), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("layers", [(), (nn.LayerNorm(16, elementwise_affine=False),)])
def test_difference_times_gradient_where_the_model_is_linear_and_only_there(layers):
    model = Plain(*layers)
    x, x0, free = model.ends()
    (result,) = DeepLift(model, wordpiece(), granularity="token")(TEXT, CLASSES)
    weight = (model.layers[-1].weight @ model.layers[0].weight).detach().view(2, model.length, 8)
    expected = (weight[:, free] * (x - x0)[free]).sum(dim=-1)
    assert torch.allclose(result.scores, expected, atol=1e-5) == (not layers)
    assert result.gaps.abs().max() <= 1e-5


@pytest.mark.parametrize("function", [nn.GELU(), nn.SiLU(), nn.Tanh()])
@pytest.mark.parametrize("baseline", ["mask", "zero", "mean", "dog"])
def test_equal_to_integrated_gradients_of_one_hidden_layer(function, baseline):
    """What each hidden number gets then moves along a straight line, on which the mean slope is the secant."""
    model = Plain(function, pooled=True)
    options = {"granularity": "token", "baseline": baseline}
    (result,) = DeepLift(model, wordpiece(), **options)(TEXT, CLASSES)
    (expected,) = IntegratedGradients(model, wordpiece(), n_steps=200, tolerance=None, **options)(TEXT, CLASSES)
    torch.testing.assert_close(result.scores, expected.scores, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(result.baseline_scores, expected.baseline_scores)


class Squared(Plain):
    """Products of embeddings of different places."""

    def forward(self, input_ids: Tensor) -> SequenceClassifierOutput:
        e = self.embedding(input_ids)
        mixed = torch.einsum("bld,bmd->bl", e, e) + (e * e).sum(dim=-1)
        return SequenceClassifierOutput(logits=torch.stack([mixed[:, 1], mixed.sum(dim=1)], dim=1))


def test_equal_to_integrated_gradients_of_products():
    """Their gradient is linear along the path, so that its mean is that of its ends."""
    (result,) = DeepLift(Squared(), wordpiece())(TEXT, CLASSES)
    (expected,) = IntegratedGradients(Squared(), wordpiece(), n_steps=2, tolerance=None)(TEXT, CLASSES)
    torch.testing.assert_close(result.scores, expected.scores, atol=1e-4, rtol=1e-4)


def test_an_element_equal_to_its_baseline_gets_zero():
    (result,) = DeepLift(classifier(), wordpiece(), baseline="dog")("you are dog, great", 0)
    scores = dict(zip([element.text.strip() for element in result.elements], result.scores[0].tolist(), strict=True))
    assert scores["dog"] == 0
    assert scores["great"] != 0


def test_batches_and_padding_change_nothing():
    model, tokenizer = language_model(), byte_bpe()
    texts, outputs = ["What a great library", "Once", "The sad dog ran home and"], [" is it", " upon", " slept"]
    expected = DeepLift(model, tokenizer)(texts, outputs)
    for batch_size in (1, 2):
        for one, other in zip(DeepLift(model, tokenizer, batch_size=batch_size)(texts, outputs), expected, strict=True):
            torch.testing.assert_close(one.scores, other.scores, atol=1e-6, rtol=1e-5, equal_nan=True)


def test_a_context_that_is_run_once_changes_nothing(monkeypatch):
    model, tokenizer = language_model(), byte_bpe()
    inputs = Segments.join(["The fox.", " A dog"], before="What a great library is it. ")
    (whole,) = DeepLift(model, tokenizer)(inputs, " ran home")
    monkeypatch.setattr("interpreto.model_wrapping.gradients._LONG_CONTEXT", 4)
    contexts = []
    own = PairedGradients._contexts
    monkeypatch.setattr(PairedGradients, "_contexts", lambda *args: contexts.append(own(*args)) or contexts[-1])
    (result,) = DeepLift(model, tokenizer)(inputs, " ran home")
    assert max(map(max, contexts)) > 4
    torch.testing.assert_close(result.scores, whole.scores, atol=1e-5, rtol=1e-5, equal_nan=True)
    assert result.gaps.abs().max() <= 1e-5


# What cannot be explained


def test_operations_without_a_rule_are_refused_and_nothing_is_left_behind():
    model, tokenizer = model_and_tokenizer("mixtral", Task.CAUSAL_LM)
    before = fingerprint(model, tokenizer)
    with pytest.raises(ModelError, match="operations that finite differences have rules for, got 'topk'"):
        DeepLift(model, tokenizer)("The sad dog", " ran")
    assert fingerprint(model, tokenizer) == before
    assert not _get_current_function_mode_stack()


class _Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 2


REFUSED = {
    "'amax'": lambda x: x.amax(dim=-1, keepdim=True),
    "another one before": lambda x: _Doubled.apply(x) + 1,
    "'relu' in place": lambda x: nn.functional.relu(x * 2, inplace=True),
    "'__setitem__' in place": lambda x: torch.zeros_like(x).__setitem__(0, x[0]),
    "'add_' in place": lambda x: torch.ones_like(x).add_(x),
    "'mul'": lambda x: x * x.detach(),
    "'where'": lambda x: torch.where(x > 0, x, 0.0),
    "'item', by which it goes another way": lambda x: x.sum().item() * x,
    "'__bool__', by which it goes another way": lambda x: x if x[0] > 0 else -x,
    "'div'": lambda x: torch.div(x, 2, rounding_mode="floor"),
    "'true_divide'": lambda x: torch.true_divide(torch.ones(3), other=x),
    "'pow' of values": lambda x: torch.pow(torch.tensor([[2.0], [3.0]]), x),
    "'prod'": lambda x: x.prod(dim=-1),
}


@pytest.mark.parametrize("found", REFUSED)
def test_what_has_no_rule_by_name(found):
    x = torch.tensor([1.0, -2.0, 3.0])
    with pytest.raises(ModelError, match=f"rules for, got {found}"):
        multipliers(REFUSED[found], x, torch.tensor([-1.0, 0.5, 2.0]), 0)
    assert not _get_current_function_mode_stack()


def test_concepts_are_no_answers_of_the_model():
    concepts = InputToConcepts(NeuronsAsConcepts(ModelWithSplitPoints(classifier(), 1, tokenizer=wordpiece())))
    with pytest.raises(ModelError, match=r"expected one whose own answers are explained.*, got InputToConcepts"):
        DeepLift(concepts)(TEXT, 0)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_models_own_attention_is_put_back(attention):
    model, tokenizer = build("qwen3", Task.CLASSIFICATION, attention=attention), byte_bpe()
    (result,) = DeepLift(model, tokenizer)("The sad dog", 1)
    (expected,) = DeepLift(build("qwen3", Task.CLASSIFICATION, attention="eager"), tokenizer)("The sad dog", 1)
    torch.testing.assert_close(result.scores, expected.scores)
    assert model.config._attn_implementation == attention


def test_a_model_whose_answers_depend_on_how_its_attention_is_computed_is_warned_of():
    """Falcon with ALiBi, which transformers scales in one way and in another."""
    tokenizer = byte_bpe()
    with pytest.warns(UserWarning, match=r"inputs\[0\] scores .* attn_implementation='eager'"):
        DeepLift(build("falcon-alibi", Task.CLASSIFICATION, attention="sdpa"), tokenizer)("The sad dog", 1)
    eager = build("falcon-alibi", Task.CLASSIFICATION, attention="eager")
    (result,) = DeepLift(eager, tokenizer)("The sad dog", 1)
    assert result.gaps.abs().max() <= 1e-5
