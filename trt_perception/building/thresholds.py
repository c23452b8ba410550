"""From the values that a tensor takes to the range that int8 shall cover."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trt_perception.building.calibration_text import LEVELS

BINS = 2048
DEFAULT_PERCENTILE = 99.99

_LEVELS = LEVELS + 1
_STRIDE = 16
"""Of the entropy method's first search; the second looks at every bin around its best."""


class MagnitudeHistogram:
    """How often magnitudes occur, in bins of one width, gathered piece by piece.

    Memory does not depend on how much is gathered: where a greater value comes, neighbouring
    bins are merged and the width doubles. Zeros are not counted; every range holds them.
    """

    def __init__(self) -> None:
        """Start without any value."""
        self.counts = np.zeros(BINS, np.int64)
        self.top = 0.0

    def add(self, values: NDArray[np.float32]) -> None:
        """Count values, finite and of any shape."""
        magnitudes = np.abs(values.ravel())
        greatest = float(magnitudes.max(initial=0.0))
        if greatest == 0:
            return
        if self.top == 0:
            self.top = greatest
        while self.top < greatest:
            merged = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.concatenate([merged, np.zeros(BINS // 2, np.int64)])
            self.top *= 2
        scale = BINS / self.top
        # Over the smallest numbers it is none of float32; float64 takes twice as long.
        kind = np.float32 if scale < float(np.finfo(np.float32).max) else np.float64
        places = (magnitudes * kind(scale)).astype(np.int32)
        # The greatest value lies on the upper edge, which belongs to the last bin.
        np.minimum(places, BINS - 1, out=places)
        counts = np.bincount(places, minlength=BINS)
        counts[0] -= np.count_nonzero(magnitudes == 0)
        self.counts += counts

    def percentile(self, percent: float) -> float:
        """The magnitude below which `percent` of all values lie, to the width of a bin."""
        total = self.counts.sum()
        if total == 0:
            return 0.0
        place = int(np.searchsorted(np.cumsum(self.counts), total * percent / 100))
        return min(place + 1, BINS) * self.top / BINS

    def entropy_range(self) -> float:
        """The range whose int8 version loses least of the distribution's information.

        For every candidate the distribution, clipped there, is compared with its version in
        128 levels by the Kullback-Leibler divergence; the least wins (Migacz, "8-bit Inference
        with TensorRT", GPU Technology Conference 2017).
        """
        if not self.counts.any():
            return 0.0
        coarse = range(_LEVELS, BINS + 1, _STRIDE)
        best = min(coarse, key=self._divergence)
        near = range(max(best - _STRIDE, _LEVELS), min(best + _STRIDE, BINS) + 1)
        return min(near, key=self._divergence) * self.top / BINS

    def _divergence(self, kept: int) -> float:
        """Kullback-Leibler divergence if the range ends after `kept` bins; may be infinite."""
        inside = self.counts[:kept].astype(np.float64)
        if not inside.any():
            return float('inf')
        clipped = inside.copy()
        clipped[-1] += self.counts[kept:].sum()
        level = np.arange(kept) * _LEVELS // kept
        filled = inside > 0
        shares = np.bincount(level, filled, _LEVELS)
        sums = np.bincount(level, inside, _LEVELS)
        coarse = (sums / np.maximum(shares, 1))[level] * filled
        wanted = clipped / clipped.sum()
        # What is clipped into an empty bin has no match; a small share stands for it.
        got = np.maximum(coarse / coarse.sum(), 1e-9)
        held = wanted > 0
        return float((wanted[held] * np.log(wanted[held] / got[held])).sum())
