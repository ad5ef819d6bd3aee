"""AttnLRP."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from jaxtyping import Float
from torch import Generator, Tensor

from interpreto.attributions.gradient import GradientExplainer
from interpreto.attributions.result import Attribution
from interpreto.errors import InputError, ModelError
from interpreto.model_wrapping import ExplainedFunction, ExplainedText, Moments, Scorer
from interpreto.model_wrapping.relevance import Softmax, relevance_rules


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class AttnLRP(GradientExplainer):
    """Relevance that flows back from the score to the embeddings, layer by layer, by rules made for transformers.

    `phi_i = sum_d e_id g_id` with `g` the gradient of a model whose operations hand back relevance: a product of two
    things that depend on the text (attention and values, queries and keys, a gate and what it lets through) gives half
    to each; norms divide by a constant; an activation function is its input times a constant, `f(x) / x`; the softmax
    is the first order of its Taylor series, or a constant; linear layers share by what each input brings.

    Layers, gates, norms and activations pass on all that they get, but for what biases and positions bring. So does a
    constant softmax, and the scores of all tokens then add up to the target's score, where the model has no biases.
    The softmax of the paper does not: it gets half of what reaches the attention, and passes on what its logits explain
    in first order.

    One pass back, where `IntegratedGradients` takes many, and steadier than `InputxGradient`, whose gradients see
    saturated and steep places as they are. Best for raw scores: of probabilities the rules explain the logits that
    their gradient points at.

    Any model will do that is made of operations with rules, such as BERT, DistilBERT, GPT-2, Llama, Qwen and T5; others
    are refused. Cost: 1 forward pass, with attention that is written out (`"eager"`), 1 backward pass a target.

    Args:
        softmax: `"taylor"` (AttnLRP), or `"constant"`: relevance flows through values alone (CP-LRP).

    References:
        Achtibat et al. (2024), AttnLRP: attention-aware layer-wise relevance propagation for transformers, section 3,
        arXiv:2402.05602. Constant softmax and norms: Ali et al. (2022), XAI for transformers: better explanations
        through conservative propagation, section 3, arXiv:2202.07304.
    """

    softmax: Softmax = "taylor"

    is_local: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.softmax not in ("taylor", "constant"):
            raise InputError(f"softmax: expected 'taylor' or 'constant', got {self.softmax!r}")

    def points(
        self, embedding: Float[Tensor, "l d"], baseline: Float[Tensor, "l d"], spread: float, rng: Generator
    ) -> Iterator[tuple[Float[Tensor, "l d"], Tensor | float]]:
        """The text itself; what flows back is multiplied by it."""
        yield embedding, embedding

    def token_scores(self, moments: Moments, embedding: Float[Tensor, "l d"]) -> Float[Tensor, "t l"]:
        """The products, summed over the width."""
        return moments.mean.sum(dim=-1)

    def _attribute(self, scorer: Scorer, texts: Sequence[ExplainedText]) -> Iterator[tuple[int, Attribution]]:
        if isinstance(self.model, ExplainedFunction):
            raise ModelError(
                "model: expected one whose own answers are explained, for its operations alone have rules, got "
                f"{type(self.model).__name__}; explain it with InputxGradient or IntegratedGradients"
            )
        found: list[tuple[int, Attribution]] = []
        try:
            with relevance_rules(self.traits.base, self.softmax):
                found.extend(super()._attribute(scorer, texts))
        except BaseException:
            yield from found
            raise
        yield from found
