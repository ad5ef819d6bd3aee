"""How codes are counted and summed: means far from 0, and codes that are no numbers."""

import numpy as np
import pytest
import torch

from interpreto.concepts.cards.activity import Activity
from interpreto.errors import InputError


def test_correlations_of_far_means_are_those_of_numpy():
    rng = torch.Generator().manual_seed(0)
    codes = 100 + 0.05 * torch.randn(5000, 4, generator=rng)
    codes[:, 1] = codes[:, 0] + 0.02 * torch.randn(5000, generator=rng)
    activity = Activity([0], 4, True)
    for block in codes.split(500):
        activity.add(block)
    assert np.allclose(activity.correlations(0), np.corrcoef(codes.double().T)[0], atol=1e-4)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_codes_that_are_no_numbers_are_refused(value):
    codes = torch.zeros(3, 4)
    codes[1, 2] = value
    with pytest.raises(InputError, match=r"got -?(inf|nan) for concept 2"):
        Activity([0], 4, True).add(codes)
