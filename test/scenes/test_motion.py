"""Motions: continuous in time, and a new lap only out of sight."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trt_perception.scenes.motion import Cross, Drive, Motion, Still, Stroll

MOTIONS = [
    Drive(1.7, 20.0, 8.0, -14.0, 60.0),
    Drive(-1.7, 20.0, -8.0, -14.0, 60.0),
    Stroll(5.0, 3.0, 1.4, 0.0, 30.0),
    Cross(-5.0, 5.0, 9.0, 1.2, 2.0, 4.0),
]


def test_what_stands_still_stays() -> None:
    motion = Still(1.0, 2.0, 0.5)
    assert motion.at(0.0) == motion.at(77.0)


@pytest.mark.parametrize('motion', MOTIONS)
@given(time_s=st.floats(0.0, 300.0))
def test_places_are_continuous_within_a_lap(motion: Motion, time_s: float) -> None:
    before, after = motion.at(time_s), motion.at(time_s + 0.01)
    if before.lap == after.lap:
        assert math.hypot(after.x - before.x, after.y - before.y) < 0.1
    assert after.walked >= before.walked


@pytest.mark.parametrize('direction', [1.0, -1.0])
def test_a_vehicle_that_comes_in_again_is_another(direction: float) -> None:
    motion = Drive(1.7, 20.0, 8.0 * direction, -14.0, 60.0)
    laps = [motion.at(0.1 * step).lap for step in range(600)]
    assert laps == sorted(laps)
    assert laps[-1] >= 4


def test_a_stroller_changes_laps_only_at_the_camera() -> None:
    motion = Stroll(5.0, 3.0, 1.4, 0.0, 30.0)
    for step in range(1000):
        before, after = motion.at(0.1 * step), motion.at(0.1 * step + 0.1)
        if before.lap != after.lap:
            assert max(before.y, after.y) < 0.2


def test_who_waits_at_the_kerb_does_not_move() -> None:
    motion = Cross(-5.0, 5.0, 9.0, 1.0, 3.0, 0.0)
    assert motion.at(5.0).moving
    assert not motion.at(11.0).moving
    assert motion.at(11.0).x == motion.at(12.5).x == 5.0
    assert motion.at(13.5).heading == pytest.approx(math.pi)
