"""The map from concepts to hidden states that is learned through the rest of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from interpreto.concepts.base import ConceptExplainer
from interpreto.concepts.concept_model import ConceptModel
from interpreto.concepts.metrics.completeness.result import share
from interpreto.concepts.metrics.completeness.spliced import Spliced
from interpreto.errors import ModelError
from interpreto.model_wrapping.explained_text import ExplainedText
from interpreto.model_wrapping.forward import untouched_rows
from interpreto.model_wrapping.hooks import untouched, visited
from interpreto.model_wrapping.lost_gradients import refuse_lost_gradients
from interpreto.model_wrapping.readers import places_of, shaped


@dataclass(frozen=True, eq=False)
class Spread:
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
    def of(cls, explainer: ConceptExplainer, spliced: Spliced, numbers: Int[Tensor, " m"]) -> Spread:
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
class StateMap:
    """`g(z) = decode(z) + s (W2 ReLU(W1 z' + b1) + b2)`.

    Args:
        model: Decodes.
        spread: What codes are brought to their size by, and the map's answers to that of rows.
        weights: `W1 (u, c)`, `b1 (u,)`, `W2 (d, u)`, `b2 (d,)`.
    """

    model: ConceptModel
    spread: Spread
    weights: tuple[Tensor, ...]

    @classmethod
    def begin(cls, model: ConceptModel, spread: Spread, hidden_units: int, seed: int) -> StateMap:
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
class Lesson:
    """What a map is learned from and tried on."""

    explainer: ConceptExplainer
    spliced: Spliced
    classes: Int[Tensor, " n"]
    training: Int[Tensor, " a"]
    validation: Int[Tensor, " b"]

    def tried(self, state_map: StateMap) -> tuple[float, float]:
        """Accuracy on the texts for validation, and where that is equal how little the cross-entropy is."""
        logits = self.spliced.logits(self.validation, lambda rows: state_map(self.explainer.encode(rows)))
        classes = self.classes[self.validation]
        return share(logits.argmax(dim=1) == classes), -float(cross_entropy(logits.double(), classes))

    def gradients(self, state_map: StateMap, numbers: Int[Tensor, " m"]) -> list[Tensor]:
        """Of the mean cross-entropy of some texts, with respect to the map's weights.

        Only the model above the split point is differentiated, and none of its parameters.
        """
        names = numbers.tolist()
        texts = [self.spliced.texts[k] for k in names]
        everything, forward = untouched_rows(texts), self.spliced.forward
        forward.find_out()
        refuse_lost_gradients(forward, texts[0], self.spliced.point)
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
        state_map: StateMap,
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
