"""Gradient methods against plain loops with autograd on the same noise, and against what noise 0 must give."""

import pytest
import torch

from interpreto import (
    Contrast,
    GradientShap,
    InputxGradient,
    IntegratedGradients,
    Saliency,
    SmoothGrad,
    SquareGrad,
    VarGrad,
)
from interpreto.errors import InputError
from tests.attributions.plain import OUTPUT, PROMPT, TEXT, plain_classifier, plain_language_model
from tests.tiny import byte_bpe, classifier, language_model, metaspace, sequence_to_sequence, wordpiece

CLASSES = torch.arange(3)[None]
NOISY = [SmoothGrad, SquareGrad, VarGrad]


def explain(method, plain, **options):
    """Token scores of our method, and its result."""
    if plain.fixed:
        result = method(classifier(), wordpiece(), granularity="token", **options)(TEXT, CLASSES)[0]
    else:
        explainer = method(language_model(), byte_bpe(), granularity="token", **options)
        (result,) = explainer.explain(PROMPT, OUTPUT)
    return result


def check(result, plain, expected):
    """Our scores are the expected ones `(t, l)`, or NaN where a later token would have to matter."""
    for row, scores, target in zip(result.scores, expected, result.targets, strict=True):
        places = [element.tokens[0] for element in result.elements]
        seen = [target.first is None or place < target.first for place in places]
        assert row.isfinite().tolist() == seen
        wanted = scores[places][seen]
        torch.testing.assert_close(row[seen], wanted, atol=2e-5 * float(wanted.abs().max()), rtol=1e-4)
        if target.first is not None:
            assert scores[target.first :].abs().max() == 0


@pytest.fixture(params=["classifier", "language model"])
def plain(request):
    return plain_classifier() if request.param == "classifier" else plain_language_model()


def nothing_like(plain):
    """The default baseline: the mask token's embedding, or the mean of the vocabulary's."""
    table = plain.model.get_input_embeddings().weight.detach()
    return table[wordpiece().mask_token_id] if plain.fixed else table.mean(dim=0)


def gradients(plain, points):
    """Gradients `(t, points, l, d)`."""
    n_targets = plain.scores([plain.ids]).shape[1]
    return torch.stack([torch.stack([plain.gradient(x, t) for x in points]) for t in range(n_targets)])


def test_saliency(plain):
    gradient = gradients(plain, [plain.embed(plain.ids)])[:, 0]
    check(explain(Saliency, plain), plain, gradient.square().sum(dim=-1).sqrt())


def test_input_x_gradient(plain):
    embedding = plain.embed(plain.ids)
    expected = (gradients(plain, [embedding])[:, 0] * embedding).sum(dim=-1)
    check(explain(InputxGradient, plain), plain, expected)
    check(explain(Saliency, plain, input_x_gradient=True), plain, expected)


@pytest.mark.parametrize("method", NOISY)
@pytest.mark.parametrize("input_x_gradient", [False, True])
def test_noisy_gradients(plain, method, input_x_gradient):
    embedding, generator = plain.embed(plain.ids), torch.Generator().manual_seed(7)
    scale = 0.1 * plain.spread
    noises = [scale * plain.noise(generator) for _ in range(3)]
    found = gradients(plain, [embedding + sign * noise for noise in noises for sign in (1, -1)]).double()
    moment = {
        SmoothGrad: found.mean(dim=1),
        SquareGrad: (found**2).mean(dim=1),
        VarGrad: found.var(dim=1, correction=0),
    }[method]
    expected = (moment * embedding).sum(dim=-1) if input_x_gradient else moment.norm(dim=-1)
    result = explain(method, plain, n_samples=6, noise=0.1, seed=7, input_x_gradient=input_x_gradient)
    check(result, plain, expected.float())


def test_gradient_shap(plain):
    embedding, generator = plain.embed(plain.ids), torch.Generator().manual_seed(7)
    nothing = nothing_like(plain)
    scale, points, differences = 0.05 * plain.spread, [], []
    for k in range(6):
        start = nothing + scale * plain.noise(generator)
        start[plain.fixed] = embedding[plain.fixed]
        share = (k + torch.rand((), generator=generator)) / 6
        points.append((1 - share) * start + share * embedding)
        differences.append(embedding - start)
    expected = (gradients(plain, points) * torch.stack(differences)).sum(dim=-1).mean(dim=1)
    check(explain(GradientShap, plain, n_samples=6, noise=0.05, seed=7), plain, expected)


def test_gradient_shap_without_noise_comes_near_integrated_gradients(plain):
    exact = explain(IntegratedGradients, plain, n_steps=32)
    sampled = explain(GradientShap, plain, n_samples=200, noise=0.0)
    error = (exact.scores - sampled.scores).nan_to_num().abs().max()
    assert error <= 0.01 * exact.scores.nan_to_num().abs().max()
    assert sampled.gaps.abs().max() <= 0.01 * exact.scores.nan_to_num().abs().max()
    torch.testing.assert_close(exact.baseline_scores, sampled.baseline_scores)


def test_gradient_shap_is_additive_on_average(plain):
    """The sum of its scores is an estimate of `f(x)` less the mean of `f` over the noisy baselines."""
    embedding, generator = plain.embed(plain.ids), torch.Generator().manual_seed(100)
    nothing = nothing_like(plain)
    starts = torch.stack([nothing + 0.02 * plain.spread * plain.noise(generator) for _ in range(1000)])
    starts[:, plain.fixed] = embedding[plain.fixed]
    with torch.no_grad():
        ends = plain.read(plain.model(inputs_embeds=starts).logits)
    results = [explain(GradientShap, plain, n_samples=20, noise=0.02, seed=seed) for seed in range(16)]
    sums = torch.stack([result.scores.nansum(dim=1) for result in results])
    gap = sums.mean(dim=0) - (plain.scores([plain.ids])[0] - ends.mean(dim=0))
    standard_error = (sums.var(dim=0) / len(sums) + ends.var(dim=0) / len(ends)).sqrt()
    assert (gap.abs() <= 3.5 * standard_error).all()
    assert (standard_error <= 0.05 * ends.abs().amax(dim=0)).all()


def test_noise_0(plain):
    saliency, squares = explain(Saliency, plain).scores, gradients(plain, [plain.embed(plain.ids)])[:, 0] ** 2
    smooth = explain(SmoothGrad, plain, noise=0.0, n_samples=3)
    torch.testing.assert_close(smooth.scores, saliency, atol=1e-6, rtol=1e-5, equal_nan=True)
    check(explain(SquareGrad, plain, noise=0.0, n_samples=3), plain, squares.norm(dim=-1))
    assert explain(VarGrad, plain, noise=0.0, n_samples=3).scores.nan_to_num().max() <= 1e-6 * float(squares.max())


@pytest.mark.parametrize("method", [*NOISY, GradientShap])
@pytest.mark.parametrize("name", ["language model", "encoder-decoder"])
def test_what_is_written_later_changes_nothing(method, name):
    """Neither the strength of the noise, however large the later embeddings are, nor the numbers that are drawn."""
    if name == "language model":
        model, tokenizer, options = language_model(), byte_bpe(), {"baseline": "<|endoftext|>"}
        later = tokenizer(" day").input_ids[0]
    else:
        model, tokenizer, options = sequence_to_sequence(), metaspace(), {"baseline": "<unk>"}
        later = tokenizer.convert_tokens_to_ids("▁day")
    with torch.no_grad():
        model.get_input_embeddings().weight[later] *= 50
    explainer = method(model, tokenizer, n_samples=3, **(options if method is GradientShap else {}))
    begun, whole = (explainer.explain("What a great", output)[0] for output in (" is it", " is it day"))
    assert whole.sample.tokens[-1].id == later
    t, g = begun.scores.shape
    assert len(whole.targets) > t
    size = float(begun.scores.nan_to_num().abs().max())
    torch.testing.assert_close(whole.scores[:t, :g], begun.scores, atol=1e-4 * size, rtol=1e-4, equal_nan=True)


@pytest.mark.parametrize("noise", [1e-2, 1e-3])
def test_small_variances_are_not_lost_to_rounding(noise):
    """Differences of squares would leave little but rounding here."""
    plain, n = plain_classifier(), 8
    embedding, generator = plain.embed(plain.ids), torch.Generator().manual_seed(0)
    scale = noise * plain.spread
    noises = [scale * plain.noise(generator) for _ in range(n // 2)]
    found = gradients(plain, [embedding + sign * noise for noise in noises for sign in (1, -1)]).double()
    expected = found.var(dim=1, correction=0).norm(dim=-1)
    places = [i for i in range(len(plain.ids)) if i not in plain.fixed]
    result = explain(VarGrad, plain, noise=noise, n_samples=n)
    torch.testing.assert_close(result.scores.double(), expected[:, places], atol=0, rtol=0.02)


@pytest.mark.parametrize("method", [InputxGradient, IntegratedGradients, GradientShap])
def test_words_add_up_their_tokens(method):
    options = {"n_samples": 3} if method is GradientShap else {}
    by_token = method(classifier(), wordpiece(), granularity="all_tokens", **options)(TEXT, CLASSES)[0]
    by_word = method(classifier(), wordpiece(), **options)(TEXT, CLASSES)[0]
    if method is InputxGradient:  # special tokens have scores of their own
        assert by_token.scores[:, [0, -1]].abs().min() > 0
    words = [element.tokens for element in by_word.elements]
    assert max(len(word) for word in words) > 1
    if method is InputxGradient:
        expected = torch.stack([by_token.scores[:, list(word)].sum(dim=1) for word in words], dim=1)
    else:  # with all tokens free the path is another one
        by_token = method(classifier(), wordpiece(), granularity="token", **options)(TEXT, CLASSES)[0]
        expected = torch.stack([by_token.scores[:, [i - 1 for i in word]].sum(dim=1) for word in words], dim=1)
    torch.testing.assert_close(by_word.scores, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("reduction", ["mean", "max"])
def test_other_reductions(reduction):
    by_token = InputxGradient(classifier(), wordpiece(), granularity="token")(TEXT, CLASSES)[0].scores
    by_word = InputxGradient(classifier(), wordpiece(), reduction=reduction)(TEXT, CLASSES)[0]
    for k, element in enumerate(by_word.elements):
        tokens = by_token[:, [i - 1 for i in element.tokens]]
        largest = torch.stack([max(row, key=abs) for row in tokens])  # in size, with its sign
        expected = tokens.mean(dim=1) if reduction == "mean" else largest
        torch.testing.assert_close(by_word.scores[:, k], expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("method", [Saliency, SmoothGrad])
def test_saliency_of_a_contrast_is_no_difference(method):
    """A norm is not linear: the gradients are subtracted first."""
    plain = plain_classifier()
    result = method(classifier(), wordpiece(), granularity="token", **({"noise": 0.0} if method is SmoothGrad else {}))
    scores = result(TEXT, Contrast(0, 2))[0].scores[0]
    both = gradients(plain, [plain.embed(plain.ids)])[:, 0]
    torch.testing.assert_close(scores, (both[0] - both[2]).norm(dim=-1)[1:-1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("options", [{"noise": -0.1}, {"n_samples": 0}])
@pytest.mark.parametrize("method", [*NOISY, GradientShap])
def test_refuses_noise_that_cannot_be_drawn(method, options):
    with pytest.raises(InputError, match=next(iter(options))):
        method(classifier(), wordpiece(), **options)
