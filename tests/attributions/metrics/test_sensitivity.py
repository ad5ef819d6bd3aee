"""The largest move of an explanation, against models whose embeddings were really changed, and against captum."""

import copy

import pytest
import torch

from interpreto import InputxGradient, IntegratedGradients, KernelShap, Occlusion, SmoothGrad
from interpreto.attributions.metrics.sensitivity import SensitivityMax, distance
from interpreto.errors import InputError
from interpreto.model_wrapping import Traits
from interpreto.model_wrapping.moved_embeddings import moves, spread_of_embeddings
from tests.attributions.test_contract import fingerprint
from tests.tiny import byte_bpe, classifier, language_model, metaspace, sequence_to_sequence, wordpiece

TEXTS = ["The quick brown fox.", "What a sad, sad day."]


def drawn(model, tokenizer, results, radius, n_draws, seed):
    """Ids that move, and by how much at each draw."""
    special = set(tokenizer.all_special_ids)
    ids = sorted({i for result in results for i in result.sample.ids} - special)
    table = model.get_input_embeddings().weight
    rng = torch.Generator().manual_seed(seed)
    seeds = [int(torch.randint(2**62, (), generator=rng)) for _ in range(n_draws)]
    return ids, [moves(ids, table.shape[1], radius * float(table.detach().std()), own) for own in seeds]


@pytest.mark.parametrize(
    ("method", "options"),
    [
        (Occlusion, {}),
        (KernelShap, {"n_perturbations": 32}),
        (InputxGradient, {}),
        (IntegratedGradients, {"tolerance": None}),
        (SmoothGrad, {"n_samples": 4}),
    ],
)
def test_equal_to_explaining_models_with_other_embeddings(method, options):
    model, tokenizer = classifier(), wordpiece()
    explainer = method(model, tokenizer, **options)
    results = explainer(TEXTS, [[0, 1], 2])
    before = fingerprint(model, tokenizer)
    ours = SensitivityMax(explainer, n_draws=3, radius=0.2, seed=4)(results)
    assert fingerprint(model, tokenizer) == before
    ids, moved = drawn(model, tokenizer, results, 0.2, 3, 4)
    largest = [torch.zeros(2), torch.zeros(1)]
    for move in moved:
        other = copy.deepcopy(model)
        with torch.no_grad():
            other.get_input_embeddings().weight[ids] += move
        for k, found in enumerate(method(other, tokenizer, **options)(TEXTS, [[0, 1], 2])):
            largest[k] = torch.maximum(largest[k], distance(found.scores, results[k].scores))
    for figure, true in zip(ours.scores, largest, strict=True):
        assert (true > 1e-3).all()
        torch.testing.assert_close(figure, true, atol=1e-4, rtol=1e-3)


def test_equal_to_captum():
    """captum is given the same moves of the embeddings, and input x gradient written out."""
    from captum.metrics import sensitivity_max

    model, tokenizer = classifier(), wordpiece()
    explainer = InputxGradient(model, tokenizer)
    results = explainer("a sad day", 1)
    ids, moved = drawn(model, tokenizer, results, 0.1, 5, 0)
    row = results[0].sample.ids
    spans = [list(element.tokens) for element in results[0].elements]
    waiting = [torch.stack([move[ids.index(i)] if i in ids else torch.zeros(32) for i in row]) for move in moved]

    def explain(points):
        points = (points[0] if isinstance(points, tuple) else points).detach().requires_grad_()
        with torch.enable_grad():  # which captum turns off
            logits = model(inputs_embeds=points).logits[:, 1].sum()
            products = (torch.autograd.grad(logits, points)[0] * points).sum(dim=2)
        return (torch.stack([products[:, span].sum(dim=1) for span in spans], dim=1).detach(),)

    theirs = sensitivity_max(
        explain,
        model.get_input_embeddings()(torch.tensor([row])).detach(),
        lambda x, _radius: x + waiting.pop(0),
        n_perturb_samples=5,
        max_examples_per_batch=1,
    )
    ours = SensitivityMax(explainer, n_draws=5)(results)
    assert ours.score == pytest.approx(theirs.item(), rel=1e-4)


def test_moves_are_small_and_each_ids_own():
    found = moves([3, 7, 900], 64, 0.5, seed=1)
    assert found.abs().max() <= 0.5
    assert found.std().item() == pytest.approx(0.5 / 3**0.5, rel=0.15)
    torch.testing.assert_close(moves([7], 64, 0.5, seed=1)[0], found[1])
    assert not torch.equal(moves([7], 64, 0.5, seed=2)[0], found[1])
    weight = classifier().get_input_embeddings().weight
    spread, width = spread_of_embeddings(Traits(classifier(), wordpiece()))
    assert spread == pytest.approx(float(weight.detach().std()))
    assert width == weight.shape[1]


def test_grows_with_the_radius_and_the_draws_and_is_small_for_small_moves():
    model, tokenizer = classifier(), wordpiece()
    explainer = InputxGradient(model, tokenizer)
    results = explainer(TEXTS, [0, 1])
    small, some, large = (SensitivityMax(explainer, radius=r, n_draws=3)(results).score for r in (1e-4, 0.05, 0.5))
    assert 0 < small < 1e-2
    assert small < some < large
    assert SensitivityMax(explainer, n_draws=3)(results).score <= SensitivityMax(explainer, n_draws=9)(results).score


@pytest.mark.parametrize("method", [Occlusion, InputxGradient])
@pytest.mark.parametrize(
    ("model", "tokenizer"), [(language_model, byte_bpe), (sequence_to_sequence, metaspace)], ids=["causal", "seq2seq"]
)
def test_neighbours_change_nothing_where_a_model_writes(method, model, tokenizer):
    explainer = method(model(), tokenizer())
    results = explainer(["The quick fox", "What a sad, sad"], [" jumps over", " day"])
    metric = SensitivityMax(explainer, n_draws=2)
    together = metric(results)
    assert all((figures > 0).all() for figures in together.scores)
    for result, figures in zip(results, together.scores, strict=True):
        torch.testing.assert_close(metric(result).scores[0], figures, atol=1e-5, rtol=1e-4)
    assert metric(results).to_dict() == together.to_dict()
    assert together.to_dict()["reference"] is None


def test_the_models_own_class_is_asked_for_again_not_another():
    """The readout of the results stays, whatever the moved model would say."""
    model, tokenizer = classifier(), wordpiece()
    explainer = Occlusion(model, tokenizer)
    results = explainer(TEXTS)
    named = explainer(TEXTS, [result.target_names[0] for result in results])
    metric = SensitivityMax(explainer, radius=2.0, n_draws=3)
    assert metric(results).score == pytest.approx(metric(named).score, rel=1e-5)


def test_a_failure_leaves_the_model_as_it_was():
    model, tokenizer = classifier(), wordpiece()
    explainer = Occlusion(model, tokenizer)
    results = explainer(TEXTS)
    handle = model.classifier.register_forward_pre_hook(lambda *_: 1 / 0)
    before = fingerprint(model, tokenizer)
    with pytest.raises(ZeroDivisionError):
        SensitivityMax(explainer)(results)
    assert fingerprint(model, tokenizer) == before
    handle.remove()


def test_bad_input():
    model, tokenizer = classifier(), wordpiece()
    explainer = Occlusion(model, tokenizer)
    with pytest.raises(InputError, match=r"attributions\[0\]: expected an explanation of Occlusion, got one of Input"):
        SensitivityMax(explainer)(InputxGradient(model, tokenizer)(TEXTS))
    with pytest.raises(InputError, match="expected explanations of one task, got"):
        SensitivityMax(explainer)([])
    for options in ({"radius": 0.0}, {"n_draws": 0}, {"seed": -1}):
        with pytest.raises(InputError, match=next(iter(options))):
            SensitivityMax(explainer, **options)
