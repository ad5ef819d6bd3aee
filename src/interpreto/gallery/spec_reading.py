"""A spec from a YAML file, read and checked before any model is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast, get_args

from interpreto.concepts import ImportanceMethod
from interpreto.errors import InputError
from interpreto.gallery.catalogue import Family, GalleryTask
from interpreto.gallery.data import Data, read_data
from interpreto.gallery.nodes import Node, read_yaml
from interpreto.gallery.spec import (
    ATTRIBUTIONS,
    CONCEPTS,
    INTERPRETATIONS,
    Attributions,
    Classes,
    Concepts,
    Entry,
    Method,
    ModelSource,
    SavedAttributions,
    SavedConcepts,
    SavedFiles,
    Scope,
    Sight,
    Spec,
    Targets,
    Tour,
)
from interpreto.loading import SHIPPED
from interpreto.model_wrapping import ActivationGranularity, Aggregation
from interpreto.types import Granularity, InferenceMode

_CODE = frozenset(
    (
        "trust_remote_code",
        "custom_generate",
        "assistant_model",
        "use_kernels",
        "weights_only",
        "code_revision",
        "auto_map",
        "kernel_config",
    )
)
_SECRET = frozenset(("token", "use_auth_token"))  # the site shows the options of a model
_SHOWN = 6  # of files that a pattern finds
# What the gallery gives by itself, or what leaves files behind.
_OURS = frozenset(
    (
        *("model", "tokenizer", "progress", "generation", "batch_size", "device"),
        *("model_with_split_points", "split_point", "checkpoint", "checkpoint_every"),
        *("concept_explainer", "activation_granularity", "aggregation", "use_vocab"),
    )
)


def read_spec(path: str | Path) -> Spec:
    """What a YAML file asks for, with the texts of its data.

    Args:
        path: The file; names of files in it begin in its folder.

    Returns:
        The spec, checked as far as it can be without loading a model.

    Raises:
        InputError: Something is missing, unknown or wrong; the message names the place, as `explanations[2].methods`.
    """
    path = Path(path)
    node = read_yaml(path)
    keys = node.keys("title", "about", "models", "data", "explanations", "walks", needed=["title", "explanations"])
    folder = path.parent
    models = {name: _model(name, one) for name, one in keys["models"].named().items()} if "models" in keys else {}
    data = {name: read_data(name, one, folder) for name, one in keys["data"].named().items()} if "data" in keys else {}
    reader = _Reader(models, data, folder)
    return Spec(
        keys["title"].text(),
        keys["about"].text() if "about" in keys else "",
        models,
        data,
        tuple(reader.entry(one) for one in keys["explanations"]),
        tuple(_tour(one) for one in keys["walks"]) if "walks" in keys else (),
        folder,
    )


def _model(name: str, node: Node) -> ModelSource:
    keys = node.keys("id", "task", "revision", "device", "options", "generation", needed=["id"])
    model_id = keys["id"].text()
    options = keys["options"].options() if "options" in keys else {}
    generation = keys["generation"].options() if "generation" in keys else {}
    for given, where in ((options, "options"), (generation, "generation")):
        for key, value in _every(given):
            if key in _CODE or (key.endswith("attn_implementation") and "/" in str(value)):
                raise InputError(f"{keys[where].where}.{key}: a spec runs no code of a model's; leave it out")
            if key in _SECRET:
                raise InputError(
                    f"{keys[where].where}.{key}: would be published with the site; log in with `hf auth login` instead"
                )
    if model_id.startswith(SHIPPED) and (options or "revision" in keys):
        raise InputError(f"{node.where}: a model of the package has neither revision nor options; leave them out")
    return ModelSource(
        name,
        model_id,
        cast(GalleryTask, keys["task"].one_of(get_args(GalleryTask))) if "task" in keys else None,
        keys["revision"].text() if "revision" in keys else None,
        options,
        generation,
        node.where,
        keys["device"].text() if "device" in keys else None,
    )


def _every(options: Any) -> Iterator[tuple[str, Any]]:
    """Options and their values, at any depth."""
    if isinstance(options, Mapping):
        for name, value in options.items():
            yield str(name), value
            yield from _every(value)
    elif isinstance(options, (list, tuple)):
        for value in options:
            yield from _every(value)


# Explanations

_SHELF = ("family", "model", "data", "form")
_OF_ATTRIBUTIONS = (
    "methods",
    "targets",
    "granularity",
    "output_granularity",
    "inference_mode",
    "seed",
    "truncation",
    "results",
)
_OF_CONCEPTS = (
    "methods",
    "scope",
    "split_point",
    "fit",
    "granularity",
    "aggregation",
    "importance",
    "interpretation",
    "targets",
    "classes",
    "least",
    "top",
    "examples",
    "results",
)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads explanations, which name models and data."""

    models: Mapping[str, ModelSource]
    data: Mapping[str, Data]
    folder: Path

    def entry(self, node: Node) -> Entry:
        named = node.named()
        if "family" not in named:
            raise InputError(f"{node.where}.family: expected one of {', '.join(get_args(Family))}, got nothing")
        family = named["family"].one_of(get_args(Family))
        known = _OF_ATTRIBUTIONS if family == "attributions" else _OF_CONCEPTS
        keys = node.keys(*_SHELF, *known, needed=["model", "data"])
        form = keys["form"].text() if "form" in keys else None
        if "results" in keys:
            return self._saved(node, keys, form)
        if "methods" not in keys:
            raise InputError(f"{node.where}.methods: expected a list of methods, or results, got nothing")
        return self._attributions(node, keys, form) if family == "attributions" else self._concepts(node, keys, form)

    def _attributions(self, node: Node, keys: Mapping[str, Node], form: str | None) -> Attributions:
        shared: dict[str, Any] = {}
        for name, choices in (
            ("granularity", Granularity),
            ("output_granularity", Granularity),
            ("inference_mode", InferenceMode),
        ):
            if name in keys:
                shared[name] = keys[name].one_of([member.value for member in choices])
        if "seed" in keys:
            shared["seed"] = keys["seed"].count()
        if "truncation" in keys:
            shared["truncation"] = keys["truncation"].flag()
        data = self._named(keys["data"], self.data, "data")
        return Attributions(
            model=self._named(keys["model"], self.models, "models"),
            data=data,
            methods=_methods(keys["methods"], ATTRIBUTIONS, shared),
            targets=_targets(keys.get("targets"), len(self.data[data].texts)),
            form=form,
            where=node.where,
        )

    def _concepts(self, node: Node, keys: Mapping[str, Node], form: str | None) -> Concepts:
        for key in ("scope", "split_point"):
            if key not in keys:
                raise InputError(f"{node.where}.{key}: expected a value, got nothing")
        scope = cast(Scope, keys["scope"].one_of(get_args(Scope)))
        data = self._named(keys["data"], self.data, "data")
        of_scope = {"targets": "local", "fit": "local", "classes": "class-wise", "least": "class-wise"}
        for key, only in of_scope.items():
            if key in keys and scope != only:
                raise InputError(f"{keys[key].where}: for the scope {only!r} alone; leave it out")
        reading = keys.get("interpretation")
        importance = None
        if "importance" in keys:
            importance = keys["importance"].one_of([*(one.value for one in ImportanceMethod), "none"])
            if importance == "none" and scope != "general":
                raise keys["importance"].wrong(f"a way to weigh concepts, which the scope {scope!r} shows")
        fit = self._named(keys["fit"], self.data, "data") if "fit" in keys else data
        classes = cast(Classes, keys["classes"].one_of(get_args(Classes))) if "classes" in keys else "predicted"
        if classes == "truth" and None in self.data[data].truths:
            raise keys["classes"].wrong("'predicted'", f"{data!r} does not say what every text is")
        return Concepts(
            model=self._named(keys["model"], self.models, "models"),
            data=data,
            methods=_methods(keys["methods"], CONCEPTS, {}),
            split_point=keys["split_point"].number_or_text(),
            scope=scope,
            fit=fit,
            granularity=_choice(keys.get("granularity"), ActivationGranularity, "token"),
            aggregation=_choice(keys.get("aggregation"), Aggregation, "") or None,
            importance=importance,
            interpretation=Method("TopKInputs") if reading is None else _method(reading, INTERPRETATIONS, {}),
            targets=cast(Any, keys["targets"].one_of(("predicted", "all"))) if "targets" in keys else "predicted",
            classes=classes,
            least=keys["least"].count(1) if "least" in keys else 1,
            drawing=_drawing(keys),
            form=form,
            where=node.where,
        )

    def _saved(self, node: Node, keys: Mapping[str, Node], form: str | None) -> SavedAttributions | SavedConcepts:
        computed = [key for key in keys if key not in (*_SHELF, "results", "methods", "top", "examples")]
        if computed:
            raise InputError(f"{keys[computed[0]].where}: for what is computed; results have it in them, leave it out")
        model, data, results = keys["model"].text(), keys["data"].text(), keys["results"]
        if keys["family"].value == "attributions":
            if "methods" in keys:
                raise InputError(
                    f"{keys['methods'].where}: for what is computed; results know their methods, leave it out"
                )
            patterns = results.items() if isinstance(results.value, list) else [results]
            files = tuple(file for pattern in patterns for file in self._files(pattern))
            return SavedAttributions(model=model, data=data, files=files, form=form, where=node.where)
        if "methods" in keys:
            raise InputError(f"{keys['methods'].where}: of results, write results.method")
        parts = results.keys("method", "task", "interpretations", "importance", needed=["method"])
        if not parts.keys() & {"interpretations", "importance"}:
            raise InputError(f"{results.where}: expected interpretations, importance or both, got neither")
        source = self.models.get(model)
        task = parts["task"].one_of(get_args(GalleryTask)) if "task" in parts else source.task if source else None
        return SavedConcepts(
            model=model,
            data=data,
            task=cast(GalleryTask, task or "classification"),
            method=parts["method"].text(),
            interpretations=self._file_or_files(parts.get("interpretations")),
            importance=self._file_or_files(parts.get("importance")),
            drawing=_drawing(keys),
            form=form,
            where=node.where,
        )

    def _files(self, node: Node) -> list[Path]:
        """Files by name or pattern, in the order of their names."""
        pattern = node.text()
        try:
            found = sorted(path for path in self.folder.glob(pattern) if path.is_file())
        except (ValueError, NotImplementedError) as error:
            raise node.wrong(f"names of files below {self.folder}", str(error)) from error
        if not found:
            raise node.wrong(f"names of files below {self.folder}", "there is none of that name")
        return found

    def _file_or_files(self, node: Node | None) -> SavedFiles | None:
        if node is None:
            return None
        if isinstance(node.value, dict):
            return {name: self._file(one) for name, one in node.named().items()}
        return self._file(node)

    def _file(self, node: Node) -> Path:
        """The one file of a name or pattern."""
        found = self._files(node)
        if len(found) > 1:
            names = ", ".join(path.relative_to(self.folder).as_posix() for path in found[:_SHOWN])
            more = ", ..." * (len(found) > _SHOWN)
            raise node.wrong("the name of one file", f"there are {len(found)}: {names}{more}")
        return found[0]

    def _named(self, node: Node, known: Mapping[str, Any], section: str) -> str:
        name = node.text()
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"describe it under {section}:"
            raise node.wrong(f"a name of {section}", hint)
        return name


def _methods(node: Node, known: Mapping[str, type], shared: Mapping[str, Any]) -> tuple[Method, ...]:
    methods = tuple(_method(item, known, shared) for item in node)
    labels = [method.label for method in methods]
    for method, label in zip(methods, labels, strict=True):
        if labels.count(label) > 1:
            raise InputError(f"{method.where}: there are two of the name {label!r:.60}; give each a label of its own")
    return methods


def _method(node: Node, known: Mapping[str, type], shared: Mapping[str, Any]) -> Method:
    """A name, or a name with options."""
    if isinstance(node.value, str):
        name = node.one_of(known)
        options: dict[str, Any] = {}
        label = name
    else:
        named = node.named()
        if "name" not in named:
            raise node.wrong("the name of a method, or a mapping with one under name:")
        name = named["name"].one_of(known)
        allowed = [one.name for one in fields(known[name]) if one.init and one.name not in _OURS]
        keys = node.keys("name", "label", *allowed)
        options = {key: value.plain() for key, value in keys.items() if key not in ("name", "label")}
        label = keys["label"].text() if "label" in keys else name
    needed = [one.name for one in fields(known[name]) if one.name == "nb_concepts" and one.init]
    if needed and "nb_concepts" not in options:
        raise InputError(f"{node.where}: expected a number of concepts, as {{name: {name}, nb_concepts: 20}}")
    return Method(name, {**shared, **options}, label, node.where)


def _targets(node: Node | None, n_texts: int) -> Targets:
    if node is None:
        return "predicted"
    if isinstance(node.value, str):
        return cast(Targets, node.one_of(("predicted", "all")))
    items = node.items()
    if len(items) != n_texts:
        raise node.wrong(f"predicted, all, or a list with the classes of each of the {n_texts} texts")
    return tuple(
        [one.number_or_text() for one in item] if isinstance(item.value, list) else item.number_or_text()
        for item in items
    )


def _choice(node: Node | None, kind: Any, default: str) -> str:
    return default if node is None else node.one_of([member.value for member in kind])


def _drawing(keys: Mapping[str, Node]) -> dict[str, int]:
    least = {"top": 1, "examples": 0}
    return {name: keys[name].count(lowest) for name, lowest in least.items() if name in keys}


# Walks


def _tour(node: Node) -> Tour:
    keys = node.keys("title", "steps", needed=["title", "steps"])
    steps = []
    for item in keys["steps"]:
        step = item.keys("text", "show", needed=["text"])
        steps.append((step["text"].text(), _sight(step["show"]) if "show" in step else None))
    return Tour(keys["title"].text(), tuple(steps))


def _sight(node: Node) -> Sight:
    keys = node.keys("model", "data", "family", "form", "methods", "text")
    return Sight(
        keys["model"].text() if "model" in keys else None,
        keys["data"].text() if "data" in keys else None,
        cast(Family, keys["family"].one_of(get_args(Family))) if "family" in keys else None,
        keys["form"].text() if "form" in keys else None,
        keys["methods"].texts() if "methods" in keys else (),
        keys["text"].count() if "text" in keys else None,
        node.where,
    )
