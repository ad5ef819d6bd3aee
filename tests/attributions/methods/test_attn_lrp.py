"""AttnLRP against relevance that is passed on by hand, rule by rule, and against the laws of conservation."""

import copy

import pytest
import torch
from torch import nn

from interpreto import InputxGradient
from interpreto.attributions.methods.attn_lrp import AttnLRP
from interpreto.errors import ModelError
from interpreto.model_wrapping.relevance import relevance_rules
from interpreto.types import Task
from tests.architectures import build, model_and_tokenizer
from tests.attributions.test_contract import fingerprint
from tests.tiny import byte_bpe, classifier, wordpiece

L, D, H = 4, 6, 5


class Layer(nn.Module):
    """Attention with one head and a gated feed-forward network, each after a norm and beside a residual connection."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        for name in ("q", "k", "v", "o"):
            self.register_buffer(name, torch.randn(D, D, generator=generator).double() / 2)
        for name in ("gate", "up"):
            self.register_buffer(name, torch.randn(D, H, generator=generator).double())
        self.register_buffer("down", torch.randn(H, D, generator=generator).double())
        self.act = nn.SiLU()

    def norm(self, x):
        return x * torch.rsqrt(x.pow(2).mean(dim=-1, keepdim=True) + 1e-6)

    def forward(self, x):
        y = self.norm(x)
        weights = nn.functional.softmax((y @ self.q) @ (y @ self.k).transpose(-1, -2) / D**0.5, dim=-1)
        x = x + (weights @ (y @ self.v)) @ self.o
        y = nn.functional.layer_norm(x, (D,))
        return x + (self.act(y @ self.gate) * (y @ self.up)) @ self.down

    # The same once more, backwards: from the relevance of what comes out to that of what goes in.

    def linear(self, x, weight, relevance):
        """Each input's share in each output: `R_i = sum_j x_i w_ij R_j / y_j`."""
        return x * ((relevance / (x @ weight)) @ weight.T)

    def product(self, a, b, relevance):
        """A matrix product: of what each pair brings, half to each of the two."""
        share = relevance / (a @ b) / 2
        return a * (share @ b.T), b * (a.T @ share)

    def passed_back(self, x, relevance, softmax):
        y = self.norm(x)
        queries, keys, values = y @ self.q, y @ self.k, y @ self.v
        logits = queries @ keys.T / D**0.5
        weights = logits.softmax(dim=-1)
        mixed = weights @ values
        middle = x + mixed @ self.o
        centred = middle - middle.mean(dim=-1, keepdim=True)
        normed = centred / (centred.pow(2).mean(dim=-1, keepdim=True) + 1e-5).sqrt()
        gate, up = normed @ self.gate, normed @ self.up
        inner = gate * gate.sigmoid() * up
        out = middle + inner @ self.down

        at_inner = self.linear(inner, self.down, relevance * (inner @ self.down) / out)
        at_normed = self.linear(normed, self.gate, at_inner / 2) + self.linear(normed, self.up, at_inner / 2)
        # The mean is taken away by a linear layer, with the matrix I - 1 / D.
        at_middle = self.linear(middle, torch.eye(D).double() - 1 / D, at_normed) + relevance * middle / out

        at_mixed = self.linear(mixed, self.o, at_middle * (mixed @ self.o) / middle)
        at_y = torch.zeros_like(y)
        if softmax == "taylor":
            at_weights, at_values = self.product(weights, values, at_mixed)
            at_logits = logits * (at_weights - weights * at_weights.sum(dim=-1, keepdim=True))
            # R_i = s_i (R_i' - p_i sum_j R_j'), with R' the relevances of the weights p and s the logits
            at_queries, at_keys = self.product(queries, keys.T, at_logits)
            at_y = self.linear(y, self.q, at_queries) + self.linear(y, self.k, at_keys.T)
        else:
            at_values = values * (weights.T @ (at_mixed / mixed))
        return at_y + self.linear(y, self.v, at_values) + at_middle * x / middle


@pytest.mark.parametrize("softmax", ["taylor", "constant"])
def test_equal_to_relevance_that_is_passed_on_by_hand(softmax):
    """Through two layers; a norm passes on what it gets, and so does an activation."""
    model = nn.Sequential(Layer(), Layer())
    x = torch.randn(L, D, generator=torch.Generator().manual_seed(1)).double()
    middle = model[0](x)
    out = model(x)
    score = out[-1, 0]
    relevance = torch.zeros_like(out)
    relevance[-1, 0] = score
    by_hand = model[0].passed_back(x, model[1].passed_back(middle, relevance, softmax), softmax)
    point = x.clone().requires_grad_()
    with relevance_rules(model, softmax):
        answer = model(point)
    torch.testing.assert_close(answer.detach(), out)
    (gradient,) = torch.autograd.grad(answer[-1, 0], point)
    torch.testing.assert_close(point.detach() * gradient, by_hand, atol=1e-9, rtol=1e-7)
    plain = torch.autograd.grad(model(point)[-1, 0], point)[0] * x
    assert (plain - by_hand).abs().max() > 1e-3
    if softmax == "constant":
        assert by_hand.sum().item() == pytest.approx(score.item(), rel=1e-9)


def without_biases(model):
    """All that is added, but for what the text brings, is gone."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or "position_embeddings" in name or "wpe" in name or "token_type" in name:
                parameter.zero_()
    return model


@pytest.mark.parametrize("name", ["bert", "distilbert", "gpt2", "llama", "qwen3", "mistral", "t5", "modernbert"])
def test_scores_add_up_to_the_targets_where_the_softmax_is_constant(name):
    task = Task.TOKEN_CLASSIFICATION if name == "t5" else Task.CLASSIFICATION
    model, tokenizer = without_biases(build(name, task)), model_and_tokenizer(name, task)[1]
    options = {"granularity": "all_tokens", "softmax": "constant"}
    results = AttnLRP(model, tokenizer, **options)(["The sad dog ran", "a dog"])
    for result in results:
        torch.testing.assert_close(result.scores.sum(dim=1), result.target_scores, atol=1e-4, rtol=1e-4)
    (taylor,) = AttnLRP(model, tokenizer, granularity="all_tokens")("The sad dog ran")
    assert (taylor.scores - results[0].scores).abs().max() > 1e-3
    (plain,) = InputxGradient(model, tokenizer, granularity="all_tokens")("The sad dog ran")
    assert (plain.scores.sum(dim=1) - plain.target_scores).abs().max() > 1e-2


def test_equal_to_input_x_gradient_of_a_model_that_was_written_by_the_rules():
    """BERT with its own attention, norms and activations written anew, each with a detached constant."""
    model, tokenizer = classifier(), wordpiece()
    (result,) = AttnLRP(model, tokenizer)("What a sad day.", [[0, 2]])
    other = copy.deepcopy(model)
    other.config._attn_implementation = "eager"

    def half(x):
        return 0.5 * x + 0.5 * x.detach()

    def identity(function):
        def forward(x):
            return x * (function(x) / x).detach()

        return forward

    for module in other.modules():
        if isinstance(module, nn.LayerNorm):

            def normed(x, own=module):
                centred = x - x.mean(dim=-1, keepdim=True)
                size = (centred.detach().pow(2).mean(dim=-1, keepdim=True) + own.eps).sqrt()
                return centred / size * own.weight + own.bias

            module.forward = normed
        if type(module).__name__ in ("GELUActivation", "Tanh"):
            module.forward = identity(module.forward)
        if type(module).__name__ == "BertSelfAttention":

            def attended(x, attention_mask=None, own=module, **_):
                heads = [f(x).view(1, -1, 4, 8).transpose(1, 2) for f in (own.query, own.key, own.value)]
                q, k, v = (half(half(heads[0])), half(half(heads[1])), half(heads[2]))
                return ((q @ k.mT / 8**0.5).softmax(dim=-1) @ v).transpose(1, 2).reshape(1, -1, 32), None

            module.forward = attended
    (expected,) = InputxGradient(other, tokenizer)("What a sad day.", [[0, 2]])
    torch.testing.assert_close(result.scores, expected.scores, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(result.target_scores, expected.target_scores, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("name", "operation"), [("mixtral", "topk"), ("mamba", "softplus")])
@pytest.mark.filterwarnings("ignore")
def test_operations_without_a_rule_are_refused_and_nothing_is_left_behind(name, operation):
    model, tokenizer = model_and_tokenizer(name, Task.CAUSAL_LM)
    before = fingerprint(model, tokenizer)
    with pytest.raises(ModelError, match=f"operations that relevance has rules for, got '{operation}'"):
        AttnLRP(model, tokenizer)("The sad dog", " ran")
    assert fingerprint(model, tokenizer) == before
    assert InputxGradient(model, tokenizer)("The sad dog", " ran")[0].scores.isfinite().any()


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_models_own_attention_is_put_back(attention):
    model, tokenizer = build("qwen3", Task.CLASSIFICATION, attention=attention), byte_bpe()
    other = build("qwen3", Task.CLASSIFICATION, attention="eager")
    (result,), (expected,) = (AttnLRP(m, tokenizer)("The sad dog", 1) for m in (model, other))
    torch.testing.assert_close(result.scores, expected.scores)
    assert model.config._attn_implementation == attention
