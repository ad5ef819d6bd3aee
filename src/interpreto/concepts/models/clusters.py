"""Centres of clusters, by scikit-learn."""

from __future__ import annotations

import warnings

import torch
from jaxtyping import Float
from torch import Tensor

from interpreto.errors import InputError
from interpreto.model_wrapping import ActivationRows

MOST_AT_ONCE = 1 << 15
"""More rows than these are clustered by mini-batches."""


def centroids(rows: ActivationRows, nb_concepts: int, n_starts: int, seed: int) -> Float[Tensor, "c d"]:
    """The centres of k-means, the best of some starts.

    Raises:
        InputError: Fewer different rows than centres.
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # comes with scikit-learn, untyped

    x = rows.all().detach().cpu().numpy()
    kind = KMeans if len(x) <= MOST_AT_ONCE else MiniBatchKMeans
    more = {} if kind is KMeans else {"batch_size": 4096}
    means = kind(nb_concepts, n_init=n_starts, random_state=seed, **more)
    # Threads add up in the order in which they end: with one, a seed gives the same centres to the bit.
    with warnings.catch_warnings(), threadpool_limits(limits=1, user_api="openmp"):
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            means.fit(x)
        except ConvergenceWarning as error:
            raise InputError(
                f"nb_concepts: expected at most as many clusters as there are different rows, got {nb_concepts} "
                f"({error}); take fewer concepts"
            ) from None
    return torch.from_numpy(means.cluster_centers_).float()
