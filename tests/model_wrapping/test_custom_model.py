"""Functions and plain modules explained as transformers are: closed forms, equal rows, nothing changed."""

import copy
import functools

import numpy as np
import pytest
import torch
from torch import nn

import interpreto
from interpreto import (
    AttentionRollout,
    AttnLRP,
    DeepLift,
    InputxGradient,
    IntegratedGradients,
    KernelShap,
    ModelWithSplitPoints,
    Occlusion,
    Saliency,
    Sobol,
)
from interpreto.attributions.metrics import Deletion, Infidelity, Insertion, SensitivityMax
from interpreto.errors import InputError, ModelError
from interpreto.model_wrapping import CustomModel
from tests.tiny import byte_bpe, classifier, language_model, metaspace, wordpiece

TEXTS = ["a sad day", "the little dog is lazy but the cat is sad", "you"]


def weights(n_scores=1):
    """A number for each id, 0 for the mask and for what stands around a text."""
    table = np.random.default_rng(0).normal(size=(len(wordpiece()), n_scores))
    table[wordpiece().all_special_ids] = 0
    return table


def linear(ids):
    return weights(2)[np.asarray(ids)].sum(axis=1)


def square(ids):
    return weights()[np.asarray(ids)].sum(axis=1) ** 2


class Recurrent(nn.Module):
    """A bidirectional LSTM, for which padding would be text."""

    def __init__(self, n_words, n_scores=3, per_token=False):
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(n_words, 8)
        self.inside = nn.LSTM(8, 8, batch_first=True, bidirectional=not per_token, num_layers=2, dropout=0.5)
        self.out = nn.Linear(8 if per_token else 16, n_scores)
        self.per_token = per_token
        self.shapes = []

    def forward(self, ids):
        self.shapes.append(tuple(ids.shape))
        states = self.inside(self.words(ids))[0]
        return self.out(states if self.per_token else states.mean(dim=1))


@pytest.mark.parametrize("removal", ["mask", "delete", "[UNK]"])
def test_shapley_values_of_a_bag_of_words(removal):
    model = CustomModel(linear, wordpiece(), labels=["left", "right"])
    for text in TEXTS:
        found = KernelShap(model, removal=removal)(text, [0, 1])[0]
        ids = wordpiece()(text, add_special_tokens=False)["input_ids"]
        assert found.target_names == ("left", "right")
        torch.testing.assert_close(found.scores, torch.tensor(weights(2)[ids].T).float(), atol=1e-5, rtol=1e-5)


def test_shapley_values_of_a_square():
    """Of `(sum w)^2` they are `w_i * sum w`: each product of two words is shared by both."""
    model = CustomModel(square, wordpiece())
    text = "a sad day on the park"
    own = torch.tensor(weights()[wordpiece()(text, add_special_tokens=False)["input_ids"]][:, 0])
    found = KernelShap(model)(text)[0]
    torch.testing.assert_close(found.scores[0], (own * own.sum()).float(), atol=1e-5, rtol=1e-5)
    assert found.target_names == ("LABEL_0",)
    hidden = Occlusion(model)(text)[0]
    torch.testing.assert_close(
        hidden.scores[0], (own.sum() ** 2 - (own.sum() - own) ** 2).float(), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("batch_size", [1, 2, None])
def test_the_function_is_given_the_ids_and_nothing_else(batch_size):
    seen = []

    def listening(ids):
        seen.extend(map(tuple, ids.tolist()))
        return linear(ids)

    Occlusion(CustomModel(listening, wordpiece()), batch_size=batch_size, removal="delete")(TEXTS, 0)
    wanted = set()
    for text in TEXTS:
        ids = wordpiece()(text)["input_ids"]
        wanted |= {tuple(ids), *(tuple(ids[:k] + ids[k + 1 :]) for k in range(1, len(ids) - 1))}
    assert set(seen[2:]) == wanted  # the first two are the look at a short text


def neighbours(model, method, **options):
    together = method(model, **options)(TEXTS, [0, 1, 2])
    for k, text in enumerate(TEXTS):
        alone = method(model, batch_size=1, **options)(text, [k])[0]
        torch.testing.assert_close(together[k].scores, alone.scores, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("removal", ["mask", "delete"])
@pytest.mark.parametrize("method", [Occlusion, KernelShap, Sobol])
def test_rows_of_other_lengths_change_nothing(method, removal):
    network = Recurrent(len(wordpiece()))
    neighbours(CustomModel(network, wordpiece()), method, removal=removal)
    assert max(rows for rows, _ in network.shapes) > 2  # they were run together all the same


@pytest.mark.parametrize("method", [Saliency, InputxGradient, IntegratedGradients])
def test_gradients_of_an_lstm(method):
    network = Recurrent(len(wordpiece()))
    neighbours(CustomModel(network, wordpiece(), embeddings="words"), method)


def test_gradients_against_autograd():
    network = Recurrent(len(wordpiece()))
    model = CustomModel(network, wordpiece(), embeddings=network.words)
    ids = torch.tensor([wordpiece()(TEXTS[0])["input_ids"]])
    plain = copy.deepcopy(network).eval()
    states = plain.words(ids).detach().requires_grad_()
    plain.out(plain.inside(states)[0].mean(dim=1))[0, 1].backward()
    wanted = (states.grad * states).sum(dim=2).detach()[0, 1:-1]
    found = InputxGradient(model)(TEXTS[0], 1)[0]
    torch.testing.assert_close(found.scores[0], wanted, atol=1e-6, rtol=1e-5)
    complete = IntegratedGradients(model)(TEXTS[1], [0, 1, 2])[0]
    assert float(complete.gaps.abs().max()) < 1e-2


def test_module_is_left_as_it_was():
    network = Recurrent(len(wordpiece())).train()
    before = copy.deepcopy(network.state_dict())
    model = CustomModel(network, wordpiece(), embeddings="words")
    first, second = (KernelShap(model)(TEXTS[0])[0].scores for _ in range(2))
    IntegratedGradients(model)(TEXTS[0])
    assert torch.equal(first, second)  # no dropout
    assert all(module.training for module in network.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_a_method_of_a_module_is_run_in_evaluation_mode():
    network = Recurrent(len(wordpiece())).train()
    model = CustomModel(network.forward, wordpiece())
    assert torch.equal(*(Occlusion(model)(TEXTS[0])[0].scores for _ in range(2)))
    assert network.training


def test_a_transformer_is_the_same_through_the_adapter():
    inside = classifier()

    def scores(ids, attention_mask):
        return inside(input_ids=ids, attention_mask=attention_mask).logits

    layer = inside.get_input_embeddings()
    model = CustomModel(scores, wordpiece(), embeddings=layer)
    for method, options in (
        (Occlusion, {}),
        (KernelShap, {"removal": "attention"}),
        (Occlusion, {"removal": "delete"}),
        (IntegratedGradients, {}),
    ):
        own = method(model, **options)(TEXTS, [0, 1, 2])
        plain = method(inside, wordpiece(), **options)(TEXTS, [0, 1, 2])
        for one, other in zip(own, plain, strict=True):
            assert one.elements == other.elements
            torch.testing.assert_close(one.scores, other.scores, atol=1e-5, rtol=1e-4)


def test_next_tokens():
    inside = language_model()
    model = CustomModel(lambda ids: inside(input_ids=ids).logits, byte_bpe(), task="causal-lm")
    plain = Occlusion(inside, byte_bpe(), removal="delete")("The quick fox", " jumps over")[0]
    found = Occlusion(model)("The quick fox", " jumps over")[0]
    assert found.settings["removal"] is None
    torch.testing.assert_close(found.scores, plain.scores, atol=1e-5, rtol=1e-4, equal_nan=True)
    with pytest.raises(InputError, match=r"^targets: expected the output of each input, for a custom model writes"):
        Occlusion(model)("The quick fox")


@pytest.mark.parametrize(("task", "text"), [("token-classification", "a sad day"), ("masked-lm", "a [MASK] day")])
def test_tasks_that_are_read_at_tokens(task, text):
    network = Recurrent(len(wordpiece()), n_scores=len(wordpiece()) if task == "masked-lm" else 4, per_token=True)
    model = CustomModel(network, wordpiece(), task=task, labels=list("ABCD") if task != "masked-lm" else None)
    found = Occlusion(model)(text)[0]
    assert found.task.value == task
    with torch.no_grad():
        logits = network.eval()(torch.tensor([wordpiece()(text)["input_ids"]]))[0]
    if task == "masked-lm":
        assert found.target_scores.item() == pytest.approx(float(logits[2].max()), abs=1e-5)
    else:
        assert found.target_names == tuple(
            f"{word}: {'ABCD'[int(row.argmax())]}" for word, row in zip(text.split(), logits[1:], strict=False)
        )


def test_metrics_and_split_points():
    network = Recurrent(len(wordpiece()))
    model = CustomModel(network, wordpiece(), embeddings="words")
    results = Occlusion(model)(TEXTS)
    assert Insertion(model)(results).score >= Insertion(model)(results).random_score - 1
    assert Deletion(model, wordpiece())(results).score == Deletion(model)(results).score
    assert len(Infidelity(model)(results).scores) == 3
    assert SensitivityMax(Saliency(model))(Saliency(model)(TEXTS)).score >= 0
    split = ModelWithSplitPoints(model, split_points="function.inside")
    states = network.eval().inside(network.words(torch.tensor([wordpiece()(TEXTS[0])["input_ids"]])))[0]
    torch.testing.assert_close(split.get_activations(TEXTS[0], "all_tokens")["function.inside"], states[0].detach())
    with pytest.raises(InputError, match=r"^split_points: expected a block number, .* got 0"):
        ModelWithSplitPoints(model, split_points=0)


@pytest.mark.parametrize("method", [AttnLRP, AttentionRollout, DeepLift])
def test_methods_of_transformers_refuse_it(method):
    with pytest.raises(ModelError, match=r"^model: expected"):
        method(CustomModel(Recurrent(len(wordpiece())), wordpiece(), embeddings="words"))("a sad day")


def test_results_survive_json():
    found = KernelShap(CustomModel(linear, wordpiece(), labels=["left", "right"]))("a sad day")[0]
    assert interpreto.Attribution.from_json(found.to_json()).to_json() == found.to_json()


def wrong(ids, answer):
    return answer


def failing(ids):
    raise KeyError("no such word")


REFUSED = {
    "other task": ({"task": "seq2seq-lm"}, InputError, r"^task: expected one of \['classification', .*'seq2seq-lm'"),
    "equal labels": ({"labels": ["one", "one"]}, InputError, r"^labels: expected names that differ"),
    "few labels": ({"labels": ["one"]}, InputError, r"^labels: expected 2 names, one a score, got \['one'\]"),
    "it fails": (
        {"function": failing},
        ModelError,
        r"^function: expected scores for ids \(2, 5\), .* KeyError: 'no such",
    ),
    "no tensor": (
        {"function": functools.partial(wrong, answer="hello")},
        ModelError,
        r"^function: expected scores \(2, c\) for ids \(2, l\) of classification, got str: 'hello'",
    ),
    "shape": (
        {"function": functools.partial(wrong, answer=torch.zeros(2, 5, 3))},
        ModelError,
        r"^function: expected scores \(2, c\) for .*, got shape \(2, 5, 3\)",
    ),
    "one row": ({"function": lambda ids: ids[:1].float()}, ModelError, r"got shape \(1, 5\)"),
    "few tokens": (
        {"function": lambda ids: torch.zeros(*ids.shape, 3), "task": "causal-lm"},
        ModelError,
        "^function: expected a score for each of the tokenizer's 150 tokens, got 3",
    ),
    "no layer": (
        {"function": Recurrent(150), "embeddings": "embed"},
        InputError,
        r"^embeddings: expected a layer of the module, got 'embed'; it has \['words'\]",
    ),
    "nameless": ({"embeddings": "words"}, InputError, "^embeddings: .* a function has no named layers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    given, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        CustomModel(**{"function": linear, "tokenizer": wordpiece(), **given})


def test_refused_later():
    plain = CustomModel(linear, wordpiece())
    with pytest.raises(ModelError, match=r"^embeddings: expected the layer that looks ids up, which this method asks"):
        Saliency(plain)("a sad day")
    with pytest.raises(InputError, match=r"^removal: 'attention' needs a model that takes an attention mask"):
        Occlusion(plain, removal="attention")("a sad day")
    with pytest.raises(ModelError, match="tokenizer: expected a vocabulary that fits the model's 20 embeddings"):
        Occlusion(CustomModel(lambda ids: torch.zeros(len(ids), 2), wordpiece(), embeddings=nn.Embedding(20, 2)))
    sizes = iter([2, 3])
    with pytest.raises(ModelError, match=r"^function: expected scores \(4, 2\) for ids .* got shape \(4, 3\)"):
        Occlusion(CustomModel(lambda ids: torch.zeros(len(ids), next(sizes)), wordpiece()))("a sad day", 0)
    with pytest.raises(ModelError, match="got NaN for 'a sad day'"):
        Occlusion(CustomModel(lambda ids: torch.full((len(ids), 2), torch.nan), wordpiece()))("a sad day", 0)


def test_no_mask_anywhere_deletes():
    """A tokenizer without a mask token and a function without a mask: what is hidden is gone."""
    lengths = []

    def counting(ids):
        lengths.append(ids.shape[1])
        return torch.stack([(ids > 2).sum(dim=1), (ids == 1).sum(dim=1)], dim=1)

    found = Occlusion(CustomModel(counting, metaspace()))("the dog is sad", 0)[0]
    assert found.scores.tolist() == [[1.0, 1.0, 1.0, 1.0]]
    assert len(set(lengths)) > 1
