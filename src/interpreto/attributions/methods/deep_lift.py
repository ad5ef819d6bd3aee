"""DeepLIFT."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from interpreto.attributions.gradient import PathExplainer, TokenScores
from interpreto.attributions.result import Attribution
from interpreto.errors import ModelError, warn
from interpreto.model_wrapping import ExplainedFunction, ExplainedText, Moments, Scorer
from interpreto.model_wrapping.paired_gradients import PairedScorer

_FLOAT32 = torch.finfo(torch.float32).eps  # scores are never finer


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class DeepLift(PathExplainer):
    """Each token's difference from the baseline, times slopes between the two: `phi_i = sum_d m_id (e - e')_id`.

    The multipliers `m` come by the chain rule, as gradients do, with secants in the place of derivatives: the text and
    its baseline go through the model side by side, and a function of each value by itself hands back
    `(f(x) - f(x')) / (x - x')` (the Rescale rule). A product of two that both change, such as attention times values,
    or a gate times what it lets through, gives to each the mean of the other. Norms and softmax are written out in
    these.

    Complete, to rounding: the scores of all tokens add up to `f(x) - f(baseline)` after one pass back, where
    `IntegratedGradients` takes many. What happens between those two ends is not looked at, but the way the model is
    written is: one with the same answers, made of other operations, may get other scores. The two methods agree where
    all that bends follows a straight path, as in one hidden layer.

    Any model will do that is made of operations with rules, such as BERT, DistilBERT, RoBERTa, GPT-2, Llama, Qwen,
    Mistral and T5; others are refused. Cost: 1 forward pass of the baseline, and of the text where its scores are not
    known yet; 1 of both side by side, with attention that is written out (`"eager"`); 1 backward pass a target. That
    takes 2 to 4 times as long as `InputxGradient`.

    References:
        Shrikumar, Greenside and Kundaje (2017), Learning important features through propagating activation
        differences, sections 3.1 to 3.5.1, arXiv:1704.02685. Products get the Shapley values of their two factors.
    """

    def points(
        self, embedding: Float[Tensor, "l d"], baseline: Float[Tensor, "l d"], spread: float, rng: Generator
    ) -> Iterator[tuple[Float[Tensor, "l d"], Tensor | float]]:
        """The text itself, and its difference from the baseline."""
        yield embedding, embedding - baseline

    def token_scores(self, moments: Moments, embedding: Float[Tensor, "l d"]) -> Float[Tensor, "t l"]:
        """Multipliers times the difference, summed over the width."""
        return moments.mean.sum(dim=-1)

    def _attribute(self, scorer: Scorer, texts: Sequence[ExplainedText]) -> Iterator[tuple[int, Attribution]]:
        if isinstance(self.model, ExplainedFunction):
            raise ModelError(
                "model: expected one whose own answers are explained, for its operations alone have rules, got "
                f"{type(self.model).__name__}; explain it with IntegratedGradients"
            )
        return super()._attribute(scorer, texts)

    def _token_scores(
        self,
        scorer: Scorer,
        texts: Sequence[ExplainedText],
        embeddings: Sequence[Float[Tensor, "_ _"]],
        baselines: Sequence[Float[Tensor, "_ _"]],
        lows: Sequence[Float[Tensor, " _"]] | None,
        highs: Sequence[Float[Tensor, " _"]] | None,
    ) -> Iterator[tuple[int, TokenScores]]:
        side_by_side = PairedScorer.of(scorer)
        for k, found in super()._token_scores(side_by_side, texts, embeddings, baselines, lows, highs):
            if found.target_scores is not None and highs is not None:
                _warn_of_other_scores(texts[k], found.target_scores, highs[k], max(scorer.resolution, _FLOAT32) ** 0.5)
            yield k, found


def _warn_of_other_scores(
    text: ExplainedText, written_out: Float[Tensor, " t"], scores: Float[Tensor, " t"], slack: float
) -> None:
    """Few models answer otherwise when their attention is written out: then another function is explained."""
    scores = scores.cpu()
    apart = (written_out - scores).abs() / scores.abs().clamp(min=1)
    worst = int(apart.argmax())
    if apart[worst] > slack:
        warn(
            f"DeepLift: {text.where} scores {float(scores[worst]):.4g} with the model's own attention, and "
            f"{float(written_out[worst]):.4g} with attention that is written out, which is explained; load the model "
            "with attn_implementation='eager'"
        )
