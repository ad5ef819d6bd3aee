"""Correlations of codes whose means are far from 0."""

import numpy as np
import torch

from interpreto.concepts.cards.activity import Activity


def test_correlations_of_far_means_are_those_of_numpy():
    rng = torch.Generator().manual_seed(0)
    codes = 100 + 0.05 * torch.randn(5000, 4, generator=rng)
    codes[:, 1] = codes[:, 0] + 0.02 * torch.randn(5000, generator=rng)
    activity = Activity([0], 4, True)
    for block in codes.split(500):
        activity.add(block)
    assert np.allclose(activity.correlations(0), np.corrcoef(codes.double().T)[0], atol=1e-4)
