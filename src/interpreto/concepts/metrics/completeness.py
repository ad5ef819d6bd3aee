"""How much of a classifier's accuracy can be had from the concepts alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, fields, replace
from math import isfinite
from typing import Any, ClassVar, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm.auto import tqdm

from interpreto.concepts.base import ConceptExplainer
from interpreto.concepts.concept_model import ConceptModel
from interpreto.concepts.metrics.passes import check_explainer
from interpreto.concepts.supervised.scores import share_with_error
from interpreto.errors import InputError, ModelError, check_count, warn
from interpreto.model_wrapping import ModelWithSplitPoints
from interpreto.model_wrapping.activations import ActivationGranularity, Aggregation
from interpreto.model_wrapping.explained_text import ExplainedText
from interpreto.model_wrapping.extraction import Extraction
from interpreto.model_wrapping.forward import Forward, untouched_rows
from interpreto.model_wrapping.hooks import untouched, visited
from interpreto.model_wrapping.readers import places_of, shaped
from interpreto.model_wrapping.scorer import Scorer
from interpreto.model_wrapping.split_points import SplitPoint
from interpreto.model_wrapping.targets import class_targets, split_targets
from interpreto.saving import SavedAsJson
from interpreto.text import Element, Sample
from interpreto.types import InferenceMode, Task

FORMAT = 1

_TRIALS = 10  # how often the map is tried while it is learned
_MUCH_AROUND = 0.5

Change = Callable[[Tensor], Tensor]
"""From rows `(g, d)` to those that take their place."""


def completeness(
    right: Bool[Tensor, " n"],
    model_right: Bool[Tensor, " n"],
    guess_right: Bool[Tensor, " n"],
    groups: Int[Tensor, " n"] | None = None,
) -> tuple[float, float]:
    """`eta = (acc - a_rand) / (acc_f - a_rand)`, and its standard error over the texts.

    The error is that of a ratio of two means (delta method): of each text `(a - r) - eta (f - r)`, their standard
    deviation over the root of their number, over `acc_f - a_rand`.

    Args:
        right: Which texts are answered rightly from the concepts.
        model_right: Which the model answers rightly.
        guess_right: Which a guess answers rightly.
        groups: Texts that count as one, equal ones; by default all are different.

    Raises:
        InputError: Fewer than two texts, or a model that is no better than the guess.

    >>> right = torch.tensor([True, True, False, True])
    >>> model, guess = torch.ones(4, dtype=torch.bool), torch.tensor([True, False, False, True])
    >>> eta, error = completeness(right, model, guess)
    >>> print(f"{eta:.2f} +- {error:.2f}")
    0.50 +- 0.41
    """
    a, f, r = right.double(), model_right.double(), guess_right.double()
    gain = float((f - r).mean()) if len(a) else 0.0
    if len(a) < 2 or gain <= 0:
        raise InputError(
            "inputs: expected at least two held-out texts on which the model is better than a guess of the most "
            f"frequent class, got {len(a)}{_compared(f, r) if len(a) else ''}; pass more texts, of several classes"
        )
    eta = float((a - r).mean()) / gain
    rest = (a - r) - eta * (f - r)
    return eta, share_with_error(rest, groups)[1] / gain


def _compared(f: Float[Tensor, " n"], r: Float[Tensor, " n"]) -> str:
    return f" with accuracies of {float(f.mean()):.3f} and {float(r.mean()):.3f}"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CompletenessResult(SavedAsJson):
    """How complete concepts are. Accuracies are shares of the held-out texts, and so is what the error is over.

    Args:
        accuracy: From the concepts, by the map that was chosen.
        accuracy_decode: From the concepts, decoded: without any learning.
        accuracy_model: Of the model itself; 1 where agreement with it is measured.
        accuracy_guess: Of the class that is most frequent in the texts that were learned from.
        accuracy_around: With every row replaced by the mean row: what comes around the concepts.
        std_error: Of `eta`, over the held-out texts; learning the map again with another seed adds to it. 0 where no
            two texts differ, which few texts can do by luck.
        chosen_step: At which step of its training the map was best on texts for validation; 0: decoding was.
        n_training: How many texts the map was learned from.
        n_validation: How many it was chosen on.
        n_held_out: How many the accuracies are of.
        seed: Of everything random.
    """

    saved_as: ClassVar[str] = "a completeness"

    accuracy: float
    accuracy_decode: float
    accuracy_model: float
    accuracy_guess: float
    accuracy_around: float
    std_error: float
    chosen_step: int
    n_training: int
    n_validation: int
    n_held_out: int
    seed: int

    @property
    def eta(self) -> float:
        """Completeness: 1 where the concepts are enough for all that the model knows, 0 where they tell nothing."""
        return self._share(self.accuracy)

    @property
    def eta_decode(self) -> float:
        """The same of decoding."""
        return self._share(self.accuracy_decode)

    @property
    def eta_around(self) -> float:
        """The same without any concept: where it is far above 0, `eta` says little about the concepts."""
        return self._share(self.accuracy_around)

    def _share(self, accuracy: float) -> float:
        return (accuracy - self.accuracy_guess) / (self.accuracy_model - self.accuracy_guess)

    def __str__(self) -> str:
        return (
            f"completeness {self.eta:.3f} +- {self.std_error:.3f} (decoded {self.eta_decode:.3f}, without concepts "
            f"{self.eta_around:.3f}; {self.n_held_out} texts)"
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain values, ready for JSON."""
        return {"kind_of_file": "completeness", "format": FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> CompletenessResult:
        """The inverse of `to_dict`.

        Raises:
            InputError: Not a saved result, or one of another format.
        """
        if (data["kind_of_file"], data["format"]) != ("completeness", FORMAT):
            raise InputError(
                f"file: expected the JSON of a completeness of format {FORMAT}, got {data['kind_of_file']!r:.40} of "
                f"format {data['format']!r:.40}"
            )
        whole = {f.name for f in fields(cls) if f.type == "int"}
        found = cls(**{f.name: _number(data[f.name], whole=f.name in whole) for f in fields(cls)})
        if not found.accuracy_model > found.accuracy_guess:
            raise InputError("file: expected the JSON of a completeness, got a model that is no better than a guess")
        return found


def _number(value: Any, *, whole: bool) -> Any:
    """A whole number, or a share or error.

    Raises:
        ValueError: Neither.
    """
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not isfinite(value) or value < 0:
        raise ValueError(f"{value!r:.40} for a {'whole ' if whole else ''}number that is not below 0")
    return value if whole else float(value)


@final
@dataclass(frozen=True, eq=False)
class Completeness:
    """How far concepts are enough for a classifier: `eta = (sup_g acc(h(g(z))) - a_rand) / (acc_f - a_rand)`.

    Hidden states at the split point are replaced by `g(z)`, made from the codes `z` alone, and the rest of the model
    `h` answers. `acc_f` is the model's own accuracy, and `a_rand` that of guessing the class that is most frequent in
    the texts that were learned from. By default accuracy is agreement with the class that the model predicts (so
    `acc_f` is 1), with `targets` that with given classes. All figures are of texts that were held out.

    `g` is `decode`, and with `trained` a map that starts there and is learned through the frozen `h` by cross-entropy:
    `g(z) = decode(z) + s (W2 ReLU(W1 z' + b1) + b2)`, where `z'` are codes brought to mean 0 and about variance 1 and
    `s` is the spread of the rows. It tells what the codes hold in whatever form, decoding what they hold in the form
    that `h` reads. The map is tried on further texts ten times on the way; only what is more accurate there than
    decoding takes its place. Either is a lower bound of the supremum. Against `LossRecovered`: that one measures
    `decode` alone, in nats, from zero ablation.

    Only the rows of the granularity are replaced; rows of several tokens move them by what they change. What is left of
    the text can tell the class too: the class token beside rows of `"token"`, other tokens beside a row of
    `"cls_token"` before the last block, differences between the tokens of a word. `eta_around` of the result measures
    it, with every row replaced by the mean row, and a warning says where it is large. For `"all_tokens"`, or
    `"cls_token"` after the last block, nothing comes around the concepts.

    Cost: two passes a text, three more for each held-out text, and for a map that is learned `steps x texts_per_step`
    passes forward and back through `h`, and ten for each text for validation.

    Args:
        concept_explainer: Fitted concepts of a split classifier.
        activation_granularity: What one row belongs to; the same as in the fit.
        aggregation: How rows of several tokens become one.
        trained: Whether `g` is learned; otherwise it is `decode`.
        hidden_units: Width of the map's hidden layer.
        steps: Steps of Adam.
        texts_per_step: Texts a step.
        learning_rate: Of the first step; it falls to 0.
        held_out: Share of the texts that accuracies are measured on. Equal texts stay together.
        validation: Share of the texts that the map is chosen on.
        seed: Of the choice of texts, and of the map.
        progress: Whether to show a progress bar.

    Raises:
        InputError: An option out of range.

    Reference: Yeh et al. (2020), On completeness-aware concept-based explanations in deep neural networks, section 3,
    arXiv:1910.07969.
    """

    concept_explainer: ConceptExplainer
    activation_granularity: ActivationGranularity | str = ActivationGranularity.TOKEN
    aggregation: Aggregation | str = Aggregation.MEAN
    _: KW_ONLY
    trained: bool = True
    hidden_units: int = 128
    steps: int = 200
    texts_per_step: int = 32
    learning_rate: float = 1e-3
    held_out: float = 0.4
    validation: float = 0.2
    seed: int = 0
    progress: bool = False

    higher_is_better: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_explainer("concept_explainer", self.concept_explainer)
        for name in ("hidden_units", "steps", "texts_per_step"):
            check_count(name, getattr(self, name), 1)
        check_count("seed", self.seed, 0)
        if not 0 < self.learning_rate < float("inf"):
            raise InputError(f"learning_rate: expected a number above 0, got {self.learning_rate!r}")
        if not (self.held_out > 0 and self.validation > 0 and self.held_out + self.validation < 1):
            raise InputError(
                "held_out, validation: expected shares above 0, together below 1, got "
                f"{self.held_out!r} and {self.validation!r}"
            )

    def __call__(self, inputs: Any, targets: Any = None) -> CompletenessResult:
        """The completeness, its error, and the accuracies that it is made from.

        Args:
            inputs: Texts, as attribution methods take them; some hundreds, for the error falls with their root.
            targets: The true class of each text, as index or label; by default the class that the model predicts.

        Raises:
            InputError: A model that does not predict one class of a text, inputs or targets that cannot be scored, too
                few texts, texts of one class, or a model that is no better than a guess.
            NotFittedError: Nothing was learned yet.
        """
        explainer = self.concept_explainer
        split, n_classes = explainer.split, _class_count(explainer.split)
        model = explainer.concept_model
        samples = split.explained().sources(inputs)
        if not samples:
            raise InputError("inputs: expected at least one text, got none")
        extraction = split.extraction(self.activation_granularity, self.aggregation)
        spliced = _Spliced.of(split, explainer.point, extraction, samples, n_classes)
        own = torch.cat(spliced.scorer.look(spliced.texts)).argmax(dim=1)
        classes = own if targets is None else _given_classes(split, targets, len(samples), n_classes)
        if bool((classes == classes[0]).all()):
            raise InputError(
                "inputs: expected texts of at least two classes, got "
                f"{split.traits.names_of(int(classes[0]))!r} for all {len(classes)}; pass others"
            )
        training, validation, held = _parts(samples, classes, self.held_out, self.validation, self.seed)
        guess = classes[held] == classes[training].mode().values
        model_right = own[held] == classes[held]
        completeness(model_right, model_right, guess)  # refuses what cannot be measured before the long part
        spread = _Spread.of(explainer, spliced, training)

        def right(change: Change) -> Bool[Tensor, " n"]:
            return spliced.logits(held, change).argmax(dim=1) == classes[held]

        decoded = right(lambda rows: model.decode(explainer.encode(rows)))
        around = right(lambda rows: spread.row_mean.to(rows).expand_as(rows))
        found, step = decoded, 0
        if self.trained:
            lesson = _Lesson(explainer, spliced, classes, training, validation)
            chosen, step = self._learned(lesson, _StateMap.begin(model, spread, self.hidden_units, self.seed))
            found = right(lambda rows: chosen(explainer.encode(rows))) if step else decoded
        result = CompletenessResult(
            accuracy=_share(found),
            accuracy_decode=_share(decoded),
            accuracy_model=_share(model_right),
            accuracy_guess=_share(guess),
            accuracy_around=_share(around),
            std_error=completeness(found, model_right, guess, _equal(samples)[held])[1],
            chosen_step=step,
            n_training=len(training),
            n_validation=len(validation),
            n_held_out=len(held),
            seed=self.seed,
        )
        if result.eta_around > _MUCH_AROUND:
            warn(
                f"completeness: without any concept {result.eta_around:.0%} of the accuracy is there, through hidden "
                f"states beside the rows of {extraction.granularity.value!r}, so that the figure says little "
                "about the concepts; fit and measure them for 'all_tokens', or split where all goes through the rows"
            )
        return result

    def _learned(self, lesson: _Lesson, start: _StateMap) -> tuple[_StateMap, int]:
        """The map that is best on texts for validation, and the step it is from; 0 is the start."""
        rng = torch.Generator().manual_seed(self.seed)
        learned = replace(start, weights=tuple(weight.clone().requires_grad_() for weight in start.weights))
        optimizer = torch.optim.Adam(learned.weights, lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=self.steps)
        chosen, at, best = start, 0, (lesson.tried(start)[0], float("inf"))
        every = max(1, self.steps // _TRIALS)
        for step in tqdm(range(1, self.steps + 1), desc="completeness", unit="step", disable=not self.progress):
            some = torch.randperm(len(lesson.training), generator=rng)[: self.texts_per_step]
            for weight, gradient in zip(learned.weights, lesson.gradients(learned, lesson.training[some]), strict=True):
                weight.grad = gradient
            optimizer.step()
            schedule.step()
            if step % every == 0 or step == self.steps:
                frozen = replace(learned, weights=tuple(weight.detach().clone() for weight in learned.weights))
                figure = lesson.tried(frozen)
                if figure > best:
                    chosen, at, best = frozen, step, figure
        return chosen, at


def _share(right: Bool[Tensor, " n"]) -> float:
    return float(right.double().mean())


def _class_count(split: ModelWithSplitPoints) -> int:
    """How many classes there are.

    Raises:
        InputError: The model does not predict one class of a text.
    """
    config, task = split.traits.config, split.task
    kind = getattr(config, "problem_type", None)
    if task is not Task.CLASSIFICATION:
        raise InputError(f"model: expected one that classifies texts, got one for {task.value}; use LossRecovered")
    if kind in ("multi_label_classification", "regression") or config.num_labels < 2:
        raise InputError("model: expected one that predicts one class of a text, got scores of another kind")
    return int(config.num_labels)


def _given_classes(split: ModelWithSplitPoints, targets: Any, n_texts: int, n_classes: int) -> Int[Tensor, " n"]:
    """One class a text.

    Raises:
        InputError: Another number of them, or no classes of the model.
    """
    found = []
    for number, entry in enumerate(split_targets(targets, n_texts)):
        named = class_targets(split.traits, entry, n_classes, f"targets[{number}]")
        if len(named) != 1 or named[0].minus:
            raise InputError(f"targets[{number}]: expected one class, got {entry!r:.60}")
        found.append(named[0].plus[0])
    return torch.tensor(found)


def _equal(samples: Sequence[Sample]) -> Int[Tensor, " n"]:
    """For each text the number of the first one that is equal."""
    first: dict[tuple[int, ...], int] = {}
    return torch.tensor([first.setdefault(tuple(sample.ids), k) for k, sample in enumerate(samples)])


def _parts(
    samples: Sequence[Sample], classes: Int[Tensor, " n"], held_out: float, validation: float, seed: int
) -> tuple[Int[Tensor, " a"], Int[Tensor, " b"], Int[Tensor, " c"]]:
    """Texts to learn from, to choose on and to measure on: the same shares of each class, equal texts together.

    Raises:
        InputError: Too few texts for three parts.
    """
    owner = _equal(samples)
    rng = torch.Generator().manual_seed(seed)
    place = torch.zeros(len(samples), dtype=torch.float64)
    alone = owner == torch.arange(len(samples))
    for number in range(int(classes.max()) + 1):
        own = ((classes == number) & alone).nonzero()[:, 0]
        offset = torch.rand((), generator=rng, dtype=torch.float64)
        place[own[torch.randperm(len(own), generator=rng)]] = (torch.arange(len(own)) + offset) / max(1, len(own))
    place = place[owner]
    held = place < held_out
    between = ~held & (place < held_out + validation)
    parts = tuple(part.nonzero()[:, 0] for part in (~held & ~between, between, held))
    if min(len(part) for part in parts) < 1:
        raise InputError(
            f"inputs: expected texts to learn from, to choose on and to measure on, got {len(samples)} texts, "
            f"{len(set(owner.tolist()))} of them different, too few for three parts; pass more"
        )
    return parts[0], parts[1], parts[2]


@dataclass(frozen=True, eq=False)
class _Spliced:
    """Texts whose rows at the split point others take the place of.

    Args:
        scorer: Asked for logits.
        forward: Run for gradients.
        point: Where the rows are.
        extraction: How rows are made from hidden states.
        texts: One target a class.
        elements: What the rows of each text belong to.
        carried: Of each text `(row, place)` of the hidden states that move with a row.
    """

    scorer: Scorer
    forward: Forward
    point: SplitPoint
    extraction: Extraction
    texts: Sequence[ExplainedText]
    elements: Sequence[tuple[Element, ...]]
    carried: Sequence[Int[Tensor, "2 _"]]

    @classmethod
    def of(
        cls,
        split: ModelWithSplitPoints,
        point: SplitPoint,
        extraction: Extraction,
        samples: Sequence[Sample],
        n_classes: int,
    ) -> _Spliced:
        """Of some texts."""
        scorer = split.scorer(InferenceMode.LOGITS)
        forward = Forward(split.traits, scorer.task, scorer.mode, scorer.filling, scorer.batch_size)
        targets = torch.arange(n_classes).repeat(len(samples), 1)
        texts = split.explained().texts(scorer, samples, targets)
        elements = [extraction.elements(sample, point.in_decoder) for sample in samples]
        carried = []
        for sample, own in zip(samples, elements, strict=True):
            places = extraction.carriers(sample, own, point)
            pairs = [(row, place) for row, some in enumerate(places) for place in some]
            carried.append(torch.tensor(pairs, dtype=torch.long).view(-1, 2).T)
        return cls(scorer, forward, point, extraction, texts, elements, carried)

    def rows(self, number: int, states: Float[Tensor, "l d"]) -> Float[Tensor, "g d"]:
        """The rows of a text."""
        return self.extraction.rows(states, self.texts[number].sample, self.elements[number], self.point).float()

    def moved(self, number: int, states: Float[Tensor, "l d"], change: Float[Tensor, "g d"]) -> Float[Tensor, "l d"]:
        """Hidden states after what is added to the rows of a text was added to their tokens."""
        row, place = self.carried[number].to(states.device)
        return states.float().index_add(0, place, change[row])

    def logits(self, numbers: Int[Tensor, " m"], change: Change) -> Float[Tensor, "m t"]:
        """Logits of the classes of some texts, with other rows in the place of theirs."""
        names = numbers.tolist()

        def edit(k: int, states: Float[Tensor, "l d"]) -> Float[Tensor, "l d"]:
            rows = self.rows(names[k], states)
            return self.moved(names[k], states, change(rows).to(rows) - rows)

        return torch.stack(self.scorer.edited_scores([self.texts[k] for k in names], self.point, edit))


@dataclass(frozen=True, eq=False)
class _Spread:
    """Where the rows and codes of texts lie, and how far they spread.

    Args:
        row_mean: `(d,)`.
        unit: Root of the mean variance of the rows' coordinates.
        code_mean: `(c,)`.
        code_spread: Standard deviations `(c,)`, none far below the others.
    """

    row_mean: Float[Tensor, " d"]
    unit: float
    code_mean: Float[Tensor, " c"]
    code_spread: Float[Tensor, " c"]

    @classmethod
    def of(cls, explainer: ConceptExplainer, spliced: _Spliced, numbers: Int[Tensor, " m"]) -> _Spread:
        """From one pass over some texts; only sums are kept."""
        names, seen = numbers.tolist(), set[int]()
        total: list[Tensor] = []

        def note(k: int, states: Float[Tensor, "l d"]) -> Float[Tensor, "l d"]:
            if k not in seen:  # a batch that did not fit the memory comes twice
                rows = spliced.rows(names[k], states)
                both = [rows.double(), explainer.encode(rows).detach().to(rows.device).double()]
                sums = [torch.tensor(float(len(rows)), dtype=torch.float64, device=rows.device)]
                sums += [moment for x in both for moment in (x.sum(dim=0), x.square().sum(dim=0))]
                total[:] = [old + new for old, new in zip(total, sums, strict=True)] if total else sums
                seen.add(k)
            return states

        spliced.scorer.edited_scores([spliced.texts[k] for k in names], spliced.point, note)
        count, rows, rows_squared, codes, codes_squared = total
        row_mean, code_mean = rows / count, codes / count
        unit = (rows_squared / count - row_mean.square()).clamp(min=0).mean().sqrt()
        spread = (codes_squared / count - code_mean.square()).clamp(min=0).sqrt()
        least = 0.1 * spread.square().mean().sqrt()
        spread = spread.clamp(min=float(least)) if least > 0 else torch.ones_like(spread)
        return cls(row_mean.float(), float(unit) or 1.0, code_mean.float(), spread.float())


@dataclass(frozen=True, eq=False)
class _StateMap:
    """`g(z) = decode(z) + s (W2 ReLU(W1 z' + b1) + b2)`.

    Args:
        model: Decodes.
        spread: What codes are brought to their size by, and the map's answers to that of rows.
        weights: `W1 (u, c)`, `b1 (u,)`, `W2 (d, u)`, `b2 (d,)`.
    """

    model: ConceptModel
    spread: _Spread
    weights: tuple[Tensor, ...]

    @classmethod
    def begin(cls, model: ConceptModel, spread: _Spread, hidden_units: int, seed: int) -> _StateMap:
        """The map that decodes, with random features that are not used yet."""
        rng = torch.Generator().manual_seed(seed)
        c, d = model.nb_concepts, model.width
        weights = (
            torch.randn(hidden_units, c, generator=rng) * (2 / c) ** 0.5,
            torch.randn(hidden_units, generator=rng),
            torch.zeros(d, hidden_units),
            torch.zeros(d),
        )
        device = model.dictionary.device
        moved = replace(spread, code_mean=spread.code_mean.to(device), code_spread=spread.code_spread.to(device))
        return cls(model, moved, tuple(weight.to(device) for weight in weights))

    def __call__(self, codes: Float[Tensor, "n c"]) -> Float[Tensor, "n d"]:
        """Rows that take the place of those with these codes."""
        first, first_bias, second, second_bias = self.weights
        z = (codes.float() - self.spread.code_mean) / self.spread.code_spread
        added = torch.relu(z @ first.T + first_bias) @ second.T + second_bias
        return self.model.decode(codes).float() + self.spread.unit * added


@dataclass(frozen=True, eq=False)
class _Lesson:
    """What a map is learned from and tried on."""

    explainer: ConceptExplainer
    spliced: _Spliced
    classes: Int[Tensor, " n"]
    training: Int[Tensor, " a"]
    validation: Int[Tensor, " b"]

    def tried(self, state_map: _StateMap) -> tuple[float, float]:
        """Accuracy on the texts for validation, and where that is equal how little the cross-entropy is."""
        logits = self.spliced.logits(self.validation, lambda rows: state_map(self.explainer.encode(rows)))
        classes = self.classes[self.validation]
        return _share(logits.argmax(dim=1) == classes), -float(cross_entropy(logits.double(), classes))

    def gradients(self, state_map: _StateMap, numbers: Int[Tensor, " m"]) -> list[Tensor]:
        """Of the mean cross-entropy of some texts, with respect to the map's weights.

        Only the model above the split point is differentiated, and none of its parameters.
        """
        names = numbers.tolist()
        texts = [self.spliced.texts[k] for k in names]
        everything, forward = untouched_rows(texts), self.spliced.forward
        forward.find_out()
        total = [torch.zeros_like(weight) for weight in state_map.weights]

        def run(batch: Sequence[tuple[int, int]]) -> None:
            loss = self._loss(state_map, texts, names, batch)
            if not loss.requires_grad:
                raise ModelError(
                    f"split point {self.spliced.point.name!r}: expected hidden states that the scores are made from, "
                    "these are not; take the block's own output, or another module"
                )
            for sums, gradient in zip(total, torch.autograd.grad(loss, state_map.weights), strict=True):
                sums += gradient / len(names)

        with untouched(forward.traits.model, constant_parameters=True), torch.enable_grad():
            for batch in forward.batches(texts, everything):
                forward.budget.in_halves(batch, run)
        return total

    def _loss(
        self,
        state_map: _StateMap,
        texts: Sequence[ExplainedText],
        names: Sequence[int],
        batch: Sequence[tuple[int, int]],
    ) -> Float[Tensor, ""]:
        """The cross-entropies of a batch, summed."""
        spliced, forward = self.spliced, self.spliced.forward
        batch_rows = forward.rows(texts, untouched_rows(texts), batch)
        lengths = batch_rows.streams[-1 if spliced.point.in_decoder else 0].lengths.tolist()

        def visit(_name: str, hidden: Tensor) -> Tensor:
            states = shaped(hidden, batch_rows, spliced.point).detach()
            with torch.no_grad():
                rows = [spliced.rows(names[k], states[i, : lengths[i]]) for i, (k, _) in enumerate(batch)]
                codes = self.explainer.encode(torch.cat(rows))
            changes = state_map(codes).to(rows[0]) - torch.cat(rows)
            changed = states.clone()
            for i, change in enumerate(torch.split(changes, [len(own) for own in rows])):
                own = states[i, : lengths[i]]
                changed[i, : lengths[i]] = spliced.moved(names[batch[i][0]], own, change).to(changed)
            return changed.reshape(hidden.shape)

        with visited(places_of(forward.traits, [spliced.point]), visit):
            logits = forward.read(batch_rows, [texts[k] for k, _ in batch])
        wanted = self.classes[[names[k] for k, _ in batch]]
        return cross_entropy(logits.float(), wanted.to(logits.device), reduction="sum")
