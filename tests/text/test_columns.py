"""Columns of tables are lists of texts, wherever these are taken: attributions, metrics, concepts, probes."""

import numpy as np
import pandas
import pytest
import torch
from datasets import Dataset

from interpreto import KernelShap, ModelWithSplitPoints, Occlusion
from interpreto.attributions.metrics import Insertion
from interpreto.concepts import PCAConcepts, Probe, TopKInputs
from interpreto.errors import InputError
from tests.tiny import classifier, wordpiece

TEXTS = [
    "The quick fox.",
    "A sad day",
    "the little dog is lazy",
    "we are in the park",
    "you said it",
    "a lazy cat",
    "what a day",
    "he ran home",
]
LABELS = [0, 1, 0, 1, 1, 0, 1, 0]

COLUMNS = {
    "column": lambda values: Dataset.from_dict({"x": values})["x"],
    "torch column": lambda values: Dataset.from_dict({"x": values}).with_format("torch")["x"],
    "series": lambda values: pandas.Series(values, index=range(100, 100 + len(values))),
    "array": np.array,
    "objects": lambda values: np.array(values, dtype=object),
    "tuple": tuple,
}


@pytest.fixture(scope="module")
def split():
    return ModelWithSplitPoints(classifier(), split_points=1, tokenizer=wordpiece())


@pytest.mark.parametrize("kind", COLUMNS)
def test_attributions_and_metrics(kind):
    texts, labels = COLUMNS[kind](TEXTS), COLUMNS[kind](LABELS)
    explainer = KernelShap(classifier(), wordpiece())
    results, plain = explainer(texts, labels), explainer(TEXTS, LABELS)
    assert [result.to_json() for result in results] == [result.to_json() for result in plain]
    assert type(results[0].sample.parts[0]) is str
    metric = Insertion(classifier(), wordpiece())
    assert metric(tuple(results)).score == metric(plain).score


@pytest.mark.parametrize("kind", COLUMNS)
def test_concepts_and_probes(kind, split, tmp_path):
    texts, labels = COLUMNS[kind](TEXTS), COLUMNS[kind](LABELS)
    activations = split.get_activations(texts)
    assert torch.equal(activations["1"], split.get_activations(TEXTS)["1"])
    for same in (texts, TEXTS):  # the second goes on with the store of the first
        assert split.get_activations(same, store=tmp_path / "store")["1"].n_rows == len(activations["1"])
    concepts = PCAConcepts(split, nb_concepts=2)
    concepts.fit(activations)
    reader = TopKInputs(concept_explainer=concepts)
    assert (
        reader.interpret("all", texts, activations).to_json() == reader.interpret("all", TEXTS, activations).to_json()
    )
    rows = split.get_activations(TEXTS, "sample")["1"]
    one, other = (Probe(n_controls=0).fit(rows, given).report for given in (labels, LABELS))
    assert one == other


def test_rows_are_counted_from_0(split):
    texts = pandas.Series([*TEXTS[:3], None], index=[7, 8, 9, 10])
    for use in (Occlusion(classifier(), wordpiece()), split.get_activations):
        with pytest.raises(
            InputError, match=r"^inputs\[3\]: .* a missing value \(at 10 of its index\); leave such rows"
        ):
            use(texts)
    table = pandas.DataFrame({"text": TEXTS, "label": LABELS})
    for use in (Occlusion(classifier(), wordpiece()), split.get_activations):
        with pytest.raises(InputError, match=r"^inputs: .*a DataFrame with the columns \['text', 'label'\]"):
            use(table)
