"""inseq's JSON files of a `FeatureAttributionOutput`.

The format is inseq's own (0.7): objects as `{"__instance_type__": [module, class], "attributes": {...}}`, arrays as
base64 of a safetensors file with one tensor, `attribution`. Neither way needs inseq.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors import torch as files
from torch import Tensor

from interpreto.attributions.exchange.foreign import UNKNOWN, scored_output
from interpreto.attributions.exchange.tables import as_results
from interpreto.attributions.result import Attribution
from interpreto.errors import InputError
from interpreto.saving import write_whole
from interpreto.types import Task

_OUTPUT = ("inseq.data.attribution", "FeatureAttributionOutput")
_SEQUENCE = ("inseq.data.attribution", "FeatureAttributionSequenceOutput")
_TOKEN = ("inseq.utils.typing", "TokenWithId")


def to_inseq(results: Attribution | Iterable[Attribution], path: str | Path) -> Path:
    """Write results of models that write to a file that `inseq.FeatureAttributionOutput.load` reads.

    A causal model's elements are rows of `target_attributions`, an encoder-decoder's source is `source_attributions`;
    NaN where an element is written after the target, as in inseq. Tokens that are no elements (special tokens, chat
    templates) have 0. An element of several tokens is one row, whose id is -1.

    Lost: the model's own scores, standard errors, settings but the method's name.

    Args:
        results: Of one task; their output elements are their targets (`granularity` and `output_granularity` alike), or
            they have none.
        path: The file, `.json`.

    Raises:
        InputError: Results of another task, of several tasks, or whose output elements are not their targets.
        StoreError: The file cannot be written.
    """
    found = as_results(results)
    if len({result.task for result in found}) > 1 or not found[0].task.generates:
        raise InputError(
            f"results: expected those of one kind of model that writes, got {sorted({r.task.value for r in found})}"
        )
    info = {
        "attribution_method": found[0].method,
        "attribute_target": found[0].task is Task.SEQ2SEQ_LM,
        "input_texts": [result.sample.parts[0] for result in found],
        "generated_texts": [_text(result) for result in found],
    }
    sequences = [_sequence(result, f"results[{k}]") for k, result in enumerate(found)]
    data = _instance(_OUTPUT, {"sequence_attributions": sequences, "step_attributions": None, "info": info})
    write_whole(path, json.dumps(data).encode())
    return Path(path)


def from_inseq(path: str | Path) -> list[Attribution]:
    """Results from a file that `FeatureAttributionOutput.save` wrote, one a sequence.

    Marks of word beginnings (`Ġ`, `▁`) become spaces; other spellings of a tokenizer stay as they are. Token ids are
    kept, so that metrics can ask the model again. Lost: step scores, sequence scores, `info` but the method's name.

    Args:
        path: The file, not compressed.

    Raises:
        InputError: Not such a file, or attributions per embedding dimension, which inseq's `aggregate()` makes one.
    """
    try:
        data = json.loads(Path(path).read_bytes())
        fields = _attributes(data, _OUTPUT)
        sequences = [_attributes(one, _SEQUENCE) for one in fields["sequence_attributions"]]
        method = str((fields.get("info") or {}).get("attribution_method") or "inseq")
        return [_result(one, method) for one in sequences]
    except InputError:
        raise
    except (OSError, ValueError, TypeError, LookupError, AttributeError, SafetensorError, binascii.Error) as error:
        raise InputError(
            f"path: expected a file that inseq's FeatureAttributionOutput.save wrote, got {path} "
            f"({type(error).__name__}: {error!s:.120})"
        ) from error


def _text(result: Attribution) -> str:
    """What inseq calls the generated text: a causal model's begins with its prompt."""
    return "".join(result.sample.parts[-2:] if result.task is Task.CAUSAL_LM else result.sample.parts[-1:])


def _sequence(result: Attribution, where: str) -> dict[str, Any]:
    sample, causal = result.sample, result.task is Task.CAUSAL_LM
    written = [k for k, element in enumerate(result.elements) if element.tokens[0] >= sample.output_start]
    targets = [(target.start, target.end) for target in result.targets]
    alike = [(result.elements[k].start, result.elements[k].end) for k in written] == targets[:-1]
    if written and not alike:
        raise InputError(
            f"{where}: expected output elements that are its targets, got {len(written)} elements and {len(targets)} "
            "targets; explain with granularity='token', or with both granularities alike"
        )
    source, by_source = _rows(result, range(sample.source_length))
    prefix, by_prefix = _rows(result, range(sample.source_length, sample.output_start))
    target = [
        _token(result, name, [result.readout.slots[k] + 1 for k in one.plus])
        for name, one in zip(result.target_names, result.targets, strict=True)
    ]
    own = torch.full((len(targets), len(targets)), torch.nan)
    own[: len(written)] = result.scores.T[written]
    before = [*source, *prefix] if causal else prefix
    by_target = torch.cat([by_source, by_prefix, own] if causal else [by_prefix, own])
    return _instance(
        _SEQUENCE,
        {
            "source": source,
            "target": [*before, *target],
            "source_attributions": None if causal else _array(by_source),
            "target_attributions": _array(by_target) if causal or written else None,
            "step_scores": {},
            "sequence_scores": {},
            "attr_pos_start": len(before),
            "attr_pos_end": len(before) + len(target),
        },
    )


def _rows(result: Attribution, places: range) -> tuple[list[dict[str, Any]], Float[Tensor, "r t"]]:
    """The elements in a stretch of the row, and its tokens that are none: their names and scores."""
    owner = {place: k for k, element in enumerate(result.elements) for place in element.tokens}
    tokens, scores, seen = [], [torch.zeros(0, len(result.targets))], set[int]()
    for place in places:
        k = owner.get(place)
        if k is None:
            token = result.sample.tokens[place]
            tokens.append(_token(result, result.sample.parts[token.part][token.start : token.end], [place]))
            scores.append(torch.zeros(1, len(result.targets)))
        elif k not in seen:
            seen.add(k)
            tokens.append(_token(result, result.elements[k].text, result.elements[k].tokens))
            scores.append(result.scores[:, k][None])
    return tokens, torch.cat(scores)


def _token(result: Attribution, text: str, places: Iterable[int]) -> dict[str, Any]:
    ids = [result.sample.tokens[place].id for place in places]
    return _instance(_TOKEN, {"token": text, "id": ids[0] if len(ids) == 1 else UNKNOWN})


def _instance(kind: tuple[str, str], attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {"__instance_type__": list(kind), "attributes": dict(attributes)}


def _attributes(data: Any, kind: tuple[str, str]) -> dict[str, Any]:
    if data["__instance_type__"][-1] != kind[-1]:
        raise ValueError(f"a {data['__instance_type__'][-1]} in the place of a {kind[-1]}")
    return dict(data["attributes"])


def _array(values: Float[Tensor, "r t"]) -> str:
    return base64.b64encode(files.save({"attribution": values.contiguous()})).decode("ascii")


def _values(text: Any) -> Float[Tensor, "r t"]:
    found = files.load(base64.b64decode(text))
    if "scale" in found or found["attribution"].dtype is torch.uint8:
        raise InputError(
            "path: expected scores of float32 or float16, got float8; save with scores_precision='float32'"
        )
    values = found["attribution"].float()
    if values.dim() != 2:
        raise InputError(
            f"path: expected one score a token and step, got shape {tuple(values.shape)}; save what aggregate() gives"
        )
    return values


def _result(fields: Mapping[str, Any], method: str) -> Attribution:
    source, target = (_tokens(fields[name]) for name in ("source", "target"))
    start, end = int(fields["attr_pos_start"]), fields["attr_pos_end"]
    output, prefix = target[start:end], list[int]()
    by_source, by_target = fields.get("source_attributions"), fields.get("target_attributions")
    if by_source is None:
        source, scores = target[:start], _values(by_target)[: start + len(output) - 1]
    else:
        scores, prefix = _values(by_source), [token for _, token in target[:start]]
        if by_target is not None:
            scores = torch.cat([scores, _values(by_target)[start : start + len(output) - 1]])
    ids = [token for _, token in (*source, *output)]
    known = min(ids, default=UNKNOWN) > UNKNOWN and (by_source is None or bool(prefix))
    return scored_output(
        [text for text, _ in source],
        [text for text, _ in output],
        scores.T,
        method=method,
        task=Task.CAUSAL_LM if by_source is None else Task.SEQ2SEQ_LM,
        ids=ids if known else None,
        prefix=prefix,
    )


def _tokens(rows: Iterable[Any]) -> list[tuple[str, int]]:
    found = [_attributes(row, _TOKEN) for row in rows]
    return [(_readable(str(one["token"])), int(one["id"])) for one in found]


def _readable(token: str) -> str:
    return " " + token[1:] if token[:1] in ("Ġ", "▁") else token.replace("Ċ", "\n")
