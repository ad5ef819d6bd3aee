"""Pages of the documentation that follow from the package itself: a page a method, a page a room, the order of all.

mkdocs runs this file; what is public (`__all__`) decides which pages there are.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from types import ModuleType

import mkdocs_gen_files

from interpreto.cli.names import kebab

ROOMS = {
    "interpreto.attributions": "Attributions",
    "interpreto.attributions.metrics": "Metrics of attributions",
    "interpreto.attributions.exchange": "Results of other libraries",
    "interpreto.concepts": "Concepts",
    "interpreto.concepts.interpretations": "Interpretations",
    "interpreto.concepts.cards": "Cards of concepts",
    "interpreto.concepts.metrics": "Metrics of concepts",
    "interpreto.concepts.label_metrics": "Metrics of labels",
    "interpreto.concepts.files": "Files of concepts",
    "interpreto.flows": "Flows",
    "interpreto.model_wrapping": "Models",
    "interpreto.model_wrapping.llm_interface": "Language model interfaces",
    "interpreto.text": "Text",
    "interpreto.types": "Options",
    "interpreto.errors": "Errors",
    "interpreto.visualizations": "Pictures",
}
TUTORIALS = {
    "attributions": "Attributions",
    "classification_concepts": "Concepts of a classifier",
    "generation_concepts": "Concepts of a language model",
    "words_concepts_decision": "Words, concepts, decision",
}
SUMMARY = """\
- [Start here](index.md)
- [Choose a method](choose.md)
- [Read an explanation](reading.md)
- [Pictures](pictures.md)
- Tutorials
{tutorials}
- Guides
    - [Concepts, step by step](guide.md)
    - [Write your own](extend.md)
    - [Coming from captum, shap, inseq, SAELens](coming_from.md)
    - [Command line](cli.md)
    - [Galleries](gallery.md)
- Methods
    - Attributions
{attributions}
    - Concept models
{concepts}
- Reference
{reference}
- Measured
    - [Faithfulness](faithfulness.md)
    - [Plausibility](plausibility.md)
    - [Speed](speed.md)
    - [Concept models](concepts.md)
    - [Planted dictionaries](planted_dictionaries.md)
    - [Speed of autoencoders](sae_speed.md)
- About
    - [Limits and ethics](limits.md)
    - [Decisions](decisions.md)
    - [Dependencies](dependencies.md)
    - [Changelog](changelog.md)
"""


def methods_of(room: ModuleType, kind: type) -> list[str]:
    """Names of the classes that users call, not of those that they write methods with."""
    things = {name: getattr(room, name) for name in room.__all__}
    ours = [name for name, thing in things.items() if inspect.isclass(thing) and issubclass(thing, kind)]
    return sorted((name for name in ours if getattr(things[name], "__final__", False)), key=str.lower)


def pages_of(room: ModuleType, names: list[str]) -> str:
    """A page a method; returns their entries of the navigation."""
    entries = []
    for name in names:
        path = f"methods/{kebab(name)}.md"
        with mkdocs_gen_files.open(path, "w") as page:
            bases = [base.__name__ for base in getattr(room, name).__mro__ if base.__name__ in room.__all__]
            shared = ", ".join(f"[`{base}`][{room.__name__}.{base}]" for base in bases if base != name)
            page.write(f"# {name}\n\n::: {room.__name__}.{name}\n    options:\n      show_root_heading: false\n\n")
            page.write(f"Options that it shares with others: {shared}.\n" if shared else "")
        entries.append(f"        - [{name}]({path})")
    return "\n".join(entries)


def reference(methods: set[str]) -> str:
    """A page a room, without those that have a page of their own; returns their entries of the navigation."""
    entries = []
    for room, title in ROOMS.items():
        path = f"reference/{room}.md"
        module = import_module(room)
        names = [name for name in getattr(module, "__all__", ()) if name not in methods]
        with mkdocs_gen_files.open(path, "w") as page:
            page.write(f"# {title}\n\n`{room}`\n\n")
            if names:
                page.write(f"{inspect.getdoc(module)}\n\n")
                page.writelines(f"::: {room}.{name}\n\n" for name in names)
            else:
                page.write(f"::: {room}\n    options:\n      show_root_heading: false\n")
        entries.append(f"    - [{title}]({path})")
    return "\n".join(entries)


def main() -> None:
    from interpreto import attributions, concepts

    with mkdocs_gen_files.open("changelog.md", "w") as page:
        page.write('--8<-- "CHANGELOG.md"\n')
    explainers = methods_of(attributions, attributions.AttributionExplainer)
    learners = methods_of(concepts, concepts.ConceptExplainer)
    with mkdocs_gen_files.open("SUMMARY.md", "w") as page:
        page.write(
            SUMMARY.format(
                tutorials="\n".join(f"    - [{title}](tutorials/{name}.ipynb)" for name, title in TUTORIALS.items()),
                attributions=pages_of(attributions, explainers),
                concepts=pages_of(concepts, learners),
                reference=reference({*explainers, *learners}),
            )
        )


main()
