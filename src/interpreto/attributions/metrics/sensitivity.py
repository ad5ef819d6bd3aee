"""Sensitivity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from interpreto.attributions.base import AttributionExplainer
from interpreto.attributions.metrics.measurement import Measurement, explained_again, scorer_of
from interpreto.attributions.result import Attribution
from interpreto.errors import InputError, check_count
from interpreto.model_wrapping import ExplainedFunction
from interpreto.model_wrapping.moved_embeddings import moved_embeddings, moves, spread_of_embeddings


@final
@dataclass(frozen=True, eq=False)
class SensitivityMax:
    """How far an explanation moves when the embeddings of the text are moved a little; lower is steadier.

    `max_e |phi(x + e) - phi(x)| / |phi(x)|` with L2 norms over the elements, where each number of `e` is at most
    `radius` standard deviations of the model's embeddings. Words have no neighbours at a small distance, embeddings do:
    the embedding of every token of the text is moved (equal tokens alike, special tokens not at all) wherever the model
    looks it up, so that methods of any kind can be asked. The readout stays, and so do the method's own random numbers:
    what changes is due to the move. The largest of `n_draws` random moves is a lower bound of the maximum, and grows
    with their number. The paper does not divide by the size of the explanation, without which methods of different
    units cannot be compared; scores that are all 0 are not divided.

    A low figure alone says little: an explanation that ignores the model is the steadiest of all.

    Cost: n_draws explanations.

    Args:
        explainer: What made the explanations, with all its options.
        radius: The largest move of each number of an embedding, in standard deviations of the embeddings' values.
        n_draws: Random moves.
        seed: Seed of the moves.

    Reference: Yeh et al. (2019), On the (in)fidelity and sensitivity of explanations, section 3, arXiv:1901.09392.
    """

    explainer: AttributionExplainer
    _: KW_ONLY
    radius: float = 0.1
    n_draws: int = 10
    seed: int = 0

    higher_is_better: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not isinstance(self.explainer, AttributionExplainer):
            raise InputError(
                "explainer: expected what makes the explanations, such as Occlusion(model, tokenizer), got "
                f"{type(self.explainer).__name__}"
            )
        if not self.radius > 0:
            raise InputError(f"radius: expected above 0, got {self.radius}")
        check_count("n_draws", self.n_draws, 1)
        check_count("seed", self.seed, 0)

    def __call__(self, attributions: Attribution | Sequence[Attribution]) -> Measurement:
        """Evaluate explanations that the explainer made.

        Raises:
            InputError: No explanations, explanations of different tasks, of another model, or of another method.
        """
        traits, name = self.explainer.traits, type(self.explainer).__name__
        task, given, texts = explained_again(self.explainer.model, traits, attributions)
        for k, attribution in enumerate(given):
            if attribution.method != name:
                raise InputError(
                    f"attributions[{k}]: expected an explanation of {name}, got one of {attribution.method}"
                )
        special = set(traits.tokenizer.all_special_ids)
        ids = sorted({i for text in texts for i in text.sample.ids} - special)
        spread, width = spread_of_embeddings(traits)
        rng = Generator().manual_seed(self.seed)
        largest = [torch.zeros(len(attribution.targets)) for attribution in given]
        for _ in range(self.n_draws if ids else 0):
            moved = moves(ids, width, self.radius * spread, int(torch.randint(2**62, (), generator=rng)))
            with moved_embeddings(traits.embeddings, torch.tensor(ids), moved):
                scorer = scorer_of(self.explainer.model, traits, task, self.explainer._engine())
                if isinstance(self.explainer.model, ExplainedFunction):  # what it keeps of texts has moved, too
                    texts = self.explainer.model.again(scorer, texts)
                found = dict(self.explainer._attribute(scorer, texts))
            for k, attribution in enumerate(given):
                largest[k] = torch.maximum(largest[k], distance(found[k].scores, attribution.scores))
        return Measurement(type(self).__name__, self.higher_is_better, tuple(largest))


def distance(scores: Float[Tensor, "t g"], reference: Float[Tensor, "t g"]) -> Float[Tensor, " t"]:
    """L2 norm of the difference over the elements that are seen, divided by that of the reference unless it is 0.

    >>> distance(torch.tensor([[3.0, 5.0], [1.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [0.20000000298023224, 1.0]
    """
    size = reference.nan_to_num().norm(dim=1)
    moved: Tensor = (scores - reference).nan_to_num().norm(dim=1)
    return moved / torch.where(size > 0, size, 1.0)
