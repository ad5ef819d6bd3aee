"""Several threads that explain one model: each gets its own numbers, and the model stays as it was."""

import sys
from threading import Barrier, Thread

import pytest
import torch

from interpreto import AttnLRP, InputxGradient, Occlusion
from tests.attributions.test_contract import fingerprint
from tests.tiny import classifier, wordpiece

TEXTS = ["The quick fox ran home", "A sad day for you all"]


@pytest.mark.parametrize("methods", [(InputxGradient, InputxGradient), (AttnLRP, AttnLRP), (AttnLRP, Occlusion)])
def test_threads_wait_for_each_other(methods):
    model, tokenizer = classifier(), wordpiece()
    explainers = [method(model, tokenizer, progress=False) for method in methods]
    expected = [explainer([text] * 4)[0].scores for explainer, text in zip(explainers, TEXTS, strict=True)]
    before, together, wrong = fingerprint(model, tokenizer), Barrier(2), []

    def work(k):
        together.wait()
        for _ in range(6):
            try:
                results = explainers[k]([TEXTS[k]] * 4)
                wrong.extend(r for r in results if not torch.allclose(r.scores, expected[k], atol=1e-4, rtol=1e-3))
            except Exception as error:
                wrong.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [Thread(target=work, args=(k,)) for k in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []
    assert fingerprint(model, tokenizer) == before
