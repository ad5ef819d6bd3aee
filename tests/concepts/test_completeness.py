"""Completeness against its definition, planted codes, and the slow obvious way."""

import json
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from interpreto.concepts import NeuronsAsConcepts, PCAConcepts
from interpreto.concepts.concept_model import ConceptModel
from interpreto.concepts.metrics.completeness import Completeness, CompletenessResult, completeness
from interpreto.concepts.metrics.completeness.metric import three_parts
from interpreto.concepts.metrics.completeness.spliced import Spliced
from interpreto.concepts.metrics.completeness.state_map import Lesson, Spread, StateMap
from interpreto.errors import InputError, NotFittedError
from interpreto.model_wrapping import ModelWithSplitPoints
from tests.concepts.simple import RandomConcepts
from tests.tiny import LINES, WORDS, byte_bpe, classifier, language_model, wordpiece

QUICK = {"hidden_units": 32, "steps": 30, "texts_per_step": 32, "learning_rate": 2e-2}


def texts_of(n, seed=0):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, size=rng.integers(3, 8))) for _ in range(n)]


TEXTS = texts_of(150)


def split_model(point=-1, batch_size=None):
    return ModelWithSplitPoints(classifier(seed=2), point, tokenizer=wordpiece(), batch_size=batch_size)


def predicted(split, texts=TEXTS):
    with torch.no_grad():
        logits = [split.model(**split.tokenizer(text, return_tensors="pt")).logits for text in texts]
    return torch.cat(logits).argmax(dim=1)


@dataclass(frozen=True, eq=False)
class PlantedModel(ConceptModel):
    """One code, the number of the class that the head makes of a row; decoded along a direction that tells nothing."""

    pooler: torch.nn.Module
    head: torch.nn.Module
    mean: torch.Tensor
    told: float = 1.0

    def encode(self, activations):
        with torch.no_grad():
            logits = self.head(torch.tanh(self.pooler(activations)))
        return self.told * logits.argmax(dim=1, keepdim=True).float()

    def decode(self, codes):
        return self.mean + 0 * codes

    @property
    def dictionary(self):
        return torch.zeros(1, len(self.mean))


def planted(split, told=1.0):
    """Concepts that hold the class, or nothing, and decode to the mean row."""
    rows = split.get_activations(TEXTS, "cls_token")
    concepts = RandomConcepts(split, nb_concepts=1)
    concepts.fit(rows)
    model = split.model
    mean = next(iter(rows.values())).mean(dim=0)
    concepts._concept_model = PlantedModel(model.bert.pooler.dense, model.classifier, mean, told)
    return concepts


@pytest.fixture(scope="module")
def split():
    return split_model()


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize(("point", "granularity"), [(0, "all_tokens"), (-1, "cls_token"), (1, "all_tokens")])
def test_everything_is_complete(point, granularity, trained):
    found = Completeness(NeuronsAsConcepts(split_model(point)), granularity, trained=trained, **{**QUICK, "steps": 10})(
        TEXTS
    )
    assert (found.eta, found.std_error, found.accuracy_model) == (1, 0, 1)
    assert found.eta_around < 0.3
    assert found.chosen_step == 0  # nothing is more accurate than what decoding gives


def test_nothing_is_not(split):
    dead = planted(split, told=0.0)
    decoded = Completeness(dead, "cls_token", trained=False)(TEXTS)
    assert decoded.eta == pytest.approx(0, abs=0.01)  # one answer for all: at best the guess
    learned = Completeness(dead, "cls_token", **QUICK)(TEXTS)
    assert learned.eta == pytest.approx(0, abs=0.01)
    assert learned.eta_decode == decoded.eta


def test_what_codes_hold_is_found_in_whatever_form(split):
    """The class as one number, that no direction tells: decoding knows nothing, the map everything."""
    concepts = planted(split)
    decoded = Completeness(concepts, "cls_token", trained=False)(TEXTS)
    learned = Completeness(concepts, "cls_token", **QUICK)(TEXTS)
    assert learned.eta > 0.97
    assert learned.chosen_step > 0
    assert learned.eta_decode == decoded.eta < 0.1
    assert (learned.n_training, learned.n_validation, learned.n_held_out) == (
        decoded.n_training,
        decoded.n_validation,
        decoded.n_held_out,
    )


def test_more_concepts_tell_more(split):
    rows = split.get_activations(texts_of(300, seed=1), "cls_token")
    for trained in (False, True):
        found = []
        for nb_concepts in (1, 4, 12, 31):
            concepts = PCAConcepts(split, nb_concepts=nb_concepts)
            concepts.fit(rows)
            found.append(Completeness(concepts, "cls_token", trained=trained, **QUICK)(TEXTS))
        etas = [one.eta for one in found]
        for before, after in pairwise(found):
            assert after.eta > before.eta - 2 * max(before.std_error, after.std_error, 0.02)
        assert etas[0] < 0.8
        assert etas[-1] > 0.95
        if trained:
            assert all(one.eta >= one.eta_decode - 2 * max(one.std_error, 0.02) for one in found)


def test_decoding_by_hand(split):
    concepts = RandomConcepts(split, nb_concepts=6)
    concepts.fit(torch.randn(20, 32))
    found = Completeness(concepts, "all_tokens", trained=False)(TEXTS)
    own = predicted(split)
    sources = split.samples(TEXTS)
    training, validation, held = three_parts(sources, own, 0.4, 0.2, 0)
    assert (found.n_training, found.n_validation, found.n_held_out) == (len(training), len(validation), len(held))

    def answers(change):
        def hook(_module, _args, output):
            return change(output) if isinstance(output, torch.Tensor) else (change(output[0]), *output[1:])

        handle = split.model.bert.encoder.layer[-1].register_forward_hook(hook)
        answer = predicted(split, [TEXTS[k] for k in held])
        handle.remove()
        return answer

    decoded = answers(lambda h: concepts.decode(concepts.encode(h[0]))[None]) == own[held]
    rows = [split.get_activations([TEXTS[k]], "all_tokens")["1"] for k in training]
    mean = torch.cat(rows).mean(dim=0)
    around = answers(lambda h: mean.expand_as(h)) == own[held]
    guess = own[held] == torch.bincount(own[training]).argmax()
    assert found.accuracy == found.accuracy_decode == pytest.approx(float(decoded.double().mean()))
    assert found.accuracy_around == pytest.approx(float(around.double().mean()))
    assert found.accuracy_guess == pytest.approx(float(guess.double().mean()))
    assert found.eta == pytest.approx((found.accuracy - found.accuracy_guess) / (1 - found.accuracy_guess))
    assert 0 < found.std_error < 0.5


def test_given_classes(split):
    own = predicted(split)
    rng = torch.Generator().manual_seed(0)
    labels = torch.where(torch.rand(len(own), generator=rng) < 0.2, (own + 1) % 3, own)
    concepts = NeuronsAsConcepts(split)
    found = Completeness(concepts, "cls_token", trained=False)(TEXTS, labels)
    assert found.eta == 1
    assert found.accuracy == found.accuracy_model == pytest.approx(0.8, abs=0.1)
    assert Completeness(concepts, "cls_token", trained=False)(TEXTS, labels.tolist()) == found
    names = [split.model.config.id2label[int(label)] for label in labels]
    assert Completeness(concepts, "cls_token", trained=False)(TEXTS, names) == found
    assert found.accuracy_guess != Completeness(concepts, "cls_token", trained=False)(TEXTS).accuracy_guess


def test_what_comes_around_the_concepts_is_told():
    """Only the class token is read after the last block, and rows of tokens leave it as it is."""
    dead = planted(split_model(), told=0.0)
    with pytest.warns(UserWarning, match="without any concept 100% of the accuracy is there"):
        found = Completeness(dead, "token", trained=False)(TEXTS)
    assert found.eta == found.eta_around == 1


def test_a_seed_repeats_and_batches_change_nothing(split):
    options = {**QUICK, "steps": 20, "texts_per_step": 16}
    once = Completeness(planted(split), "cls_token", **options)(TEXTS)
    assert Completeness(planted(split_model(batch_size=7)), "cls_token", **options)(TEXTS) == once
    concepts = PCAConcepts(split, nb_concepts=2)
    concepts.fit(split.get_activations(TEXTS, "cls_token"))
    found = [Completeness(concepts, "cls_token", seed=seed, **options)(TEXTS) for seed in (0, 0, 1)]
    assert found[0] == found[1]
    assert found[2] != replace(found[0], seed=1)


@pytest.mark.parametrize("granularity", ["all_tokens", "word"])
def test_gradients_are_those_of_the_definition(granularity):
    """One text at a time through plain hooks, everything differentiated by autograd."""
    split = split_model(0)
    concepts = RandomConcepts(split, nb_concepts=6)
    concepts.fit(torch.randn(20, 32))
    metric = Completeness(concepts, granularity)
    texts, classes = TEXTS[:5], torch.tensor([0, 1, 2, 1, 0])
    lesson = lesson_of(metric, texts, classes)
    spread = Spread.of(concepts, lesson.spliced, torch.arange(5))
    rows = split.get_activations(texts, granularity)["0"].double()
    torch.testing.assert_close(spread.row_mean.double(), rows.mean(dim=0), rtol=1e-5, atol=1e-5)
    assert spread.unit == pytest.approx(float(rows.var(dim=0, correction=0).mean().sqrt()), rel=1e-5)
    codes = concepts.encode(rows.float())
    spreads = codes.std(dim=0, correction=0)
    least = 0.1 * spreads.square().mean().sqrt()  # concepts that hardly vary are not blown up
    torch.testing.assert_close(spread.code_spread, spreads.clamp(min=least), rtol=1e-3, atol=1e-3)
    start = StateMap.begin(concepts.concept_model, spread, 7, 0)
    torch.testing.assert_close(start(codes), concepts.decode(codes))
    rng = torch.Generator().manual_seed(0)
    w1, b1, w2, b2 = weights = tuple(
        torch.randn(weight.shape, generator=rng).requires_grad_() for weight in start.weights
    )
    found = lesson.gradients(replace(start, weights=weights), torch.arange(5))

    def g(z):
        bent = torch.relu((z - spread.code_mean) / spread.code_spread @ w1.T + b1)
        return concepts.decode(z) + spread.unit * (bent @ w2.T + b2)

    loss = 0.0
    for text, wanted in zip(texts, classes, strict=True):
        sample = split.samples([text])[0]
        elements = split.extraction(granularity, "mean").elements(sample)

        def hook(_module, _args, output, elements=elements):
            h = output if isinstance(output, torch.Tensor) else output[0]
            moved = list(h[0].detach())
            for element in elements:
                row = torch.stack([h[0, i].detach() for i in element.tokens]).mean(dim=0)
                change = g(concepts.encode(row[None]))[0] - row
                for i in element.tokens:
                    moved[i] = moved[i] + change
            moved = torch.stack(moved)[None]
            return moved if isinstance(output, torch.Tensor) else (moved, *output[1:])

        handle = split.model.bert.encoder.layer[0].register_forward_hook(hook)
        logits = split.model(**split.tokenizer(text, return_tensors="pt")).logits[0]
        handle.remove()
        loss = loss - logits.log_softmax(dim=0)[wanted] / 5
    for own, slow in zip(found, torch.autograd.grad(loss, weights), strict=True):
        torch.testing.assert_close(own, slow, rtol=1e-3, atol=1e-5)
        assert float(slow.abs().max()) > 0


def lesson_of(metric, texts, classes):
    explainer = metric.concept_explainer
    split = explainer.split
    extraction = split.extraction(metric.activation_granularity, metric.aggregation)
    spliced = Spliced.of(split, explainer.point, extraction, split.samples(texts), 3)
    everything = torch.arange(len(texts))
    return Lesson(explainer, spliced, classes, everything, everything)


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_stays_as_it_was(fails):
    split = split_model(0)
    model = split.model
    model.train()
    model.classifier.bias.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    kinds = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    concepts = RandomConcepts(split, nb_concepts=4)
    concepts.fit(torch.randn(20, 32))
    metric = Completeness(concepts, "all_tokens", **{**QUICK, "steps": 2})
    if fails:
        concepts._concept_model = Failing(concepts.concept_model.directions)
        with pytest.raises(ZeroDivisionError):
            metric(TEXTS[:40])
        assert Failing.in_training
    else:
        metric(TEXTS[:40])
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert {name: parameter.requires_grad for name, parameter in model.named_parameters()} == kinds
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
    assert all(tensor.grad is None and not tensor.requires_grad for tensor in concepts.concept_model.tensors().values())


@dataclass(frozen=True, eq=False)
class Failing(ConceptModel):
    """Fails once it is differentiated, inside of the model's forward pass."""

    directions: torch.Tensor
    in_training = False

    def encode(self, activations):
        return activations @ self.directions.T

    def decode(self, codes):
        if torch.is_grad_enabled():
            Failing.in_training = True
            raise ZeroDivisionError
        return codes @ self.directions

    @property
    def dictionary(self):
        return self.directions


def test_the_three_parts():
    sources = split_model().samples([*TEXTS[:90], *TEXTS[:30]])
    classes = torch.tensor([k % 90 % 3 for k in range(120)])
    for seed in range(5):
        parts = three_parts(sources, classes, 0.4, 0.2, seed)
        assert sorted(torch.cat(parts).tolist()) == list(range(120))
        owner = torch.zeros(120)
        for number, part in enumerate(parts):
            owner[part] = number
        assert torch.equal(owner[:30], owner[90:])  # equal texts stay together
        for label in range(3):
            alone = [int((classes[part[part < 90]] == label).sum()) for part in parts]
            assert np.abs(np.array(alone) - [12, 6, 12]).max() <= 1
    assert not torch.equal(parts[2], three_parts(sources, classes, 0.4, 0.2, 0)[2])


def test_the_error_is_that_of_a_ratio():
    rng = np.random.default_rng(0)
    f = rng.random(400) < 0.9
    r = rng.random(400) < 0.4
    a = np.where(rng.random(400) < 0.7, f, r)
    eta, error = completeness(*(torch.from_numpy(x) for x in (a, f, r)))
    assert eta == pytest.approx((a.mean() - r.mean()) / (f.mean() - r.mean()))
    drawn = [rng.integers(0, 400, 400) for _ in range(4000)]
    again = [(a[d].mean() - r[d].mean()) / (f[d].mean() - r[d].mean()) for d in drawn]
    assert error == pytest.approx(np.std(again), rel=0.06)
    everything = torch.ones(5, dtype=torch.bool)
    with pytest.raises(InputError, match=r"got 5 with accuracies of 1.000 and 1.000"):
        completeness(everything, everything, everything)
    with pytest.raises(InputError, match="got 1 with"):
        completeness(everything[:1], everything[:1], ~everything[:1])
    with pytest.raises(InputError, match="got 0;"):
        completeness(everything[:0], everything[:0], everything[:0])


def test_results_are_kept_as_json(split):
    found = Completeness(planted(split), "cls_token", trained=False, seed=3)(TEXTS)
    assert CompletenessResult.from_json(found.to_json()) == found
    assert str(found).startswith(f"completeness {found.eta:.3f} +- ")
    data = json.loads(found.to_json())
    for change in (
        {"format": 2},
        {"kind_of_file": "tcav"},
        {"accuracy": "0.5"},
        {"accuracy": -1.0},
        {"std_error": float("nan")},
        {"seed": 1.0},
        {"n_held_out": True},
        {"accuracy_model": data["accuracy_guess"]},
    ):
        with pytest.raises(InputError, match="expected the JSON of a completeness"):
            CompletenessResult.from_json(json.dumps({**data, **change}))
    for text in ("", "[]", "{}", "null", "3"):
        with pytest.raises(InputError, match="expected the JSON of a completeness"):
            CompletenessResult.from_json(text)


def test_bad_input_is_refused(split):
    neurons = NeuronsAsConcepts(split)
    for options, message in (
        ({"held_out": 0.9}, "together below 1, got 0.9 and 0.2"),
        ({"validation": 0.0}, "shares above 0"),
        ({"steps": 0}, "steps: expected a whole number"),
        ({"hidden_units": -1}, "hidden_units: expected a whole number"),
        ({"texts_per_step": 0}, "texts_per_step"),
        ({"learning_rate": 0.0}, "learning_rate: expected a number above 0"),
        ({"learning_rate": float("nan")}, "learning_rate: expected a number above 0"),
        ({"seed": -1}, "seed"),
    ):
        with pytest.raises(InputError, match=message):
            Completeness(neurons, **options)
    metric = Completeness(neurons, "cls_token", trained=False)
    own = predicted(split)
    other = TEXTS[int((own != own[0]).nonzero()[0, 0])]
    with pytest.raises(InputError, match="expected at least one"):
        metric([])
    with pytest.raises(InputError, match="too few for three parts"):
        metric([TEXTS[0], other])
    with pytest.raises(InputError, match=r"texts of at least two classes, got 'LABEL_\d' for all 5"):
        metric([TEXTS[0]] * 5)
    with pytest.raises(InputError, match="texts of at least two classes, got 'LABEL_1' for all 150"):
        metric(TEXTS, [1] * 150)
    with pytest.raises(InputError, match="model is better than a guess"):
        metric(TEXTS, (own + 1) % 3)
    with pytest.raises(InputError, match=r"targets: expected 150 rows"):
        metric(TEXTS, [0, 1])
    with pytest.raises(InputError, match=r"targets\[0\]: expected a class from 0 to 2, got 7"):
        metric(TEXTS, [7] * 150)
    with pytest.raises(InputError, match=r"targets\[0\]: expected one class"):
        metric(TEXTS, [[0, 1]] * 150)
    with pytest.raises(InputError, match="granularity"):
        Completeness(neurons, "letters")(TEXTS)
    with pytest.raises(InputError, match="split model"):
        Completeness(PCAConcepts(None, nb_concepts=2))(TEXTS)
    with pytest.raises(NotFittedError):
        Completeness(PCAConcepts(split, nb_concepts=2))(TEXTS)


def test_models_without_one_class_a_text_are_refused():
    writes = ModelWithSplitPoints(language_model(), 0, tokenizer=byte_bpe())
    with pytest.raises(InputError, match="expected one that classifies texts, got one for"):
        Completeness(NeuronsAsConcepts(writes))(LINES)
    for change in ({"problem_type": "multi_label_classification"}, {"problem_type": "regression"}):
        model = classifier()
        model.config.update(change)
        other = ModelWithSplitPoints(model, 0, tokenizer=wordpiece())
        with pytest.raises(InputError, match="one class of a text, got scores of another kind"):
            Completeness(NeuronsAsConcepts(other))(LINES)


def test_copies_of_texts_say_nothing_new():
    rng = torch.Generator().manual_seed(0)
    right, guess = torch.rand(40, generator=rng) < 0.8, torch.rand(40, generator=rng) < 0.3
    model = torch.ones(40, dtype=torch.bool)
    once = completeness(right, model, guess)
    again = completeness(*(x.repeat(4) for x in (right, model, guess)), torch.arange(40).repeat(4))
    assert again == pytest.approx(once)
    assert completeness(*(x.repeat(4) for x in (right, model, guess)))[1] < 0.6 * once[1]
