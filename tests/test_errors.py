"""Warnings of our own, that can be silenced by their class; and what is said to `logging`."""

import logging
import subprocess
import sys
import warnings

import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from interpreto import KernelShap, ModelWithSplitPoints, Occlusion
from interpreto.concepts.models.scikit import fitted
from interpreto.errors import InterpretoWarning, NotConvergedWarning, warn
from interpreto.model_wrapping.batching import Budget
from tests.tiny import classifier, wordpiece

LONG = "fox " * 100


class Unfinished(KMeans):
    def fit(self, rows):
        warnings.warn("no", ConvergenceWarning, stacklevel=1)
        return self


def test_warnings_are_of_one_class_and_of_the_usual_ones():
    assert issubclass(InterpretoWarning, UserWarning)
    assert issubclass(NotConvergedWarning, InterpretoWarning)
    with pytest.warns(InterpretoWarning, match="cut from"):
        Occlusion(classifier(), wordpiece(), truncation=True)(LONG, 0)
    with pytest.warns(NotConvergedWarning, match="did not converge: wait"):
        fitted(Unfinished(), torch.zeros(2, 2), "wait")
    with pytest.warns(RuntimeWarning, match="did not converge"):  # what it was called before
        fitted(Unfinished(), torch.zeros(2, 2), "wait")


def test_they_can_be_silenced():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", category=InterpretoWarning)
        warn("something")
        Occlusion(classifier(), wordpiece(), truncation=True)(LONG, 0)
        warnings.warn("of another", stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["of another"]


def test_nothing_is_printed_by_itself_and_all_can_be_heard():
    code = (
        "import logging, sys, interpreto\n"
        "log = logging.getLogger('interpreto')\n"
        "log.error('unheard')\n"
        "logging.basicConfig(level='DEBUG', format='%(name)s %(message)s')\n"
        "log.info('heard')\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == ""
    assert run.stderr.splitlines() == ["interpreto heard"]


def messages(caplog):
    return [record.getMessage() for record in caplog.records if record.name.startswith("interpreto.")]


def test_what_is_run_is_told(caplog):
    caplog.set_level(logging.DEBUG, "interpreto")
    KernelShap(classifier(), wordpiece())(["a sad day", "a sad day"], 0)
    assert "BertForSequenceClassification is explained as classification" in messages(caplog)
    assert any(message.startswith("2 texts, 16 perturbations of them, ") for message in messages(caplog))


def test_halved_batches_are_told(caplog):
    caplog.set_level(logging.INFO, "interpreto")

    def work(batch):
        if len(batch) > 1:
            raise RuntimeError("out of memory")

    budget = Budget(tokens=100)
    with pytest.warns(InterpretoWarning, match="4 rows at once did not fit"):
        budget.in_halves([1, 2, 3, 4], work)
    assert messages(caplog) == [
        "4 rows at once did not fit the memory, going on with 2 and fewer",
        "2 rows at once did not fit the memory, going on with 1 and fewer",
    ]


def test_stores_and_caches_are_told(caplog, tmp_path):
    caplog.set_level(logging.INFO, "interpreto")
    split = ModelWithSplitPoints(classifier(), split_points=0, tokenizer=wordpiece())
    for texts in (["a"], ["a", "sad day"]):
        split.get_activations(texts, store=tmp_path / "store")
    found = [message.split(": ")[1] for message in messages(caplog)]
    assert found == ["0 of 1 texts are there", "1 of 2 texts are there"]
