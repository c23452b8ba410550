"""Histograms of magnitudes and the ranges chosen from them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from trt_perception.building.thresholds import BINS, MagnitudeHistogram

VALUES = arrays.arrays(
    np.float32,
    st.integers(1, 50),
    elements=st.floats(-(2.0**40), 2.0**40, width=32, allow_subnormal=False),
)


def filled(*pieces: np.ndarray) -> MagnitudeHistogram:
    histogram = MagnitudeHistogram()
    for piece in pieces:
        histogram.add(np.asarray(piece, np.float32))
    return histogram


@pytest.mark.parametrize('values', [[], [0.0, -0.0]])
def test_nothing_but_zeros(values):
    histogram = filled(np.array(values))
    assert histogram.percentile(99.0) == 0
    assert histogram.entropy_range() == 0


@given(st.lists(VALUES, min_size=1, max_size=4))
def test_nothing_is_lost_and_nothing_exceeds_the_top(pieces):
    histogram = filled(*pieces)
    values = np.abs(np.concatenate(pieces))
    assert histogram.counts.sum() == np.count_nonzero(values)
    assert histogram.top >= values.max()
    assert histogram.counts.size == BINS
    if values.any():
        # All of them lie below the 100th percentile, which is no further than a bin above.
        top = histogram.percentile(100.0)
        assert values.max() * (1 - 1e-6) <= top <= values.max() + histogram.top / BINS * 1.01


@pytest.mark.parametrize('value', [1e-45, 1.1754944e-38, 3e38])
def test_the_ends_of_float32_are_counted(value):
    histogram = filled(np.array([value, value / 2], np.float32))
    assert histogram.counts.sum() == np.count_nonzero(np.array([value, value / 2], np.float32))
    assert histogram.top == np.float32(value)


def test_merging_keeps_the_distribution():
    values = np.random.default_rng(1).exponential(1.0, 20000).astype(np.float32)
    rising = filled(*np.array_split(np.sort(values), 20))
    for percent in (50, 90, 99, 99.9):
        assert rising.percentile(percent) == pytest.approx(np.percentile(values, percent), rel=0.02)


def test_entropy_cuts_a_thin_tail_and_keeps_a_full_range():
    rng = np.random.default_rng(2)
    body = rng.normal(0, 1, 200000).astype(np.float32)
    tailed = filled(np.concatenate([body, [60.0]]))
    assert 3 < tailed.entropy_range() < 15
    even = filled(rng.uniform(-1, 1, 200000))
    assert even.entropy_range() > 0.95


def test_entropy_finds_the_least_divergence_of_all():
    histogram = filled(np.random.default_rng(3).laplace(0, 1, 50000))
    chosen = round(histogram.entropy_range() * BINS / histogram.top)
    every = [histogram._divergence(i) for i in range(128, BINS + 1)]
    assert every[chosen - 128] == pytest.approx(min(every), rel=0.05)
