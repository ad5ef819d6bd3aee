"""Citations agree with the docstrings, and are BibTeX."""

import importlib
import inspect
import re

import pytest

from interpreto.cli.citations import CITED, PAPERS
from tests.cli.running import error_of, run

BY_KEY = {paper.key: paper for paper in PAPERS}
ROOMS = [
    "attributions.methods",
    "attributions.metrics",
    "concepts",
    "concepts.interpretations",
    "concepts.label_metrics",
    "concepts.lenses",
    "concepts.metrics",
    "concepts.models",
    "concepts.sparse_autoencoders",
    "concepts.steering",
    "concepts.supervised",
]
PUBLIC = {
    name: getattr(importlib.import_module(f"interpreto.{room}"), name)
    for room in ROOMS
    for name in importlib.import_module(f"interpreto.{room}").__all__
}


def references(value):
    """What a docstring, and those of a class's public methods, say after `Reference`."""
    owners = [value]
    if inspect.isclass(value):
        owners += [member for name, member in vars(value).items() if not name.startswith("_") and callable(member)]
    found = []
    for owner in owners:
        text = inspect.getdoc(owner) or ""
        found += [re.split(r"\n\n|\n\w+:\n", part)[0] for part in re.split(r"References?:", text)[1:]]
    return " ".join(" ".join(found).split())


WITH_PAPERS = sorted(name for name, value in PUBLIC.items() if references(value))


def test_every_method_with_a_paper_is_there():
    from interpreto.attributions import methods
    from interpreto.concepts import models, sparse_autoencoders

    assert {*methods.__all__, *models.__all__, *sparse_autoencoders.__all__} <= set(WITH_PAPERS)
    inherited = {"ConceptExplainer"}  # names what its methods are from; each concept model has papers of its own
    assert set(WITH_PAPERS) - inherited == set(CITED)


@pytest.mark.parametrize("name", sorted(CITED))
def test_papers_are_those_of_the_docstring(name):
    said = references(PUBLIC[name])
    papers = [BY_KEY[key] for key in CITED[name]]
    assert set(re.findall(r"arXiv:(\d{4}\.\d{4,5})", said)) == {paper.arxiv for paper in papers if paper.arxiv}
    assert {doi.rstrip(".,;") for doi in re.findall(r"doi:(\S+)", said)} == {paper.doi for paper in papers if paper.doi}
    for paper in papers:
        surname = paper.author.split(" and ")[0].split(",")[0]
        assert plain(surname) in plain(said), paper.key


def plain(text):
    """Letters without accents."""
    import unicodedata

    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c)).lower()


def test_years_are_those_of_the_docstrings():
    for paper in PAPERS:
        said = " ".join(references(PUBLIC[name]) for name, keys in CITED.items() if paper.key in keys)
        assert f"({paper.year})" in said, paper.key


def test_every_paper_is_cited_once_and_keys_are_sorted():
    keys = [paper.key for paper in PAPERS]
    assert keys == sorted(set(keys))
    assert {key for keys in CITED.values() for key in keys} == set(keys)
    numbers = [number for paper in PAPERS for number in (paper.arxiv, paper.doi) if number]
    assert len(numbers) == len(set(numbers))
    for paper in PAPERS:
        assert paper.arxiv is None or re.fullmatch(r"\d{4}\.\d{4,5}", paper.arxiv)
        assert paper.doi is None or re.fullmatch(r"10\.\d{4,}/\S+", paper.doi)


def parsed(text):
    """BibTeX, strictly: `@kind{key, name = {value}, ...}` with balanced braces and nothing else."""
    entries, position = {}, 0
    while position < len(text):
        head = re.compile(r"\s*@(\w+)\{([A-Za-z0-9]+),\n").match(text, position)
        assert head, text[position : position + 60]
        position, fields = head.end(), {}
        while text[position] != "}":
            field = re.compile(r"  ([a-z]+) = \{").match(text, position)
            assert field, text[position : position + 60]
            start = end = field.end()
            depth = 1
            while depth:
                depth += {"{": 1, "}": -1}.get(text[end], 0)
                end += 1
            assert text[end : end + 2] == ",\n"
            value = text[start : end - 1]
            assert field[1] not in fields
            assert not re.search(r"(?<!\\)[&%$#]", value), value
            fields[field[1]] = value
            position = end + 2
        assert head[2] not in entries
        entries[head[2]] = (head[1], fields)
        position += 2
    return entries


NEEDED = {
    "article": {"author", "title", "journal", "year"},
    "inproceedings": {"author", "title", "booktitle", "year"},
    "book": {"author", "title", "publisher", "year"},
    "misc": {"title"},
}


def test_all_of_it_is_bibtex():
    code, out, err = run("cite", *CITED)
    assert (code, err) == (0, "")
    entries = parsed(out)
    assert set(entries) == set(BY_KEY)
    for kind, fields in entries.values():
        assert NEEDED[kind] <= set(fields)
        assert fields["title"].startswith("{")
        assert ("eprint" in fields) == ("archiveprefix" in fields)


def test_one_method():
    code, out, _ = run("cite", "integrated-gradients")
    assert code == 0
    assert list(parsed(out)) == ["sundararajan2017"]
    assert list(parsed(run("cite", "semi-nmf", "ConvexNMFConcepts")[1])) == ["ding2010"]
    assert "did you mean lime?" in error_of("cite", "limes")
