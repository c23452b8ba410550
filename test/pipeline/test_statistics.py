import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_perception.pipeline.statistics import PipelineStatistics, percentile


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_before_the_first_frame_everything_is_zero():
    snapshot = PipelineStatistics().snapshot()
    assert (snapshot.frames_in, snapshot.frames_out, dict(snapshot.drops)) == (0, 0, {})
    assert snapshot.stages == ()
    assert snapshot.rate_hz == 0
    assert snapshot.newest_stamp_ns is None


def test_counts_drops_by_cause():
    statistics = PipelineStatistics()
    assert [statistics.frame_dropped(c) for c in ('replaced', 'replaced', 'empty')] == [1, 2, 1]
    assert dict(statistics.snapshot().drops) == {'replaced': 2, 'empty': 1}


def test_times_stages_over_the_newest_frames():
    statistics = PipelineStatistics(window=100)
    for duration in range(300):
        statistics.frame_in()
        statistics.frame_out({'infer': float(duration), 'decode': 1.0}, stamp_ns=duration)
    snapshot = statistics.snapshot()
    infer, decode = snapshot.stages
    assert (infer.stage, infer.count) == ('infer', 300)
    assert infer.p50_ms == pytest.approx(249.5)
    assert infer.p99_ms == pytest.approx(298.01)
    assert (decode.p50_ms, decode.p99_ms) == (1, 1)
    assert (snapshot.frames_in, snapshot.frames_out) == (300, 300)
    assert snapshot.newest_stamp_ns == 299


def test_the_rate_is_that_of_the_last_seconds():
    clock = Clock()
    statistics = PipelineStatistics(clock=clock)
    for _ in range(11):
        clock.now += 0.1
        statistics.frame_out({}, 0)
    assert statistics.snapshot().rate_hz == pytest.approx(10)
    clock.now += 60
    assert statistics.snapshot().rate_hz == 0


def test_how_long_ago_the_newest_result_was():
    clock = Clock()
    statistics = PipelineStatistics(clock=clock)
    assert math.isnan(statistics.snapshot().since_newest_s)
    statistics.frame_out({}, 0)
    assert statistics.snapshot().since_newest_s == 0
    clock.now += 42
    statistics.frame_dropped('stale')
    assert statistics.snapshot().since_newest_s == 42


@settings(max_examples=25)
@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=300), st.sampled_from([0.0, 0.5, 0.99, 1.0])
)
def test_percentiles_are_those_of_numpy(values, share):
    wanted = np.percentile(values, 100 * share)
    assert percentile(sorted(values), share) == pytest.approx(wanted)


def test_several_frames_are_counted_at_once():
    statistics = PipelineStatistics()
    statistics.frame_in(3)
    statistics.frame_dropped('replaced', 2)
    snapshot = statistics.snapshot()
    assert (snapshot.frames_in, snapshot.drops) == (3, {'replaced': 2})
