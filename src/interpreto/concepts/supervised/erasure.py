"""LEACE: the smallest change of activations after which no linear classifier can tell a concept from them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from interpreto.concepts.models.neurons import NeuronsAsConcepts
from interpreto.concepts.supervised.labels import numbered
from interpreto.errors import InputError, StoreError
from interpreto.model_wrapping import ActivationGranularity, Aggregation, ModelWithSplitPoints
from interpreto.model_wrapping.activations import choice
from interpreto.saving import replace_whole
from interpreto.types import InferenceMode


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class LeaceEraser:
    """Least-squares concept erasure: `r(x) = x - W^+ P W (x - m)`.

    `W` is the inverse root of the covariance of `x` (its pseudo-inverse, where the covariance is singular), `P` the
    orthogonal projection on the columns of `W Cov(x, z)`, `z` the concept as one number a class, and `m` the mean.
    After it the means of all classes are equal, and so no linear classifier, whatever its (convex) loss, beats the one
    that looks at no activation; and among all affine maps with that property none changes the rows less, in mean
    square.

    That holds on the rows that were learned from; on others as far as these tell their covariances. What is not linear
    in the activations stays: a neural network may still tell the concept, and a model that reads the erased
    activations may find it again.

    Cost: `n d^2 + d^3`, once, in float64. Against projecting the difference of means away: that changes more, and with
    several classes or a covariance that is not a sphere leaves or destroys more than the concept.

    Args:
        left: `W^+ U`, with `U` an orthonormal basis of what `P` projects on: the directions that rows are moved in.
        right: `U^T W`, which reads how far.
        mean: `m`, where nothing is moved.

    Reference: Belrose et al. (2023), LEACE: perfect linear concept erasure in closed form, theorem 4.3,
    arXiv:2306.03819.

    >>> rows = torch.tensor([[0.0, 2.0], [1.0, 4.0], [6.0, 2.0], [7.0, 4.0]])
    >>> eraser = LeaceEraser.fit(rows, ["a", "a", "b", "b"])
    >>> erased = eraser.erase(rows)
    >>> torch.allclose(erased[:2].mean(dim=0), erased[2:].mean(dim=0))
    True
    """

    left: Float[Tensor, "d r"]
    right: Float[Tensor, "r d"]
    mean: Float[Tensor, " d"]

    @classmethod
    def fit(cls, activations: Any, concept: Any) -> LeaceEraser:
        """The eraser of a concept.

        Args:
            activations: Floats `(n, d)`.
            concept: What is to be erased: a class a row (texts, whole numbers, truth values), or floats `(n, k)` for
                numbers or several concepts at once.

        Raises:
            InputError: Fewer than two rows or classes, NaN, or labels that do not belong to the rows.
        """
        x = _floats("activations", activations).double().cpu()
        if len(x) < 2:
            raise InputError(f"activations: expected at least two rows, got {len(x)}")
        z = _concept(concept, len(x))
        mean = x.mean(dim=0)
        centred = x - mean
        covariance = centred.T @ centred / len(x)
        cross = centred.T @ (z - z.mean(dim=0)) / len(x)
        variances, axes = torch.linalg.eigh(covariance)
        kept = variances > variances[-1].clamp(min=0) * x.shape[1] * torch.finfo(x.dtype).eps
        axes, spreads = axes[:, kept], variances[kept].sqrt()
        # In the coordinates of the axes W is 1 / spreads: everything is done there.
        basis, sizes, _ = torch.linalg.svd((axes.T @ cross) / spreads[:, None], full_matrices=False)
        largest = (z - z.mean(dim=0)).square().mean().sqrt()  # no correlation is larger than the concept's own spread
        basis = basis[:, sizes > largest * max(x.shape) * torch.finfo(x.dtype).eps]
        return cls(left=axes @ (spreads[:, None] * basis), right=(basis / spreads[:, None]).T @ axes.T, mean=mean)

    def erase(self, activations: Any) -> Float[Tensor, "n d"]:
        """Rows without the concept, in their own number type; computed in float64.

        Raises:
            InputError: Another width, or NaN.
        """
        x = _floats("activations", activations)
        if x.shape[1] != len(self.mean):
            raise InputError(f"activations: expected the width {len(self.mean)} of the eraser, got {x.shape[1]}")
        left, right, mean = (tensor.to(x.device) for tensor in (self.left, self.right, self.mean))
        wide = x.double()
        return (wide - (wide - mean) @ right.T @ left.T).to(x.dtype)

    @property
    def rank(self) -> int:
        """How many directions are erased: with classes one less than there are, or fewer where they are not seen."""
        return self.left.shape[1]

    def erased_scores(
        self,
        model_with_split_points: ModelWithSplitPoints,
        inputs: Any,
        targets: Any = None,
        *,
        split_point: int | str | None = None,
        activation_granularity: ActivationGranularity | str = ActivationGranularity.CLS_TOKEN,
        aggregation: Aggregation | str = Aggregation.MEAN,
        inference_mode: InferenceMode | str = InferenceMode.LOGITS,
        batch_size: int | None = None,
    ) -> list[Float[Tensor, " _"]]:
        """The model's target scores with the concept erased from its activations on the way.

        A row of several tokens moves all of them by what it changes. Cost: one forward pass a text, and one more for
        classifiers that are asked for their own answer.

        Args:
            model_with_split_points: The split model.
            inputs: Texts, as attribution methods take them.
            targets: What is scored, as in `ConceptExplainer.concept_output_gradient`.
            split_point: Which of its split points; needed where there are several.
            activation_granularity: What one row belongs to; the same as in the fit.
            aggregation: How rows of several tokens become one; the same as in the fit.
            inference_mode: The space of the scores.
            batch_size: Texts a forward pass.

        Returns:
            For each text its target scores `(t,)`.

        Raises:
            InputError: Inputs or targets that cannot be scored, no such split point, or one of another width.
        """
        split = model_with_split_points
        point = NeuronsAsConcepts(split, split_point=split_point).point
        extraction = split.extraction(activation_granularity, aggregation)
        scorer = split.scorer(choice("inference_mode", inference_mode, InferenceMode), batch_size)
        texts = split.explained_texts(scorer, inputs, targets)
        elements = [extraction.elements(text.sample, point.in_decoder) for text in texts]

        def edit(number: int, states: Float[Tensor, "l d"]) -> Float[Tensor, "l d"]:
            sample, own = texts[number].sample, elements[number]
            rows = extraction.rows(states, sample, own, point).float()
            moved = states.float().clone()
            places = extraction.carriers(sample, own, point)
            for change, carriers in zip(self.erase(rows) - rows, places, strict=True):
                moved[carriers] += change
            return moved

        return scorer.edited_scores(texts, point, edit)

    def save(self, path: str | Path) -> Path:
        """Write it as one safetensors file.

        Raises:
            StoreError: The file cannot be written.
        """
        tensors = {name: getattr(self, name).cpu().contiguous().clone() for name in _TENSORS}
        try:
            replace_whole(Path(path), lambda draft: save_file(tensors, draft, {"about": json.dumps(_KIND)}))
        except (OSError, SafetensorError) as error:
            raise StoreError(f"{path}: could not be written ({error}); take another place") from error
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> LeaceEraser:
        """The inverse of `save`.

        Raises:
            InputError: No file, or not one of these.
        """
        try:
            with safe_open(path, framework="pt") as file:
                about = json.loads((file.metadata() or {})["about"])
                found = {name: file.get_tensor(name) for name in _TENSORS}
            d, r = found["left"].shape
            fits = found["right"].shape == (r, d) and found["mean"].shape == (d,)
        except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
            raise InputError(f"{path}: expected a saved eraser, got {error!r:.120}") from error
        if about != _KIND or not fits:
            raise InputError(f"{path}: expected a saved eraser of format 1, got {about!r:.80}")
        return cls(**found)

    def __repr__(self) -> str:
        return f"LeaceEraser(width {len(self.mean)}, rank {self.rank})"


_KIND = {"kind": "leace eraser", "format": 1}
_TENSORS = ("left", "right", "mean")


def _floats(name: str, rows: Any) -> Float[Tensor, "n d"]:
    if not isinstance(rows, Tensor) or rows.dim() != 2 or not rows.is_floating_point():
        got = f"{tuple(rows.shape)} of {rows.dtype}" if isinstance(rows, Tensor) else type(rows).__name__
        raise InputError(f"{name}: expected floats (n, d), got {got}; of a mapping pass one split point's")
    wrong = ~torch.isfinite(rows).all(dim=1)
    if bool(wrong.any()):
        raise InputError(f"{name}: expected numbers, got NaN or infinity in row {int(wrong.nonzero()[0, 0])}")
    return rows.detach()


def _concept(concept: Any, n_rows: int) -> Float[Tensor, "n k"]:
    """The concept as numbers, one column a class."""
    if isinstance(concept, Tensor) and concept.is_floating_point():
        z = _floats("concept", concept).double().cpu()
        if len(z) != n_rows:
            raise InputError(f"concept: expected {n_rows} rows, one a row of activations, got {len(z)}")
        return z
    known, numbers = numbered(concept, n_rows, "concept")
    return torch.nn.functional.one_hot(numbers, len(known)).double()
