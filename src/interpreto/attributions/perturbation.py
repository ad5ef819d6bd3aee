"""Methods that keep and remove elements, and look at what happens to the target scores."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from interpreto.attributions.base import AttributionExplainer
from interpreto.attributions.certainty import tells_apart
from interpreto.attributions.result import Attribution
from interpreto.errors import warn
from interpreto.model_wrapping import Engine, ExplainedText, Scorer
from interpreto.types import Removal


class Design:
    """The perturbations of one text, and what the model said to them; each distinct one is asked for once.

    Args:
        text: The text.
        ends: Keep-vectors that are looked at besides: all, and none.
        keep: Which elements each perturbation keeps.
        rng: Random numbers of this text's own, for what is drawn later.
    """

    def __init__(
        self, text: ExplainedText, ends: Bool[Tensor, "e g"], keep: Bool[Tensor, "p g"], rng: Generator
    ) -> None:
        self.text: ExplainedText = text
        self.rng: Generator = rng
        self.notes: dict[str, Any] = {}
        self.missing: float = 0.0
        self._n_ends = len(ends)
        self._rows = torch.cat([ends, keep])
        self._known: dict[bytes, int] = {}
        self._place: list[int] = []
        self._answers = torch.empty(0, len(text.readout.targets))
        self._settled = 0

    @property
    def keep(self) -> Bool[Tensor, "p g"]:
        """The perturbations."""
        return self._rows[self._n_ends :]

    @property
    def scores(self) -> Float[Tensor, "p t"]:
        """The target scores of the perturbations."""
        return self._answers[self._place[self._n_ends :]]

    @property
    def ends(self) -> Float[Tensor, "e t"]:
        """The target scores of the ends."""
        return self._answers[self._place[: self._n_ends]]

    def grow(self, keep: Bool[Tensor, "q g"]) -> None:
        """Take further perturbations in."""
        self._rows = torch.cat([self._rows, keep])

    def unknown(self) -> Bool[Tensor, "u g"]:
        """The distinct rows that were not asked for so far, and now are."""
        new = []
        for k, row in enumerate(self._rows[len(self._place) :].numpy(), start=len(self._place)):
            key = row.tobytes()
            if key not in self._known:
                self._known[key] = len(self._known)
                new.append(k)
            self._place.append(self._known[key])
        return self._rows[new]

    def add(self, scores: Float[Tensor, "u t"]) -> None:
        """The target scores of the rows that were asked for last."""
        self._answers = torch.cat([self._answers, scores])
        self._settled = len(self._rows)

    def settle(self) -> bool:
        """Forget what was asked for and not answered; whether anything is left."""
        self._rows, self._place = self._rows[: self._settled], self._place[: self._settled]
        return self._settled > 0


@dataclass(frozen=True, eq=False)
class PerturbationExplainer(AttributionExplainer):
    """Keeps and removes elements and looks at what happens to the target scores.

    Args:
        removal: How a removed element looks: `"mask"` (the tokenizer's mask token), `"attention"` (hidden from
            attention, positions kept), `"delete"` (gone, the text is shorter), or the text of a token that takes its
            place. Default: mask where the tokenizer has a mask token, else attention.
    """

    _: KW_ONLY
    removal: Removal | str | None = None

    is_additive: ClassVar[bool] = False
    """Whether the scores add up to `f(all) - f(none)`, so that the gap is reported."""
    is_solved: ClassVar[bool] = False
    """Whether the scores solve equations, one a perturbation, so that there is a warning where those are too few."""
    is_ordered: ClassVar[bool] = False
    """Whether the scores are made by the order of the perturbations, which then keep the columns of all elements."""

    @abstractmethod
    def masks(self, n_elements: int, rng: Generator) -> Bool[Tensor, "p g"]:
        """Which elements each perturbation keeps."""

    @abstractmethod
    def aggregate(self, keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"]) -> Float[Tensor, "t _"]:
        """Scores of the elements from the target scores of the perturbations.

        Generation: an output token sees only what is before it. `keep` then holds the columns of what the targets
        see, which are the first ones; columns of the answer beyond those of `keep` are ignored.
        """

    def std_errors(self, keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"]) -> Float[Tensor, "t _"] | None:
        """How far the scores that `aggregate` makes of the same may be off by chance; `None` where nothing is drawn."""
        return None

    def _attribute(self, scorer: Scorer, texts: Sequence[ExplainedText]) -> Iterator[tuple[int, Attribution]]:
        designs = [self._design(text) for text in texts]
        if self.is_solved:
            self._warn_of_few(texts, [design.keep for design in designs])
        going = designs
        try:
            while going:
                self._ask(scorer, going)
                going = [design for design in going if self._goes_on(design)]
            self._finish(designs)
        finally:
            yield from ((k, self._explained(scorer, design)) for k, design in enumerate(designs) if design.settle())

    def _ask(self, scorer: Scorer, designs: Sequence[Design]) -> None:
        """Ask the model for what the designs do not know yet."""
        asked = [(design, design.unknown()) for design in designs]
        finished: dict[int, Tensor] = {}
        try:
            scorer.scores([design.text for design, _ in asked], [rows for _, rows in asked], finished)
        finally:
            for k, scores in finished.items():
                asked[k][0].add(scores)

    def _design(self, text: ExplainedText) -> Design:
        g, rng = len(text.elements), self._generator()
        ends = torch.tensor([[True], [False]]).expand(-1, g)[: 1 + self.is_additive]
        return Design(text, ends, self.masks(g, rng), rng)

    def _goes_on(self, design: Design) -> bool:
        """Whether a design was made larger, so that its new perturbations are to be run."""
        return False

    def _finish(self, designs: Sequence[Design]) -> None:
        """Say what there is to say about all texts."""

    def _explained(self, scorer: Scorer, design: Design) -> Attribution:
        """The result of one text, from its scores."""
        scores, errors = self._estimate(design)
        baseline = design.ends[1] if self.is_additive else None
        return self._result(scorer, design.text, scores, design.ends[0], baseline, errors, design.notes)

    def _estimate(self, design: Design) -> tuple[Float[Tensor, "t g"], Float[Tensor, "t g"] | None]:
        """Scores, and standard errors where there are any; NaN where an element is not seen."""
        visible, answers = design.text.visible, design.scores
        scores = torch.full(visible.shape, float("nan"))
        errors: Tensor | None = None
        seen = visible.sum(dim=1)
        for count in sorted(set(seen.tolist()) - {0}):
            rows = (seen == count).nonzero()[:, 0]
            keep = design.keep if self.is_ordered else design.keep[:, :count]
            scores[rows, :count] = self.aggregate(keep, answers[:, rows])[:, :count].float()
            own = self.std_errors(keep, answers[:, rows])
            if own is not None:
                errors = torch.full(visible.shape, float("nan")) if errors is None else errors
                errors[rows, :count] = own[:, :count].float()
        return scores, errors

    def _warn_of_few(self, texts: Sequence[ExplainedText], designs: Sequence[Bool[Tensor, "_ _"]]) -> None:
        """One warning for all texts whose elements the perturbations do not tell apart."""
        short = [k for k, keep in enumerate(designs) if not tells_apart(keep)]
        if short:
            k = max(short, key=lambda k: len(texts[k].elements))
            g = len(texts[k].elements)
            others = f", and those of {len(short) - 1} more texts," if len(short) > 1 else ""
            warn(
                f"{type(self).__name__}: {len(designs[k])} perturbations do not tell the {g} elements of "
                f"{texts[k].where}{others} apart, which share what is left open; pass n_perturbations={max(16, 4 * g)} "
                "or more, or a coarser granularity"
            )

    def _engine(self, removal: Removal | str | None = None) -> Engine:
        return super()._engine(self.removal)
