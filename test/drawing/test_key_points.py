import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_perception.drawing.key_points import SHOWN_FROM, draw_key_points

RED = np.array([[250, 0, 0]], np.uint8)


def drawn(key_points, skeleton=(), colors=None):
    points = np.array(key_points, np.float32)
    picture = np.full((60, 100, 3), 100, np.uint8)
    if colors is None:
        colors = np.tile(RED, (len(points), 1))
    draw_key_points(picture, points, skeleton, colors, 2)
    return picture


def test_no_objects_and_no_points():
    assert (drawn(np.zeros((0, 5, 3)), [(0, 1)]) == 100).all()
    assert (drawn(np.zeros((2, 0, 3)), [(0, 1)]) == 100).all()


def test_a_point_is_a_dot_where_it_lies():
    picture = drawn([[[30.5, 20.5, 0.9]]])
    assert picture[20, 30].tolist() == [0, 0, 250]
    rows, columns = np.nonzero((picture != 100).any(axis=2))
    assert (rows.min() + rows.max()) / 2 == 20
    assert (columns.min() + columns.max()) / 2 == 30


def test_a_bone_joins_two_points_that_are_seen():
    points = [[[10, 30, 1], [90, 30, 1], [50, 55, SHOWN_FROM / 2]]]
    picture = drawn(points, [(0, 1), (1, 2), (0, 7)])
    assert picture[29:31, 50, 2].max() > 150
    # Neither the point that is not seen nor the bone to it is drawn.
    assert (picture[40:, :] == 100).all()


def test_the_first_object_lies_on_top():
    points = [[[50, 30, 1]], [[50, 30, 1]]]
    picture = drawn(points, colors=np.array([[250, 0, 0], [0, 250, 0]], np.uint8))
    assert picture[29, 49].tolist() == [0, 0, 250]


@settings(max_examples=30)
@given(st.lists(st.floats(width=32), min_size=6, max_size=6))
def test_any_numbers_are_survived(numbers):
    picture = drawn(np.array(numbers, np.float32).reshape(1, 2, 3), [(0, 1)])
    assert picture.shape == (60, 100, 3)
