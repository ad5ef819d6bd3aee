"""Gradients with respect to codes, against a second computation that replaces rows by hand."""

import json

import pytest
import torch

from interpreto.concepts.importance import ConceptImportance, LocalImportance
from interpreto.errors import InputError, NotFittedError
from interpreto.model_wrapping import ModelWithSplitPoints
from tests.architectures import ARCHITECTURES, CAUSAL, CLASSES, SEQ2SEQ, build
from tests.concepts.simple import RandomConcepts
from tests.tiny import LINES, byte_bpe, classifier, language_model, wordpiece

TEXTS = [LINES[0], "It is great, unbelievably so!", "Spot ran. He laughed."]
MODELS = [
    *[(name, CLASSES) for name in ("albert", "bart", "bert", "distilbert", "gpt2", "llama", "modernbert", "t5")],
    *[(name, CAUSAL) for name in ("gpt2", "llama", "mamba", "mixtral", "opt", "qwen3")],
]


def explainer(model, tokenizer, point=0, nb_concepts=5, **options):
    split = ModelWithSplitPoints(model, point, tokenizer=tokenizer, **options)
    found = RandomConcepts(split, nb_concepts=nb_concepts)
    found.fit(torch.randn(20, split.get_activations(TEXTS[:1])[split.split_points[0].name].shape[1]))
    return found


def by_hand(concepts, text, score, places, *, carriers=None):
    """d score / dz, with z put into the model by a plain hook: `places[g]` are averaged, `carriers[g]` moved."""
    split = concepts.model_with_split_points
    point = split.split_points[0]
    module = dict(split.traits.base.named_modules())[point.path]
    directions = concepts.dictionary
    kept = {}
    calls = []

    def hook(_module, _args, output):
        calls.append(0)
        if len(calls) - 1 != point.call:
            return None
        hidden = output if isinstance(output, torch.Tensor) else output[0]
        start = torch.stack([torch.relu(hidden[0, place].mean(dim=0) @ directions.T) for place in places]).detach()
        kept["z"] = start.clone().requires_grad_()
        moved = (kept["z"] - start) @ directions
        new = hidden.clone()
        for g, place in enumerate(carriers or places):
            new[0, place] = new[0, place] + moved[g]
        return new if isinstance(output, torch.Tensor) else (new, *output[1:])

    handle = module.register_forward_hook(hook)
    encoding = split.tokenizer(text, return_tensors="pt")
    with torch.enable_grad():
        output = split.model(**{n: v for n, v in encoding.items() if n in split.traits.arguments})
    handle.remove()
    gradients = [torch.autograd.grad(value, kept["z"], retain_graph=True)[0] for value in score(output.logits)]
    return torch.stack(gradients)


@pytest.mark.parametrize(("name", "task"), MODELS)
def test_gradients_are_those_of_a_plain_hook(name, task):
    model, tokenizer = build(name, task), ARCHITECTURES[name].tokenizer()
    concepts = explainer(model, tokenizer, "encoder.0" if name in ("bart", "t5") else 0)
    found = concepts.concept_output_gradient(TEXTS, [0, 2] if task is CLASSES else None, "all_tokens")
    for text, gradients in zip(TEXTS, found, strict=True):
        ids = tokenizer(text)["input_ids"]
        places = [[i] for i in range(len(ids))]
        if task is CLASSES:
            wanted = by_hand(concepts, text, lambda logits: logits[0, [0, 2]], places)
        else:
            starts = [i for i in range(1, len(ids)) if ids[i] not in tokenizer.all_special_ids]

            def score(logits, ids=ids, starts=starts):
                return torch.stack([logits[0, i - 1, ids[i]] for i in starts])

            wanted = by_hand(concepts, text, score, places)
        torch.testing.assert_close(gradients, wanted, atol=1e-4, rtol=1e-4)


def test_rows_of_several_tokens_move_them_all():
    concepts = explainer(classifier(), wordpiece())
    text = "Unbelievable cats."
    offsets = wordpiece()(text, return_offsets_mapping=True)["offset_mapping"]
    words = [[i for i, (s, e) in enumerate(offsets) if s < e and a <= s < b] for a, b in ((0, 12), (13, 17), (17, 18))]
    (found,) = concepts.concept_output_gradient(text, [1], "word")
    torch.testing.assert_close(found, by_hand(concepts, text, lambda x: x[0, [1]], words), atol=1e-5, rtol=1e-4)
    (found,) = concepts.concept_output_gradient(text, [1], "sample")
    everything = [range(1, len(offsets) - 1)]
    torch.testing.assert_close(found, by_hand(concepts, text, lambda x: x[0, [1]], everything), atol=1e-5, rtol=1e-4)
    (found,) = concepts.concept_output_gradient(text, [1], "sample", aggregation="last")
    wanted = by_hand(concepts, text, lambda x: x[0, [1]], [[len(offsets) - 2]])
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


def test_a_linear_end_makes_gradient_times_concept_exact():
    """Behind the last block of this classifier everything is linear, once its norm and tanh are taken out."""
    model = build("llama", CLASSES)
    model.model.norm = torch.nn.Identity()
    concepts = explainer(model, ARCHITECTURES["llama"].tokenizer(), -1, nb_concepts=7)
    rows = concepts.model_with_split_points.get_activations(TEXTS, "cls_token")["1"]
    codes = concepts.encode(rows)
    for k, row in enumerate(concepts.concept_output_gradient(TEXTS, [0, 1, 2], "cls_token", concepts_x_gradients=True)):
        with torch.no_grad():
            wanted = model.score(codes[k, :, None] * concepts.dictionary).T
        torch.testing.assert_close(row[:, 0], wanted, atol=1e-5, rtol=1e-4)


def test_parameters_get_no_gradient_and_nothing_changes():
    model = classifier()
    concepts = explainer(model, wordpiece())
    before = {name: values.clone() for name, values in model.state_dict().items()}
    concepts.concept_output_gradient(TEXTS, None, "token")
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(values, before[name]) for name, values in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_generation_is_explained_at_the_tokens_that_are_asked():
    concepts = explainer(language_model(), byte_bpe())
    prompts, outputs = ["Once upon", "She said"], [" a time", ": what"]
    found = concepts.concept_output_gradient(prompts, outputs, "token")
    for prompt, output, gradients in zip(prompts, outputs, found, strict=True):
        before = len(byte_bpe()(prompt)["input_ids"])
        ids = byte_bpe()(prompt + output)["input_ids"]

        def score(logits, ids=ids, before=before):
            return torch.stack([logits[0, i - 1, ids[i]] for i in range(before, len(ids))])

        wanted = by_hand(concepts, prompt + output, score, [[i] for i in range(len(ids))])
        torch.testing.assert_close(gradients, wanted, atol=1e-5, rtol=1e-4)
        for target in range(len(ids) - before):
            assert not gradients[target, before + target :].any()  # a token owes nothing to itself and what follows


@pytest.mark.parametrize("point", ["encoder.0", "decoder.0"])
def test_encoder_decoders_are_explained_on_both_sides(point):
    model, tokenizer = build("t5", SEQ2SEQ), ARCHITECTURES["t5"].tokenizer()
    split = ModelWithSplitPoints(model, point, tokenizer=tokenizer)
    concepts = RandomConcepts(split, nb_concepts=4)
    concepts.fit(torch.randn(9, 32))
    found = concepts.concept_output_gradient(TEXTS, ["dog", "cat dog", "he"], "all_tokens")
    rows = split.get_activations(TEXTS, "all_tokens", targets=["dog", "cat dog", "he"]).sources[point].inputs
    assert [gradients.shape[1] for gradients in found] == torch.bincount(rows).tolist()
    assert all(gradients.abs().sum() > 0 for gradients in found)


def test_batches_and_order_change_nothing():
    model = classifier()
    wanted = explainer(model, wordpiece(), batch_size=1).concept_output_gradient(TEXTS, [0], "word")
    concepts = explainer(model, wordpiece())
    for size in (2, None):
        found = concepts.concept_output_gradient(TEXTS, [0], "word", batch_size=size)
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    backwards = concepts.concept_output_gradient(TEXTS[::-1], [0], "word")[::-1]
    for one, other in zip(backwards, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_tables_are_means_over_texts():
    concepts = explainer(classifier(), wordpiece())
    dense = concepts.concept_output_gradient(TEXTS, [0, 1], "token", concepts_x_gradients=True)
    table = concepts.importance(TEXTS, [0, 1], "token")
    signed = torch.stack([one.sum(dim=1) for one in dense]).mean(dim=0)
    absolute = torch.stack([one.abs().sum(dim=1) for one in dense]).mean(dim=0)
    assert table.target_names == ("LABEL_0", "LABEL_1")
    torch.testing.assert_close(table.table("signed"), signed)
    torch.testing.assert_close(table.table(), absolute)
    torch.testing.assert_close(table.table(normalized=True).sum(dim=1), torch.ones(2))
    torch.testing.assert_close(table.overall(), absolute.mean(dim=0))
    assert table.top("LABEL_1", 2) == absolute[1].argsort(descending=True)[:2].tolist()
    assert table.top() == absolute.mean(dim=0).argsort(descending=True).tolist()
    gradient = concepts.importance(TEXTS, [0], "token", method="gradient")
    plain = concepts.concept_output_gradient(TEXTS, [0], "token")
    torch.testing.assert_close(gradient.signed[0], torch.stack([one[0].sum(dim=0) for one in plain]).mean(dim=0))


def test_by_default_the_table_is_class_wise():
    concepts = explainer(classifier(), wordpiece())
    split = concepts.model_with_split_points
    texts = [*LINES, *TEXTS]
    predicted = split.get_activations(texts, "cls_token", include_predicted_classes=True)["predictions"]
    table = concepts.importance(texts, activation_granularity="cls_token")
    names = [f"LABEL_{k}" for k in predicted.unique().tolist()]
    assert list(table.target_names) == names
    assert table.counts.tolist() == [int((predicted == int(name[-1])).sum()) for name in names]


def test_local_tables_know_their_text(tmp_path):
    concepts = explainer(classifier(), wordpiece())
    local = concepts.local_importance(TEXTS, [0, 1], "word")
    dense = concepts.concept_output_gradient(TEXTS, [0, 1], "word", concepts_x_gradients=True)
    for one, weights, text in zip(local, dense, TEXTS, strict=True):
        torch.testing.assert_close(one.weights, weights)
        assert "".join(one.texts) == text
        again = LocalImportance.from_dict(json.loads(json.dumps(one.to_dict())))
        torch.testing.assert_close(again.weights, one.weights)
        torch.testing.assert_close(again.codes, one.codes)
        assert (again.spans, again.parts, again.target_names) == (one.spans, one.parts, one.target_names)
    assert local[0].top(1, 1) == [int(dense[0][1].abs().sum(dim=0).argmax())]
    table = concepts.importance(TEXTS, [0, 1], "word")
    again = ConceptImportance.load(table.save(tmp_path / "importance.json"))
    assert torch.equal(again.absolute, table.absolute)
    assert torch.equal(again.signed, table.signed)
    assert again.top() == table.top()
    assert list(table.to_pandas().columns) == ["target", "concept", "absolute", "signed"]


def test_classes_come_in_their_order():
    model = classifier()
    model.config.id2label = {0: "z", 1: "k", 2: "b"}
    concepts = explainer(model, wordpiece())
    table = concepts.importance(TEXTS, [2, 0, 1])
    assert table.target_names == ("z", "k", "b")
    assert table.top(2) == table.top("b")
    for wrong in (3, -1):
        with pytest.raises(InputError, match="from 0 to 2"):
            table.top(wrong)


def test_gradients_of_concepts_that_are_not_there_are_saved_too():
    concepts = explainer(classifier(), wordpiece())
    (local,) = concepts.local_importance(TEXTS[0], [1], method="gradient")
    again = LocalImportance.from_dict(json.loads(json.dumps(local.to_dict())))
    assert bool((local.codes == 0).any())
    torch.testing.assert_close(again.weights, local.weights)
    with pytest.raises(InputError, match="from 0 to 0"):
        local.top(1)


def test_rows_that_matter_to_nothing_are_told():
    concepts = explainer(classifier(), wordpiece(), -1)
    with pytest.warns(UserWarning, match="no concept weighs anything"):
        concepts.importance(TEXTS, [0], "token")


def test_points_that_scores_do_not_come_from_are_refused():
    concepts = explainer(
        build("mixtral", CAUSAL), ARCHITECTURES["mixtral"].tokenizer(), "model.layers.1.mlp.gate:input"
    )
    assert concepts.concept_output_gradient(TEXTS[:1])[0].abs().sum() > 0


def test_bad_input_is_refused(tmp_path):
    concepts = explainer(classifier(), wordpiece())
    with pytest.raises(NotFittedError, match="call fit"):
        RandomConcepts(concepts.model_with_split_points, nb_concepts=3).importance(TEXTS)
    alone = RandomConcepts(None, nb_concepts=3)
    alone.fit(torch.randn(5, 32))
    with pytest.raises(InputError, match="expected a split model"):
        alone.importance(TEXTS)
    with pytest.raises(InputError, match="method: expected"):
        concepts.importance(TEXTS, method="magic")
    with pytest.raises(InputError, match="expected one of the labels"):
        concepts.importance(TEXTS, ["joy"])
    with pytest.raises(InputError, match="target: expected one of"):
        concepts.importance(TEXTS, [0]).top("joy")
    with pytest.raises(InputError, match="path: expected a file of an importance"):
        ConceptImportance.load(tmp_path / "nothing.json")
    narrow = RandomConcepts(concepts.model_with_split_points, nb_concepts=3)
    narrow.fit(torch.randn(5, 16))
    with pytest.raises(InputError, match="width"):
        narrow.importance(TEXTS)


def test_local_importance_as_a_table():
    codes = torch.tensor([[0.0, 2.0], [0.0, 0.0]])
    weights = torch.tensor([[[0.0, 1.5], [0.0, 0.0]], [[0.0, -1.0], [0.5, 0.0]]])
    spans = ((0, 0, 2), (0, 2, 5))
    found = LocalImportance(0, ("a", "b"), ("so sad",), spans, torch.zeros(2), codes, weights).to_pandas()
    assert list(found.columns) == ["target", "row", "text", "concept", "code", "weight"]
    assert found.values.tolist() == [
        ["a", 0, "so", 1, 2.0, 1.5],
        ["a", 1, " sa", 0, 0.0, 0.0],
        ["b", 0, "so", 1, 2.0, -1.0],
        ["b", 1, " sa", 0, 0.0, 0.5],
    ]
