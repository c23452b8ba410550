import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trt_perception.drawing.text import drawable, text_coverage


def test_no_text_has_no_width():
    assert text_coverage('', 13).shape[1] == 0


def test_letters_are_drawn_and_stand_on_one_line():
    assert text_coverage('car', 13).max() > 200
    assert text_coverage('car', 13).shape[0] == text_coverage('gypsy', 13).shape[0]
    assert text_coverage('lorry', 13).shape[1] < text_coverage('lorry', 23).shape[1]


@pytest.mark.parametrize(
    ('text', 'shown'),
    [
        ('traffic_light', 'traffic_light'),
        ('vélo', 'velo'),
        ('Straße', 'Strasse'),
        ('汽车', '??'),
        ('a\tb\nc', 'a b c'),
        ('\x00', '?'),
        ('5 · 3', '5 · 3'),
    ],
)
def test_what_the_font_lacks_is_replaced(text, shown):
    assert drawable(text) == shown


@given(st.text(max_size=30))
def test_any_text_can_be_drawn(text):
    coverage = text_coverage(text, 12)
    assert coverage.ndim == 2
    assert coverage.dtype == np.uint8
    assert all(character >= ' ' for character in drawable(text))
