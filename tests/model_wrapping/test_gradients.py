"""Gradients are those of autograd on the plain model, one text at a time."""

import inspect

import numpy as np
import pytest
import torch

from interpreto import InputxGradient, IntegratedGradients
from interpreto.types import Granularity
from tests.architectures import ANSWERS, CAUSAL, CLASSES, LABELS, MASKED, PAIRS, SEQ2SEQ, build
from tests.model_wrapping.plain import Plain


class Function:
    """Target scores as a function of the embeddings of the row, by the road that the architecture leaves open."""

    def __init__(self, plain):
        self.plain, self.model = plain, plain.model
        self.ids = torch.tensor(plain.row)
        self.border = len(plain.source)
        # Encoder-decoders with another head read their text twice, and only ids can be passed.
        self.by_weight = self.model.config.is_encoder_decoder and plain.task in (CLASSES, ANSWERS)
        with torch.no_grad():
            self.embedding = self.layer(self.ids)

    @property
    def layer(self):
        if not self.model.config.is_encoder_decoder:
            return self.model.get_input_embeddings()
        inner = getattr(self.model, "transformer", self.model)
        return getattr(inner, "model", inner).encoder.embed_tokens

    def answer(self, points):
        if self.by_weight:
            (name,) = (n for n, w in self.model.named_parameters() if w is self.layer.weight)
            scale = getattr(self.layer, "embed_scale", 1.0)
            weight = self.layer.weight.detach().index_copy(0, self.ids, points / scale)
            return torch.func.functional_call(self.model, {name: weight}, kwargs={"input_ids": self.ids[None]})
        if self.plain.task is SEQ2SEQ:
            source, output = points[: self.border], points[self.border :]
            return self.model(inputs_embeds=source[None], decoder_inputs_embeds=output[None])
        inputs = {"inputs_embeds": points[None]}
        kinds = self.plain._call().get("token_type_ids")
        if kinds is not None and "token_type_ids" in inspect.signature(self.model.forward).parameters:
            inputs["token_type_ids"] = torch.tensor([[*kinds, *([0] * (len(points) - len(kinds)))]])
        return self.model(**inputs)

    def __call__(self, points):
        answer, plain = self.answer(points), self.plain
        if plain.task is CLASSES:
            return answer.logits[0, [0, 2]]
        if plain.task is ANSWERS:
            first, last = plain._answer_places()
            return torch.stack([answer.start_logits[0, first], answer.end_logits[0, last]])
        places = torch.tensor(plain._read_places())
        if plain.task is LABELS:
            return answer.logits[0, places[[0, 3]], torch.tensor([1, 2])]
        if plain.task is MASKED:
            return answer.logits[0, places[0], [7, 9]]
        offset = self.border if plain.task is SEQ2SEQ else 0
        start = len(plain.row) - len(plain.output)
        return answer.logits[0, torch.arange(start, len(plain.row)) - 1 - offset, self.ids[start:]]

    def gradients(self, points):
        points = points.clone().requires_grad_()
        scores = self(points)
        return torch.stack([torch.autograd.grad(score, points, retain_graph=True)[0] for score in scores])


def distinct(plain):
    """The same plain case, with a text of which no token comes twice, so that a token's weight is its embedding."""
    tokenizer = plain.tokenizer
    special = set(tokenizer.all_special_ids)
    ids = [i for i in range(20, 28) if i not in special] + [tokenizer.eos_token_id]

    class Distinct(Plain):
        source = ids
        inputs = {"input_ids": torch.tensor([ids])}  # noqa: RUF012  # a stand-in for a property
        targets = [[0, 2]]  # noqa: RUF012  # the same

        def _answer_places(self):
            return 2, 4

    return Distinct(plain.name, plain.task, plain.text, plain.model, tokenizer)


def case(name, task):
    plain = Plain.of(name, task, model=build(name, task))
    if plain.model.config.is_encoder_decoder and task in (CLASSES, ANSWERS):
        plain = distinct(plain)
    return plain


def compare(result, expected):
    """`expected`: scores of tokens `(t, l)`."""
    for k, element in enumerate(result.elements):
        wanted = expected[:, list(element.tokens)].sum(dim=1)
        sees = result.scores[:, k].isfinite()
        torch.testing.assert_close(result.scores[sees, k], wanted[sees], atol=2e-5, rtol=1e-4)
        assert float(wanted[~sees].abs().sum()) == 0.0


def explained(explainer, plain):
    inputs, targets = plain.inputs, plain.targets
    if plain.task is ANSWERS and isinstance(inputs, dict):
        sample = explainer(inputs)[0].sample
        targets = [[(sample.tokens[2].start, sample.tokens[4].end)]]
    (result,) = explainer(inputs, targets)
    return result


@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_input_x_gradient(name, task):
    plain = case(name, task)
    function = Function(plain)
    explainer = InputxGradient(plain.model, plain.tokenizer, granularity=Granularity.TOKEN)
    result = explained(explainer, plain)
    with torch.no_grad():
        torch.testing.assert_close(result.target_scores, function(function.embedding), atol=1e-5, rtol=1e-5)
    gradients = function.gradients(function.embedding)
    assert float(gradients.abs().max()) > 1e-3
    # Next to 0 where the embeddings are normalised first (DeBERTa, ModernBERT): their length has no effect.
    compare(result, (gradients * function.embedding).sum(dim=2))


@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_integrated_gradients(name, task):
    plain = case(name, task)
    function = Function(plain)
    zero = {"granularity": Granularity.TOKEN, "baseline": "zero", "n_steps": 3, "tolerance": None}
    result = explained(IntegratedGradients(plain.model, plain.tokenizer, **zero), plain)
    free = torch.zeros(len(plain.row), 1)
    free[[i for element in result.elements for i in element.tokens]] = 1
    start = function.embedding * (1 - free)
    total = 0
    for node, weight in zip(*np.polynomial.legendre.leggauss(3), strict=True):
        point = start + (node + 1) / 2 * (function.embedding - start)
        total = total + weight / 2 * function.gradients(point)
    with torch.no_grad():
        torch.testing.assert_close(result.baseline_scores, function(start), atol=1e-5, rtol=1e-5)
    compare(result, (total * (function.embedding - start)).sum(dim=2))


@pytest.mark.parametrize(("name", "task"), [(n, t) for n in ("bart", "mbart", "t5") for t in (CLASSES, ANSWERS)])
def test_both_roads_of_a_text_that_is_read_twice(name, task):
    """Cut the road through the decoder: the gradient changes, and the sum of both is what is reported."""
    plain = case(name, task)
    function = Function(plain)
    both = function.gradients(function.embedding)
    model = plain.model
    calls = []

    def constant(_module, _args, output):
        calls.append(output)
        return output.detach() if len(calls) == 2 else output

    layers = {id(m): m for m in model.modules() if getattr(m, "weight", None) is function.layer.weight}
    handles = [layer.register_forward_hook(constant) for layer in layers.values()]
    one = function.gradients(function.embedding)
    for handle in handles:
        handle.remove()
    assert len(calls) == 2
    assert float((both - one).abs().max()) > 1e-3
    assert float(one.abs().max()) > 1e-3


def test_every_task_of_the_table_is_met():
    assert {task for _, task in PAIRS} == {CLASSES, LABELS, ANSWERS, MASKED, CAUSAL, SEQ2SEQ}
