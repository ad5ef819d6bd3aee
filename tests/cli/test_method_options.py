"""Options by name, whatever the method."""

import pytest

from interpreto.attributions import IntegratedGradients, KernelShap, Saliency, methods
from interpreto.cli.method_options import method_options
from interpreto.concepts import SemiNMFConcepts, TopKSAEConcepts, models, sparse_autoencoders
from interpreto.errors import InputError

OURS = ("model", "tokenizer")


def test_values_are_json_or_text_and_what_is_not_given_is_left_out():
    others = ["n-perturbations=300", "tolerance=0.1", "removal=delete", 'generation={"max_new_tokens": 3}']
    assert method_options(KernelShap, {"seed": 3, "granularity": None}, others, OURS) == {
        "seed": 3,
        "n_perturbations": 300,
        "tolerance": 0.1,
        "removal": "delete",
        "generation": {"max_new_tokens": 3},
    }


@pytest.mark.parametrize(
    ("method", "named", "others", "message"),
    [
        (KernelShap, {}, ["n_perturbation=3"], "n_perturbation: KernelShap has no such option.*mean n_perturbations"),
        (Saliency, {"removal": "mask"}, [], "removal: Saliency has no such option"),
        (KernelShap, {}, ["model=x"], "model: KernelShap has no such option"),
        (KernelShap, {}, ["tolerance"], "expected name=value, got 'tolerance'"),
        (KernelShap, {"seed": 1}, ["seed=2"], "seed is given twice"),
        (KernelShap, {}, ["n_perturbations=many"], "n_perturbations: expected a whole number or null, got 'many'"),
        (KernelShap, {}, ["n_perturbations=1.5"], "n_perturbations: expected a whole number"),
        (KernelShap, {}, ["truncation=1"], "truncation: expected true or false, got 1"),
        (IntegratedGradients, {}, ["reduction=sun"], "reduction: expected 'sum' or 'mean' or 'max', got 'sun'"),
    ],
)
def test_what_does_not_fit_is_refused(method, named, others, message):
    with pytest.raises(InputError, match=message):
        method_options(method, named, others, OURS)


@pytest.mark.parametrize("room", [methods, models, sparse_autoencoders])
def test_options_of_every_method_are_known(room):
    for name in room.__all__:
        method = getattr(room, name)
        if "seed" in method.__dataclass_fields__:
            assert method_options(method, {"seed": 1}, None) == {"seed": 1}
        with pytest.raises(InputError, match="no such option"):
            method_options(method, {"nothing": 1}, None)


def test_concept_models_take_theirs():
    assert method_options(SemiNMFConcepts, {"nb_concepts": 3}, None)["nb_concepts"] == 3
    assert method_options(TopKSAEConcepts, {"nb_concepts": 3}, ["k=2"])["k"] == 2
