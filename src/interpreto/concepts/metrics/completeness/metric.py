"""How much of a classifier's accuracy can be had from the concepts alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, ClassVar, final

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from tqdm.auto import tqdm

from interpreto.concepts.base import ConceptExplainer
from interpreto.concepts.metrics.completeness.result import CompletenessResult, completeness, share
from interpreto.concepts.metrics.completeness.spliced import Change, Spliced
from interpreto.concepts.metrics.completeness.state_map import Lesson, Spread, StateMap
from interpreto.concepts.metrics.passes import check_explainer
from interpreto.errors import InputError, check_count, warn
from interpreto.model_wrapping import ModelWithSplitPoints
from interpreto.model_wrapping.activations import ActivationGranularity, Aggregation
from interpreto.model_wrapping.targets import class_targets, split_targets
from interpreto.text import Sample
from interpreto.types import Task

_TRIALS = 10  # how often the map is tried while it is learned
_MUCH_AROUND = 0.5


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
        spliced = Spliced.of(split, explainer.point, extraction, samples, n_classes)
        own = torch.cat(spliced.scorer.look(spliced.texts)).argmax(dim=1)
        classes = own if targets is None else _given_classes(split, targets, len(samples), n_classes)
        if bool((classes == classes[0]).all()):
            raise InputError(
                "inputs: expected texts of at least two classes, got "
                f"{split.traits.names_of(int(classes[0]))!r} for all {len(classes)}; pass others"
            )
        training, validation, held = three_parts(samples, classes, self.held_out, self.validation, self.seed)
        guess = classes[held] == classes[training].mode().values
        model_right = own[held] == classes[held]
        completeness(model_right, model_right, guess)  # refuses what cannot be measured before the long part
        spread = Spread.of(explainer, spliced, training)

        def right(change: Change) -> Bool[Tensor, " n"]:
            return spliced.logits(held, change).argmax(dim=1) == classes[held]

        decoded = right(lambda rows: model.decode(explainer.encode(rows)))
        around = right(lambda rows: spread.row_mean.to(rows).expand_as(rows))
        found, step = decoded, 0
        if self.trained:
            lesson = Lesson(explainer, spliced, classes, training, validation)
            chosen, step = self._learned(lesson, StateMap.begin(model, spread, self.hidden_units, self.seed))
            found = right(lambda rows: chosen(explainer.encode(rows))) if step else decoded
        result = CompletenessResult(
            accuracy=share(found),
            accuracy_decode=share(decoded),
            accuracy_model=share(model_right),
            accuracy_guess=share(guess),
            accuracy_around=share(around),
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

    def _learned(self, lesson: Lesson, start: StateMap) -> tuple[StateMap, int]:
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


def three_parts(
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
