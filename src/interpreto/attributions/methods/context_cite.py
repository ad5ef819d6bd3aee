"""ContextCite."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from interpreto.attributions.methods.lasso import foretold, lasso
from interpreto.attributions.perturbation import Design, PerturbationExplainer
from interpreto.attributions.result import Attribution
from interpreto.errors import InputError, check_count
from interpreto.model_wrapping import ExplainedText, Scorer
from interpreto.types import Granularity, InferenceMode, Task

_SUREST = 1e-6  # how far from 1 a probability is at least; float32 log-probabilities tell no less
_PARTS = 8  # of the ablations, each foretold from the others


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class ContextCite(PerturbationExplainer):
    """Weights of a sparse linear model of the answer's log-odds: which parts of a long context the answer rests on.

    Minimises `|f - b - Z phi|^2 / 2p + penalty std(f) sum_i std(z_i) |phi_i|` over random keep-vectors `z`, in which a
    coin of its own keeps each element, with `f = log(P / (1 - P))` and `P` the probability of the whole target. Most
    answers rest on few of the sentences that are there; the penalty sets the weights of the others to 0, so that a
    fixed number of ablations serves hundreds of elements. It also takes about `penalty std(f)` standard deviations of
    the score from the weights that are left. The paper's penalty is 0.01 in units of log-odds a token; ours is relative
    to the spread of the score, so that it means the same in every mode and for every length.

    The result's settings hold `linear_datamodeling_scores`, one a target: Spearman's correlation of the scores under
    ablations with what a surrogate foretells that was fitted to other ablations (8 parts are left out in turn). Near 1
    the surrogate can be trusted, near 0 it cannot; `None` where the score never changes. There are no standard errors,
    which for weights that are set to 0 would not be honest.

    With `inference_mode` `"softmax"` or `"logits"` that score is fitted itself, without odds. A contrast of
    log-probabilities is fitted itself too: it is the log-odds of one answer rather than the other. Odds of more than a
    million to one count as a million to one.

    Cost: n_perturbations + 1 forward passes, whatever the number of elements.

    Args:
        n_perturbations: Random ablations, 32 and 64 in the paper. The more elements matter, the more are needed.
        penalty: Strength of the penalty, relative to the spread of the score over the ablations. On the texts of the
            demo 0.03 to 0.1 foretell best.
        keep_probability: Probability that an ablation keeps an element.
        granularity: Sentences by default. Documents are best given as `Segments`.
        output_granularity: The whole answer by default. Each sentence or token of it may be explained by itself, and
            then rests on earlier parts of the answer too.
        inference_mode: Log-odds by default.

    References:
        Cohen-Wang, Shah, Georgiev and Madry (2024), ContextCite: attributing model generation to context, sections 2 to
        4, arXiv:2409.00729. Linear datamodeling score: Park et al. (2023), TRAK, section 2, arXiv:2303.14186.
    """

    n_perturbations: int = 64
    penalty: float = 0.05
    keep_probability: float = 0.5
    granularity: Granularity | str = Granularity.SENTENCE
    output_granularity: Granularity | str = Granularity.TEXT
    inference_mode: InferenceMode | str = InferenceMode.LOG_SOFTMAX

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("n_perturbations", self.n_perturbations, 2)
        if not self.penalty > 0:
            raise InputError(f"penalty: expected above 0, got {self.penalty}")
        if not 0 < self.keep_probability < 1:
            raise InputError(f"keep_probability: expected between 0 and 1, got {self.keep_probability}")

    def masks(self, n_elements: int, rng: Generator) -> Bool[Tensor, "p g"]:
        """Each element kept or removed by a coin of its own."""
        return torch.rand(self.n_perturbations, n_elements, generator=rng) < self.keep_probability

    def aggregate(self, keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"]) -> Float[Tensor, "t _"]:
        """The weights of the sparse linear model."""
        return lasso(keep, scores, self.penalty)

    def _design(self, text: ExplainedText) -> Design:
        g, rng = len(text.elements), self._generator()
        kind = _OddsDesign if self.inference_mode is InferenceMode.LOG_SOFTMAX else Design
        return kind(text, torch.ones(1, g, dtype=torch.bool), self.masks(g, rng), rng)

    def _explained(self, scorer: Scorer, design: Design) -> Attribution:
        seen = design.text.visible.sum(dim=1)
        found: list[float | None] = [None] * len(seen)
        for count in sorted(set(seen.tolist()) - {0}):
            rows = (seen == count).nonzero()[:, 0]
            own = foretold(design.keep[:, :count], design.scores[:, rows], self.penalty, _PARTS)
            for t, correlation in zip(rows.tolist(), own, strict=True):
                found[t] = correlation
        design.notes = {"linear_datamodeling_scores": found}
        return super()._explained(scorer, design)

    def _warn_of_options(self, task: Task) -> None:
        """The whole answer is the default here, and nothing to tell of where there is none."""
        if self.generation:
            super()._warn_of_options(task)


class _OddsDesign(Design):
    """A design whose scores are the log-odds of its targets."""

    @property
    def scores(self) -> Float[Tensor, "p t"]:
        """From log-probabilities; contrasts are log-odds already."""
        given = super().scores
        contrasts = torch.tensor([bool(target.minus) for target in self.text.readout.targets])
        return torch.where(contrasts, given, log_odds(given))


def log_odds(log_probabilities: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """`log(P / (1 - P))` from `log P`, at most that of `1 - 1e-6`.

    >>> log_odds(torch.tensor([0.25, 0.75, 1.0]).log().double()).round(decimals=3).tolist()
    [-1.099, 1.099, 13.816]
    """
    given = log_probabilities.double()
    odds: Tensor = given - (-torch.expm1(given)).clamp(min=_SUREST).log()
    return odds.to(log_probabilities)
