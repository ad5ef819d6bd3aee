"""Cards of concepts from texts, in one pass over their activations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64, UInt64
from numpy import ndarray
from torch import Tensor

from interpreto.concepts.base import ConceptExplainer
from interpreto.concepts.cards.activity import Activity
from interpreto.concepts.cards.result import Band, ClassWeight, ConceptCard, ConceptCards, Neighbour
from interpreto.concepts.importance import ConceptImportance
from interpreto.concepts.interpretations.output_result import OutputReadings, TokenList
from interpreto.concepts.interpretations.result import Example, Interpretations
from interpreto.concepts.interpretations.strongest import Choice, Chosen, Order
from interpreto.concepts.interpretations.texts import Texts
from interpreto.concepts.interpretations.top_k_inputs import TopKInputs
from interpreto.concepts.label_metrics.result import LabelScores
from interpreto.concepts.label_metrics.statistics import Estimate
from interpreto.errors import InputError, check_count
from interpreto.model_wrapping import ActivationGranularity, Aggregation

_DRAWN = 4  # so many rows are drawn for each that is shown, so that bands end near the true quantiles
_MOST_PRODUCTS = 1 << 26
_ROWS_AT_ONCE = 512


def concept_cards(
    concept_explainer: ConceptExplainer,
    inputs: Any,
    activations: Any = None,
    *,
    concepts_indices: Any = "all",
    targets: Any = None,
    activation_granularity: ActivationGranularity | str = ActivationGranularity.TOKEN,
    aggregation: Aggregation | str = Aggregation.MEAN,
    interpretations: Interpretations | None = None,
    output: OutputReadings | None = None,
    importance: ConceptImportance | None = None,
    scores: LabelScores | Sequence[LabelScores] = (),
    k_examples: int = 5,
    k_context: int = 8,
    n_bands: int = 4,
    per_band: int = 2,
    k_neighbours: int = 5,
    k_tokens: int = 10,
    k_classes: int = 8,
    batch_size: int | None = None,
    seed: int = 0,
) -> ConceptCards:
    """A card for each concept: how often and how strongly it is active, where, what it does, and what is near it.

    The strongest examples are those of `TopKInputs`: distinct texts. A label that fits them may fit nothing else, so
    random rows are shown too, from bands of the activations above 0 that hold as many rows each; the ends of the bands
    are those of the rows that were drawn.

    Cost: one pass over the rows, in memory that does not grow with them: they are encoded some at a time. Neighbours
    take a number for each card and concept, and a product of the codes with themselves.

    Args:
        concept_explainer: Fitted concepts of a split model.
        inputs: Texts, as `get_activations` takes them.
        activations: Theirs, as `get_activations` gave them, or a store on disk; computed where there are none, some
            texts at a time.
        concepts_indices: `"all"`, the number of a concept, or several.
        targets: What a model that writes has written, where its tokens are wanted too.
        activation_granularity: What a row is: a token, a word, ...; the same as in the fit.
        aggregation: How rows of several tokens become one.
        interpretations: Where labels are taken from.
        output: What directions do to the output, as `VocabProj` and `TokenChange` find it.
        importance: What concepts weigh for classes.
        scores: How well the labels fit; one result a metric.
        k_examples: The most distinct texts among the strongest examples.
        k_context: How many elements before and after an example are shown with it.
        n_bands: Into how many bands the active rows are cut; 0 for none.
        per_band: The most examples a band.
        k_neighbours: The most neighbours of either kind; 0 to save their cost.
        k_tokens: The most tokens a list of `output`.
        k_classes: The most classes; those to which the concept matters most.
        batch_size: Texts a forward pass, where activations are computed here.
        seed: Which rows are drawn.

    Returns:
        One card a concept, which `plot_cards` draws.

    Raises:
        InputError: No such concept, activations that are not those of the inputs, results of other concepts, or an
            option out of range.
        NotFittedError: Nothing was learned yet.

    >>> from interpreto import ModelWithSplitPoints
    >>> from interpreto.concepts import NeuronsAsConcepts
    >>> from interpreto.demo import load
    >>> model, tokenizer = load("stories")
    >>> concepts = NeuronsAsConcepts(ModelWithSplitPoints(model, split_points=1, tokenizer=tokenizer))
    >>> cards = concept_cards(concepts, ["The dog ran home.", "A cat sat."], concepts_indices=[0, 1])
    >>> cards[0].active, cards.n_rows, cards[0].strongest[0].text
    (3, 9, 'The')
    """
    reader = TopKInputs(
        concept_explainer,
        activation_granularity=activation_granularity,
        aggregation=aggregation,
        k_examples=k_examples,
        k_context=k_context,
        batch_size=batch_size,
    )
    least = {"n_bands": 0, "per_band": 1, "k_neighbours": 0, "k_tokens": 1, "k_classes": 1, "seed": 0}
    options = {
        "n_bands": n_bands,
        "per_band": per_band,
        "k_neighbours": k_neighbours,
        "k_tokens": k_tokens,
        "k_classes": k_classes,
        "seed": seed,
    }
    for name, value in options.items():
        check_count(name, value, least[name])
    concepts = reader.concepts(concepts_indices)
    total = concept_explainer.concept_model.nb_concepts
    if k_neighbours and len(concepts) * total > _MOST_PRODUCTS:
        raise InputError(
            f"concepts_indices: expected at most {_MOST_PRODUCTS // total} of the {total} concepts, whose neighbours "
            f"fit into memory, got {len(concepts)}; pass some of them, or k_neighbours=0"
        )
    for name, given, kind in (
        ("interpretations", interpretations, Interpretations),
        ("output", output, OutputReadings),
        ("importance", importance, ConceptImportance),
    ):
        _check_kind(name, given, kind)
    known = _Known(interpretations, output, importance, _score_list(scores), k_tokens, k_classes)
    known.check(total)

    blocks, texts = reader.of_inputs(inputs, activations, targets, reader.block_size)
    context = 0 if texts.whole else k_context
    strongest = Choice(len(concepts), k_examples, Order.STRONGEST, context)
    drawn = Choice(len(concepts), max(1, n_bands * per_band * _DRAWN), Order.RANDOM, context)
    activity = Activity(concepts, total, k_neighbours > 0)
    first = 0
    with torch.no_grad():
        for block in blocks:
            codes = concept_explainer.encode(block.activations)
            activity.add(codes)
            own, sources = codes[:, concepts], block.sources
            strongest.add(own, sources, first, lambda rows, s=sources: texts.keys(s[rows], 0))  # type: ignore[misc]
            if n_bands:
                drawn.add(own, sources, first, lambda rows, f=first: _keys(rows + f, seed))  # type: ignore[misc]
            first += len(sources)

    best = strongest.ranked()
    examples = reader.examples(len(concepts), best, texts)
    bands = _bands(len(concepts), best, drawn.ranked(), texts, n_bands, per_band)
    similar = _similar(concept_explainer.dictionary.detach(), concepts, k_neighbours)
    cards = tuple(
        ConceptCard(
            concept,
            known.label(concept),
            int(activity.active[place]),
            int(activity.active[place]) / max(activity.n_rows, 1),
            float(activity.largest[place]),
            float(activity.means[place]),
            activity.histograms.of(place),
            examples[place],
            bands[place],
            known.tokens(concept),
            similar[place],
            _nearest(activity.correlations(place), concept, k_neighbours),
            known.overall(concept),
            known.importance_of(concept),
            known.scores_of(concept),
        )
        for place, concept in enumerate(concepts)
    )
    settings = {**reader.settings(), **options, **known.settings()}
    return ConceptCards(cards, activity.n_rows, total, settings)


def _keys(rows: Int64[ndarray, " r"], seed: int) -> UInt64[ndarray, " r"]:
    """A random number for each row number, by the mixer of SplitMix64 (Steele, Lea and Flood, 2014)."""
    mixed = rows.astype(np.uint64) + np.uint64(1)
    start = np.random.default_rng(seed).integers(0, 1 << 63, dtype=np.uint64)
    mixed = mixed * np.uint64(0x9E3779B97F4A7C15) + start
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))


def _bands(
    count: int, strongest: Chosen, drawn: Chosen, texts: Texts, n_bands: int, per_band: int
) -> list[tuple[Band, ...]]:
    """The drawn rows of each concept, cut by rank, and some of them as examples."""
    if not n_bands:
        return [()] * count
    taken = set(zip(strongest.concepts.tolist(), strongest.rows.tolist(), strict=True))
    borders = np.searchsorted(drawn.concepts, np.arange(count + 1)).tolist()
    found = []
    for concept in range(count):
        own = np.arange(borders[concept], borders[concept + 1])  # strongest first
        bands = []
        for k, places in enumerate(np.array_split(own, n_bands)):
            if not len(places):
                continue
            made: dict[str, Example] = {}
            for place in places[np.argsort(drawn.keys[places])].tolist():
                if len(made) == per_band:
                    break
                if (concept, int(drawn.rows[place])) not in taken:
                    example = _example(drawn, place, texts)
                    made.setdefault(example.excerpt, example)
            ranked = sorted(made.values(), key=lambda example: -example.activation)
            high, low = (float(drawn.activations[places[end]]) for end in (0, -1))
            bands.append(Band(k / n_bands, (k + 1) / n_bands, high, low, tuple(ranked)))
        found.append(tuple(bands))
    return found


def _example(chosen: Chosen, place: int, texts: Texts) -> Example:
    activation = float(chosen.activations[place])
    return texts.example(chosen.sources[place], activation, chosen.neighbours[place], chosen.around[place])


def _similar(dictionary: Float[Tensor, "c d"], concepts: Sequence[int], k: int) -> list[tuple[Neighbour, ...]]:
    """The concepts of the largest cosines."""
    if not k:
        return [()] * len(concepts)
    directions = torch.nn.functional.normalize(dictionary.float(), dim=1)
    found: list[tuple[Neighbour, ...]] = []
    for at in range(0, len(concepts), _ROWS_AT_ONCE):
        some = list(concepts[at : at + _ROWS_AT_ONCE])
        cosines = (directions[some] @ directions.T).double().cpu().numpy()
        found += [_nearest(row, concept, k) for row, concept in zip(cosines, some, strict=True)]
    return found


def _nearest(values: Float64[ndarray, " c"], concept: int, k: int) -> tuple[Neighbour, ...]:
    """The largest values above 0 of others."""
    values = values.copy()
    values[concept] = 0.0
    order = np.argsort(-values, kind="stable")[:k]
    return tuple(Neighbour(int(one), min(float(values[one]), 1.0)) for one in order if values[one] > 0)


def _check_kind(name: str, given: Any, kind: type) -> None:
    if given is not None and not isinstance(given, kind):
        raise InputError(f"{name}: expected {kind.__name__}, got {type(given).__name__}")


def _score_list(scores: Any) -> tuple[LabelScores, ...]:
    given = (scores,) if isinstance(scores, LabelScores) else tuple(scores)
    for k, one in enumerate(given):
        if not isinstance(one, LabelScores):
            raise InputError(f"scores[{k}]: expected LabelScores, got {type(one).__name__}")
    names = [one.metric for one in given]
    if len(set(names)) < len(names):
        raise InputError(f"scores: expected one result a metric, got {names}")
    return given


@dataclass(frozen=True, eq=False)
class _Known:
    """What is known of concepts from other results.

    Args:
        interpretations: Labels.
        output: Tokens.
        importance: Weights.
        scores: Scores of the labels.
        k_tokens: The most tokens a list.
        k_classes: The most classes.
    """

    interpretations: Interpretations | None
    output: OutputReadings | None
    importance: ConceptImportance | None
    scores: tuple[LabelScores, ...]
    k_tokens: int
    k_classes: int

    def check(self, total: int) -> None:
        """Whether all of it can be of these concepts."""
        named: dict[str, Mapping[int, Any] | None] = {"interpretations": self.interpretations, "output": self.output}
        named |= {f"scores[{k}]": one for k, one in enumerate(self.scores)}
        for name, one in named.items():
            if one is not None and len(one) and max(one) >= total:
                raise InputError(
                    f"{name}: expected concepts 0 to {total - 1}, as the concepts have, got concept {max(one)}"
                )
        if self.importance is not None and self.importance.absolute.shape[1] != total:
            raise InputError(
                f"importance: expected the {total} concepts, got {self.importance.absolute.shape[1]}; weigh the same "
                "ones"
            )

    def label(self, concept: int) -> str | None:
        if self.interpretations is None or concept not in self.interpretations:
            return None
        return self.interpretations[concept].label

    def tokens(self, concept: int) -> tuple[TokenList, ...]:
        if self.output is None or concept not in self.output:
            return ()
        return tuple(TokenList(one.name, one.tokens[: self.k_tokens]) for one in self.output[concept].lists)

    @cached_property
    def _shares(self) -> tuple[Tensor, Tensor] | None:
        """Over all classes, and for each."""
        if self.importance is None:
            return None
        return self.importance.overall(normalized=True), self.importance.table(normalized=True)

    def overall(self, concept: int) -> float | None:
        return None if self._shares is None else float(self._shares[0][concept].nan_to_num(0.0, 0.0, 0.0))

    def importance_of(self, concept: int) -> tuple[ClassWeight, ...]:
        if self.importance is None or self._shares is None:
            return ()
        tables = (self._shares[1], self.importance.absolute, self.importance.signed)
        share, absolute, signed = (table[:, concept].double().nan_to_num(0.0, 0.0, 0.0) for table in tables)
        order = share.argsort(descending=True, stable=True)[: self.k_classes].tolist()
        names = self.importance.target_names
        return tuple(ClassWeight(names[t], float(share[t]), float(absolute[t]), float(signed[t])) for t in order)

    def scores_of(self, concept: int) -> dict[str, Estimate]:
        return {one.metric: one[concept].score for one in self.scores if concept in one}

    def settings(self) -> dict[str, Any]:
        """What else there was, by name."""
        found: dict[str, Any] = {}
        if self.interpretations is not None:
            found["labels"] = self.interpretations.method
        if self.output is not None:
            found["output"] = self.output.method
        if self.importance is not None:
            found["importance"] = self.importance.method
        return found
