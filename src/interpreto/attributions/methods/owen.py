"""Owen values."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from interpreto.attributions.certainty import mean_errors
from interpreto.attributions.methods.hierarchy import Group, chains, hierarchy, n_coalitions, owen_shares
from interpreto.attributions.perturbation import Design, PerturbationExplainer
from interpreto.errors import check_count
from interpreto.model_wrapping import ExplainedText
from interpreto.types import Granularity


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Owen(PerturbationExplainer):
    """Shapley values that respect the text: words of a sentence come together, and tokens of a word.

    `phi_i` is the mean of what element i adds to the score when it comes, over all orders in which the elements can
    come one after another so that the members of each group follow each other: those of a text (premise and hypothesis,
    messages of a chat, prompt and answer), in it those of a sentence, in it those of a word, as far as these are
    coarser than the granularity. The values add up to `f(all) - f(none)`, those of a sentence to the sentence's own
    value among the sentences, and so on at each level. Where nothing interacts they are the Shapley values.

    `KernelShap` asks about arbitrary sets of words, most of them broken sentences everywhere; here all sentences but
    one are whole or gone. Fewer coalitions are possible, which are all run where they fit the budget: the values are
    then exact, with standard errors of 0. Otherwise random orders are drawn, each with its reverse, and standard errors
    are those of the mean over such pairs. The result's settings say which, as `exact`.

    Cost: n_perturbations forward passes, fewer where all coalitions are fewer.

    Args:
        n_perturbations: The budget; by default 16 an element and at least 256. At least one pair of orders is run.

    References:
        Owen (1977), Values of games with a priori unions, doi:10.1007/978-3-642-45494-3_7. Several levels: Winter
        (1989), A value for cooperative games with levels structure of cooperation, doi:10.1007/BF01268161. Orders:
        Castro, Gomez and Tejada (2009), Polynomial calculation of the Shapley value based on sampling,
        doi:10.1016/j.cor.2008.04.004.
    """

    n_perturbations: int | None = None

    is_additive: ClassVar[bool] = True
    is_ordered: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_perturbations is not None:
            check_count("n_perturbations", self.n_perturbations, 2)

    def masks(self, n_elements: int, rng: Generator) -> Bool[Tensor, "p g"]:
        """Random orders of elements that hang on no tree."""
        return self._drawn(Group(tuple(range(n_elements))), rng)

    def aggregate(self, keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"]) -> Float[Tensor, "t _"]:
        """The mean of what each element adds when it comes."""
        return _added(keep, scores).mean(dim=0).T

    def std_errors(self, keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"]) -> Float[Tensor, "t _"]:
        """Those of the mean over pairs of an order and its reverse; infinite for a single pair."""
        added = _added(keep, scores)
        return mean_errors((added[::2] + added[1::2]) / 2).T

    def _design(self, text: ExplainedText) -> Design:
        g, rng = len(text.elements), self._generator()
        ends = torch.tensor([[True], [False]]).expand(-1, g)
        tree = Group(tuple(range(g)))
        if text.elements_are_text:
            tree = hierarchy(text.sample, text.elements, Granularity(self.granularity))
        if n_coalitions(tree) <= self._budget(g):
            keep, shares = owen_shares(tree)
            design: Design = _ExactDesign(text, ends, keep, rng, shares)
        else:
            design = Design(text, ends, self._drawn(tree, rng), rng)
        design.notes = {"exact": isinstance(design, _ExactDesign)}
        return design

    def _estimate(self, design: Design) -> tuple[Float[Tensor, "t g"], Float[Tensor, "t g"] | None]:
        if not isinstance(design, _ExactDesign):
            return super()._estimate(design)
        scores = (design.shares @ design.scores.double()).T
        return scores, torch.zeros_like(scores)

    def _budget(self, g: int) -> int:
        return self.n_perturbations or max(256, 16 * g)

    def _drawn(self, tree: Group, rng: Generator) -> Bool[Tensor, "p g"]:
        g = len(tree.elements)
        return chains(tree, max(1, (self._budget(g) - 2) // max(2 * (g - 1), 1)), rng)


class _ExactDesign(Design):
    """All coalitions that the values are made of.

    Args:
        text: The text.
        ends: All, and none.
        keep: The coalitions.
        rng: Random numbers, of which none are needed.
        shares: What multiplies the scores of the coalitions.
    """

    def __init__(
        self,
        text: ExplainedText,
        ends: Bool[Tensor, "e g"],
        keep: Bool[Tensor, "p g"],
        rng: Generator,
        shares: Float[Tensor, "g p"],
    ) -> None:
        super().__init__(text, ends, keep, rng)
        self.shares = shares


def _added(keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"]) -> Float[Tensor, "o g t"]:
    """What each element adds to the scores when it comes, in each order."""
    g = keep.shape[1]
    rows, values = keep.view(-1, g + 1, g), scores.double().view(-1, g + 1, scores.shape[1])
    steps = values[:, 1:] - values[:, :-1]
    comes = (rows[:, 1:] ^ rows[:, :-1]).byte().argmax(dim=2)
    return torch.zeros_like(steps).scatter(1, comes[:, :, None].expand_as(steps), steps)
