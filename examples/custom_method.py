"""Write your own attribution methods: one short class each, tried on a trained model that comes with the package.

A perturbation method says which elements each perturbation keeps (`masks`) and makes scores of what the model answers
(`aggregate`). A gradient method says where gradients are taken and what they are multiplied by (`points`) and makes
scores of tokens from their averages (`token_scores`). The rest (words, batches, targets, classifiers and language
models, results) is there already: both classes below explain everything that the package's own methods explain.

Run it: python examples/custom_method.py
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from interpreto import Occlusion
from interpreto.attributions import GradientExplainer, PerturbationExplainer
from interpreto.demo import load
from interpreto.model_wrapping import Moments


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Alone(PerturbationExplainer):
    """What an element says alone: `phi_i = f(only i) - f(nothing)`, in g + 1 forward passes."""

    def masks(self, n_elements: int, rng: Generator) -> Bool[Tensor, "p g"]:
        only = torch.eye(n_elements, dtype=torch.bool)
        return torch.cat([torch.zeros_like(only[:1]), only])

    def aggregate(self, keep: Bool[Tensor, "p g"], scores: Float[Tensor, "p t"]) -> Float[Tensor, "t g"]:
        return (scores[1:] - scores[:1]).T


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class NearGradient(GradientExplainer):
    """Embedding times the gradient a little nearer to 0: `phi_i = sum_d e_id df/de_id(share * e)`, in one pass.

    Args:
        share: How much of the embedding is left where the gradient is taken.
    """

    share: float = 0.9

    def points(
        self, embedding: Float[Tensor, "l d"], baseline: Float[Tensor, "l d"], spread: float, rng: Generator
    ) -> Iterator[tuple[Float[Tensor, "l d"], Tensor | float]]:
        yield self.share * embedding, embedding

    def token_scores(self, moments: Moments, embedding: Float[Tensor, "l d"]) -> Float[Tensor, "t l"]:
        return moments.mean.sum(dim=-1)


def main() -> None:
    model, tokenizer = load("emotion")
    text = "I am so happy to see you, but my dog is sad."
    explainers = [Occlusion(model, tokenizer), Alone(model, tokenizer), NearGradient(model, tokenizer, share=0.8)]
    results = [explainer(text, targets="sadness")[0] for explainer in explainers]
    print(f"{'sadness':10}" + "".join(f"{result.method:>14}" for result in results))
    for k, element in enumerate(results[0].elements):
        print(f"{element.text.strip():10}" + "".join(f"{result.scores[0, k].item():14.2f}" for result in results))


if __name__ == "__main__":
    main()
