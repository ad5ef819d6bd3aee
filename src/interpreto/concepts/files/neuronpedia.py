"""Concepts as Neuronpedia imports them: lines of JSON, packed, the same bytes every time."""

from __future__ import annotations

import gzip
import hashlib
import heapq
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int32
from numpy import ndarray
from torch import Tensor

from interpreto.concepts.base import ConceptExplainer
from interpreto.concepts.files.coded import CodedInputs, CodedTexts
from interpreto.concepts.files.folders import is_piece
from interpreto.concepts.interpretations.result import Interpretations
from interpreto.errors import InputError, StoreError, check_count
from interpreto.saving import replace_whole, write_whole

_A_BATCH, _AT_ONCE, _N_LOGITS, _N_BARS = 1024, 64, 10, 50
_REMEMBERED = 1 << 15


def write_neuronpedia(
    concept_explainer: ConceptExplainer,
    folder: str | Path,
    inputs: Any,
    *,
    model_id: str,
    layer: int | str,
    source_set: str,
    activations: Any = None,
    interpretations: Interpretations | None = None,
    k_activations: int = 20,
    vectors: bool = False,
    creator: str = "interpreto",
    data_source: str = "",
    batch_size: int | None = None,
) -> Path:
    """Write concepts, the texts in which they are strongest, and their labels, as Neuronpedia imports them.

    `features/`, `activations/` and `explanations/` get one `batch-N.jsonl.gz` for every 1,024 concepts; beside them are
    `release.jsonl`, `model.jsonl`, `sourceset.jsonl` and `source.jsonl`, with what is known here. A feature tells its
    largest code, the share of tokens with a code that is not 0, and for language models the tokens whose logits its
    direction moves most, up and down (the direction times the unembedding, without the last normalisation). An
    activation is a whole text with the code of each token, 0 for special tokens.

    Texts are read once, some at a time; memory holds the strongest texts of each concept, by their codes that are not
    0. The same texts and numbers give the same bytes. Not written: histograms of codes, neighbours, and other columns
    of their data base that are not needed.

    Args:
        concept_explainer: Fitted concepts of a split model.
        folder: Where to; made if it is not there, and must be empty.
        inputs: Texts, as `get_activations` takes them.
        model_id: Neuronpedia's name of the model, such as `"gpt2-small"`.
        layer: The layer, such as 6.
        source_set: Name of the set of autoencoders, such as `"res-jb"`; with the layer, the source is `"6-res-jb"`.
        activations: The texts' activations at granularity `"token"`; by default the model is run.
        interpretations: Labels of some concepts or all.
        k_activations: The most texts a concept.
        vectors: Whether features carry their direction.
        creator: Who made this.
        data_source: Where the texts are from.
        batch_size: Texts a forward pass.

    Returns:
        The folder.

    Raises:
        InputError: No texts, activations that are not theirs, names that cannot be, or a folder that is not empty.
        NotFittedError: Nothing was learned yet.
        StoreError: The folder cannot be written.

    Reference: Lin (2023), Neuronpedia: interactive reference and tooling for analyzing neural networks,
    neuronpedia.org.
    """
    check_count("k_activations", k_activations, 1)
    for name, value in {"model_id": model_id, "layer": str(layer), "source_set": source_set}.items():
        if not is_piece(value):
            raise InputError(f"{name}: expected letters, digits and . _ -, got {value!r}")
    place = Path(folder)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise InputError(f"folder: expected an empty folder, or none, got {place}")
    texts = CodedInputs(concept_explainer, inputs, activations, batch_size)
    strongest = _Strongest(concept_explainer.concept_model.nb_concepts, k_activations)
    for block in texts.blocks():
        strongest.add(block)
    about = {"modelId": model_id, "layer": f"{layer}-{source_set}"}
    export = _Export(texts, strongest, about, source_set, creator, data_source, vectors, interpretations)
    with _written(place):
        for name, line in export.heads.items():
            write_whole(place / f"{name}.jsonl", _line(line))
        for number, first in enumerate(range(0, strongest.nb_concepts, _A_BATCH)):
            concepts = range(first, min(first + _A_BATCH, strongest.nb_concepts))
            kinds = (export.features, export.activations, export.explanations)
            for name, lines in zip(("features", "activations", "explanations"), kinds, strict=True):
                (place / name).mkdir(exist_ok=True)
                write_packed(place / name / f"batch-{number}.jsonl.gz", lines(concepts))
    return place


class _Strongest:
    """For each concept the texts with its largest codes, its largest code, and how often it is active.

    Args:
        nb_concepts: How many concepts there are.
        k: The most texts a concept.
    """

    def __init__(self, nb_concepts: int, k: int) -> None:
        self.nb_concepts, self._k = nb_concepts, k
        self.largest = np.full(nb_concepts, -np.inf, np.float32)
        self.active = np.zeros(nb_concepts, np.int64)
        self.n_rows = 0
        self._least = np.zeros(nb_concepts, np.float32)
        self._found: list[list[tuple[float, int, ndarray, ndarray]]] = [[] for _ in range(nb_concepts)]

    def add(self, block: CodedTexts) -> None:
        """See some more texts."""
        c, codes = self.nb_concepts, block.codes
        self.largest = np.maximum(self.largest, codes.amax(dim=0).numpy())
        self.n_rows += len(codes)
        rows, concepts = (part.numpy() for part in (codes != 0).nonzero(as_tuple=True))
        self.active += np.bincount(concepts, minlength=c)
        order = np.argsort(block.owners[rows] * c + concepts, kind="stable")  # by text, then concept, then row
        rows, concepts = rows[order], concepts[order]
        values, places = codes.numpy()[rows, concepts], block.places[rows]
        if len(rows) == 0:
            return
        texts = block.owners[rows]
        starts = np.flatnonzero(np.append(True, (np.diff(texts) != 0) | (np.diff(concepts) != 0)))
        ends = np.append(starts[1:], len(rows))
        best = np.maximum.reduceat(values, starts)
        for group in np.flatnonzero(best > self._least[concepts[starts]]).tolist():
            own = slice(int(starts[group]), int(ends[group]))
            concept, value = int(concepts[own.start]), float(best[group])
            number, found = int(block.numbers[texts[own.start]]), self._found[concept]
            entry = (value, -number, places[own].astype(np.int32), values[own].copy())
            if len(found) < self._k:
                heapq.heappush(found, entry)
            elif value > found[0][0]:  # the bar may have risen within this block
                heapq.heapreplace(found, entry)
            if len(found) == self._k:
                self._least[concept] = found[0][0]

    def of(self, concept: int) -> list[tuple[int, Int32[ndarray, " m"], Float32[ndarray, " m"]]]:
        """Numbers of its texts, strongest first, with the places and values of its codes there."""
        ranked = sorted(self._found[concept], key=lambda entry: (-entry[0], -entry[1]))
        return [(-number, places, values) for _, number, places, values in ranked]


@dataclass(frozen=True, eq=False)
class _Export:
    """What the lines say.

    Args:
        texts: The texts.
        strongest: What was found in them.
        about: The keys that every line has.
        source_set: Name of the set.
        creator: Who made this.
        data_source: Where the texts are from.
        vectors: Whether features carry their direction.
        interpretations: The labels.
    """

    texts: CodedInputs
    strongest: _Strongest
    about: Mapping[str, str]
    source_set: str
    creator: str
    data_source: str
    vectors: bool
    interpretations: Interpretations | None
    _pieces: dict[int, list[str]] = field(default_factory=dict)

    @property
    def heads(self) -> dict[str, dict[str, Any]]:
        """The lines of the files at the top."""
        model, source = self.about["modelId"], self.about["layer"]
        return {
            "release": {"name": self.source_set, "description": "", "creatorName": self.creator, "urls": []},
            "model": {"id": model, "displayName": model},
            "sourceset": {
                "modelId": model,
                "name": self.source_set,
                "description": type(self.texts.explainer).__name__,
                "type": "SAE",
                "creatorName": self.creator,
                "releaseName": self.source_set,
                "urls": [],
            },
            "source": {
                "id": source,
                "modelId": model,
                "setName": self.source_set,
                "hasDashboards": True,
                "dataSource": self.data_source,
            },
        }

    def features(self, concepts: Sequence[int]) -> Iterator[dict[str, Any]]:
        """A line for each concept."""
        strongest, dictionary = self.strongest, self.texts.explainer.dictionary
        for first in range(0, len(concepts), _AT_ONCE):
            some = list(concepts[first : first + _AT_ONCE])
            moved = self._moved(dictionary[some])
            for row, concept in enumerate(some):
                yield {
                    **self.about,
                    "index": str(concept),
                    "sourceSetName": self.source_set,
                    "creatorId": self.creator,
                    "hookName": self.texts.explainer.split_point_name(),
                    "maxActApprox": _short(strongest.largest[concept]),
                    "frac_nonzero": int(strongest.active[concept]) / strongest.n_rows,
                    "hasVector": self.vectors,
                    "vector": [_short(x) for x in dictionary[concept].float().cpu().numpy()] if self.vectors else [],
                    **moved[row],
                }

    def activations(self, concepts: Sequence[int]) -> Iterator[dict[str, Any]]:
        """A line for each text of each concept, strongest first."""
        for concept in concepts:
            for rank, (number, places, values) in enumerate(self.strongest.of(concept)):
                tokens = self._tokens(number)
                filled = [0.0] * len(tokens)
                for place, value in zip(places.tolist(), values, strict=True):
                    filled[place] = _short(value)
                yield {
                    "id": self._id("activation", concept, rank),
                    **self.about,
                    "index": str(concept),
                    "tokens": tokens,
                    "values": filled,
                    "maxValue": max(filled),
                    "maxValueTokenIndex": filled.index(max(filled)),
                    "minValue": min(filled),
                    "dataIndex": str(number),
                    "dataSource": self.data_source,
                    "creatorId": self.creator,
                }

    def explanations(self, concepts: Sequence[int]) -> Iterator[dict[str, Any]]:
        """A line for each concept with a label."""
        if self.interpretations is None:
            return
        labels = self.interpretations.labels
        for concept in concepts:
            if labels.get(concept) is not None:
                yield {
                    "id": self._id("explanation", concept, 0),
                    **self.about,
                    "index": str(concept),
                    "description": labels[concept],
                    "typeName": self.interpretations.method,
                    "explanationModelName": str(self.interpretations.settings.get("llm", "")),
                    "authorId": self.creator,
                }

    def _tokens(self, number: int) -> list[str]:
        if number not in self._pieces:
            if len(self._pieces) >= _REMEMBERED:
                self._pieces.clear()
            self._pieces[number] = self.texts.pieces(number)
        return self._pieces[number]

    def _id(self, kind: str, concept: int, rank: int) -> str:
        """A name that is the same whenever this is written again."""
        text = f"{kind}/{self.about['modelId']}/{self.about['layer']}/{concept}/{rank}"
        return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()

    def _moved(self, directions: Float[Tensor, "m d"]) -> list[dict[str, Any]]:
        """The tokens whose logits each direction moves most."""
        split = self.texts.explainer.split
        head: Any = getattr(split.model, "get_output_embeddings", lambda: None)()
        weight = getattr(head, "weight", None)
        fits = isinstance(weight, Tensor) and weight.is_floating_point() and weight.shape[-1:] == directions.shape[1:]
        if not fits or not split.traits.base.can_generate():
            return [{}] * len(directions)
        with torch.no_grad():
            logits = (directions.to(weight) @ weight.T).float().cpu()  # type: ignore[union-attr]
        most = min(_N_LOGITS, logits.shape[1])
        found = []
        for row in logits:
            up, down = row.topk(most), (-row).topk(most)
            low, high = float(row.min()), float(row.max())
            heights = torch.histc(row, _N_BARS, low, high)
            middles = low + (high - low) * (torch.arange(_N_BARS) + 0.5) / _N_BARS
            found.append(
                {
                    "pos_str": self._names(up.indices),
                    "pos_values": [_short(x) for x in up.values.numpy()],
                    "neg_str": self._names(down.indices),
                    "neg_values": [_short(x) for x in -down.values.numpy()],
                    "logits_hist_data_bar_heights": [int(x) for x in heights],
                    "logits_hist_data_bar_values": [_short(x) for x in middles.numpy()],
                }
            )
        return found

    def _names(self, ids: Tensor) -> list[str]:
        tokenizer = self.texts.explainer.split.tokenizer
        return [str(tokenizer.decode([i])) for i in ids.tolist()]


def _short(value: Any) -> float:
    """A float32 in as few digits as tell it from all others."""
    return float(str(np.float32(value)))


def _line(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, ensure_ascii=True, allow_nan=False) + "\n").encode("ascii")


def write_packed(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Write lines of JSON to a gzip file, whose bytes depend on nothing but them.

    Raises:
        OSError: The file cannot be written.
    """

    def write(draft: Path) -> None:
        with draft.open("wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
            for line in lines:
                packed.write(_line(line))

    replace_whole(path, write)


@contextmanager
def _written(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise StoreError(f"{folder}: could not be written ({error}); make room, or take another folder") from error
