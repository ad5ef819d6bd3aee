"""Infidelity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import ClassVar, final

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor
from transformers import PreTrainedTokenizerBase

from interpreto.attributions.certainty import mean_errors
from interpreto.attributions.metrics.measurement import Measurement, explained_again, scorer_of
from interpreto.attributions.result import Attribution
from interpreto.errors import InputError, check_count
from interpreto.model_wrapping import (
    Engine,
    Explainable,
    ExplainedText,
    Traits,
    as_explained,
    traits_of,
)
from interpreto.types import Removal, Task


@final
@dataclass(frozen=True, eq=False)
class Infidelity:
    """How far scores are from what the model's score really loses when elements are removed; lower is more faithful.

    `E[(I . phi - (f(x) - f(x without I)))^2]` over random sets `I` of removed elements: a number of them, each number
    from one to all as likely, then which ones. Elements that are written after a target are never removed for it, and
    neither is the target itself. The figure has the square of the score's unit; beside it stands that of scores that
    are all 0, which is the mean square of what the model's score loses. Only methods whose scores are parts of the
    model's score (`Occlusion`, `KernelShap`, `IntegratedGradients`, ...) can be compared as they are; with `normalize`
    others can be, too.

    Cost: n_perturbations + 1 forward passes a text; in generation n_perturbations for each target.

    Args:
        model: The explained model, or what else was explained: fitted concepts, or a function such as
            `ConceptsToOutput`.
        tokenizer: Its tokenizer; pipelines, custom models and concepts know it already.
        removal: How a removed element looks, see `PerturbationExplainer`; by default as in the explanation, or the
            default for the tokenizer where the method removes nothing.
        n_perturbations: Random sets; standard errors are over these.
        normalize: Whether scores are first multiplied by the number that fits best, one a target, so that their unit
            and sign do not matter.
        batch_size: Rows a forward pass; changes nothing but speed.
        seed: Seed of the random sets.

    Reference: Yeh et al. (2019), On the (in)fidelity and sensitivity of explanations, section 2, arXiv:1901.09392.
    """

    model: Explainable
    tokenizer: PreTrainedTokenizerBase | None = None
    _: KW_ONLY
    removal: Removal | str | None = None
    n_perturbations: int = 100
    normalize: bool = False
    batch_size: int | None = None
    seed: int = 0

    higher_is_better: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_count("n_perturbations", self.n_perturbations, 1)
        check_count("seed", self.seed, 0)
        if self.batch_size is not None:
            check_count("batch_size", self.batch_size, 1)
        for name, value in zip(("model", "tokenizer"), as_explained(self.model, self.tokenizer), strict=True):
            object.__setattr__(self, name, value)

    def __call__(self, attributions: Attribution | Sequence[Attribution]) -> Measurement:
        """Evaluate explanations, of any method and of any task, fresh or loaded from files.

        Raises:
            InputError: No explanations, explanations of different tasks, or of another model.
        """
        task, given, texts = explained_again(self.model, self._traits, attributions)
        for text in texts:
            if not bool(text.visible.any(dim=1).all()):
                raise InputError(f"{text.where}: expected at least one element that each target sees, got none")
        designs = [self._design(text) for text in texts]
        figures = []
        for attribution, text, keep, values in zip(
            given, texts, designs, self._values(task, given, texts, designs), strict=True
        ):
            figures.append([self._figure(attribution, text, keep, values, t) for t in range(len(attribution.targets))])
        scores, errors, nothing = (
            tuple(torch.stack([own[k] for own in of_text]).float() for of_text in figures) for k in range(3)
        )
        return Measurement(type(self).__name__, self.higher_is_better, scores, errors, nothing)

    def _design(self, text: ExplainedText) -> Bool[Tensor, "p g"]:
        """The untouched text, then the random sets of what each number of seen elements makes possible."""
        rows = [torch.ones(1, len(text.elements), dtype=torch.bool)]
        for count in _counts(text):
            keep = torch.ones(self.n_perturbations, len(text.elements), dtype=torch.bool)
            keep[:, :count] = ~random_sets(count, self.n_perturbations, Generator().manual_seed(self.seed))
            rows.append(keep)
        return torch.cat(rows)

    def _figure(
        self,
        attribution: Attribution,
        text: ExplainedText,
        keep: Bool[Tensor, "p g"],
        values: Float[Tensor, "p t"],
        target: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The figure of one target, its standard error, and the figure of saying nothing."""
        start = 1 + self.n_perturbations * _counts(text).index(int(text.visible[target].sum()))
        own = slice(start, start + self.n_perturbations)
        lost = (values[0, target] - values[own, target]).double()
        said = (~keep[own]).double() @ attribution.scores[target].nan_to_num().double()
        if self.normalize:
            said = said * (said @ lost) / (said @ said).clamp(min=torch.finfo(torch.float64).tiny)
        squares = (said - lost).square()
        return squares.mean(), mean_errors(squares), lost.square().mean()

    def _values(
        self,
        task: Task,
        attributions: Sequence[Attribution],
        texts: Sequence[ExplainedText],
        keeps: Sequence[Bool[Tensor, "_ _"]],
    ) -> list[Float[Tensor, "_ _"]]:
        """Target scores in the space of each explanation, with elements removed as in it, or as the user says."""
        kinds = [(self.removal or a.settings.get("removal"), a.inference_mode) for a in attributions]
        found: dict[int, Tensor] = {}
        for removal, mode in dict.fromkeys(kinds):
            scorer = scorer_of(self.model, self._traits, task, Engine(mode, removal, self.batch_size))
            own = [k for k, kind in enumerate(kinds) if kind == (removal, mode)]
            scores = scorer.scores([texts[k] for k in own], [keeps[k] for k in own])
            found.update(zip(own, scores, strict=True))
        return [found[k] for k in range(len(texts))]

    @cached_property
    def _traits(self) -> Traits:
        return traits_of(self.model, self.tokenizer)


def _counts(text: ExplainedText) -> list[int]:
    """How many elements targets see, each number once; these are always the first ones."""
    return sorted(set(text.visible.sum(dim=1).tolist()))


def random_sets(n_elements: int, count: int, rng: Generator) -> Bool[Tensor, "p g"]:
    """Sets of one element to all of them, each number as likely, and each set of a number as likely."""
    sizes = torch.randint(1, n_elements + 1, (count, 1), generator=rng)
    return torch.rand(count, n_elements, generator=rng).argsort(dim=1).argsort(dim=1) < sizes
