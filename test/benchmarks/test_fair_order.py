"""Cameras and one worker, simulated: who waits for whom, and for how long."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

WORK_S = 0.0035
SECONDS = 6.0


@pytest.fixture(scope='module')
def order(benchmark_module):
    return benchmark_module('fair_order')


def frames_of(order, rates_hz, phases, jitter_s=0.0003):
    draws = np.random.default_rng(0)
    return order.arrivals_of(rates_hz, phases, SECONDS, jitter_s, draws)


def test_no_frames(order):
    assert order.simulate([], [WORK_S], gaps=True) == ([], [0])


any_cameras = st.lists(
    st.tuples(st.floats(1, 60), st.floats(0, 1)), min_size=1, max_size=5
)  # rate and phase


@settings(max_examples=40, deadline=None)
@given(any_cameras, st.floats(0.0005, 0.03), st.floats(0, 0.01))
def test_any_cameras(order, cameras, work_s, jitter_s):
    rates, phases = zip(*cameras, strict=True)
    frames = frames_of(order, rates, phases, jitter_s)
    found = order.simulate(frames, [work_s], gaps=True)
    last_begun = dict.fromkeys(range(len(rates)), -1.0)
    for one in found.served:
        assert one.came_s > last_begun[one.camera], 'in the order in which they came'
        last_begun[one.camera] = one.came_s
    for camera in range(len(rates)):
        sent = sum(other == camera for _, other in frames)
        served = sum(one.camera == camera for one in found.served)
        assert served + found.replaced[camera] == sent, 'each frame is served or counted'
        moments = [one.through_s for one in found.served if one.camera == camera]
        # A round of all, with their waits for gaps, is the longest that a camera stays out.
        longest_s = 1 / rates[camera] + (3 * len(rates) + 1) * work_s + 2 * jitter_s * 10
        assert not sent or np.diff([0.0, *moments]).max() < 1 / rates[camera] + longest_s


@settings(max_examples=40, deadline=None)
@given(any_cameras, st.floats(0.0005, 0.03))
def test_the_worker_is_idle_beside_a_frame_for_two_services_at_most(order, cameras, work_s):
    rates, phases = zip(*cameras, strict=True)
    found = order.simulate(frames_of(order, rates, phases), [work_s], gaps=True)
    free_s = 0.0
    for one in found.served:
        # The frame that is begun may have replaced one that had waited since before.
        assert one.began_s - max(free_s, one.came_s) <= 2 * work_s + 1e-9
        free_s = one.through_s


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_a_doubled_camera_does_not_stand_before_the_others(order, phases):
    frames = frames_of(order, (30.4, 15.1, 14.9, 14.8), phases, jitter_s=0.0)
    found = order.simulate(frames, [WORK_S], gaps=True)
    assert sum(found.replaced) == 0
    begun = {one.began_s: one for one in found.served}
    for one in found.served:
        if one.camera == 0 or one.came_s < 1.0:  # before the periods are known
            continue
        ahead = [b for b in begun.values() if b.began_s < one.came_s < b.through_s]
        # Only one whose wait had an end: it had been there for a long time.
        for before in ahead:
            assert before.camera != 0 or before.began_s - before.came_s > 1.999 * WORK_S


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=4, max_size=4), st.sampled_from([10.0, 15.0, 30.0]))
def test_cameras_of_different_rates_lose_nothing(order, phases, fast_hz):
    found = order.simulate(
        frames_of(order, (fast_hz, 10.2, 10.0, 9.9), phases), [WORK_S], gaps=True
    )
    assert sum(found.replaced) == 0


def test_a_camera_alone_never_waits(order):
    frames = frames_of(order, (60.0,), (0.3,))
    assert order.simulate(frames, [WORK_S], gaps=True) == order.simulate(
        frames, [WORK_S], gaps=False
    )


def test_gaps_keep_a_doubled_rate_from_the_others(order):
    turns = order.row(3.5, 6, gaps=False)
    gaps = order.row(3.5, 6, gaps=True)
    assert gaps['move_mean'] < 0 < turns['move_mean']
    assert gaps['runs_within_target'] == 1.0
    assert gaps['doubled_lost'] == 0
    assert gaps['doubled_p99_ms'] < 3 * turns['doubled_p99_ms']
