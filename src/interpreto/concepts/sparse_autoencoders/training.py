"""The training of sparse autoencoders: batches, learning rate, unit rows, going on where one stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from interpreto.concepts.fitting import FitLog
from interpreto.concepts.sparse_autoencoders.checkpoint import Checkpoint
from interpreto.concepts.sparse_autoencoders.start import Start
from interpreto.model_wrapping import ActivationRows

_LONGEST_WARM_UP, _DECAY = 1000, 0.2
_LARGEST_GRADIENT = 1.0
_DEAD_EVERY = 16
_IN_CACHE = 1 << 19


@dataclass(eq=False)
class Training:
    """Where a training is, and what moves along with it without a gradient.

    Args:
        n_steps: How many steps there are.
        variance: Mean squared distance of the rows from their mean.
        dead_after: Rows after which an idle concept counts as dead.
        idle: How many rows have passed since each concept was last active.
        step: The step that is next.
        dead: The dead concepts, looked up now and then, so that no step waits for the device.
        buffers: Whatever else a type of autoencoder keeps: a threshold, a coefficient.
    """

    n_steps: int
    variance: float
    dead_after: int
    idle: Int[Tensor, " c"]
    buffers: dict[str, Tensor]
    step: int = 0
    dead: Int[Tensor, " _"] = field(init=False)

    def __post_init__(self) -> None:
        self.dead = self.idle.new_zeros(0)

    @property
    def learning_rate(self) -> float:
        """As a share of the largest: up over the first steps, down to 0 over the last fifth."""
        warm = min(_LONGEST_WARM_UP, max(1, self.n_steps // 10))
        left = (self.n_steps - self.step) / max(1.0, _DECAY * self.n_steps)
        return min(1.0, (self.step + 1) / warm, left)

    def saw(self, active: Tensor, n_rows: int) -> None:
        """Note which concepts were active in the rows of this step.

        Args:
            active: Their numbers, or `(c,)` whether each was.
            n_rows: How many rows there were.
        """
        self.idle += n_rows
        if active.dtype == torch.bool:
            self.idle.masked_fill_(active, 0)
        else:
            self.idle.index_fill_(0, active, 0)
        if self.step % _DEAD_EVERY == 0:
            self.dead = (self.idle >= self.dead_after).nonzero()[:, 0]

    def unexplained(self, error: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
        """Squared error as a share of the variance."""
        return error.square().sum(dim=1).mean() / self.variance


@dataclass(eq=False)
class Batches:
    """Scaled rows in random order, epoch after epoch; which rows a step gets follows from the seed and its number."""

    activations: ActivationRows
    start: Start
    size: int
    _epoch: int = -1
    _order: Int[Tensor, " m"] | None = None

    @property
    def an_epoch(self) -> int:
        """Batches an epoch; the rows that do not fill one come in other epochs, whose order is another."""
        return max(1, len(self.start.kept) // self.size)

    def __getitem__(self, step: int) -> Float[Tensor, "_ d"]:
        epoch, place = divmod(step, self.an_epoch)
        if self._order is None or epoch != self._epoch:
            rng = Generator().manual_seed((self.start.seed << 20) + epoch + 1)
            self._order, self._epoch = torch.randperm(len(self.start.kept), generator=rng), epoch
        chosen = self.start.kept[self._order[place * self.size : (place + 1) * self.size]]
        return self.activations.take(chosen).to(self.start.middle.device) * self.start.scale


def train(
    parameters: Mapping[str, Tensor],
    loss: Callable[[Tensor], Tensor],
    constrain: Callable[[], object],
    batches: Batches,
    training: Training,
    log: FitLog,
    *,
    lr: float,
    checkpoint: Checkpoint | None,
    checkpoint_every: int,
) -> None:
    """Adam, with what the recipe adds; from where a checkpoint left off, if there is one.

    Args:
        parameters: What is learned, changed in place; a `decoder` among them keeps rows of norm 1.
        loss: The loss of a batch.
        constrain: Called after every step, to bring parameters back to where they may be.
        batches: The rows of each step.
        training: Changed in place.
        log: Takes the losses.
        lr: The largest learning rate.
        checkpoint: Where to keep the training.
        checkpoint_every: Steps between two writings.
    """
    optimizer = torch.optim.Adam(list(parameters.values()), lr=lr, eps=1e-10, fused=True)
    kept = None if checkpoint is None else checkpoint.read()
    if kept is not None:
        _restore(kept, parameters, optimizer, training, log)
    decoder = parameters.get("decoder")
    for step in log.steps(training.n_steps, start=training.step):
        for group in optimizer.param_groups:
            group["lr"] = lr * training.learning_rate
        optimizer.zero_grad()
        value = loss(batches[step])
        value.backward()  # type: ignore[no-untyped-call]  # torch's own lack
        with torch.no_grad():
            if decoder is not None and decoder.grad is not None:
                for gradient, rows in in_cache(decoder.grad, decoder):
                    gradient.addcmul_((gradient * rows).sum(dim=1, keepdim=True), rows, value=-1)
            torch.nn.utils.clip_grad_norm_(parameters.values(), _LARGEST_GRADIENT)
            optimizer.step()
            if decoder is not None:
                decoder /= decoder.norm(dim=1, keepdim=True)
            constrain()
        log.record(value)
        training.step = step + 1
        if checkpoint is not None and (training.step % checkpoint_every == 0 or training.step == training.n_steps):
            checkpoint.write(_state(parameters, optimizer, training, log))


def in_cache(*tensors: Float[Tensor, "n _"]) -> Iterator[tuple[Tensor, ...]]:
    """Some rows of each at a time, few enough to stay in the processor's cache from one operation to the next."""
    n_rows = _IN_CACHE // tensors[0].shape[1] if tensors[0].device.type == "cpu" else len(tensors[0])
    return zip(*(torch.split(tensor, max(1, n_rows)) for tensor in tensors), strict=True)


def _state(
    parameters: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, training: Training, log: FitLog
) -> dict[str, Tensor]:
    state = {f"parameters.{name}": parameter for name, parameter in parameters.items()}
    state |= {f"buffers.{name}": buffer for name, buffer in training.buffers.items()}
    for name, parameter in parameters.items():
        state |= {f"adam.{name}.{key}": value for key, value in optimizer.state[parameter].items()}
    progress = {"idle": training.idle, "dead": training.dead, "step": torch.tensor(training.step)}
    return state | progress | {"losses": torch.tensor(log.losses)}


def _restore(
    state: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    training: Training,
    log: FitLog,
) -> None:
    device = training.idle.device
    for name, parameter in parameters.items():
        parameter.data.copy_(state[f"parameters.{name}"])
        prefix = f"adam.{name}."
        own = {key.removeprefix(prefix): value.clone() for key, value in state.items() if key.startswith(prefix)}
        optimizer.state[parameter] = {key: value.to(device) for key, value in own.items()}
    for name in training.buffers:
        training.buffers[name] = state[f"buffers.{name}"].clone().to(device)
    training.idle, training.dead = state["idle"].clone().to(device), state["dead"].clone().to(device)
    training.step = int(state["step"])
    for earlier in state["losses"].tolist():
        log.record(earlier)
