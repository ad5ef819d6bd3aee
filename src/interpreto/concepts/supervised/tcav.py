"""TCAV: whether a class's score rises along a concept, in more of its texts than chance would have it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, final

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from interpreto.concepts.models.neurons import NeuronsAsConcepts
from interpreto.concepts.supervised.directions import CAVKind, half_space
from interpreto.concepts.supervised.labels import check_share, check_strength
from interpreto.errors import InputError, MissingExtraError, check_count
from interpreto.model_wrapping import ActivationGranularity, Aggregation, ModelWithSplitPoints
from interpreto.model_wrapping.activations import choice
from interpreto.saving import SavedAsJson
from interpreto.text import split_inputs
from interpreto.types import InferenceMode, Task

if TYPE_CHECKING:
    import pandas

_FORMAT = 1
_LEAST = 4  # texts of a concept, so that each vector learns from some and is measured on others


@dataclass(frozen=True, slots=True)
class TCAVScore:
    """One concept against one class.

    Args:
        concept: The concept.
        target: The class.
        scores: With the vector of each partition: the share of the class's texts whose score rises along it.
        random_scores: The same with vectors of random texts against random texts.
        p_value: Of the two-sided t-test (Welch's) that both have one mean, times the number of tests, at most 1.
        accuracies: Share of held-out rows that each vector tells right; 0.5 for guessing.
        n_examples: Texts with the concept, and as many without, that each vector comes from.
        n_texts: Texts of the class.
        false_positives: Share of random sets of texts that the same test finds significant, taken for a concept; `None`
            where none was tried.
    """

    concept: str
    target: str
    scores: tuple[float, ...]
    random_scores: tuple[float, ...]
    p_value: float
    accuracies: tuple[float, ...]
    n_examples: int
    n_texts: int
    false_positives: float | None

    @property
    def score(self) -> float:
        """Mean over the partitions."""
        return _mean(self.scores)

    @property
    def std(self) -> float:
        """Standard deviation over the partitions."""
        return float(torch.tensor(self.scores, dtype=torch.float64).std())

    @property
    def random_score(self) -> float:
        """Mean with random vectors."""
        return _mean(self.random_scores)

    @property
    def accuracy(self) -> float:
        """Mean held-out accuracy of the vectors."""
        return _mean(self.accuracies)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TCAVResult(SavedAsJson):
    """What `TCAV` found, a row for each concept and class.

    Args:
        rows: One a concept and class.
        level: Below which (corrected) p-value a score is called significant.
        split_point: Where the vectors are.
        kind: How they were found.
        seed: Of the partitions.
    """

    saved_as: ClassVar[str] = "a TCAV result"

    rows: tuple[TCAVScore, ...]
    level: float
    split_point: str
    kind: str
    seed: int

    def of(self, concept: str, target: str | None = None) -> TCAVScore:
        """The row of a concept, and of a class where there are several.

        Raises:
            InputError: No such row, or several.
        """
        found = [row for row in self.rows if row.concept == concept and target in (None, row.target)]
        if len(found) != 1:
            known = [(row.concept, row.target) for row in self.rows]
            raise InputError(f"concept and target: expected one of {known!r:.300}, got {(concept, target)!r:.80}")
        return found[0]

    def significant(self, row: TCAVScore) -> bool:
        """Whether the test says that the concept's scores differ from those of random vectors."""
        return row.p_value < self.level

    def to_dict(self) -> dict[str, Any]:
        """As plain values, ready for JSON."""
        rows = [{f.name: _plain(getattr(row, f.name)) for f in fields(row)} for row in self.rows]
        about = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "rows"}
        return {"kind_of_file": "tcav", "format": _FORMAT, **about, "rows": rows}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TCAVResult:
        """The inverse of `to_dict`.

        Raises:
            ValueError: Not a saved result, or one of another format.
        """
        if (data["kind_of_file"], data["format"]) != ("tcav", _FORMAT):
            raise ValueError(f"{data['kind_of_file']!r:.40} of format {data['format']!r:.40}")
        rows = []
        for row in data["rows"]:
            tables = {name: tuple(float(x) for x in row[name]) for name in ("scores", "random_scores", "accuracies")}
            found = TCAVScore(**{**row, **tables, "p_value": float(row["p_value"])})
            if not all(isinstance(value, str) for value in (found.concept, found.target)):
                raise ValueError("names that are no texts")
            rows.append(found)
        if not rows:
            raise ValueError("no rows")
        return cls(
            rows=tuple(rows),
            level=float(data["level"]),
            split_point=str(data["split_point"]),
            kind=CAVKind(data["kind"]).value,
            seed=int(data["seed"]),
        )

    def to_pandas(self) -> pandas.DataFrame:
        """One line a concept and class.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise MissingExtraError("pandas", "data", "to_pandas()") from None
        return pandas.DataFrame(
            [
                {
                    "concept": row.concept,
                    "target": row.target,
                    "score": row.score,
                    "std": row.std,
                    "random_score": row.random_score,
                    "p_value": row.p_value,
                    "significant": self.significant(row),
                    "accuracy": row.accuracy,
                    "false_positives": row.false_positives,
                    "n_examples": row.n_examples,
                    "n_texts": row.n_texts,
                }
                for row in self.rows
            ]
        )

    def __str__(self) -> str:
        return "\n".join(
            f"{row.concept} -> {row.target}: {row.score:.2f} +- {row.std:.2f} (random {row.random_score:.2f}, "
            f"p {row.p_value:.2g}{'' if self.significant(row) else ', not significant'}; "
            f"held-out accuracy {row.accuracy:.2f})"
            for row in self.rows
        )


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class TCAV:
    """Testing with concept activation vectors: the share of a class's texts whose score rises along a concept.

    `S = mean_x [grad_h f_k(h(x)) v > 0]`, with `v` the unit normal of a plane between the concept's rows and as many
    random ones. Where a row belongs to several tokens they move together, and where a text has several rows all of them
    move. A vector is found for each of many random partitions; their scores are compared with those of vectors of
    random texts against random texts, by a two-sided t-test (Welch's), Bonferroni-corrected for the number of concepts
    and classes. Only the sign of a derivative counts, not its size: see `CAVConcepts.importance` for that.

    What the test takes for chance is a new draw of random texts, while the concept's own texts stay the same: a small
    random set of texts is itself a direction, and is found significant far more often than the level says.
    `false_positives` tells how often, on this model and with these numbers of texts; a score means something where its
    vector has a high held-out accuracy and random sets of that size seldom pass.

    Cost: a forward and a backward pass a text of the classes, a forward pass a text of the concepts and of the others,
    and `n_partitions` small classifiers a concept and a random concept. Classifiers only.

    Args:
        model_with_split_points: The split classifier.
        split_point: Which of its split points; needed where there are several.
        kind: `"logistic"`, `"svm"` or `"difference of means"`.
        strength: As in `CAVConcepts`.
        n_partitions: How many random partitions, of the concept against random texts and of random against random.
        n_random_concepts: How many random sets of texts are taken for concepts, to see how often the test finds one
            significant; 0 for none.
        level: Below which (corrected) p-value a score is called significant.
        held_out: The share of texts that each vector is measured on.
        activation_granularity: What one row belongs to.
        aggregation: How rows of several tokens become one.
        inference_mode: The space of the class's score.
        batch_size: Texts a forward pass.
        seed: Of the partitions; every concept meets the same.

    Reference: Kim et al. (2018), sections 3.3 to 3.5, arXiv:1711.11279.
    """

    model_with_split_points: ModelWithSplitPoints
    split_point: int | str | None = None
    kind: CAVKind | str = CAVKind.LOGISTIC
    strength: float = 1.0
    n_partitions: int = 30
    n_random_concepts: int = 20
    level: float = 0.05
    held_out: float = 0.25
    activation_granularity: ActivationGranularity | str = ActivationGranularity.CLS_TOKEN
    aggregation: Aggregation | str = Aggregation.MEAN
    inference_mode: InferenceMode | str = InferenceMode.LOGITS
    batch_size: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        split: Any = self.model_with_split_points
        if not isinstance(split, ModelWithSplitPoints):
            raise InputError(f"model_with_split_points: expected a split model, got {type(split).__name__}")
        if split.task is not Task.CLASSIFICATION:
            raise InputError(f"model_with_split_points: expected a classifier, got a {split.task.value} model")
        object.__setattr__(self, "kind", choice("kind", self.kind, CAVKind))
        check_strength("strength", self.strength)
        check_count("n_partitions", self.n_partitions, 2)
        check_count("n_random_concepts", self.n_random_concepts, 0)
        check_share("level", self.level)
        check_share("held_out", self.held_out)
        check_count("seed", self.seed, 0)

    def __call__(self, concepts: Mapping[str, Any], others: Any, classes: Mapping[int | str, Any]) -> TCAVResult:
        """Test concepts against classes.

        Args:
            concepts: By name, texts with the concept.
            others: Random texts, from which the partitions are drawn: at least twice as many as a concept has, better
                many times as many, for partitions that share texts are not independent.
            classes: By class (index or label), texts of that class.

        Raises:
            InputError: Too few texts, texts that cannot be read, a class that the model does not have, or classes whose
                scores do not depend on these rows.
        """
        named: list[tuple[str, Any]] = [("concepts", concepts), ("classes", classes)]
        for name, given in named:
            if not isinstance(given, Mapping) or not given:
                raise InputError(f"{name}: expected a mapping from names to texts, got {type(given).__name__}")
        names: list[Any] = list(concepts)
        if not all(isinstance(name, str) for name in names):
            raise InputError(f"concepts: expected texts as names, got {names!r:.80}")
        taken = {repr(text): name for name, texts in concepts.items() for text in split_inputs(texts)}
        others = split_inputs(others)
        for text in others:
            if repr(text) in taken:
                raise InputError(
                    f"others: expected texts without {taken[repr(text)]!r}, got one of its own, {text!r:.60}"
                )
        pool = self._texts(others)
        if len(pool) < 2 * _LEAST:
            raise InputError(f"others: expected at least {2 * _LEAST} different texts, got {len(pool)}")
        sets = {}
        for name, examples in concepts.items():
            sets[name] = self._texts(examples)
            if len(sets[name]) < _LEAST:
                raise InputError(
                    f"concepts: expected at least {_LEAST} different texts of {name!r}, got {len(sets[name])}"
                )
        gradients = [self._gradients(label, texts) for label, texts in classes.items()]
        n_tests = len(sets) * len(gradients)
        by_size: dict[int, tuple[Float[Tensor, "p d"], list[Float[Tensor, "p d"]]]] = {}
        rows = []
        for concept, own in sets.items():
            n = min(len(own), len(pool) // 2)
            if n not in by_size:
                by_size[n] = (self._random_vectors(pool, n), self._random_concepts(pool, n))
            random, taken_for_concepts = by_size[n]
            rng = Generator().manual_seed(self.seed)
            vectors, accuracies = self._vectors(own, pool, n, rng)
            for target, directions in gradients:
                scores, chance = shares_rising(directions, vectors), shares_rising(directions, random)
                passed = [
                    _p_value(shares_rising(directions, other), chance, n_tests) < self.level
                    for other in taken_for_concepts
                ]
                rows.append(
                    TCAVScore(
                        concept,
                        target,
                        tuple(scores.tolist()),
                        tuple(chance.tolist()),
                        _p_value(scores, chance, n_tests),
                        accuracies,
                        n,
                        len(directions),
                        sum(passed) / len(passed) if passed else None,
                    )
                )
        return TCAVResult(
            rows=tuple(rows),
            level=self.level,
            split_point=self._neurons.point.name,
            kind=CAVKind(self.kind).value,
            seed=self.seed,
        )

    @property
    def _neurons(self) -> NeuronsAsConcepts:
        return NeuronsAsConcepts(self.model_with_split_points, split_point=self.split_point)

    def _texts(self, inputs: Any) -> list[Float[Tensor, "_ d"]]:
        """The rows of each different text."""
        items = list({repr(item): item for item in split_inputs(inputs)}.values())
        name = self._neurons.point.name
        found = self.model_with_split_points.get_activations(
            items, self.activation_granularity, aggregation=self.aggregation
        )
        counts = torch.bincount(found.sources[name].inputs.long(), minlength=len(items)).tolist()
        return list(torch.split(found[name].double(), counts))

    def _gradients(self, label: int | str, texts: Any) -> tuple[str, Float[Tensor, "n d"]]:
        """The class's name, and for each of its texts the gradient of its score, all rows of the text moved alike."""
        traits = self.model_with_split_points.traits
        number = traits.index_of(label, "classes") if isinstance(label, str) else label
        found = self._neurons.concept_output_gradient(
            texts,
            [number],
            self.activation_granularity,
            aggregation=self.aggregation,
            inference_mode=self.inference_mode,
            batch_size=self.batch_size,
        )
        gradients = torch.stack([one[0].double().sum(dim=0) for one in found])
        if not bool(gradients.any()):
            raise InputError(
                f"split_point: expected rows that the score of class {label!r} depends on, got none; take granularity "
                "'cls_token' or a lower split point"
            )
        return str(traits.names_of(number)), gradients

    def _vector(self, inside: Sequence[Tensor], outside: Sequence[Tensor]) -> tuple[Float[Tensor, " d"], float]:
        """The unit normal between the rows of two lists of texts, and its accuracy on those held out."""
        n_out = min(max(round(self.held_out * len(inside)), 1), len(inside) - 1)
        fit = torch.cat([*inside[n_out:], *outside[n_out:]])
        fit_sides = _sides(inside[n_out:], outside[n_out:])
        normal, place = half_space(fit, fit_sides, CAVKind(self.kind), self.strength, self.seed)
        out = torch.cat([*inside[:n_out], *outside[:n_out]])
        right = (out @ normal > place) == _sides(inside[:n_out], outside[:n_out])
        return normal, float(right.double().mean())

    def _vectors(
        self, own: Sequence[Tensor], pool: Sequence[Tensor], n: int, rng: Generator
    ) -> tuple[Float[Tensor, "p d"], tuple[float, ...]]:
        """A vector for each partition: `n` texts of the concept against `n` of the others."""
        found = [
            self._vector(_drawn(own, n, rng), _drawn(pool, n, rng))  # in a new order even where all are taken
            for _ in range(self.n_partitions)
        ]
        return torch.stack([normal for normal, _ in found]), tuple(accuracy for _, accuracy in found)

    def _random_vectors(self, pool: Sequence[Tensor], n: int) -> Float[Tensor, "p d"]:
        """Vectors of random texts against random texts."""
        rng = Generator().manual_seed(self.seed)
        pairs = [_drawn(pool, 2 * n, rng) for _ in range(self.n_partitions)]
        return torch.stack([self._vector(pair[:n], pair[n:])[0] for pair in pairs])

    def _random_concepts(self, pool: Sequence[Tensor], n: int) -> list[Float[Tensor, "p d"]]:
        """The vectors of random sets of texts, each taken for a concept."""
        rng = Generator().manual_seed(self.seed + 1)
        found = []
        for _ in range(self.n_random_concepts):
            mixed = _drawn(pool, len(pool), rng)
            found.append(self._vectors(mixed[:n], mixed[n:], n, rng)[0])
        return found


def shares_rising(gradients: Float[Tensor, "n d"], vectors: Float[Tensor, "p d"]) -> Float[Tensor, " p"]:
    """For each vector the share of gradients that have a positive product with it.

    >>> shares_rising(torch.tensor([[1.0, 0.0], [-1.0, 3.0]]), torch.tensor([[1.0, 1.0], [1.0, 0.0]]))
    tensor([1.0000, 0.5000], dtype=torch.float64)
    """
    return (gradients @ vectors.T > 0).double().mean(dim=0)


def _drawn(texts: Sequence[Tensor], n: int, rng: Generator) -> list[Tensor]:
    return [texts[k] for k in torch.randperm(len(texts), generator=rng)[:n].tolist()]


def _sides(inside: Sequence[Tensor], outside: Sequence[Tensor]) -> Bool[Tensor, " n"]:
    sizes = [sum(len(rows) for rows in texts) for texts in (inside, outside)]
    return torch.arange(sum(sizes)) < sizes[0]


def _p_value(scores: Float[Tensor, " p"], random: Float[Tensor, " p"], n_tests: int) -> float:
    """Of Welch's two-sided t-test, Bonferroni-corrected; where nothing varies, equal means have 1 and others 0."""
    from scipy.stats import ttest_ind_from_stats

    if not bool(scores.std() > 0) and not bool(random.std() > 0):
        return float(scores[0] == random[0])
    sides = [(float(values.mean()), float(values.std()), len(values)) for values in (scores, random)]
    return min(1.0, float(ttest_ind_from_stats(*sides[0], *sides[1], equal_var=False).pvalue) * n_tests)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
