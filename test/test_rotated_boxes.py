import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_perception.rotated_boxes import corners_of


def test_none():
    assert corners_of(np.zeros((0, 5), np.float32)).shape == (0, 4, 2)


def test_without_an_angle_the_corners_go_round_from_the_upper_left():
    corners = corners_of(np.array([[10, 20, 6, 4, 0]], np.float32))
    np.testing.assert_allclose(corners, [[[7, 18], [13, 18], [13, 22], [7, 22]]])


def test_a_quarter_turn_brings_x_to_y():
    """The first corner, left of and above the centre, goes to the right of and above it."""
    corners = corners_of(np.array([[0, 0, 6, 4, np.pi / 2]], np.float32))
    np.testing.assert_allclose(corners[0, 0], [2, -3], atol=1e-6)


@settings(max_examples=40)
@given(st.floats(-3, 3), st.floats(1, 50), st.floats(1, 50))
def test_the_corners_are_those_of_opencv(theta, width, height):
    ours = corners_of(np.array([[40, 30, width, height, theta]], np.float32))[0]
    theirs = cv2.boxPoints(((40, 30), (width, height), float(np.degrees(theta))))
    apart = np.linalg.norm(ours[:, None] - theirs[None], axis=2)
    assert apart.min(axis=0).max() < 1e-3
    assert apart.min(axis=1).max() < 1e-3
