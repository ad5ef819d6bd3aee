"""What all sparse autoencoders share: the options of their training, and the way from rows to a fitted model."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.concepts.concept_model import ConceptModel
from interpreto.concepts.fitting import FitLog
from interpreto.concepts.learned import LearnedConcepts
from interpreto.concepts.sparse_autoencoders.checkpoint import Checkpoint
from interpreto.concepts.sparse_autoencoders.sparse_autoencoder import SparseAutoencoder
from interpreto.concepts.sparse_autoencoders.start import Start, start_of
from interpreto.concepts.sparse_autoencoders.training import Batches, Training, train
from interpreto.errors import InputError, check_count
from interpreto.model_wrapping import ActivationRows

Autoencoder = TypeVar("Autoencoder", bound=SparseAutoencoder)

Parameters = dict[str, Tensor]

_LEAST_STEPS = 6000


@dataclass(eq=False, kw_only=True)
class SAEConcepts(LearnedConcepts, ABC, Generic[Autoencoder]):
    """Concepts of a sparse autoencoder: `x_hat = z D + b` with few codes `z` a row, trained by gradient descent.

    Rows are read in batches and never all at once, so a store may be larger than the memory. While training, they are
    scaled to a mean norm of `sqrt(d)`; the scale is folded into the fitted model.

    Args:
        batch_size: Rows a step.
        n_steps: Steps of the training; by default as many as the epochs take.
        n_epochs: Times that every row is seen; by default once, or as often as makes 6,000 steps.
        lr: Largest learning rate; by default `5e-4 / sqrt(nb_concepts / 2^14)`, at most 5e-3.
        outlier_norm: Rows whose norm is more than this many times the median, such as the first tokens of decoders,
            are left out of the training; `None` takes all.
        checkpoint: A file that the training is kept in; with the same options and activations, a training that was
            stopped goes on from there.
        checkpoint_every: Steps between two writings of it.
    """

    batch_size: int = 512
    n_steps: int | None = None
    n_epochs: int | None = None
    lr: float | None = None
    outlier_norm: float | None = 10.0
    checkpoint: Path | str | None = None
    checkpoint_every: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("batch_size", "checkpoint_every"):
            check_count(name, getattr(self, name), 1)
        for name in ("n_steps", "n_epochs"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name), 1)
        if self.n_steps is not None and self.n_epochs is not None:
            raise InputError(f"n_steps, n_epochs: expected one of them, got {self.n_steps} and {self.n_epochs}")
        if self.lr is not None and not self.lr > 0:
            raise InputError(f"lr: expected a number above 0, got {self.lr}")
        if self.outlier_norm is not None and not self.outlier_norm > 1:
            raise InputError(f"outlier_norm: expected a number above 1, or None, got {self.outlier_norm}")
        self.checkpoint = None if self.checkpoint is None else Path(self.checkpoint)

    @abstractmethod
    def start(self, start: Start, training: Training) -> Parameters:
        """What is learned, as it is before the first step; buffers go into the training."""

    @abstractmethod
    def model(self, parameters: Parameters, training: Training) -> Autoencoder:
        """The autoencoder of these parameters; gradients flow back to them."""

    @abstractmethod
    def loss(self, model: Autoencoder, x: Float[Tensor, "n d"], training: Training) -> Float[Tensor, ""]:
        """The loss of a batch; it notes in the training which concepts were active."""

    def constrain(self, parameters: Parameters, training: Training) -> None:
        """Bring parameters back to where they may be, after a step."""

    def learn(self, activations: ActivationRows, log: FitLog) -> ConceptModel:
        """Train, and fold the scale in."""
        c, device = self.nb_concepts, self.fit_device
        start = start_of(activations, c, outlier_norm=self.outlier_norm, seed=self.seed, device=device)
        batches = Batches(activations, start, self.batch_size)
        n_steps = self.n_steps or (
            self.n_epochs * batches.an_epoch if self.n_epochs else max(_LEAST_STEPS, batches.an_epoch)
        )
        training = Training(
            n_steps=n_steps,
            variance=start.variance,
            dead_after=self.batch_size * max(50, n_steps // 50),
            idle=torch.zeros(c, dtype=torch.int64, device=device),
            buffers={},
        )
        parameters = {name: tensor.requires_grad_() for name, tensor in self.start(start, training).items()}
        train(
            parameters,
            lambda x: self.loss(self.model(parameters, training), x, training),
            lambda: self.constrain(parameters, training),
            batches,
            training,
            log,
            lr=self.lr or min(5e-4 / (c / 2**14) ** 0.5, 5e-3),
            checkpoint=self._checkpoint(activations, start),
            checkpoint_every=self.checkpoint_every,
        )
        learned = {name: parameter.detach() for name, parameter in parameters.items()}
        return self.model(learned, training).of_larger(1 / start.scale)

    def _checkpoint(self, activations: ActivationRows, start: Start) -> Checkpoint | None:
        if self.checkpoint is None:
            return None
        digest = hashlib.sha256(start.rows[:64].cpu().numpy().tobytes()).hexdigest()[:16]
        about = {
            "explainer": type(self).__name__,
            "options": {name: value for name, value in self._options().items() if name != "checkpoint_every"},
            "activations": [activations.n_rows, activations.width, digest],
        }
        return Checkpoint(Path(self.checkpoint), about)


def linear_start(start: Start) -> Parameters:
    """A dictionary and, as its transpose, an encoder."""
    directions = start.directions
    return {
        "decoder": directions.clone(),
        "bias": start.middle.clone(),
        "encoder": directions.clone(),
        "encoder_bias": directions.new_zeros(len(directions)),
    }


def check_k(k: int, nb_concepts: int) -> None:
    """Refuse to choose more concepts than there are.

    Raises:
        InputError: Such a `k`, or one below 1.
    """
    check_count("k", k, 1)
    if k > nb_concepts:
        raise InputError(
            f"k: expected at most as many as there are concepts ({nb_concepts}), got {k}; take a smaller k"
        )
