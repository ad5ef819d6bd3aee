"""What doses do: figures beside plain loops, and the table that keeps them."""

import json
import math
import re
import statistics
from contextlib import nullcontext

import pandas
import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div

from interpreto.concepts import SVDConcepts
from interpreto.concepts.steering import DoseResponse, Effect, Operation, Steering
from interpreto.errors import InputError
from interpreto.model_wrapping import ModelWithSplitPoints
from tests.architectures import MASKED, model_and_tokenizer
from tests.tiny import LINES, byte_bpe, classifier, language_model, wordpiece

PROMPTS, OTHERS = LINES[:3], LINES[2:]


def steering_of(model, tokenizer):
    split = ModelWithSplitPoints(model, split_points=0, tokenizer=tokenizer)
    concepts = SVDConcepts(split, nb_concepts=6)
    concepts.fit(split.get_activations(LINES))
    return Steering(concepts)


@pytest.fixture(scope="module")
def writer():
    return steering_of(language_model(), byte_bpe())


@pytest.fixture(scope="module")
def reader():
    return steering_of(classifier(), wordpiece())


@pytest.fixture(scope="module")
def written(writer):
    options = {"generation": {"do_sample": True, "max_new_tokens": 6}, "n_samples": 2, "seed": 5}
    return writer.dose_response(0, [-2.0, 1.0, 3.0], PROMPTS, target=["dog", "a"], other_texts=OTHERS, **options)


@pytest.fixture(scope="module")
def read(reader):
    return reader.dose_response(1, [0.0, 1.0, 4.0], PROMPTS, target=2, other_texts=OTHERS, positions=slice(0, 1))


def compare(effect, values, perplexity=False):
    """Mean and standard error, by the textbook."""
    mean = statistics.fmean(values)
    error = statistics.stdev(values) / math.sqrt(len(values))
    if perplexity:
        mean, error = math.exp(mean), error * math.exp(mean)
    assert effect.n_texts == len(values)
    assert effect.mean == pytest.approx(mean, rel=1e-4, abs=1e-6)
    assert effect.std_error == pytest.approx(error, rel=1e-3, abs=1e-6)


def test_classes(reader, read):
    model, tokenizer = reader.split.model, reader.split.tokenizer

    def predicted(texts):
        with torch.no_grad():
            return torch.cat([model(**tokenizer(t, return_tensors="pt")).logits for t in texts]).log_softmax(-1)

    clean = predicted(OTHERS)
    for factor, effects in zip((None, *read.strengths), (read.clean, *read.effects), strict=True):
        with nullcontext() if factor is None else reader.boost(1, factor, positions=slice(0, 1)):
            targets, others = predicted(PROMPTS), predicted(OTHERS)
        compare(effects["target_probability"], targets[:, 2].exp().tolist())
        compare(effects["agreement"], (others.argmax(1) == clean.argmax(1)).double().tolist())
        compare(effects["kl"], kl_div(others, clean, log_target=True, reduction="none").sum(1).tolist())
    assert read.target == ("LABEL_2",)
    assert read.effects[1] == read.clean
    assert read.clean["kl"].mean == 0
    assert read.clean["agreement"].mean == 1
    assert read.effects[2] != read.clean


def test_text(writer, written):
    model, tokenizer = writer.split.model, writer.split.tokenizer

    def logits(ids):
        with torch.no_grad():
            return model(input_ids=torch.tensor([ids])).logits[0]

    def ids_of(text):
        return tokenizer(text)["input_ids"]

    def losses(ids, start):
        return cross_entropy(logits(ids)[start - 1 : -1], torch.tensor(ids[start:]), reduction="none").tolist()

    clean = [logits(ids_of(text))[:-1].log_softmax(-1) for text in OTHERS]
    for factor, effects in zip((None, *written.strengths), (written.clean, *written.effects), strict=True):
        rows, targets, held_out, shifts = [], [], [], []
        with nullcontext() if factor is None else writer.boost(0, factor):
            for text in PROMPTS:
                start = ids_of(text)
                ends = [ids_of(f" {word}") for word in ("dog", "a")]
                targets.append(statistics.fmean(-sum(losses(start + end, len(start))) for end in ends))
                rows.append([])
                for seed in (5, 6):
                    torch.manual_seed(seed)
                    prompt = {"input_ids": torch.tensor([start]), "attention_mask": torch.ones(1, len(start))}
                    found = model.generate(**prompt, do_sample=True, max_new_tokens=6, pad_token_id=0)
                    rows[-1].append(found[0].tolist())
            for text, before in zip(OTHERS, clean, strict=True):
                held_out.append(statistics.fmean(losses(ids_of(text), 1)))
                after = logits(ids_of(text))[:-1].log_softmax(-1)
                shifts.append(float(kl_div(after, before, log_target=True, reduction="none").sum(1).mean()))
        generated, rates = [], []
        for text, own in zip(PROMPTS, rows, strict=True):
            start = len(ids_of(text))
            generated.append(statistics.fmean(loss for row in own for loss in losses(row, start)))
            texts = [tokenizer.decode(row[start:], skip_special_tokens=True) for row in own]
            words = [word.lower() for part in texts for word in re.findall(r"\w+(?:['’]\w+)*", part)]
            rates.append(sum(word in ("dog", "a") for word in words) / len(words))
        compare(effects["target_log_probability"], targets)
        compare(effects["target_rate"], rates)
        compare(effects["generated_perplexity"], generated, perplexity=True)
        compare(effects["held_out_perplexity"], held_out, perplexity=True)
        compare(effects["kl"], shifts)
    assert written.effects[1] == written.clean
    assert written.effects[0] != written.clean


def test_seeds_and_order(writer, written):
    options = {"generation": {"do_sample": True, "max_new_tokens": 6}, "n_samples": 2}
    random = torch.get_rng_state()
    again = writer.dose_response(
        0, [3.0], PROMPTS[::-1], target=["dog", "a"], other_texts=OTHERS[::-1], seed=5, **options
    )
    assert torch.equal(random, torch.get_rng_state())
    for name, effect in again.effects[0].items():
        assert effect.mean == pytest.approx(written.effects[2][name].mean, rel=1e-5)
        assert effect.std_error == pytest.approx(written.effects[2][name].std_error, rel=1e-4)
    other = writer.dose_response(0, [3.0], PROMPTS, target=["dog", "a"], seed=6, **options)
    assert other.effects[0]["generated_perplexity"] != written.effects[2]["generated_perplexity"]
    assert "kl" not in other.figures


def test_other_operations(reader):
    alone = reader.dose_response(1, [2.0], PROMPTS[:1], target="LABEL_0", operation="clamp")
    assert alone.operation is Operation.CLAMP
    assert alone.effects[0]["target_probability"].std_error == math.inf
    assert "inf" in str(alone)
    direction = torch.arange(32.0)
    pushed = reader.dose_response(direction, [0.0, 2.0], PROMPTS, target=0, operation="steer")
    assert pushed.what == "direction"
    assert pushed.effects[0] == pushed.clean
    for response in (alone, pushed):
        assert DoseResponse.from_json(response.to_json()) == response


def test_json_and_tables(written, read, tmp_path):
    for response in (written, read):
        assert DoseResponse.from_json(response.to_json()) == response
        response.save(tmp_path / "response.json")
        assert DoseResponse.load(tmp_path / "response.json") == response
        table = response.to_pandas()
        assert isinstance(table, pandas.DataFrame)
        assert len(table) == len(response.figures) * (1 + len(response.strengths))
        row = table[(table.strength == response.strengths[-1]) & (table.figure == "kl")].iloc[0]
        assert row["mean"] == response.effects[-1]["kl"].mean
        assert table[table.strength.isna()]["mean"].tolist() == [effect.mean for effect in response.clean.values()]
        lines = str(response).splitlines()
        assert len(lines) == 3 + len(response.strengths)
        assert len({len(line) for line in lines[1:]}) == 1
        assert lines[2].split()[0] == "clean"
    assert str(written).startswith("concept 0, target: dog, a\n")
    assert written.settings["seed"] == 5
    assert read.settings == {"split_point": "0", "positions": [0, 1]}


def test_files_that_are_something_else(read, tmp_path):
    good = json.loads(read.to_json())
    effect = {"kl": [1.0, 0.5, 3]}
    for change in [
        {"kind": "attribution"},
        {"format": 2},
        {"strengths": [1.0]},
        {"strengths": ["1", 2.0, 3.0]},
        {"strengths": "123"},
        {"operation": "explode"},
        {"what": 3},
        {"target": "dog"},
        {"clean": effect},
        {"clean": {"kl": [None, 0.5, 3]}, "effects": [effect] * 3},
        {"clean": {"kl": [1.0, "infinite", 3]}, "effects": [effect] * 3},
        {"clean": {"kl": [1.0, 0.5, 0]}, "effects": [effect] * 3},
        {"clean": {"kl": [1.0, 0.5]}, "effects": [effect] * 3},
        {"effects": None},
        {"settings": 3},
    ]:
        with pytest.raises(InputError):
            DoseResponse.from_json(json.dumps(good | change))
    for text in ("", "[]", "{}", "null", "{" * 2000):
        with pytest.raises(InputError):
            DoseResponse.from_json(text)
    with pytest.raises(InputError, match="path: expected a file"):
        DoseResponse.load(tmp_path / "nothing.json")
    with pytest.raises(InputError, match="expected the figures"):
        DoseResponse(
            what="a",
            operation=Operation.BOOST,
            target=("b",),
            strengths=(1.0,),
            clean={"kl": Effect(0.0, 0.0, 2)},
            effects=({"agreement": Effect(0.0, 0.0, 2)},),
        )


def test_bad_options(writer, reader):
    model, tokenizer = model_and_tokenizer("bert", MASKED)
    masked = Steering(ModelWithSplitPoints(model, split_points=0, tokenizer=tokenizer))
    for steering, changes, message in [
        (writer, {"strengths": []}, "strengths: expected a list of numbers"),
        (writer, {"strengths": [1.0, math.nan]}, "strengths: expected a number, got nan"),
        (writer, {"target": ["two words"]}, "target: expected words"),
        (writer, {"target": []}, "target: expected words"),
        (writer, {"target": 3}, "target: expected words"),
        (writer, {"texts": []}, "expected at least one"),
        (writer, {"other_texts": ["a"]}, r"other_texts\[0\]: expected at least two tokens"),
        (writer, {"n_samples": 0}, "n_samples: expected a whole number"),
        (writer, {"seed": -1}, "seed: expected a whole number"),
        (writer, {"generation": {"max_new_tokens": 0}}, "max_new_tokens: expected a whole number"),
        (writer, {"operation": "explode"}, "operation: expected one of"),
        (reader, {"target": 7}, "target: expected a class from 0 to 2, got 7"),
        (reader, {"target": "dog"}, "target: expected one of the labels"),
        (reader, {"target": ["dog"]}, "target: expected one class"),
        (reader, {"target": 0, "generation": {}}, "generation: expected none"),
        (reader, {"target": 0, "n_samples": 2}, "generation: expected none"),
        (masked, {"target": 0, "what": torch.ones(32)}, "model: expected one that classifies texts or writes"),
    ]:
        options = {"what": 0, "strengths": [2.0], "texts": PROMPTS, "target": "dog", **changes}
        with pytest.raises(InputError, match=message):
            steering.dose_response(options.pop("what"), options.pop("strengths"), options.pop("texts"), **options)


def test_classes_that_do_not_exclude_each_other():
    model = classifier()
    model.config.problem_type = "multi_label_classification"
    steering = Steering(ModelWithSplitPoints(model, split_points=0, tokenizer=wordpiece()))
    with pytest.raises(InputError, match="expected one that predicts one class of a text"):
        steering.steer(torch.ones(32), kl=0.1, prompts=LINES)
