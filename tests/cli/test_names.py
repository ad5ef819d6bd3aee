"""Names on the command line are those of the classes."""

import importlib

import pytest

from interpreto.cli.names import find_name, kebab, load_class, public_names
from interpreto.errors import InputError

ROOMS = [
    "attributions.methods",
    "attributions.metrics",
    "concepts.models",
    "concepts.sparse_autoencoders",
    "concepts.interpretations",
]


@pytest.mark.parametrize("room", ROOMS)
def test_names_read_from_the_file_are_those_of_the_module(room):
    names = public_names(room)
    assert names == list(importlib.import_module(f"interpreto.{room}").__all__)
    for name in names:
        assert load_class(room, name).__name__ == name
        written = kebab(name)
        assert written == written.lower()
        assert {find_name("method", way, names) for way in (name, written, written.replace("-", "_"))} == {name}


def test_names_have_no_two_meanings():
    for room in ROOMS:
        names = public_names(room)
        assert len({kebab(name) for name in names}) == len(names)


def test_a_wrong_name_names_the_near_one():
    with pytest.raises(InputError, match="did you mean integrated-gradients"):
        find_name("method", "integrated-gradient", public_names("attributions.methods"))
    with pytest.raises(InputError, match=r"^method: expected one of semi-nmf, top-k-sae, got 'x'$"):
        find_name("method", "x", ["SemiNMFConcepts", "TopKSAEConcepts"], "Concepts")
