"""Gradients of texts that run side by side with their baselines: multipliers, by secants in place of derivatives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.model_wrapping.attention_maps import eager_attention
from interpreto.model_wrapping.explained_text import ExplainedText
from interpreto.model_wrapping.forward import Forward
from interpreto.model_wrapping.gradients import Gradients, Moments, Path
from interpreto.model_wrapping.rows import Rows
from interpreto.model_wrapping.scorer import Scorer
from interpreto.model_wrapping.secants import SecantRules, paired
from interpreto.types import InferenceMode


@dataclass(frozen=True, eq=False)
class PairedForward(Forward):
    """Forward passes whose probabilities are made from all logits, operation by operation."""

    @cached_property
    def _answers_by_columns(self) -> bool:
        return self.mode is InferenceMode.LOGITS and super()._answers_by_columns


@dataclass(frozen=True, eq=False)
class PairedGradients(Gradients):
    """Multipliers in the place of gradients: at each point of a path those between it and the baseline.

    A point and its baseline enter the model as one, beside each other in a row of double width.
    """

    def moments(
        self,
        texts: Sequence[ExplainedText],
        embeddings: Sequence[Float[Tensor, "_ _"]],
        baselines: Sequence[Float[Tensor, "_ _"]],
        paths: Sequence[Path],
        *,
        gradients: bool = True,
        parts: Sequence[int] = (),
    ) -> Iterator[tuple[int, Moments]]:
        """Averages of each text's multipliers over the points of its path."""
        doubles, nothing = ([_doubled(x) for x in ends] for ends in (embeddings, baselines))
        beside = [partial(_beside, path) for path in paths]
        for k, found in super().moments(texts, doubles, nothing, beside, gradients=gradients, parts=parts):
            yield k, _narrowed(found, embeddings[k].shape[1])

    def _add_points(self, *args: Any) -> None:
        with self._rules:
            super()._add_points(*args)

    @contextmanager
    def _entering(
        self, texts: Sequence[ExplainedText], rows: Rows, streams: Sequence[Float[Tensor, "b _ d"]]
    ) -> Iterator[None]:
        points = [paired(*stream.chunk(2, dim=2)) for stream in streams]
        with super()._entering(texts, rows, points):
            self._rules.enter_context(eager_attention(self.forward.traits.base))
            self._rules.enter_context(SecantRules())
            yield

    def _gradients_of(
        self, rows: Rows, scores: Sequence[Tensor], streams: Sequence[Tensor]
    ) -> Iterator[list[Tensor | None]]:
        self._rules.close()
        yield from super()._gradients_of(rows, scores, streams)

    @cached_property
    def _rules(self) -> ExitStack:
        """In force from where points enter until their scores are made."""
        return ExitStack()


@dataclass(frozen=True, eq=False)
class PairedScorer(Scorer):
    """Target scores, with multipliers in the place of gradients."""

    @classmethod
    def of(cls, scorer: Scorer) -> PairedScorer:
        """The same engine with multipliers."""
        return cls(scorer.traits, scorer.task, scorer.mode, scorer.filling, scorer.batch_size, scorer.progress)

    @cached_property
    def _forward(self) -> PairedForward:
        return PairedForward(self.traits, self.task, self.mode, self.filling, self.batch_size)

    @cached_property
    def _gradients(self) -> PairedGradients:
        return PairedGradients(self._forward)


def _beside(path: Path, double: Tensor, nothing: Tensor) -> Iterator[tuple[Tensor, Tensor | float]]:
    """The points of a path with the baseline beside them, from which nothing flows back."""
    embedding, baseline = double.chunk(2, dim=1)[0], nothing.chunk(2, dim=1)[0]
    for value, weight in path(embedding, baseline):
        yield torch.cat([value, baseline], dim=1), _doubled(weight) if isinstance(weight, Tensor) else weight


def _doubled(values: Float[Tensor, "l d"]) -> Float[Tensor, "l e"]:
    return torch.cat([values, values], dim=1)


def _narrowed(moments: Moments, width: int) -> Moments:
    """Of points alone, without what was beside them."""
    return replace(
        moments,
        mean=moments.mean[..., :width],
        mean_square=moments.mean_square[..., :width],
        parts=tuple(_narrowed(part, width) for part in moments.parts),
    )
