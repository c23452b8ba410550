import itertools

import numpy as np
import pytest

from trt_perception.model_spec import ClassSpec
from trt_perception.palette import class_colors, color_mask, name_color, palette_color

COLORS = np.array([(250, 10, 20), (30, 240, 50), (60, 70, 230)], np.uint8)


def test_no_classes_no_colors():
    assert class_colors([]).shape == (0, 3)


def test_a_stated_color_wins_over_the_palette():
    colors = class_colors([ClassSpec(name='car'), ClassSpec(name='dog', color=(1, 2, 3))])
    assert tuple(colors[0]) == palette_color(0)
    assert tuple(colors[1]) == (1, 2, 3)
    assert colors.dtype == np.uint8


def test_the_colors_of_eighty_classes_differ():
    colors = [np.array(palette_color(index), int) for index in range(80)]
    assert min(np.abs(a - b).max() for a, b in itertools.combinations(colors, 2)) >= 8
    assert all(((c >= 0) & (c <= 255)).all() for c in colors)


# Linear RGB as a dichromat sees it: Vienot, Brettel, Mollon, "Digital video colourmaps for
# checking the legibility of displays by dichromats", 1999.
DICHROMATS = {
    'protanope': [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]],
    'deuteranope': [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]],
}


@pytest.mark.parametrize('kind', DICHROMATS)
def test_the_first_seven_differ_for_the_color_blind(kind):
    linear = np.array([(np.array(palette_color(i)) / 255) ** 2.2 for i in range(7)])
    seen = (linear @ np.array(DICHROMATS[kind]).T).clip(0, 1) ** (1 / 2.2) * 255
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 25


def test_a_names_color_never_changes():
    assert name_color('car') == name_color('car')
    assert name_color('') == name_color('')
    assert name_color('Straße') != name_color('car')


def test_an_empty_map_gives_an_empty_picture():
    assert color_mask(np.zeros((0, 0), np.uint8), COLORS).size == 0


def test_each_class_has_its_color_and_the_rest_is_black():
    ids = np.array([[0, 1, 2], [3, 254, 255]], np.uint8)
    seen = color_mask(ids, COLORS)
    np.testing.assert_array_equal(seen[0], COLORS)
    assert (seen[1] == 0).all()


def test_no_colors_at_all_leave_everything_black():
    assert (color_mask(np.zeros((4, 5), np.uint8), np.zeros((0, 3), np.uint8)) == 0).all()
