"""A camera's geometry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from trt_perception.errors import ParameterError
from trt_perception.sources.calibration import Calibration, load_calibration, pinhole

FILE = """\
image_width: 640
image_height: 480
camera_name: front
camera_matrix:
  rows: 3
  cols: 3
  data: [430.1, 0, 309.2, 0, 430.6, 238.8, 0, 0, 1]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.337, 0.111, -0.0007, 0.0006, 0]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1, 0, 0, 0, 1, 0, 0, 0, 1]
projection_matrix:
  rows: 3
  cols: 4
  data: [345.2, 0, 305.8, 0, 0, 388.9, 237.5, 0, 0, 0, 1, 0]
"""
sizes = st.integers(1, 5000)


def matrices(calibration: Calibration) -> tuple[np.ndarray, np.ndarray]:
    return np.reshape(calibration.k, (3, 3)), np.reshape(calibration.p, (3, 4))


@given(sizes, sizes, st.floats(5, 170))
def test_the_outer_edges_are_the_field_of_view_apart(width: int, height: int, angle: float):
    intrinsic, projection = matrices(pinhole(width, height, angle))
    left, right = (
        np.linalg.solve(intrinsic, [edge, (height - 1) / 2, 1]) for edge in (-0.5, width - 0.5)
    )
    assert np.degrees(np.arctan(right[0]) - np.arctan(left[0])) == pytest.approx(angle)
    assert left[1] == pytest.approx(0)
    np.testing.assert_array_equal(projection[:, :3], intrinsic)


@given(sizes, sizes, sizes, st.floats(5, 170))
def test_resizing_is_the_same_as_a_camera_of_that_size(
    width: int, height: int, other: int, angle: float
):
    small = pinhole(width, height, angle)
    resized = small.resized(width * 2, height * 2)
    np.testing.assert_allclose(resized.k, pinhole(width * 2, height * 2, angle).k, atol=1e-9)
    np.testing.assert_allclose(
        small.resized(other, other).resized(width, height).k, small.k, atol=1e-6
    )


def test_a_point_moves_with_the_pixel_it_lies_on(tmp_path: Path):
    (tmp_path / 'front.yaml').write_text(FILE)
    full = load_calibration(tmp_path / 'front.yaml')
    point = np.array([0.3, -0.2, 1.0, 1.0])
    x, y, _ = matrices(full)[1] @ point
    half_x, half_y, _ = matrices(full.resized(320, 120))[1] @ point
    assert ((x + 0.5) / 2, (y + 0.5) / 4) == pytest.approx((half_x + 0.5, half_y + 0.5))


def test_the_usual_file_is_read(tmp_path: Path):
    (tmp_path / 'front.yaml').write_text(FILE)
    read = load_calibration(tmp_path / 'front.yaml')
    assert (read.width, read.height, read.distortion_model) == (640, 480, 'plumb_bob')
    assert read.k[0] == 430.1
    assert read.d == (-0.337, 0.111, -0.0007, 0.0006, 0.0)
    assert read.p[5] == 388.9


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'camera_matrix': {'data': [1, 2]}}, 'length >= 9'),
        ({'image_width': 0}, '>= 1'),
        ({'distortion_model': 'fisheye'}, 'fisheye'),
        ({'distortion_coefficients': {'data': []}}, 'plumb_bob needs 5'),
        ({'projection_matrix': None}, 'projection_matrix'),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path: Path, change: dict, words: str):
    path = tmp_path / 'front.yaml'
    path.write_text(yaml.safe_dump(yaml.safe_load(FILE) | change))
    with pytest.raises(ParameterError, match=rf'(?s)front\.yaml.*{words}'):
        load_calibration(path)


@pytest.mark.parametrize(
    'text', ['', 'just text', '{unfinished', '\x00', 'a: 2001-13-45', '[' * 3000]
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str):
    path = tmp_path / 'front.yaml'
    path.write_text(text)
    with pytest.raises(ParameterError, match=r'front\.yaml'):
        load_calibration(path)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ParameterError, match=r'gone\.yaml: there is no such file'):
        load_calibration(tmp_path / 'gone.yaml')
