"""Methods that average gradients of the target scores over points near the text."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from interpreto.attributions.base import AttributionExplainer
from interpreto.attributions.result import Attribution
from interpreto.errors import InputError
from interpreto.model_wrapping import ExplainedText, Moments, Scorer


@dataclass(frozen=True, eq=False)
class TokenScores:
    """What a gradient method finds for one text.

    Args:
        scores: Scores of its tokens.
        target_scores: Mean target scores at the points.
        std_errors: Standard errors of the scores of its elements, where points are drawn.
        notes: What is noted about them in the result's settings.
    """

    scores: Float[Tensor, "t l"]
    target_scores: Float[Tensor, " t"] | None = None
    std_errors: Float[Tensor, "t g"] | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class GradientExplainer(AttributionExplainer):
    """Averages gradients of the target scores with respect to the embeddings over points near the text.

    Args:
        reduction: How the scores of an element's tokens become one: their sum (keeps completeness), mean or max.
    """

    _: KW_ONLY
    reduction: Literal["sum", "mean", "max"] = "sum"

    is_local: ClassVar[bool] = False
    """Whether the text itself is the only point, so that its target scores come along with the gradient."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reduction not in ("sum", "mean", "max"):
            raise InputError(f"reduction: expected 'sum', 'mean' or 'max', got {self.reduction!r}")

    @abstractmethod
    def points(
        self, embedding: Float[Tensor, "l d"], baseline: Float[Tensor, "l d"], spread: float, rng: Generator
    ) -> Iterator[tuple[Float[Tensor, "l d"], Tensor | float]]:
        """Where gradients are taken, each with what it is multiplied by (a number, or a tensor of the same shape).

        `spread` is the range of the values of the text's embeddings, the unit of noise; where there is an output, that
        of the prompt's alone, so that what is written later changes nothing.
        """

    @abstractmethod
    def token_scores(self, moments: Moments, embedding: Float[Tensor, "l d"]) -> Float[Tensor, "t l"]:
        """Scores of tokens from the moments of gradient times weight over the points."""

    def baselines(self, scorer: Scorer, texts: Sequence[ExplainedText]) -> list[Float[Tensor, "l d"]] | None:
        """Embeddings of "nothing", one a text, for methods that compare with it."""
        return None

    def _attribute(self, scorer: Scorer, texts: Sequence[ExplainedText]) -> Iterator[tuple[int, Attribution]]:
        embeddings = [scorer.embed(text) for text in texts]
        baselines = self.baselines(scorer, texts)
        starts = embeddings if baselines is None else baselines
        lows, highs = self._ends(scorer, texts, embeddings, baselines)
        for k, found in self._token_scores(scorer, texts, embeddings, starts, lows, highs):
            low, high = (None if ends is None else ends[k] for ends in (lows, highs))
            yield k, self._explained(scorer, texts[k], found, low, high)

    def _explained(
        self,
        scorer: Scorer,
        text: ExplainedText,
        found: TokenScores,
        low: Float[Tensor, " t"] | None,
        high: Float[Tensor, " t"] | None,
    ) -> Attribution:
        """The result of one text, from the scores of its tokens."""
        scores = self._by_element(text, found.scores, found.scores)
        target_scores = found.target_scores if high is None else high
        return self._result(scorer, text, scores, target_scores, low, found.std_errors, found.notes)

    def _ends(
        self,
        scorer: Scorer,
        texts: Sequence[ExplainedText],
        embeddings: Sequence[Float[Tensor, "_ _"]],
        baselines: Sequence[Float[Tensor, "_ _"]] | None,
    ) -> tuple[list[Float[Tensor, " _"]] | None, list[Float[Tensor, " _"]] | None]:
        """Target scores at the baselines, and of the texts: none of them run twice, and those not known run together.

        Those of the texts are `None` where the gradients bring them along.
        """
        if self.is_local:
            return None, None
        known = [k for k, text in enumerate(texts) if baselines is None or text.untouched_read is not None]
        everything = [torch.ones(1, len(texts[k].elements), dtype=torch.bool) for k in known]
        rows = scorer.scores([texts[k] for k in known], everything) if known else []
        high = {k: row[0] for k, row in zip(known, rows, strict=True)}
        if baselines is None:
            return None, [high[k] for k in range(len(texts))]

        def start(_embedding: Tensor, baseline: Tensor) -> Iterator[tuple[Tensor, Tensor | float]]:
            yield baseline, 0.0

        def end(embedding: Tensor, _baseline: Tensor) -> Iterator[tuple[Tensor, Tensor | float]]:
            yield embedding, 0.0

        asked = [(k, start) for k in range(len(texts))] + [(k, end) for k in range(len(texts)) if k not in high]
        at_ends = dict(
            scorer.moments(
                [texts[k] for k, _ in asked],
                [embeddings[k] for k, _ in asked],
                [baselines[k] for k, _ in asked],
                [path for _, path in asked],
                gradients=False,
            )
        )
        scores = [at_ends[i].score for i in range(len(asked))]
        high |= {k: scores[i] for i, (k, path) in enumerate(asked) if path is end}
        return scores[: len(texts)], [high[k] for k in range(len(texts))]

    def _token_scores(
        self,
        scorer: Scorer,
        texts: Sequence[ExplainedText],
        embeddings: Sequence[Float[Tensor, "_ _"]],
        baselines: Sequence[Float[Tensor, "_ _"]],
        lows: Sequence[Float[Tensor, " _"]] | None,
        highs: Sequence[Float[Tensor, " _"]] | None,
    ) -> Iterator[tuple[int, TokenScores]]:
        """Of each text, by number, the scores of its tokens, as they are known.

        Args:
            scorer: The engine.
            texts: What is explained.
            embeddings: Their embeddings `(l, d)`.
            baselines: Those of "nothing"; the embeddings themselves for methods that compare with nothing.
            lows: Target scores `(t,)` at the baselines, if there are any.
            highs: Target scores of the texts, where they are not among the points.
        """

        def path(text: ExplainedText, embedding: Tensor, baseline: Tensor) -> Iterator[tuple[Tensor, Tensor | float]]:
            return self.points(embedding, baseline, spread_of(text, embedding), self._generator())

        paths = [partial(path, text) for text in texts]
        for k, moments in scorer.moments(texts, embeddings, baselines, paths):
            yield k, TokenScores(self.token_scores(moments, embeddings[k].cpu()), moments.score)

    def _by_element(
        self, text: ExplainedText, scores: Float[Tensor, "t l"], by: Float[Tensor, "t l"]
    ) -> Float[Tensor, "t g"]:
        """Scores of elements from those of tokens; the largest one is chosen by the size of other numbers."""
        free = scores.masked_fill(~text.free_tokens, 0.0)
        by = by.masked_fill(~text.free_tokens, 0.0)
        return torch.stack([self._reduced(free[:, own], by[:, own]) for own in text.places_of_elements], dim=1)

    def _reduced(self, scores: Float[Tensor, "t k"], by: Float[Tensor, "t k"]) -> Float[Tensor, " t"]:
        if self.reduction == "max":
            return scores.gather(1, by.abs().argmax(dim=1, keepdim=True))[:, 0]
        return scores.sum(dim=1) if self.reduction == "sum" else scores.mean(dim=1)


@dataclass(frozen=True, eq=False)
class PathExplainer(GradientExplainer):
    """Compares the text with a baseline, along paths between the two.

    Args:
        baseline: What "nothing" looks like, for every token that is not fixed context: `"mask"`, `"pad"`, `"zero"`,
            `"mean"` (the mean embedding of the vocabulary), the text of a token, or your own embedding `(d,)`.
            Default: mask where the tokenizer has a mask token, else mean. Zero suits few models: where the first layer
            normalises embeddings by their size, all of the change happens next to it, and no sum over a path sees it.
    """

    _: KW_ONLY
    baseline: str | Tensor | None = None

    def baselines(self, scorer: Scorer, texts: Sequence[ExplainedText]) -> list[Float[Tensor, "l d"]]:
        """The baseline of each text; fixed context stays as it is."""
        found = []
        for text in texts:
            embedding = scorer.embed(text)
            nothing = scorer.embed_baseline(text, self.baseline)
            fixed = (text.element_of < 0).to(embedding.device)[:, None]
            found.append(torch.where(fixed, embedding, nothing))
        return found


def spread_of(text: ExplainedText, embedding: Float[Tensor, "l d"]) -> float:
    """The range of the values of a text's embeddings, in generation of the prompt's alone."""
    source = embedding[text.source_places.start : text.source_places.stop]
    return float(source.max() - source.min())
