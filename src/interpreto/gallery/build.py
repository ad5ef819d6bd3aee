"""From a spec to a gallery: every model is loaded once, every explanation written as soon as it is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from interpreto.errors import InputError
from interpreto.gallery.catalogue import Catalogue, Explanation, Instance, Shelf
from interpreto.gallery.computing import Asked, ask, compute_attributions, compute_concepts, told_of
from interpreto.gallery.models import KnownModel, know, load_model
from interpreto.gallery.saved import (
    SavedAttribution,
    draw_attributions,
    draw_concepts,
    instances_of,
    place_of,
    read_attributions,
    shelf_of_saved,
    text_of,
)
from interpreto.gallery.shelves import Standing, check_different, shelf_of, walks_of
from interpreto.gallery.site import Site
from interpreto.gallery.spec import Attributions, Concepts, SavedAttributions, SavedConcepts, Spec
from interpreto.gallery.spec_reading import read_spec


def build_gallery(spec: Spec | str | Path, out: str | Path, progress: bool = True, force: bool = False) -> None:
    """Compute, or read, what a spec asks for, and write it as a static site.

    The site takes its place when all is done; when something fails, what was there before stays. Two builds on one
    machine are equal byte by byte.

    Args:
        spec: A YAML file, or what `read_spec` made of one.
        out: The folder of the gallery.
        progress: Whether to show a bar, on standard error.
        force: Replace the folder whatever it holds.

    Raises:
        InputError: A spec, text, model or folder that is not what was expected; the message names the place in it.
        StoreError: A file cannot be written.
    """
    wanted = spec if isinstance(spec, Spec) else read_spec(spec)
    plan = _plan(wanted)
    texts: dict[tuple[str, str], tuple[Instance, ...]] = dict(plan.saved_texts)
    catalogue = Catalogue(wanted.title, wanted.about, texts, walks_of(wanted.tours, plan.standing))
    with Site(out, catalogue, force) as site, tqdm(total=plan.size, disable=not progress, unit="method") as bar:
        for what, explanations in plan.run(texts):
            bar.set_postfix_str(what, refresh=False)
            for explanation in explanations:
                site.add(explanation)
            bar.update()


@dataclass(frozen=True, eq=False)
class _Plan:
    """What is to be done, checked as far as it can be without loading a model.

    Args:
        spec: What is asked for.
        models: What its models do, by name.
        saved: Saved attributions, by the place of their entry.
        standing: What will stand where.
    """

    spec: Spec
    models: dict[str, KnownModel]
    saved: dict[str, list[SavedAttribution]]
    standing: list[Standing]

    @property
    def size(self) -> int:
        """How many times a method is run, or files are read."""
        return sum(
            len(entry.methods) if isinstance(entry, (Attributions, Concepts)) else 1 for entry in self.spec.explanations
        )

    @property
    def saved_texts(self) -> dict[tuple[str, str], tuple[Instance, ...]]:
        """The texts of saved attributions, by model and data."""
        together: dict[tuple[str, str], list[SavedAttribution]] = {}
        for entry in self.spec.explanations:
            if isinstance(entry, SavedAttributions):
                together.setdefault((entry.model, entry.data), []).extend(self.saved[entry.where])
        return {key: instances_of(self.spec.data.get(key[1]), results) for key, results in together.items()}

    def run(
        self, texts: dict[tuple[str, str], tuple[Instance, ...]]
    ) -> Iterator[tuple[str, Iterator[Explanation] | Sequence[Explanation]]]:
        """Each method's explanations, model by model; texts get there before what explains them."""
        for entry in self.spec.explanations:
            if isinstance(entry, SavedAttributions):
                own = [one.text for one in texts[entry.model, entry.data]]
                known = self.models.get(entry.model)
                yield entry.model, _told(entry.where, draw_attributions(entry, self.saved[entry.where], own, known))
            elif isinstance(entry, SavedConcepts):
                with told_of(entry.where):
                    yield entry.model, [draw_concepts(entry)]
        computed = [entry for entry in self.spec.explanations if isinstance(entry, (Attributions, Concepts))]
        for name in dict.fromkeys(entry.model for entry in computed):
            yield from self._of_model([entry for entry in computed if entry.model == name], texts)

    def _of_model(
        self, entries: Sequence[Attributions | Concepts], texts: dict[tuple[str, str], tuple[Instance, ...]]
    ) -> Iterator[tuple[str, Iterator[Explanation]]]:
        known = self.models[entries[0].model]
        loaded = load_model(known)
        asked: dict[str, Asked] = {}
        for entry in entries:
            general = isinstance(entry, Concepts) and entry.scope == "general"
            if entry.data not in asked and not general:
                with told_of(entry.where):
                    asked[entry.data] = ask(loaded, self.spec.data[entry.data])
            if _one_by_one(entry):
                texts[entry.model, entry.data] = asked[entry.data].instances()
            seen = Asked(self.spec.data[entry.data]) if general else asked[entry.data]
            for method, shelf in zip(entry.methods, shelf_of(entry, known.task), strict=True):
                found = (
                    compute_attributions(entry, shelf, loaded, seen, method)
                    if isinstance(entry, Attributions)
                    else compute_concepts(entry, shelf, loaded, seen, self.spec.data[entry.fit], method)
                )
                yield f"{entry.model}, {method.label}", _told(method.where, found)


def _plan(spec: Spec) -> _Plan:
    """Look at configurations and saved files, and refuse what cannot be shown."""
    models = {
        name: know(source, spec.folder)
        for name, source in spec.models.items()
        if any(entry.model == name for entry in spec.explanations)
    }
    saved: dict[str, list[SavedAttribution]] = {}
    standing: list[Standing] = []
    computed: dict[tuple[str, str], str] = {}
    for entry in spec.explanations:
        if isinstance(entry, SavedAttributions):
            saved[entry.where] = read_attributions(entry)
        elif isinstance(entry, SavedConcepts):
            standing.append(Standing(shelf_of_saved(entry), entry.method, frozenset(), entry.where))
        else:
            instances = range(len(spec.data[entry.data].texts)) if _one_by_one(entry) else ()
            if instances:
                computed[entry.model, entry.data] = entry.where
            for method, shelf in zip(entry.methods, shelf_of(entry, models[entry.model].task), strict=True):
                standing.append(Standing(shelf, method.label, frozenset(instances), method.where))
    plan = _Plan(spec, models, saved, standing)
    texts = {key: [one.text for one in instances] for key, instances in plan.saved_texts.items()}
    for entry in spec.explanations:
        if isinstance(entry, SavedAttributions):
            if (entry.model, entry.data) in computed:
                raise InputError(
                    f"{entry.where}.data: {entry.data!r:.60} are explained by computing too, at "
                    f"{computed[entry.model, entry.data]}; give the saved ones another name"
                )
            numbers = {text: number for number, text in enumerate(texts[entry.model, entry.data])}
            standing += _standing(entry, saved[entry.where], numbers)
    check_different(standing)
    return plan


def _standing(
    entry: SavedAttributions, saved: Sequence[SavedAttribution], numbers: Mapping[str, int]
) -> Iterator[Standing]:
    """Where saved results stand, together where shelf and method are one."""
    texts: dict[tuple[Shelf, str], set[int]] = {}
    for one in saved:
        text, method = text_of(one.result), one.result.method
        explained = texts.setdefault((place_of(entry, one.result), method), set())
        if numbers[text] in explained:
            raise InputError(
                f"{entry.where}.results: {one.file.name}: {method!r:.60} explains {text!r:.60} a second time; leave "
                "one out, or give it an entry with another form:"
            )
        explained.add(numbers[text])
    for (shelf, method), own in texts.items():
        yield Standing(shelf, method, frozenset(own), entry.where)


def _one_by_one(entry: Attributions | Concepts) -> bool:
    """Whether each text has an explanation of its own."""
    return isinstance(entry, Attributions) or entry.scope == "local"


def _told(where: str, explanations: Iterator[Explanation]) -> Iterator[Explanation]:
    """The same, with errors that say which part of the spec they are about."""
    while True:
        with told_of(where):
            explanation = next(explanations, None)
        if explanation is None:
            return
        yield explanation
