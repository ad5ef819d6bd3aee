"""Rows made of known directions, and every type of sparse autoencoder with options for them."""

import torch
import torch.nn.functional as F  # noqa: N812

import interpreto.concepts.sparse_autoencoders as sparse_autoencoders
from interpreto.concepts.fitting import FitLog
from interpreto.concepts.sparse_autoencoders.start import start_of
from interpreto.concepts.sparse_autoencoders.training import Training
from interpreto.model_wrapping import TensorRows

TYPES = sparse_autoencoders.__all__
OPTIONS = {
    name: {"target_l0": 3.0} if name in ("VanillaSAEConcepts", "JumpReLUSAEConcepts", "GatedSAEConcepts") else {"k": 3}
    for name in TYPES
}


def planted(n=4000, c=24, d=24, k=3, seed=0):
    """Random unit directions, and rows with `k` of them each."""
    rng = torch.Generator().manual_seed(seed)
    directions = F.normalize(torch.randn(c, d, generator=rng))
    columns = torch.rand(n, c, generator=rng).topk(k, dim=1).indices
    amounts = 0.5 + torch.rand(n, k, generator=rng)
    return directions, (amounts[:, :, None] * directions[columns]).sum(dim=1)


def make(name, **options):
    """An autoencoder that is trained for 60 steps."""
    given = {"nb_concepts": 24, "n_steps": 60, "batch_size": 64, **OPTIONS[name], **options}
    return getattr(sparse_autoencoders, name)(None, **given)


def begun(concepts, x, step=0):
    """The start of a training: parameters, training, and scaled rows."""
    rows = TensorRows(x)
    start = start_of(rows, concepts.nb_concepts, outlier_norm=None, seed=concepts.seed, device=torch.device("cpu"))
    idle = torch.zeros(concepts.nb_concepts, dtype=torch.int64)
    training = Training(
        n_steps=100, variance=start.variance, dead_after=10**6, idle=idle, buffers={}, step=step
    )  # fmt: skip
    parameters = {name: tensor.requires_grad_() for name, tensor in concepts.start(start, training).items()}
    return parameters, training, x * start.scale


def learned(concepts, x):
    """What `learn` returns, without the check and the report of `fit`."""
    return concepts.learn(TensorRows(x), FitLog("", progress=False))
