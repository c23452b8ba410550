import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plain_decoding import rotated_corners, to_source
from trt_perception.decoding.rotated_boxes import enclosing, rotated_in_source
from trt_perception.preprocessing.letterbox import Letterbox

SIZE = (96, 64)
numbers = st.tuples(
    st.floats(-50, 150), st.floats(-50, 150), st.floats(0.5, 90), st.floats(0.5, 90),
    st.floats(-7, 7),
)  # fmt: skip


def test_no_boxes():
    letterbox = Letterbox.fit((192, 128), SIZE)
    assert rotated_in_source(np.zeros((0, 5), np.float32), letterbox).shape == (0, 5)
    assert enclosing(np.zeros((0, 5), np.float32), SIZE).shape == (0, 4)


@given(numbers)
@settings(max_examples=50)
def test_corners_move_like_points(box):
    letterbox = Letterbox.fit((192, 64), SIZE)
    (found,) = rotated_in_source(np.array([box], np.float32), letterbox).astype(float)
    assert -np.pi / 2 <= found[4] <= np.pi / 2
    rim = [to_source(*corner, letterbox) for corner in rotated_corners(*map(np.float32, box))]
    corners = np.array(rotated_corners(*found))
    apart = np.abs(corners[:, None] - np.array(rim)).max(axis=2)
    assert apart.min(axis=1).max() < 5e-3
    low, high = np.min(rim, axis=0), np.max(rim, axis=0)
    expected = np.clip([*low, *high], 0, (192, 64) * 2)
    assert enclosing(found[None].astype(np.float32), (192, 64))[0] == pytest.approx(
        expected, abs=5e-3
    )


@given(numbers, st.integers(20, 400), st.integers(20, 400))
@settings(max_examples=50)
def test_under_any_aspect_the_centre_the_longer_side_and_the_area_stay(box, width, height):
    letterbox = Letterbox.fit((width, height), SIZE, 'stretch')
    box = np.array(box, np.float32)
    (found,) = rotated_in_source(box[None], letterbox).astype(float)
    assert found[:2] == pytest.approx(to_source(*box[:2].astype(float), letterbox), rel=1e-5)
    scale = width * height / (SIZE[0] * SIZE[1])
    assert found[2] * found[3] == pytest.approx(float(box[2]) * box[3] * scale, rel=1e-4)
    rim = np.array([to_source(*corner, letterbox) for corner in rotated_corners(*box.tolist())])
    sides = np.linalg.norm(np.diff(rim[:3], axis=0), axis=1)
    longer = rim[1] - rim[0] if sides[0] >= sides[1] else rim[2] - rim[1]
    along = found[2] if sides[0] >= sides[1] else found[3]
    assert along == pytest.approx(sides.max(), rel=1e-4)
    turn = found[4] + (0 if sides[0] >= sides[1] else np.pi / 2)
    # Parallel: no cross product.
    cross = longer[0] * np.sin(turn) - longer[1] * np.cos(turn)
    assert abs(cross) <= 1e-4 * sides.max()
