"""How often and how strongly concepts are active, and which rise and fall together: sums over rows that come by."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64
from numpy import ndarray
from torch import Tensor

from interpreto.concepts.cards.result import Histogram
from interpreto.errors import InputError

_BINS = 64  # to either side of 0; at least half of those on the larger side are used


class Histograms:
    """Counts of codes that are not 0, in bins whose width grows with the largest code.

    Widths are powers of 2. Where a code falls off the end, the width doubles and neighbouring bins become one, so that
    one pass is enough, and the order in which rows come changes nothing.

    Args:
        nb_concepts: Columns of the codes.
    """

    def __init__(self, nb_concepts: int) -> None:
        self._counts = np.zeros((nb_concepts, 2 * _BINS), np.int64)
        self._exponents = np.full(nb_concepts, _NONE)

    def add(self, codes: Float[ndarray, "b c"]) -> None:
        """See some more rows."""
        if not len(codes):
            return
        largest = np.abs(codes).max(axis=0)
        wanted = np.where(largest > 0, np.frexp(largest / np.float32(_BINS))[1], _NONE)
        for concept in np.flatnonzero(wanted > self._exponents).tolist():
            self._widen(concept, int(wanted[concept]))
        rows, concepts = codes.nonzero()
        bins = np.floor(np.ldexp(codes[rows, concepts].astype(np.float64), -self._exponents[concepts])).astype(np.int64)
        places = concepts * 2 * _BINS + bins + _BINS
        self._counts += np.bincount(places, minlength=self._counts.size).reshape(self._counts.shape)

    def _widen(self, concept: int, exponent: int) -> None:
        if self._exponents[concept] != _NONE:
            merged = np.zeros(2 * _BINS, np.int64)
            steps = exponent - int(self._exponents[concept])
            np.add.at(merged, (np.arange(-_BINS, _BINS) >> min(steps, 62)) + _BINS, self._counts[concept])
            self._counts[concept] = merged
        self._exponents[concept] = exponent

    def of(self, concept: int) -> Histogram:
        """From 0, or the smallest code below it, to the largest; nothing for a concept that is never active."""
        used = np.flatnonzero(self._counts[concept])
        if not len(used):
            return Histogram(0.0, 1.0, ())
        first, end = min(int(used[0]), _BINS), max(int(used[-1]) + 1, _BINS)
        width = float(np.ldexp(1.0, int(self._exponents[concept])))
        return Histogram((first - _BINS) * width, width, tuple(self._counts[concept, first:end].tolist()))


_NONE = np.iinfo(np.int32).min  # the exponent of a concept without codes


class Activity:
    """Counts and sums of codes.

    Args:
        concepts: The concepts that are looked at.
        nb_concepts: How many there are.
        correlated: Whether to keep the products with all others: `len(concepts) * nb_concepts` numbers.
    """

    def __init__(self, concepts: list[int], nb_concepts: int, correlated: bool) -> None:
        self.n_rows: int = 0
        self.active: Int64[ndarray, " m"] = np.zeros(len(concepts), np.int64)
        self.largest: Float32[ndarray, " m"] = np.zeros(len(concepts), np.float32)
        self.histograms: Histograms = Histograms(len(concepts))
        self._concepts = concepts
        self._of_active = np.zeros(len(concepts))
        self._sums, self._squares = np.zeros(nb_concepts), np.zeros(nb_concepts)
        self._products = np.zeros((len(concepts), nb_concepts)) if correlated else None

    def add(self, codes: Float[Tensor, "b c"]) -> None:
        """See some more rows.

        Raises:
            InputError: A code that is NaN or infinite.
        """
        if not len(codes):
            return
        codes = codes.float().cpu()
        wrong = (~torch.isfinite(codes)).nonzero()
        if len(wrong):
            row, concept = wrong[0].tolist()
            raise InputError(
                f"inputs: expected codes that are numbers, got {float(codes[row, concept])} for concept {concept}; "
                "leave that text out, or look at the concepts' dictionary"
            )
        own = codes[:, self._concepts]
        self.n_rows += len(codes)
        self.active += (own > 0).sum(dim=0).numpy()
        self.largest = np.maximum(self.largest, own.amax(dim=0).numpy())
        self._of_active += own.clamp(min=0).sum(dim=0, dtype=torch.float64).numpy()
        self.histograms.add(own.numpy())
        if self._products is not None:
            # In double: where a mean is far from 0, most of a product is taken away again.
            exact = codes.double()
            self._sums += exact.sum(dim=0).numpy()
            self._squares += exact.square().sum(dim=0).numpy()
            self._products += (exact[:, self._concepts].T @ exact).numpy()

    @property
    def means(self) -> Float64[ndarray, " m"]:
        """Mean of the codes above 0; 0 where there is none."""
        return np.asarray(self._of_active / np.maximum(self.active, 1))

    def correlations(self, place: int) -> Float64[ndarray, " c"]:
        """Pearson correlation of the codes of one of the concepts with those of all; 0 where either is constant."""
        if self._products is None or not self.n_rows:
            return np.zeros(len(self._sums))
        n, own = self.n_rows, self._concepts[place]
        means = self._sums / n
        spreads = np.maximum(self._squares / n - means**2, 0)
        constant = spreads <= 1e-12 * np.maximum(self._squares / n, 1e-300)
        scale = np.sqrt(spreads * spreads[own])
        covariances = self._products[place] / n - means * means[own]
        known = ~constant & ~constant[own] & (scale > 0)
        return np.where(known, covariances / np.where(known, scale, 1.0), 0.0)
