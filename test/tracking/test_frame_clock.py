from __future__ import annotations

import pytest

from trt_perception.tracking.frame_clock import FrameClock

S = 1_000_000_000


def ticks(*stamps_s, longest_s=2.0):
    clock = FrameClock(usual_s=0.1)
    return [clock.tick(round(stamp_s * S), longest_s) for stamp_s in stamps_s]


@pytest.mark.parametrize(
    ('stamps_s', 'expected'),
    [
        ((), []),
        ((5.0,), [None]),
        ((5.0, 5.1, 5.5), [None, 0.1, 0.4]),  # frames that were dropped leave longer intervals
        ((5.0, 5.0, 5.1), [None, 0.0, 0.1]),  # a stamp that comes twice
        ((5.0, 4.9, 5.0), [None, None, 0.1]),  # the clock goes back
        ((5.0, 7.1, 7.2), [None, None, 0.1]),  # a gap
        ((5.0, 7.0), [None, 2.0]),
        ((0.0, 0.04, 0.08), [None, 0.04, 0.04]),  # a video from its beginning
        ((0.0, 0.04, 0.0, 0.04), [None, 0.04, None, 0.04]),  # ... that starts again
        ((0.0, 0.0, 0.0), [None, 0.1, 0.1]),  # no stamps at all
        ((1.7e9, 1.7e9 + 0.25), [None, 0.25]),  # wall time keeps its nanoseconds
    ],
)
def test_intervals(stamps_s, expected):
    found = ticks(*stamps_s)
    assert [x is None for x in found] == [x is None for x in expected]
    assert [x for x in found if x is not None] == pytest.approx(
        [x for x in expected if x is not None], abs=1e-6
    )


def test_reset_begins_anew():
    clock = FrameClock()
    clock.tick(S, 1.0)
    clock.reset()
    assert clock.tick(S + 1, 1.0) is None
