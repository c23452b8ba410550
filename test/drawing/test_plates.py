import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trt_perception.drawing.plates import PlateBoard, draw_plate, plate_size

coordinates = st.floats(-500, 2000)


def overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def test_an_empty_text_still_has_a_plate():
    width, height = plate_size('', 13)
    assert width > 0
    assert height > 13


def test_a_plate_is_filled_and_its_letters_stand_out():
    image = np.full((60, 200, 3), 90, np.uint8)
    width, height = plate_size('car', 20)
    draw_plate(image, 'car', (10, 5), 20, (240, 228, 66))
    plate = image[5 : 5 + height, 10 : 10 + width]
    assert tuple(plate[height // 2, 2]) == (66, 228, 240)
    assert plate.min() < 40
    outside = image.copy()
    outside[5 : 5 + height, 10 : 10 + width] = 90
    assert (outside == 90).all()


def test_letters_on_a_dark_plate_are_light():
    image = np.zeros((60, 200, 3), np.uint8)
    draw_plate(image, 'car', (0, 0), 20, (0, 40, 90))
    assert image.min(axis=2).max() > 200


def test_a_transparent_plate_lets_the_image_through():
    image = np.full((60, 200, 3), 200, np.uint8)
    draw_plate(image, '', (0, 0), 20, (0, 0, 0), opacity=0.5)
    assert image[10, 5, 0] == pytest.approx(100, abs=2)


@given(x=st.integers(-300, 300), y=st.integers(-300, 300), size=st.integers(1, 80))
def test_a_plate_may_stick_out_of_any_image(x, y, size):
    image = np.full((size, size, 3), 50, np.uint8)
    draw_plate(image, 'pedestrian 0.93', (x, y), 13, (230, 159, 0))
    assert image.shape == (size, size, 3)


def test_the_first_choice_is_above_the_box_on_the_left():
    assert PlateBoard((640, 480)).place((100, 100, 200, 200), 50, 20) == (100, 80)


def test_at_the_upper_edge_a_plate_stays_in_the_image():
    assert PlateBoard((640, 480)).place((600, 2, 640, 90), 90, 20) == (550, 0)


def test_plates_of_equal_boxes_do_not_cover_each_other():
    board = PlateBoard((640, 480))
    places = [board.place((100, 100, 300, 200), 50, 20) for _ in range(6)]
    rects = [(x, y, x + 50, y + 20) for x, y in places]
    assert not any(overlap(a, b) for i, a in enumerate(rects) for b in rects[:i])


def test_where_everything_is_taken_there_is_no_place():
    board = PlateBoard((640, 480))
    places = [board.place((100, 100, 300, 200), 50, 20) for _ in range(8)]
    assert places[6:] == [None, None]
    assert None not in places[:6]


def test_other_objects_are_hidden_as_little_as_possible():
    small = (100, 85, 120, 99)
    boxes = np.array([(100, 100, 200, 200), small], np.float32)
    x, y = PlateBoard((640, 480), boxes).place(boxes[0], 60, 20)
    assert not overlap((x, y, x + 60, y + 20), small)


def test_a_place_that_is_taken_is_left_free():
    board = PlateBoard((640, 480), taken=[(0, 0, 300, 30)])
    x, y = board.place((10, 20, 100, 200), 60, 20)
    assert not overlap((x, y, x + 60, y + 20), (0, 0, 300, 30))


@given(st.lists(st.tuples(coordinates, coordinates, coordinates, coordinates), max_size=100))
def test_every_plate_lies_in_the_image(boxes):
    board = PlateBoard((640, 384))
    for x1, y1, x2, y2 in boxes:
        place = board.place((min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)), 90, 20)
        if place is None:
            continue
        x, y = place
        assert 0 <= x <= 640 - 90
        assert 0 <= y <= 384 - 20
