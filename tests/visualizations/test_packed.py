"""Packed numbers: five digits that count, whatever they are."""

from __future__ import annotations

import math

import pytest
import torch

from interpreto.visualizations.packed import packed
from tests.visualizations.handmade import unpacked


def test_numbers_keep_five_digits():
    values = torch.randn(7, 50, generator=torch.Generator().manual_seed(0)) * 10.0 ** torch.arange(-25, 25)
    rows = [unpacked(row, 50) for row in packed(values)]
    torch.testing.assert_close(torch.tensor(rows), values, rtol=1.6e-5, atol=0)


def test_numbers_are_rounded_not_cut():
    (row,) = packed(torch.tensor([[1 - 2**-24, -(1 - 2**-24)]]))
    assert unpacked(row, 2) == [1.0, -1.0]


def test_what_is_no_number_stays_so_and_costs_nothing_at_the_end():
    nan, inf = math.nan, math.inf
    rows = packed(torch.tensor([[nan, 1.0, inf, nan, nan], [nan] * 5, [-inf, 0.0, -0.0, nan, 2.0]]))
    assert [len(row) for row in rows] == [12, 0, 20]
    assert unpacked(rows[0], 5) == pytest.approx([nan, 1.0, inf, nan, nan], nan_ok=True)
    assert unpacked(rows[1], 5) == pytest.approx([nan] * 5, nan_ok=True)
    assert unpacked(rows[2], 5) == pytest.approx([-inf, 0.0, 0.0, nan, 2.0], nan_ok=True)


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0, 0)])
def test_nothing_is_packed_too(shape):
    assert packed(torch.zeros(shape)) == [""] * shape[0]
