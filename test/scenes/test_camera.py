"""The camera: projection, horizon and rays agree with each other."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trt_perception.scenes.camera import Camera


def camera(yaw: float = 0.0, pitch: float = 0.0) -> Camera:
    return Camera((640, 384), 500.0, (1.5, 0.0, 1.4), yaw, pitch)


def test_no_points_give_no_pixels() -> None:
    pixels, depth = camera().project(np.zeros((0, 3)))
    assert pixels.shape == (0, 2)
    assert depth.shape == (0,)


def test_a_level_camera_sees_its_own_height_in_the_middle() -> None:
    pixels, depth = camera().project(np.array([[1.5, 10.0, 1.4], [2.5, 10.0, 0.4]]))
    np.testing.assert_allclose(pixels, [[319.5, 191.5], [369.5, 241.5]])
    np.testing.assert_allclose(depth, [10.0, 10.0])


def test_the_horizon_is_where_far_ground_goes() -> None:
    tilted = camera(yaw=0.1, pitch=0.06)
    pixels, _ = tilted.project(np.array([[0.0, 1e7, 0.0]]))
    assert abs(float(pixels[0, 1]) - tilted.horizon) < 0.01


@given(
    yaw=st.floats(-0.3, 0.3),
    pitch=st.floats(-0.1, 0.2),
    column=st.integers(0, 639),
    row=st.integers(0, 383),
    depth=st.floats(1.0, 90.0),
)
def test_a_point_on_a_pixels_ray_comes_back_to_the_pixel(
    yaw: float, pitch: float, column: int, row: int, depth: float
) -> None:
    view = camera(yaw, pitch)
    x, y, z = view.rays(0, 384)
    ray = np.array([x[row, column], y[row, column], z[row, 0]], dtype=np.float64)
    pixels, found = view.project((view.position + depth * ray)[None])
    np.testing.assert_allclose(pixels[0], [column, row], atol=0.02)
    np.testing.assert_allclose(found[0], depth, rtol=1e-4)


def test_a_point_behind_the_camera_has_negative_depth() -> None:
    assert camera().depth_of(0.0, -3.0) < 0
