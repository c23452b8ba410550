"""The filter of all boxes at once, against a filter of eight numbers for each of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from trt_perception.tracking.box_motion import BoxMotion, MotionNoise, to_places

NOISE = MotionNoise()
OFFSETS = st.tuples(*[st.floats(-20, 20)] * 4)
STEPS = st.lists(st.tuples(st.floats(0.001, 2.0), st.booleans(), OFFSETS), min_size=1, max_size=8)
CORNERS = st.tuples(st.floats(-50, 1900), st.floats(-50, 1000))
SIZES = st.tuples(st.floats(1, 600), st.floats(1, 600))


def box_of(corner, size):
    return np.array([*corner, corner[0] + size[0], corner[1] + size[1]])


class PlainFilter:
    """One object: the textbook's matrices, discretised by Van Loan's method."""

    def __init__(self, box):
        self.x = np.concatenate([self.measured(box), np.zeros(4)])
        area = self.size()[0] * self.size()[1]
        speeds = (NOISE.speed * self.shares()) ** 2 * area
        self.p = np.diag(np.concatenate([self.noise(self.x[:4]), speeds]))

    def measured(self, box):
        x1, y1, x2, y2 = box
        return np.array([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1])

    def shares(self):
        return np.array([1, 1, NOISE.growth, NOISE.growth])

    def size(self):
        return np.maximum(self.x[2:4], 1)

    def noise(self, place):
        width, height = max(place[2], 1), max(place[3], 1)
        return (NOISE.box * np.array([width, height, width, height])) ** 2

    def predict(self, seconds):
        """dx = v, dv = -v / fading + white noise, over `seconds`."""
        a = np.zeros((8, 8))
        a[:4, 4:] = np.eye(4)
        a[4:, 4:] = -np.eye(4) / NOISE.fading
        strength = np.zeros((8, 8))
        area = self.size()[0] * self.size()[1]
        strength[4:, 4:] = np.diag((NOISE.acceleration * self.shares()) ** 2 * area)
        block = expm(np.block([[-a, strength], [np.zeros((8, 8)), a.T]]) * seconds)
        f = block[8:, 8:].T
        self.x = f @ self.x
        self.x[2:4] = np.maximum(self.x[2:4], 1)
        self.p = f @ self.p @ f.T + f @ block[:8, 8:]

    def correct(self, box):
        h = np.eye(4, 8)
        measured = self.measured(box)
        s = h @ self.p @ h.T + np.diag(self.noise(measured))
        gain = self.p @ h.T @ np.linalg.inv(s)
        self.x = self.x + gain @ (measured - h @ self.x)
        self.x[2:4] = np.maximum(self.x[2:4], 1)
        self.p = (np.eye(8) - gain @ h) @ self.p


def test_no_boxes():
    motion = BoxMotion()
    motion.predict(1.0)
    motion.correct(np.zeros(0, np.intp), np.zeros((0, 4)))
    motion.shift(np.eye(2, 3))
    motion.keep(np.zeros(0, np.bool_))
    assert len(motion) == 0
    assert motion.boxes.shape == (0, 4)


@settings(max_examples=40)
@given(CORNERS, SIZES, STEPS)
def test_equals_the_filter_of_eight_numbers(corner, size, steps):
    box = box_of(corner, size)
    motion, plain = BoxMotion(), PlainFilter(box)
    motion.add(np.array([[0, 0, 10, 10], box, [5, 5, 300, 30]], np.float64))
    for seconds, seen, offset in steps:
        motion.predict(seconds)
        plain.predict(seconds)
        if seen:
            box = box + np.array(offset)
            box[2:] = np.maximum(box[2:], box[:2] + 1)
            motion.correct(np.array([1]), box[None])
            plain.correct(box)
        scale = float(np.abs(plain.p).max())
        assert motion.places[1] == pytest.approx(plain.x[:4], rel=1e-9, abs=1e-6)
        assert motion.speeds[1] == pytest.approx(plain.x[4:], rel=1e-9, abs=1e-6)
        covariance = plain.p
        assert motion.place_variance[1] == pytest.approx(
            np.diag(covariance)[:4], rel=1e-6, abs=1e-10 * scale
        )
        assert motion.covariance[1] == pytest.approx(
            np.diag(covariance[:4, 4:]), rel=1e-6, abs=1e-10 * scale
        )
        assert motion.speed_variance[1] == pytest.approx(
            np.diag(covariance)[4:], rel=1e-6, abs=1e-10 * scale
        )
        off = covariance.copy()
        for first in (0, 4):
            for second in (0, 4):
                off[first : first + 4, second : second + 4] *= 1 - np.eye(4)
        assert np.abs(off).max() <= 1e-9 * scale  # nothing couples the four


@settings(max_examples=40)
@given(SIZES, st.floats(0.001, 3), st.floats(0.001, 3))
def test_two_short_times_are_one_long_one(size, first, second):
    once, twice = BoxMotion(), BoxMotion()
    for motion in (once, twice):
        motion.add(box_of((0, 0), size)[None])
    once.predict(first + second)
    twice.predict(first)
    twice.predict(second)
    assert twice.places == pytest.approx(once.places)
    assert twice.place_variance == pytest.approx(once.place_variance)
    assert twice.covariance == pytest.approx(once.covariance)
    assert twice.speed_variance == pytest.approx(once.speed_variance)


@settings(max_examples=40)
@given(SIZES, STEPS)
def test_the_uncertainty_stays_possible(size, steps):
    """A covariance matrix has no negative eigenvalue; seeing makes surer."""
    motion = BoxMotion()
    box = box_of((0, 0), size)[None]
    motion.add(box)
    for seconds, seen, _ in steps:
        before = motion.place_variance.copy()
        motion.predict(seconds)
        assert (motion.place_variance >= before).all()
        if seen:
            motion.correct(np.array([0]), box)
        determinant = motion.place_variance * motion.speed_variance - motion.covariance**2
        assert (motion.place_variance > 0).all()
        assert (motion.speed_variance > 0).all()
        assert (determinant >= -1e-9 * motion.place_variance * motion.speed_variance).all()


def test_a_steady_motion_is_learnt_whatever_the_intervals():
    motion = BoxMotion()
    motion.add(np.array([[0.0, 0.0, 40.0, 80.0]]))
    time = 0.0
    for seconds in (0.1, 0.1, 0.3, 0.1, 0.2, 0.1, 0.4, 0.1):
        time += seconds
        motion.predict(seconds)
        motion.correct(np.array([0]), np.array([[50.0 * time, 0, 40 + 50.0 * time, 80]]))
    assert motion.speeds[0] == pytest.approx([50, 0, 0, 0], abs=6)  # speeds fade a little
    motion.predict(0.2)
    assert motion.boxes[0] == pytest.approx(
        [50 * (time + 0.2), 0, 40 + 50 * (time + 0.2), 80], abs=3
    )


def test_a_shrinking_box_never_turns_inside_out():
    motion = BoxMotion()
    motion.add(np.array([[0.0, 0.0, 40.0, 40.0]]))
    for size in (30.0, 20.0, 10.0, 5.0):
        motion.predict(0.1)
        motion.correct(np.array([0]), np.array([[0, 0, size, size]]))
    motion.predict(5.0)
    x1, y1, x2, y2 = motion.boxes[0]
    assert x2 - x1 >= 1
    assert y2 - y1 >= 1


def test_a_turned_and_zoomed_picture_takes_boxes_and_speeds_along():
    motion = BoxMotion()
    motion.add(np.array([[10.0, 20.0, 30.0, 60.0]]))
    motion.speeds[0] = (5.0, 0.0, 2.0, 0.0)
    variance = motion.place_variance.copy()
    angle, zoom = math.pi / 2, 2.0
    turn = zoom * np.array(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    )
    motion.shift(np.column_stack([turn, [100.0, 200.0]]))
    assert motion.places[0] == pytest.approx([100 - 80, 200 + 40, 40, 80])
    assert motion.speeds[0] == pytest.approx([0, 10, 4, 0], abs=1e-9)
    assert motion.place_variance == pytest.approx(4 * variance)


def test_places_are_centres_and_sizes():
    assert to_places(np.array([[10.0, 20.0, 30.0, 60.0]])).tolist() == [[20, 40, 20, 40]]
