"""Programs that make the pictures of a gallery, one by one: what a reader copies, adapts and runs.

They are written from what the gallery itself computes by. Whatever comes from a spec or a file stands in them as a
literal, so that no text can be more than a text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from interpreto.attributions import Attribution
from interpreto.gallery.models import KnownModel
from interpreto.gallery.spec import ATTRIBUTIONS, Concepts, Method, SavedConcepts
from interpreto.loading import SHIPPED
from interpreto.types import Task

_WIDTH = 100
PICTURE = "explanation.html"


def literal(value: Any) -> str:
    """A plain value as a program writes it.

    >>> print(literal('a "quote"'), literal({"do_sample": False}), literal(["a\\u202eb"]))
    'a "quote"' {"do_sample": False} ["a\\u202eb"]
    """
    if isinstance(value, str):
        written = repr(value)
        return f'"{written[1:-1]}"' if written[0] == "'" and '"' not in value else written
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{literal(key)}: {literal(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    return repr(value)


def attribution_snippet(
    known: KnownModel, method: Method, text: str, *, classes: Any = None, output: str | None = None
) -> str:
    """A program that explains one text.

    Args:
        known: The model.
        method: The method and its options.
        text: The text.
        classes: Classes to explain, `"all"` of them, or `None` for the predicted one.
        output: What is explained of a model that writes; `None` where it is to write.
    """
    options = dict(method.options)
    if known.source.generation and known.task == "generation" and output is None:
        options["generation"] = dict(known.source.generation)
    asked = [literal(text)]
    lines = [_call("explainer", method.name, ["model", "tokenizer", *_keywords(options)])]
    if classes == "all":
        lines.append("classes = torch.arange(model.config.num_labels).view(1, -1)")
        asked.append("targets=classes")
    elif classes is not None or output is not None:
        wanted = [classes] if isinstance(classes, list) else output if classes is None else classes
        asked.append(f"targets={literal(wanted)}")
    lines += [_call("results", "explainer", asked), f'plot_attributions(results).save("{PICTURE}")']
    imports = [f"from interpreto import {_names(method.name, 'plot_attributions')}"]
    return _program(known, ["import torch", *imports] if classes == "all" else imports, lines)


def general_snippet(
    known: KnownModel, entry: Concepts, method: Method, texts: Sequence[str], outputs: Sequence[str] | None, how: str
) -> str:
    """A program that learns concepts in texts, and weighs them where that is asked for.

    Args:
        known: The model.
        entry: What is asked for.
        method: The method and its options.
        texts: The texts.
        outputs: What was written after them, if that is given.
        how: How concepts are weighed, or `"none"`.
    """
    shown = ["readings"]
    lines = [_split(entry), *_learned(entry, method, outputs is not None)]
    if how != "none":
        given = None if outputs is None else "outputs"
        lines.append(_call("importance", "concepts.importance", _weighed("texts", given, entry, how)))
        shown.append("importance")
    lines.append(_picture([*shown, *_keywords(entry.drawing)]))
    return _program(known, _imports(entry, method), lines, _lists(texts, outputs))


def class_wise_snippet(
    known: KnownModel, entry: Concepts, method: Method, groups: Mapping[str, Sequence[str]], how: str
) -> str:
    """A program that learns concepts in the texts of each class.

    Args:
        known: The model.
        entry: What is asked for.
        method: The method and its options.
        groups: The texts, by class.
        how: How concepts are weighed.
    """
    said = "what the model says" if entry.classes == "predicted" else "what the data say"
    begun = [f"texts_by_class = {{  # sorted by {said}"]
    for name, texts in groups.items():
        begun += [f"    {literal(name)}: [", *(f"        {literal(text)}," for text in texts), "    ],"]
    loop = [
        *_learned(entry, method, False, "readings[name]"),
        _call("importance[name]", "concepts.importance", _weighed("texts", "[name]", entry, how)),
    ]
    lines = [
        _split(entry),
        "readings, importance = {}, {}",
        "for name, texts in texts_by_class.items():",
        *(f"    {line}" for block in loop for line in block.split("\n")),
        _picture(["readings", "importance", *_keywords(entry.drawing)]),
    ]
    return _program(known, _imports(entry, method), lines, [*begun, "}"])


def local_snippet(
    known: KnownModel,
    entry: Concepts,
    method: Method,
    fit: tuple[Sequence[str], Sequence[str] | None],
    text: str,
    targets: str | None,
    how: str,
) -> str:
    """A program that finds concepts in one text.

    Args:
        known: The model.
        entry: What is asked for.
        method: The method and its options.
        fit: The texts in which they are learned, and what was written after them, if that is given.
        text: The text.
        targets: An expression for what is explained; `None` for the model's own answer.
        how: How concepts are weighed.
    """
    texts, outputs = fit
    asked = _weighed(literal(text), targets, entry, how)
    lines = [
        _split(entry),
        *_learned(entry, method, outputs is not None),
        _call("local", "concepts.local_importance", asked),
        _picture(["readings", "local=local", *_keywords(entry.drawing)]),
    ]
    return _program(known, _imports(entry, method), lines, _lists(texts, outputs))


def saved_attribution_snippet(
    known: KnownModel | None, result: Attribution, file: str, position: int | None = None
) -> str:
    """A program that computes a saved attribution anew, or draws it where its model is not known.

    Args:
        known: The model, if the spec describes it.
        result: The attribution.
        file: The name of its file.
        position: Which one of the file's it is, from 0; `None` where it is alone there.
    """
    method, parts = ATTRIBUTIONS.get(result.method), result.sample.parts
    writes = result.task in (Task.CAUSAL_LM, Task.SEQ2SEQ_LM)
    plain = all(len(target.plus) == 1 and not target.minus for target in result.targets)
    told = len(parts) == 2 if writes else result.task is Task.CLASSIFICATION and len(parts) == 1 and plain
    if known is None or method is None or not told:
        read = f"load({literal(file)})" if position is None else f"load_all({literal(file)})[{position}]"
        return (
            "from interpreto import Attribution, plot_attributions\n\n"
            f'result = Attribution.{read}\nplot_attributions(result).save("{PICTURE}")\n'
        )
    defaults = {one.name: _plain(one.default) for one in fields(method) if one.init}
    options = {
        name: value
        for name, value in result.settings.items()
        if name in defaults and value != defaults[name] and name not in ("generation", "batch_size")
    }
    classes = None if writes else [target.plus[0] for target in result.targets]
    return attribution_snippet(
        known, Method(result.method, options), parts[0], classes=classes, output=parts[1] if writes else None
    )


def saved_concepts_snippet(entry: SavedConcepts) -> str:
    """A program that draws saved concepts.

    Args:
        entry: What the spec says of them.
    """
    lines, shown, classes = [], [], []
    for name, kind, files in (
        ("readings", "Interpretations", entry.interpretations),
        ("importance", "ConceptImportance", entry.importance),
    ):
        if files is None:
            continue
        classes.append(kind)
        shown.append(f"{'interpretations' if name == 'readings' else name}={name}")
        if isinstance(files, Mapping):
            lines += [
                f"{name} = {{",
                *(f"    {literal(key)}: {kind}.load({literal(path.name)})," for key, path in files.items()),
                "}",
            ]
        else:
            lines.append(f"{name} = {kind}.load({literal(files.name)})")
    lines.append(_picture([*shown, *_keywords(entry.drawing)]))
    imports = ["from interpreto import plot_concepts", f"from interpreto.concepts import {_names(*classes)}"]
    return "\n".join([*imports, "", *lines, ""])


# Pieces


def _program(known: KnownModel, imports: Sequence[str], lines: Sequence[str], data: Sequence[str] = ()) -> str:
    """Imports, data, the model, and what is done with it."""
    source = known.source
    if source.id.startswith(SHIPPED):
        imports = [*imports, "from interpreto.demo import load"]
        loading = [f"model, tokenizer = load({literal(source.id.removeprefix(SHIPPED))})"]
    else:
        imports = [*imports, f"from transformers import {_names(known.loader, 'AutoTokenizer')}"]
        revision = {"revision": source.revision} if source.revision else {}
        loading = [
            f"name = {literal(source.id)}",
            _call("model", f"{known.loader}.from_pretrained", ["name", *_keywords({**revision, **source.options})]),
            _call("tokenizer", "AutoTokenizer.from_pretrained", ["name", *_keywords(revision)]),
        ]
    if source.device is not None:
        loading.append(f"model.to({literal(source.device)})")
    return "\n".join([*imports, "", *data, *([""] if data else []), *loading, *lines, ""])


def _imports(entry: Concepts, method: Method) -> list[str]:
    return [
        "from interpreto import ModelWithSplitPoints, plot_concepts",
        f"from interpreto.concepts import {_names(method.name, entry.interpretation.name)}",
    ]


def _split(entry: Concepts) -> str:
    points = f"split_points={literal(entry.split_point)}"
    return _call("split", "ModelWithSplitPoints", ["model", points, "tokenizer=tokenizer"])


def _learned(entry: Concepts, method: Method, written: bool, readings: str = "readings") -> list[str]:
    """Read, learn, interpret."""
    rows = literal(entry.granularity)
    pooled = _keywords({"aggregation": entry.aggregation} if entry.aggregation else {})
    outputs = ["targets=outputs"] if written else []
    reading = entry.interpretation
    options = _keywords(reading.options)
    if reading.name == "TopKInputs":
        named = [f"activation_granularity={rows}", *pooled, *options]
        asked = ['"all"', "texts", "activations", *outputs]
        read = f"{_call(None, reading.name, ['concepts', *named])}.interpret({', '.join(asked)})"
    else:
        read = f"{_call(None, reading.name, ['concepts', *options])}.interpret().as_interpretations()"
    return [
        _call("activations", "split.get_activations", ["texts", rows, *pooled, *outputs]),
        _call("concepts", method.name, ["split", *_keywords(method.options)]),
        "concepts.fit(activations)",
        f"{readings} = {read}",
    ]


def _weighed(text: str, targets: str | None, entry: Concepts, how: str) -> list[str]:
    """Arguments of an importance."""
    rows = literal(entry.granularity)
    named = [text, targets, rows] if targets else [text, f"activation_granularity={rows}"]
    other = {"aggregation": entry.aggregation} if entry.aggregation else {}
    if entry.importance is not None:
        other["method"] = how
    return [*(one for one in named if one), *_keywords(other)]


def _lists(texts: Sequence[str], outputs: Sequence[str] | None) -> list[str]:
    lines = ["texts = [", *(f"    {literal(text)}," for text in texts), "]"]
    if outputs is not None:
        lines += ["outputs = [", *(f"    {literal(text)}," for text in outputs), "]"]
    return lines


def _picture(arguments: Sequence[str]) -> str:
    return f'{_call(None, "plot_concepts", arguments)}.save("{PICTURE}")'


def _names(*names: str) -> str:
    """Imported names, in the order that tools sort them."""
    return ", ".join(sorted(dict.fromkeys(names), key=lambda name: (name[0].islower(), name)))


def _keywords(options: Mapping[str, Any]) -> list[str]:
    return [f"{name}={literal(value)}" for name, value in options.items()]


def _call(target: str | None, function: str, arguments: Sequence[str]) -> str:
    """A call on one line, or with a line for each argument."""
    begun = f"{function}(" if target is None else f"{target} = {function}("
    line = f"{begun}{', '.join(arguments)})"
    if len(line) <= _WIDTH or len(arguments) < 2:
        return line
    return "\n".join([begun, *(f"    {argument}," for argument in arguments), ")"])


def _plain(value: Any) -> Any:
    return getattr(value, "value", value)
