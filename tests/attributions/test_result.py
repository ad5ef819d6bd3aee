"""Results are data: the same to the bit after a trip through JSON, whatever text and task they are of."""

import dataclasses
import json
import math

import pytest
import torch

from interpreto import Attribution, Contrast, InputxGradient, KernelShap, Occlusion, Segments
from interpreto.attributions.result import FORMAT
from interpreto.errors import InputError
from interpreto.types import Task
from tests.architectures import model_and_tokenizer
from tests.tiny import byte_bpe, classifier, language_model, wordpiece

HOSTILE = "</script><script>alert('x')</script> \"quotes\" \\ \u2028 & 👩‍👩‍👧 שלום \x00 {{ x }} 日本。"


def same_bits(one, other):
    if one is None or other is None:
        return one is other
    return one.shape == other.shape and torch.equal(one.view(torch.int32), other.view(torch.int32))


def check_round_trip(result):
    back = Attribution.from_json(result.to_json())
    for field in dataclasses.fields(Attribution):
        one, other = getattr(result, field.name), getattr(back, field.name)
        if field.name in ("scores", "target_scores", "baseline_scores", "std_errors"):
            assert same_bits(one, other), field.name
        else:
            assert one == other, field.name
    assert back.to_json() == result.to_json()
    assert back.target_names == result.target_names


CASES = {
    Task.CLASSIFICATION: ("bert", HOSTILE, [0, Contrast(1, 2)]),
    Task.CAUSAL_LM: ("gpt2", "The fox", HOSTILE[:30]),
    Task.SEQ2SEQ_LM: ("t5", "The fox", "a dog"),
    Task.MASKED_LM: ("bert", "a [MASK] dog", ["the", Contrast("dog", "the")]),
    Task.TOKEN_CLASSIFICATION: ("bert", HOSTILE, None),
    Task.QUESTION_ANSWERING: ("bert", ("Who?", HOSTILE), None),
}


@pytest.mark.parametrize("task", CASES)
@pytest.mark.parametrize("method", [Occlusion, KernelShap, InputxGradient])
def test_round_trip_of_every_task(task, method):
    name, text, targets = CASES[task]
    (result,) = method(*model_and_tokenizer(name, task))(text, targets)
    assert result.task is task
    check_round_trip(result)


def test_round_trip_of_segments_chats_and_settings():
    explainer = KernelShap(classifier(), wordpiece(), granularity="sentence", seed=7, removal="[UNK]")
    (result,) = explainer(Segments.join(["The fox. ", HOSTILE], before="So: "), [0, 1])
    check_round_trip(result)
    assert result.settings["seed"] == 7
    assert result.sample.own_segments


def example(**changes):
    (result,) = Occlusion(classifier(), wordpiece())("The quick fox", [0, 1])
    return dataclasses.replace(result, **changes)


def test_the_short_form_is_one_line():
    (result,) = KernelShap(classifier(), wordpiece())(" ".join(["The quick\nfox"] * 5), [0, 1, 2, 0, Contrast(1, 2)])
    text = repr(result)
    assert text.startswith(
        "Attribution(KernelShap, classification, logits: 5 targets ('LABEL_0', 'LABEL_1', 'LABEL_2', "
    )
    assert text.endswith(
        ", ...), 15 elements of 'The quick\\nfox The quick\\nfox The quick\\nfox The quick\\nfox The…')"
    )
    assert len(text) < 200
    (result,) = Occlusion(language_model(), byte_bpe(), inference_mode="softmax", output_granularity="text")(
        "fox", " ran"
    )
    assert repr(result) == "Attribution(Occlusion, causal-lm, softmax: 1 target (' ran'), 1 element of 'fox /  ran')"


def test_every_number_survives():
    numbers = [0.0, -0.0, 1e-45, -1e-38, 3.4028235e38, 1 / 3, math.pi, math.nan, math.inf, -math.inf, 16777217.0]
    while len(numbers) % 3:
        numbers.append(0.1)
    scores = torch.tensor(numbers).view(-1, 3)
    for rows in scores.split(2):
        padded = torch.cat([rows, torch.zeros(2 - len(rows), 3)])
        check_round_trip(example(scores=padded, std_errors=padded, target_scores=padded[:, 0], baseline_scores=None))


def test_json_is_strict_and_plain():
    text = example(scores=torch.tensor([[math.nan, math.inf, 0.5]] * 2)).to_json()
    assert "\n" not in text
    assert text.isascii()

    def refuse(name):
        raise AssertionError(name)

    data = json.loads(text, parse_constant=refuse)
    assert data["scores"][0] == [None, "inf", 0.5]
    assert data["format"] == FORMAT


def test_save_and_load(tmp_path):
    result = example()
    result.save(tmp_path / "result.json")
    assert Attribution.load(tmp_path / "result.json").to_json() == result.to_json()
    assert Attribution.load(str(tmp_path / "result.json")).to_json() == result.to_json()
    assert (tmp_path / "result.json").read_bytes().endswith(b"}\n")


def test_many_in_one_file(tmp_path):
    path = tmp_path / "results.jsonl"
    results = [example(), example(method="Other"), example(settings={"text": "a\u2028b\r\nc"})]
    lines = [json.dumps({"line": 2 * k + 1, **result.to_dict()}) for k, result in enumerate(results)]
    path.write_text("\n\n".join(lines) + "\n")
    assert [one.to_json() for one in Attribution.load_all(path)] == [one.to_json() for one in results]
    with pytest.raises(InputError, match=r"^file: expected one saved attribution, got several .*load_all"):
        Attribution.load(path)
    results[0].save(path)
    assert [one.to_json() for one in Attribution.load_all(str(path))] == [results[0].to_json()]
    path.write_text(json.dumps(results[0].to_dict(), indent=1))
    assert [one.to_json() for one in Attribution.load_all(path)] == [results[0].to_json()]
    path.write_text("\n")
    assert Attribution.load_all(path) == []
    for damaged in ("{", "5", lines[0][:50], '{"kind": "concepts"}', changed(format=FORMAT + 1), "\udcff"):
        path.write_bytes(f"{lines[0]}\n\n{damaged}\n{lines[1]}".encode(errors="surrogateescape"))
        with pytest.raises(InputError, match=r"^file: line 3: (expected .*, got|'utf-8' codec)"):
            Attribution.load_all(path)
    with pytest.raises(InputError, match=r"^path: expected a file of .*No such file"):
        Attribution.load_all(tmp_path / "missing")


def changed(**changes):
    return json.dumps({**example().to_dict(), **changes})


GARBAGE = {
    "empty": "",
    "words": "no json",
    "cut off": "{",
    "null": "null",
    "list": "[]",
    "number": "5",
    "text": '"attribution"',
    "deep": "[" * 100_000,
    "other object": "{}",
    "other kind": '{"kind": "concepts", "format": 1}',
    "no fields": json.dumps({"kind": "attribution", "format": FORMAT}),
}
CHANGES = {
    "no scores": {"scores": None},
    "ragged scores": {"scores": [[1.0, 2.0, 3.0], [1.0]]},
    "text in scores": {"scores": [["a", "b", "c"]] * 2},
    "too few scores": {"scores": [[1.0, 2.0, 3.0]]},
    "flat scores": {"scores": [1.0, 2.0]},
    "huge scores": {"scores": [[10**400, 0, 0]] * 2},
    "unknown task": {"task": "cooking"},
    "unknown mode": {"inference_mode": None},
    "no elements": {"elements": []},
    "broken elements": {"elements": [["a"]] * 3},
    "broken sample": {"sample": {}},
    "broken readout": {"readout": {"slots": [], "reads": [], "targets": [{"name": "a"}] * 2}},
    "too many target scores": {"target_scores": [0.0] * 5},
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_refused(name, tmp_path):
    with pytest.raises(InputError, match=r"^file: expected .*, got"):
        Attribution.from_json(GARBAGE[name])
    (tmp_path / "file").write_text(GARBAGE[name])
    with pytest.raises(InputError, match=r"^file: expected .*, got"):
        Attribution.load(tmp_path / "file")


@pytest.mark.parametrize("name", CHANGES)
def test_broken_fields_are_refused(name):
    with pytest.raises(InputError, match="expected"):
        Attribution.from_json(changed(**CHANGES[name]))


def test_a_file_of_bytes_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match=r"^file: expected the JSON of an attribution in UTF-8, got .*'utf-8' codec"):
        Attribution.load(tmp_path / "file")
    with pytest.raises(InputError, match=r"^path: expected a file of .*No such file"):
        Attribution.load(tmp_path / "missing")


def test_a_newer_format_is_refused_with_what_to_do():
    with pytest.raises(InputError, match=rf"of format {FORMAT}, got format {FORMAT + 1}; .*newer"):
        Attribution.from_json(changed(format=FORMAT + 1))


def test_results_are_frozen():
    result = example()
    for field in dataclasses.fields(Attribution):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(result, field.name, None)
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
        result.new = 1


def test_numbers_are_float32_without_a_graph():
    scores = torch.rand(2, 3, dtype=torch.float64, requires_grad=True)
    result = example(scores=scores)
    assert result.scores.dtype is torch.float32
    assert not result.scores.requires_grad
    check_round_trip(result)


def test_shapes_must_fit():
    with pytest.raises(
        InputError, match=r"^scores: expected shape \(2, 3\) for 2 targets and 3 elements, got \(3, 2\)"
    ):
        example(scores=torch.zeros(3, 2), target_scores=None)


def test_gaps():
    result = example(
        scores=torch.tensor([[1.0, 2.0, math.nan], [0.5, 0.0, 0.0]]),
        target_scores=torch.tensor([4.0, 1.0]),
        baseline_scores=torch.tensor([1.0, 0.0]),
    )
    assert result.gaps.tolist() == [0.0, 0.5]
    assert example().gaps is None
    (shap,) = KernelShap(classifier(), wordpiece())("The quick fox", [0, 1])
    torch.testing.assert_close(shap.gaps, torch.zeros(2), atol=1e-4, rtol=0)


def test_pandas_table():
    (result,) = Occlusion(language_model(), byte_bpe())("The fox", " ran home")
    table = result.to_pandas()
    t, g = result.scores.shape
    assert list(table.columns) == ["target", "position", "element", "score"]
    assert len(table) == t * g
    for k in range(t):
        rows = table[k * g : (k + 1) * g]
        assert set(rows.target) == {result.target_names[k]}
        assert list(rows.element) == [element.text for element in result.elements]
        assert list(rows.position) == list(range(g))
        torch.testing.assert_close(torch.tensor(rows.score.to_numpy().copy()).float(), result.scores[k], equal_nan=True)
    with_errors = example(std_errors=torch.ones(2, 3)).to_pandas()
    assert list(with_errors.std_error) == [1.0] * 6
