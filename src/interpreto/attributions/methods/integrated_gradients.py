"""Integrated gradients."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from interpreto.attributions.certainty import check_tolerance
from interpreto.attributions.gradient import PathExplainer, TokenScores
from interpreto.attributions.methods.path_integral import PathIntegral, Segment, integrate
from interpreto.errors import check_count, warn
from interpreto.model_wrapping import ExplainedText, Moments, Scorer


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class IntegratedGradients(PathExplainer):
    """Gradient integrated along the straight path from the baseline: `phi_i = sum_d (e - e')_id int_0^1 df/de_id da`.

    Complete up to the error of the integral: the scores of all tokens add up to `f(x) - f(baseline)`, and what is
    missing of it is in the result's `gaps`. For each target by itself, the path is cut where parts of it miss too much,
    until the rest is within the tolerance; how many points that took is in the result's `settings["steps"]`. Smooth
    models need 10 to 100, models with ReLUs, whose gradients jump along the path, several hundred.

    Cost: as many forward and backward passes as steps for each target, and about as many forward passes again where
    the path is cut. Targets share the forward passes, and with `tolerance=None` the points.

    Args:
        n_steps: Gauss-Legendre points on the whole path, to begin with; exact for polynomials of degree 2 n_steps - 1.
        tolerance: How much may be missing, relative to `f(x) - f(baseline)`; differences that the model's number type
            does not resolve are never asked for. `None`: n_steps points, whatever is missing.
        max_steps: The most points for a target. Where they do not suffice, there is a warning.

    Reference: Sundararajan, Taly and Yan (2017), Axiomatic attribution for deep networks, section 3, arXiv:1703.01365.
    """

    n_steps: int = 12
    tolerance: float | None = 1e-4
    max_steps: int = 1024

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("n_steps", self.n_steps, 1)
        check_tolerance(self.tolerance, "steps", self.n_steps, self.max_steps)

    def points(
        self, embedding: Float[Tensor, "l d"], baseline: Float[Tensor, "l d"], spread: float, rng: Generator
    ) -> Iterator[tuple[Float[Tensor, "l d"], Tensor | float]]:
        """Gauss-Legendre points on the whole path, with their weights times the difference from the baseline."""
        return Segment(0.0, 1.0, self.n_steps).path(embedding, baseline)

    def token_scores(self, moments: Moments, embedding: Float[Tensor, "l d"]) -> Float[Tensor, "t l"]:
        """The integral times the difference, summed over the width."""
        return moments.mean.sum(dim=-1)

    def _token_scores(
        self,
        scorer: Scorer,
        texts: Sequence[ExplainedText],
        embeddings: Sequence[Float[Tensor, "_ _"]],
        baselines: Sequence[Float[Tensor, "_ _"]],
        lows: Sequence[Float[Tensor, " _"]] | None,
        highs: Sequence[Float[Tensor, " _"]] | None,
    ) -> Iterator[tuple[int, TokenScores]]:
        if self.tolerance is None or lows is None or highs is None:
            yield from super()._token_scores(scorer, texts, embeddings, baselines, lows, highs)
            return
        found: dict[int, list[PathIntegral]] = {}
        for k, targets in integrate(
            scorer,
            texts,
            embeddings,
            baselines,
            lows,
            highs,
            n_steps=self.n_steps,
            tolerance=self.tolerance,
            max_steps=self.max_steps,
        ):
            found[k] = targets
            steps = [target.steps for target in targets]
            yield k, TokenScores(torch.stack([target.scores for target in targets]), notes={"steps": steps})
        self._warn_of(texts, found)

    def _warn_of(self, texts: Sequence[ExplainedText], found: Mapping[int, Sequence[PathIntegral]]) -> None:
        """One warning for all targets that are not complete."""
        missing = {
            (k, t): integral.missing
            for k, targets in found.items()
            for t, integral in enumerate(targets)
            if not integral.missing <= integral.tolerance
        }
        if missing:
            (k, t), most = max(missing.items(), key=lambda item: item[1])
            warn(
                f"IntegratedGradients: {len(missing)} of {sum(map(len, found.values()))} targets are not complete to "
                f"{self.tolerance:g} of f(x) - f(baseline) after {self.max_steps} steps; most is missing for "
                f"{texts[k].readout.targets[t].name!r:.40} of {texts[k].where}, {most:.1g}; see the gaps of the "
                "results, and raise tolerance or max_steps"
            )
