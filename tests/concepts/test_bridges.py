"""From words to concepts and from concepts to decisions, by every attribution method."""

from functools import cache

import pytest
import torch
from transformers import BertForMaskedLM

import interpreto
from interpreto import (
    Attribution,
    Contrast,
    InputxGradient,
    IntegratedGradients,
    KernelShap,
    ModelWithSplitPoints,
    Occlusion,
    Saliency,
    Sobol,
)
from interpreto.attributions import methods
from interpreto.attributions.metrics import Deletion, Insertion
from interpreto.concepts import ConceptsToOutput, InputToConcepts, KMeansConcepts, NeuronsAsConcepts, PCAConcepts
from interpreto.concepts.interpretations import ConceptReading, Interpretations
from interpreto.errors import InputError
from interpreto.types import Task
from tests.attributions.games import true_shapley_values
from tests.attributions.methods.test_sobol import true_indices
from tests.attributions.test_contract import ADDITIVE, CHEAP, SAMPLED, fingerprint, same
from tests.concepts.simple import RandomConcepts
from tests.tiny import LINES, bert, byte_bpe, classifier, language_model, metaspace, sequence_to_sequence, wordpiece

METHODS = [
    name for name in methods.__all__ if name not in {"AttentionRollout", "AttnLRP", "DeepLift"}
]  # of a model's own answer
MODELS = {
    "classification": (classifier, wordpiece, 0, ["The quick fox.", "A sad day, a dog", "you"], None),
    "causal": (language_model, byte_bpe, 0, ["The quick fox", "What a sad", "Once"], [" jumps", " day in", " upon"]),
    "seq2seq": (
        sequence_to_sequence,
        metaspace,
        "encoder.0",
        ["The quick fox", "A sad day", "you"],
        ["day", "a", "it"],
    ),
    "masked": (lambda: bert(BertForMaskedLM, 2, 0), wordpiece, 0, ["a [MASK] day", "the [MASK]", "is [MASK] it"], None),
}
pytestmark = pytest.mark.filterwarnings("ignore:.* perturbations do not tell")
every_model = pytest.mark.parametrize("kind", list(MODELS))
every_method = pytest.mark.parametrize("name", METHODS)


@cache
def concepts(kind, n=3):
    model, tokenizer, point, _, _ = MODELS[kind]
    split = ModelWithSplitPoints(model(), tokenizer=tokenizer(), split_points=point)
    found = RandomConcepts(split, nb_concepts=n)
    found.fit(split.get_activations(LINES))
    return found


def cheap(name, function, **options):
    own = {"inference_mode": "logits"} if name == "ContextCite" else {}
    return getattr(interpreto, name)(function, **{**CHEAP.get(name, {}), **own, **options})


def inner(explainer):
    return explainer.model_with_split_points.model, explainer.model_with_split_points.tokenizer


# Every method, over every kind of model


@every_model
@every_method
def test_every_method_explains_codes(name, kind):
    explainer, inputs = concepts(kind), MODELS[kind][3]
    before = fingerprint(*inner(explainer))
    results = cheap(name, explainer)(inputs, [[1, 2]] * 3)
    assert fingerprint(*inner(explainer)) == before
    for k, result in enumerate(results):
        assert result.task is Task.CONCEPTS
        assert result.scores.shape == (2, len(result.elements))
        assert [target.startswith(f"concept {i}") for i, target in zip((1, 2), result.target_names, strict=True)]
        assert all(element.text.strip() in inputs[k] for element in result.elements)
        assert (result.gaps is not None) == (name in ADDITIVE)
        again = Attribution.from_json(result.to_json())
        assert again.to_json() == result.to_json()
        assert again.readout == result.readout
        assert result.settings["split_point"] == str(MODELS[kind][2])
    for batch_size in (1, 16):
        assert same(results, cheap(name, explainer, batch_size=batch_size)(inputs, [[1, 2]] * 3), 1e-5)
    assert same(results[2:], cheap(name, explainer)(inputs[2:], [[1, 2]]), 1e-5)


@every_model
@every_method
def test_every_method_weighs_concepts(name, kind):
    explainer, inputs, targets = concepts(kind), MODELS[kind][3], MODELS[kind][4]
    before = fingerprint(*inner(explainer))
    function = ConceptsToOutput(explainer)
    results = cheap(name, function)(inputs, targets)
    assert fingerprint(*inner(explainer)) == before
    for result in results:
        assert result.task is explainer.split.task
        assert all(element.text == f"concept {element.tokens[0]}" for element in result.elements)
        assert result.scores.isfinite().all()
        assert result.target_scores.isfinite().all()
        again = Attribution.from_json(result.to_json())
        assert again.to_json() == result.to_json()
        assert result.settings["concept_removal"] == "zero"
    plain = Occlusion(*inner(explainer))(inputs, targets)
    for result, own in zip(results, plain, strict=True):
        if name not in ("SmoothGrad", "SquareGrad", "VarGrad"):  # whose scores are means over noisy codes
            torch.testing.assert_close(result.target_scores, own.target_scores, atol=1e-5, rtol=1e-5)
    for batch_size in (1, 16):
        assert same(results, cheap(name, function, batch_size=batch_size)(inputs, targets), 1e-5)
    alone = cheap(name, function)(inputs[2:], None if targets is None else targets[2:])
    assert same(results[2:], alone, 1e-5)


@every_method
def test_the_seed_decides(name):
    explainer, inputs = concepts("classification", 5), MODELS["classification"][3][:1]
    for function in (explainer, ConceptsToOutput(explainer)):
        results = cheap(name, function)(inputs, [[1, 2]])
        assert same(results, cheap(name, function)(inputs, [[1, 2]]))
        if name in SAMPLED - {"Rise", "Lime"}:  # with few elements these may draw everything
            assert not same(results, cheap(name, function, seed=5)(inputs, [[1, 2]]))


class Stop(Exception):  # noqa: N818  # no error of ours
    """Raised by a user's own hook."""


@pytest.mark.parametrize("name", ["Occlusion", "IntegratedGradients"])
def test_an_exception_leaves_the_model_as_it_was(name):
    explainer = concepts("classification")
    model, tokenizer = inner(explainer)
    for function in (explainer, ConceptsToOutput(explainer)):
        for last in (1, 2, 4):
            calls = []

            def stop(_module, _args, calls=calls, last=last):
                calls.append(1)
                if len(calls) == last:
                    raise Stop

            handle = model.bert.encoder.layer[0].register_forward_pre_hook(stop)
            before = fingerprint(model, tokenizer)
            with pytest.raises(Stop):
                cheap(name, function, batch_size=1)("The quick fox", [1])
            assert fingerprint(model, tokenizer) == before
            handle.remove()


# From words to concepts


def codes_by_hand(explainer, ids):
    """Codes of all tokens of one row of ids, by the model's own hidden states."""
    model, _ = inner(explainer)
    with torch.no_grad():
        states = model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[1][0]
    return explainer.concept_model.encode(states)


def test_words_that_make_a_concept_by_hand():
    """Occlusion by a plain loop: mask a word, read the code where it was largest."""
    explainer = concepts("classification")
    _, tokenizer = inner(explainer)
    text = "The quick fox ran home"
    ids = tokenizer(text)["input_ids"]
    codes = codes_by_hand(explainer, ids)
    (result,) = Occlusion(explainer, granularity="token")(text, [0, 2])
    for t, concept in enumerate((0, 2)):
        place = 1 + int(codes[1:-1, concept].argmax())
        assert result.target_scores[t] == pytest.approx(float(codes[place, concept]), abs=1e-5)
        expected = []
        for k in range(1, len(ids) - 1):
            changed = [*ids[:k], tokenizer.mask_token_id, *ids[k + 1 :]]
            expected.append(codes[place, concept] - codes_by_hand(explainer, changed)[place, concept])
        torch.testing.assert_close(result.scores[t], torch.stack(expected), atol=1e-5, rtol=1e-4)


def test_gradients_of_a_code_by_hand():
    explainer = concepts("classification")
    model, tokenizer = inner(explainer)
    ids = torch.tensor([tokenizer("The quick fox")["input_ids"]])
    x = model.get_input_embeddings()(ids).detach().requires_grad_()
    states = model(inputs_embeds=x, output_hidden_states=True).hidden_states[1][0]
    codes = explainer.concept_model.encode(states)[:, 1]
    place = 1 + int(codes[1:-1].argmax())
    gradient = torch.autograd.grad(codes[place], x)[0][0, 1:-1]
    (result,) = InputxGradient(explainer, granularity="token")("The quick fox", [1])
    torch.testing.assert_close(result.scores[0], (gradient * x[0, 1:-1].detach()).sum(dim=1), atol=1e-5, rtol=1e-4)


def test_all_rows_together_and_one_of_them():
    explainer = concepts("causal")
    text = "What a great day"
    ids = inner(explainer)[1](text)["input_ids"]
    codes = codes_by_hand(explainer, ids)
    (summed,) = Occlusion(InputToConcepts(explainer, at="sum"))(text, [1])
    assert summed.target_scores[0] == pytest.approx(float(codes[:, 1].sum()), abs=1e-5)
    (one,) = Occlusion(InputToConcepts(explainer, at=1))(text, [1])
    assert one.target_scores[0] == pytest.approx(float(codes[1, 1]), abs=1e-5)
    assert one.scores[0, 2:].isnan().all()  # what comes later cannot matter
    assert one.scores[0, :1].isfinite().all()


@pytest.mark.parametrize("aggregation", ["mean", "max", "first", "last"])
def test_rows_of_several_tokens(aggregation):
    explainer = concepts("causal")
    rows = explainer.split.get_activations("What a great day", "sample", aggregation=aggregation)
    expected = explainer.encode(rows)[0]
    function = InputToConcepts(explainer, granularity="sample", aggregation=aggregation)
    (result,) = Occlusion(function)("What a great day", [0, 1, 2])
    torch.testing.assert_close(result.target_scores, expected.cpu(), atol=1e-5, rtol=1e-5)
    with pytest.raises(InputError, match="removal: 'delete'"):
        Occlusion(function, removal="delete")("What a great day", [0])


def test_the_strongest_concept_is_explained_by_default_and_names_are_used():
    explainer = concepts("classification")
    rows = explainer.encode(explainer.split.get_activations("A sad day"))
    strongest = int(rows.max(dim=0).values.argmax())
    names = Interpretations(tuple(ConceptReading(k, f"idea {k}", ()) for k in range(3)), "TopKInputs")
    function = InputToConcepts(explainer, names=names)
    (result,) = Occlusion(function)("A sad day")
    assert result.target_names[0].startswith(f"idea {strongest} ({strongest}) at ")
    (named,) = Occlusion(function)("A sad day", [f"idea {strongest}"])
    assert torch.equal(named.scores, result.scores)
    (weights,) = Occlusion(ConceptsToOutput(explainer, names={0: "zero"}))("A sad day")
    assert weights.elements[0].text in ("zero (0)", "concept 1")


def test_a_contrast_of_concepts_is_the_difference():
    explainer = concepts("classification")
    (result,) = KernelShap(explainer)("The quick fox", [0, 2, Contrast(0, 2)])
    torch.testing.assert_close(result.scores[2], result.scores[0] - result.scores[1], atol=1e-5, rtol=1e-4)


def test_only_the_part_below_the_split_point_is_run():
    explainer = concepts("classification")
    model, _ = inner(explainer)
    calls = []
    handle = model.bert.encoder.layer[1].register_forward_hook(lambda *_: calls.append(1))
    Occlusion(explainer)("The quick fox", [0])
    handle.remove()
    assert not calls


# From concepts to decisions


def answer_by_hand(explainer, ids, keep, nothing=0.0):
    """The classifier's logits with some concepts removed, by a hook of our own."""
    model, _ = inner(explainer)
    coder = explainer.concept_model

    def change(_module, _args, output):
        states = output[0] if isinstance(output, tuple) else output
        z = coder.encode(states[0, 1:-1])
        changed = states.clone()
        changed[0, 1:-1] += coder.decode(torch.where(keep, z, torch.as_tensor(nothing))) - coder.decode(z)
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    handle = model.bert.encoder.layer[0].register_forward_hook(change)
    try:
        with torch.no_grad():
            return model(input_ids=torch.tensor([ids])).logits[0]
    finally:
        handle.remove()


def subsets(n):
    return torch.tensor([[code >> i & 1 for i in range(n)] for code in range(2**n)]).bool()


@pytest.mark.parametrize("removal", ["zero", "mean"])
def test_shapley_values_of_concepts_by_enumeration(removal):
    explainer = concepts("classification", 9)
    text = "The quick fox ran home"
    ids = inner(explainer)[1](text)["input_ids"]
    rows = explainer.split.get_activations(LINES)
    mean = explainer.encode(rows).mean(dim=0)
    options = {"reference": rows} if removal == "mean" else {}
    function = ConceptsToOutput(explainer, removal=removal, **options)
    nothing = mean if removal == "mean" else 0.0
    (result,) = KernelShap(function, n_perturbations=256)(text, [1])
    own = [element.tokens[0] for element in result.elements]
    n = len(own)
    assert n >= 3

    def answer(row):
        keep = torch.ones(9, dtype=torch.bool)
        keep[own] = row.bool()
        return float(answer_by_hand(explainer, ids, keep, nothing)[1])

    table = {tuple(keep.tolist()): answer(keep) for keep in subsets(n)}
    expected = true_shapley_values(lambda z: torch.tensor([table[tuple(row.bool().tolist())] for row in z]), n)
    torch.testing.assert_close(result.scores[0].double(), torch.from_numpy(expected), atol=1e-5, rtol=1e-4)
    (occluded,) = Occlusion(function)(text, [1])
    full = table[(True,) * n]
    alone = [full - table[tuple(k != i for k in range(n))] for i in range(n)]
    torch.testing.assert_close(occluded.scores[0], torch.tensor(alone), atol=1e-5, rtol=1e-4)


def test_gradient_times_concept_is_the_importance():
    for kind in ("classification", "causal"):
        explainer, inputs, targets = concepts(kind, 5), MODELS[kind][3][:1], MODELS[kind][4]
        targets = [[0, 2]] if targets is None else targets[:1]
        (result,) = InputxGradient(ConceptsToOutput(explainer))(inputs, targets)
        (own,) = explainer.concept_output_gradient(
            inputs, torch.tensor(targets) if kind == "classification" else targets, concepts_x_gradients=True
        )
        columns = [element.tokens[0] for element in result.elements]
        torch.testing.assert_close(result.scores, own.sum(dim=1)[:, columns].float(), atol=1e-5, rtol=1e-3)
        (norms,) = Saliency(ConceptsToOutput(explainer))(inputs, targets)
        (gradients,) = explainer.concept_output_gradient(
            inputs, torch.tensor(targets) if kind == "classification" else targets
        )
        torch.testing.assert_close(norms.scores, gradients.norm(dim=1)[:, columns].float(), atol=1e-5, rtol=1e-3)


@every_model
def test_integrated_gradients_over_concepts_are_complete(kind):
    explainer, inputs, targets = concepts(kind), MODELS[kind][3], MODELS[kind][4]
    for result in IntegratedGradients(ConceptsToOutput(explainer), tolerance=1e-4)(inputs, targets):
        size = (result.target_scores - result.baseline_scores).abs()
        assert (result.gaps.abs() <= 2e-3 * size + 1e-5).all()


def test_keeping_all_concepts_changes_nothing_to_the_bit():
    explainer = concepts("classification")
    model, tokenizer = inner(explainer)
    with torch.no_grad():
        expected = model(**tokenizer("The quick fox", return_tensors="pt")).logits[0]
    (result,) = Occlusion(ConceptsToOutput(explainer), batch_size=1)("The quick fox", [[0, 1, 2]])
    assert torch.equal(result.target_scores, expected)


def test_resampled_codes_are_means_over_draws():
    explainer = concepts("classification")
    rows = explainer.split.get_activations(LINES)
    make = lambda **options: ConceptsToOutput(explainer, removal="resample", reference=rows, **options)  # noqa: E731
    (one,) = Occlusion(make(n_draws=1, seed=3))("The quick fox", [1])
    text = explainer.encode(explainer.split.get_activations("The quick fox"))
    codes = explainer.encode(rows)
    drawn = codes[torch.randint(len(codes), (1, len(text)), generator=torch.Generator().manual_seed(3))[0]]
    ids = inner(explainer)[1]("The quick fox")["input_ids"]
    keep = torch.ones(3, dtype=torch.bool)
    keep[one.elements[0].tokens[0]] = False
    whole, without = (answer_by_hand(explainer, ids, k, drawn)[1] for k in (torch.ones(3).bool(), keep))
    assert one.scores[0, 0] == pytest.approx(float(whole - without), abs=1e-5)
    (several,) = Occlusion(make(n_draws=16))("The quick fox", [1])
    (again,) = Occlusion(make(n_draws=16))("The quick fox", [1])
    (other,) = Occlusion(make(n_draws=16, seed=1))("The quick fox", [1])
    assert torch.equal(several.scores, again.scores)
    assert not torch.equal(several.scores, other.scores)


def test_inactive_concepts_are_no_elements_and_only_the_strongest_may_be():
    explainer = concepts("classification", 12)
    codes = explainer.encode(explainer.split.get_activations("The quick fox")).amax(dim=0)
    (result,) = Occlusion(ConceptsToOutput(explainer))("The quick fox")
    assert [element.tokens[0] for element in result.elements] == codes.nonzero()[:, 0].tolist()
    (few,) = Occlusion(ConceptsToOutput(explainer, max_concepts=2))("The quick fox")
    assert [e.tokens[0] for e in few.elements] == sorted(codes.argsort(descending=True)[:2].tolist())
    by_number = {e.tokens[0]: float(s) for e, s in zip(result.elements, result.scores[0], strict=True)}
    for element, score in zip(few.elements, few.scores[0], strict=True):
        assert float(score) == pytest.approx(by_number[element.tokens[0]], abs=1e-6)


def test_sobol_indices_of_concepts_are_those_of_the_table():
    """CRAFT's importance: total Sobol indices of masks on the codes."""
    explainer = concepts("classification", 9)
    text = "The quick fox ran home"
    ids = inner(explainer)[1](text)["input_ids"]
    (result,) = Sobol(ConceptsToOutput(explainer), n_designs=512)(text, [1])
    own = [element.tokens[0] for element in result.elements]

    def answers(rows):
        found = []
        for row in rows:
            keep = torch.ones(9, dtype=torch.bool)
            keep[own] = row.bool()
            found.append(answer_by_hand(explainer, ids, keep)[1])
        return torch.stack(found).double()

    expected = true_indices(answers, len(own))["total"]
    torch.testing.assert_close(result.scores[0].double(), torch.as_tensor(expected), atol=0.05, rtol=0.1)


def test_a_model_that_is_linear_above_the_split_point_gives_weight_times_activation():
    model, tokenizer = language_model(), byte_bpe()
    split = ModelWithSplitPoints(model, tokenizer=tokenizer, split_points="transformer.ln_f")
    neurons = NeuronsAsConcepts(split)
    ids = torch.tensor([tokenizer("The quick")["input_ids"] + tokenizer(" fox")["input_ids"]])
    with torch.no_grad():
        states = model(input_ids=ids, output_hidden_states=True).hidden_states[-1][0]  # after the last norm
    place = len(tokenizer("The quick")["input_ids"]) - 1
    expected = states[place] * model.lm_head.weight[ids[0, place + 1]].detach()
    for method in (Occlusion, InputxGradient, IntegratedGradients):
        (result,) = method(ConceptsToOutput(neurons))("The quick", " fox")
        torch.testing.assert_close(result.scores[0], expected, atol=1e-5, rtol=1e-4)


# Metrics


@pytest.mark.parametrize("metric", [Insertion, Deletion])
def test_metrics_over_concepts(metric):
    """C-insertion and C-deletion: the curve by hand."""
    explainer = concepts("classification", 5)
    function = ConceptsToOutput(explainer)
    (result,) = Occlusion(function)("The quick fox ran home", [1])
    found = metric(function, inference_mode="logits")(Attribution.from_json(result.to_json()))
    ids = inner(explainer)[1]("The quick fox ran home")["input_ids"]
    order = result.scores[0].argsort(descending=True)
    own = [element.tokens[0] for element in result.elements]
    curve = []
    for k in range(len(own) + 1):
        taken = torch.zeros(5, dtype=torch.bool)
        taken[[own[int(i)] for i in order[:k]]] = True
        others = torch.tensor([i not in own for i in range(5)])
        keep = (taken if metric is Insertion else ~taken) | others
        curve.append(answer_by_hand(explainer, ids, keep)[1])
    torch.testing.assert_close(found.curves[0][0], torch.stack(curve), atol=1e-5, rtol=1e-4)
    again = metric(function)(result)
    assert 0 <= again.score <= 1


@every_model
def test_metrics_of_words_for_concepts(kind):
    explainer, inputs = concepts(kind), MODELS[kind][3]
    results = Occlusion(explainer)(inputs, [[1]] * 3)
    found = Deletion(explainer, inference_mode="logits", n_random=2)(
        [Attribution.from_json(r.to_json()) for r in results]
    )
    for curve, result in zip(found.curves, results, strict=True):
        assert curve[0, 0] == pytest.approx(float(result.target_scores[0]), abs=1e-5)
    with pytest.raises(InputError, match="inference_mode: codes"):
        Deletion(explainer, inference_mode="softmax")(results)
    assert Deletion(explainer, n_random=2)(results).scores[0] == found.scores[0]


# What a hard review found


def test_what_is_written_later_changes_nothing():
    explainer = concepts("causal", 8)
    short, long = (Occlusion(ConceptsToOutput(explainer))("What a great", text)[0] for text in (" day", " day it is"))
    by_number = {element.tokens[0]: k for k, element in enumerate(long.elements)}
    columns = [by_number[element.tokens[0]] for element in short.elements]
    torch.testing.assert_close(short.scores[0], long.scores[0, columns], atol=1e-6, rtol=1e-5)
    with pytest.raises(InputError, match="granularity: expected 'token' or 'all_tokens'"):
        Occlusion(ConceptsToOutput(explainer, granularity="word"))("What a great", " day")


def test_codes_without_gradients_are_refused():
    explainer = KMeansConcepts(concepts("classification").split, nb_concepts=3, codes="one_hot")
    explainer.fit(explainer.split.get_activations(LINES))
    with pytest.raises(InputError, match="have no gradients; use a perturbation method"):
        Saliency(explainer)("The quick fox", [0])
    assert Occlusion(InputToConcepts(explainer, at="sum"))("The quick fox", [0, 1, 2])[0].scores.isfinite().all()


def test_metrics_refuse_explanations_of_another_function():
    explainer, other = concepts("classification"), concepts("classification", 5)
    (words,) = Occlusion(explainer)("A sad day", [1])
    (weights,) = Occlusion(ConceptsToOutput(explainer))("A sad day")
    (of_model,) = Occlusion(*inner(explainer))("A sad day")
    for function, result in (
        (other, words),
        (InputToConcepts(explainer, granularity="word"), words),
        (ConceptsToOutput(other), weights),
        (ConceptsToOutput(explainer), of_model),
    ):
        with pytest.raises(InputError, match="pass the function that was explained"):
            Deletion(function)(result)
    with pytest.raises(InputError, match="got one of concepts: pass the function"):
        Deletion(*inner(explainer))(weights)
    rows = explainer.split.get_activations(LINES)
    by_mean = Deletion(ConceptsToOutput(explainer, removal="mean", reference=rows))(weights)
    assert by_mean.curves[0].isfinite().all()


def test_the_strongest_of_signed_codes_is_the_largest_either_way():
    explainer = PCAConcepts(concepts("classification").split, nb_concepts=4)
    explainer.fit(explainer.split.get_activations(LINES))
    codes = explainer.encode(explainer.split.get_activations("A sad day"))
    (result,) = Occlusion(InputToConcepts(explainer, at=1))("A sad day")
    assert result.readout.reads[0][1] == int(codes[1].abs().argmax())
    (result,) = Occlusion(explainer)("A sad day")
    assert result.readout.reads[0][1] == int(codes.abs().max(dim=0).values.argmax())
    assert len(result.readout.rows) == 1  # nothing else is encoded


def test_resampling_says_how_uncertain_it_is():
    explainer = concepts("classification", 5)
    rows = explainer.split.get_activations(LINES)
    for method, options in ((Occlusion, {}), (KernelShap, {"n_perturbations": 64})):
        draws = [
            method(ConceptsToOutput(explainer, removal="resample", reference=rows, n_draws=1, seed=s), **options)(
                "A sad day"
            )
            for s in range(60)
        ]
        assert draws[0][0].std_errors.isposinf().all()
        spread = torch.stack([found.scores for (found,) in draws]).std(dim=0)
        said = [
            method(ConceptsToOutput(explainer, removal="resample", reference=rows, n_draws=8, seed=s), **options)(
                "A sad day"
            )
            for s in range(6)
        ]
        mean = torch.stack([found.std_errors for (found,) in said]).mean(dim=0)
        ratio = mean / (spread / 8**0.5)
        assert 0.7 < float(ratio[spread > 1e-5].median()) < 1.7  # with Student's factor of 1.2


def test_pictures_of_concepts_name_them_one_a_line():
    (result,) = Occlusion(ConceptsToOutput(concepts("classification")))("A sad day")
    lines = result.text(color=False).splitlines()
    for element in result.elements:
        assert any(line.strip() == element.text for line in lines)


# Bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: Occlusion(e)("a sad day", [7]), r"targets\[0\]: expected a concept from 0 to 2, got 7"),
        (lambda e: Occlusion(e)("a sad day", ["joy"]), r"targets\[0\]: expected the number of a concept"),
        (lambda e: Occlusion(e, inference_mode="softmax")("a", [1]), "inference_mode: codes of concepts"),
        (lambda e: InputToConcepts(e, at="best"), "at: expected 'strongest'"),
        (lambda e: Occlusion(InputToConcepts(e, at=9))("a sad day", [1]), r"expected a row from -3 to 2 for at=9"),
        (lambda e: InputToConcepts(e, granularity="words"), "granularity: expected one of"),
        (lambda e: ConceptsToOutput(e, removal="mask"), "removal: expected 'zero'"),
        (lambda e: ConceptsToOutput(e, removal="mean"), "reference: expected activations"),
        (lambda e: ConceptsToOutput(e, reference=torch.ones(2, 2)), "reference: expected activations"),
        (lambda e: ConceptsToOutput(e, n_draws=0), "n_draws: expected"),
        (
            lambda e: Occlusion(ConceptsToOutput(e), removal="mask")("a"),
            "removal: expected none where concepts are removed",
        ),
        (lambda e: IntegratedGradients(ConceptsToOutput(e), baseline="mask")("a"), "baseline: expected None"),
        (lambda e: Occlusion(PCAConcepts(e.split, nb_concepts=2)), "fit"),
        (lambda e: Occlusion(RandomConcepts(None, nb_concepts=2)), "model|fit"),
        (lambda e: Occlusion(classifier())("a"), "tokenizer: expected the model's own tokenizer, got None"),
        (lambda e: Deletion(e)(Occlusion(*inner(e))("a sad day")), "pass the function that was explained"),
        (lambda e: ConceptsToOutput(classifier()), "concept_explainer: expected fitted concepts"),
        (lambda e: InputToConcepts(e, names=["a", "b"]), "names: expected Interpretations or names by the numbers"),
        (lambda e: ConceptsToOutput(e, removal="mean", reference=torch.zeros(0, 32)), "expected at least one row"),
        (lambda e: Occlusion(e)(["a", "b"], [[], [1]]), r"targets\[0\]: expected at least one concept"),
        (lambda e: Occlusion(InputToConcepts(e, names={1: "x", 2: "x"}))("a", ["x"]), "expected the name of one"),
    ],
)
def test_bad_input_is_one_clear_error(call, message):
    with pytest.raises(interpreto.errors.InterpretoError, match=message):
        call(concepts("classification"))


def test_points_in_a_decoder_depend_on_what_is_written():
    model, tokenizer = sequence_to_sequence(), metaspace()
    split = ModelWithSplitPoints(model, tokenizer=tokenizer, split_points="decoder.0")
    explainer = RandomConcepts(split, nb_concepts=8)
    explainer.fit(split.get_activations(["a day", "it is"], targets=["a sad, sad day", "the dog ran home"]))
    with pytest.raises(InputError, match="take a point of the encoder"):
        Occlusion(explainer)("a day", [0])
    (result,) = Occlusion(ConceptsToOutput(explainer))("a day", ["the dog"])
    assert result.scores.abs().sum() > 0
