import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trt_perception.decoding.interpolation import axes_of
from trt_perception.preprocessing.letterbox import Letterbox


def interpolated(axis, values):
    return values[axis.lower] * (1 - axis.fraction) + values[axis.upper] * axis.fraction


def test_one_cell_gives_its_value_everywhere():
    for axis in axes_of(Letterbox.fit((5, 3), (8, 8)), (1, 1)):
        assert np.all(interpolated(axis, np.array([7.0])) == 7)
        assert np.all(axis.nearest == 0)


def test_cells_as_large_as_pixels_are_the_pixels():
    letterbox = Letterbox.fit((6, 4), (6, 6))
    x_axis, y_axis = axes_of(letterbox, (6, 6))
    assert interpolated(x_axis, np.arange(6)).tolist() == [0, 1, 2, 3, 4, 5]
    assert interpolated(y_axis, np.arange(6)).tolist() == [1, 2, 3, 4]
    assert y_axis.nearest.tolist() == [1, 2, 3, 4]


@given(
    st.tuples(st.integers(1, 400), st.integers(1, 400)),
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.sampled_from(['letterbox', 'stretch']),
)
def test_a_ramp_is_reproduced(source, grid, resize):
    """A value that grows with position has at each pixel's centre the value of that place."""
    letterbox = Letterbox.fit(source, (64, 48), resize)
    for index, axis in enumerate(axes_of(letterbox, grid)):
        stride = letterbox.network[index] / grid[index]
        cell_centres = (np.arange(grid[index]) + 0.5) * stride
        pixel_centres = letterbox.to_network(
            np.repeat(np.arange(source[index]) + 0.5, 2).reshape(-1, 2)
        )[:, index]
        expected = np.clip(pixel_centres, cell_centres[0], cell_centres[-1])
        assert interpolated(axis, cell_centres) == pytest.approx(expected, abs=1e-3)
        assert np.all(np.abs(cell_centres[axis.nearest] - pixel_centres) <= stride / 2 + 1e-3)


@given(st.integers(1, 60), st.integers(1, 20), st.data())
def test_a_part_is_the_same_in_its_own_cells(pixels, cells, data):
    x_axis, _ = axes_of(Letterbox.fit((pixels, 7), (64, 48)), (cells, 5))
    first = data.draw(st.integers(0, pixels - 1))
    stop = data.draw(st.integers(first + 1, pixels))
    part = x_axis.part(first, stop)
    values = np.arange(cells) ** 2
    assert np.array_equal(
        interpolated(part, values[part.cells]), interpolated(x_axis, values)[first:stop]
    )
