"""Canvas and sprite: what is drawn once and pasted looks like what is drawn in place."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trt_perception.scenes.canvas import Canvas, finish_sprite, to_corners

TRIANGLE = np.array([[10.3, 8.2], [40.7, 12.9], [22.1, 44.4]])


def plain(value: int = 90) -> Canvas:
    image = np.full((60, 70, 3), value, dtype=np.uint8)
    return Canvas(image, np.zeros((60, 70), dtype=np.uint16))


def test_an_owner_of_zero_leaves_ownership_alone() -> None:
    canvas = plain()
    canvas.fill(to_corners(TRIANGLE), (0.0, 0.0, 200.0))
    assert not canvas.owners.any()
    assert (canvas.image != 90).any()


def test_owned_pixels_are_the_painted_ones() -> None:
    canvas = plain()
    canvas.fill(to_corners(TRIANGLE), (0.0, 0.0, 200.0), 7)
    painted = (canvas.image != 90).any(2)
    assert set(np.unique(canvas.owners)) == {0, 7}
    assert painted[canvas.owners == 7].mean() > 0.97
    # The soft edge paints at most a thin fringe that nobody owns.
    assert np.count_nonzero(painted & (canvas.owners == 0)) < 130


@given(x=st.integers(0, 9), y=st.integers(0, 7))
def test_a_pasted_sprite_looks_like_the_thing_drawn_in_place(x: int, y: int) -> None:
    direct, pasted = plain(), plain()
    direct.fill(to_corners(TRIANGLE), (30.0, 60.0, 200.0), 3)
    image = np.zeros((48, 50, 4), dtype=np.uint8)
    sprite_canvas = Canvas(image, np.zeros((48, 50), dtype=np.uint16), (x, y))
    sprite_canvas.fill(to_corners(TRIANGLE), (30.0, 60.0, 200.0), 1)
    finish_sprite(sprite_canvas).paste(pasted, 3)
    np.testing.assert_array_equal(direct.owners, pasted.owners)
    assert np.abs(direct.image.astype(int) - pasted.image).max() <= 3


def test_a_glow_only_adds_light_and_may_lie_outside() -> None:
    canvas = plain()
    canvas.glow(5.0, 5.0, 12.0, (100.0, 100.0, 100.0))
    canvas.glow(-500.0, 900.0, 12.0, (100.0, 100.0, 100.0))
    assert canvas.image.min() == 90
    assert canvas.image[5, 5, 0] > 150
    assert (canvas.image[40:] == 90).all()


def test_a_translucent_fill_lets_the_background_through() -> None:
    canvas = plain(100)
    canvas.fill_translucent(to_corners(TRIANGLE), (200.0, 200.0, 200.0), 0.5)
    assert abs(int(canvas.image[20, 24, 0]) - 150) <= 1
    assert not canvas.owners.any()
