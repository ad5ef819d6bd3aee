"""What the package promises: sorted names, documented, and quick to import."""

import importlib
import inspect
import subprocess
import sys
from typing import get_origin

import pytest

MODULES = [
    "interpreto",
    "interpreto.attributions",
    "interpreto.attributions.exchange",
    "interpreto.attributions.methods",
    "interpreto.attributions.metrics",
    "interpreto.concepts",
    "interpreto.concepts.cards",
    "interpreto.concepts.files",
    "interpreto.concepts.interpretations",
    "interpreto.concepts.label_metrics",
    "interpreto.concepts.lenses",
    "interpreto.concepts.metrics",
    "interpreto.concepts.models",
    "interpreto.concepts.sparse_autoencoders",
    "interpreto.concepts.steering",
    "interpreto.concepts.supervised",
    "interpreto.demo",
    "interpreto.model_wrapping",
    "interpreto.model_wrapping.llm_interface",
    "interpreto.text",
    "interpreto.visualizations",
]


@pytest.mark.parametrize("name", MODULES)
def test_names_are_sorted_there_and_documented(name):
    module = importlib.import_module(name)
    order = sorted(module.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    assert list(module.__all__) == order  # constants, classes, functions
    for public in module.__all__:
        value = getattr(module, public)
        alias = get_origin(value) is not None  # a class to Python 3.10, with a string below it to us
        if not alias and (inspect.isclass(value) or inspect.isfunction(value)):
            assert (value.__doc__ or "").strip(), public


def test_every_method_of_the_papers_is_at_the_top():
    import interpreto
    from interpreto.attributions import methods

    assert set(methods.__all__) <= set(interpreto.__all__)


def test_every_method_names_its_source():
    from interpreto.attributions import methods, metrics

    for module in (methods, metrics):
        for name in module.__all__:
            value = getattr(module, name)
            if "Reference" not in (value.__doc__ or ""):
                assert name in ("Evaluation", "FaithfulnessMetric", "Measurement"), name


def test_import_costs_little_beyond_torch_and_transformers():
    code = (
        "import time, torch, transformers, transformers.modeling_utils, transformers.tokenization_utils_base\n"
        "import transformers.models.auto.auto_factory\n"
        "start = time.process_time(); from interpreto import KernelShap; print(time.process_time() - start)"
    )
    seconds = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(2)
    ]
    assert min(seconds) < 0.6  # 0.3 on an idle machine; torch and transformers take ten times as long


def test_a_bare_import_loads_neither_torch_nor_transformers():
    code = "import sys, interpreto; dir(interpreto); print({'torch', 'transformers'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert answer.strip() == "set()"


def test_results_are_drawn_although_pictures_were_not_imported():
    code = (
        "import sys; from interpreto.attributions import Occlusion; from interpreto.demo import load\n"
        "result = Occlusion(*load('emotion'))('I am glad.')[0]; assert 'interpreto.visualizations' not in sys.modules\n"
        "print('<iframe' in result._repr_html_(), 'glad' in result.text())"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert answer.split() == ["True", "True"]
