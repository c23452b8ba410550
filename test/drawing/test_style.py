import pytest

from trt_perception.drawing.style import OverlayStyle
from trt_perception.errors import ParameterError


@pytest.mark.parametrize(
    ('field', 'value'),
    [('mask_opacity', -0.1), ('mask_opacity', 1.5), ('line_width', -1), ('font_scale', 0.0)],
)
def test_values_out_of_range_are_refused_by_name(field, value):
    with pytest.raises(ParameterError, match=f'{field} is {value}; it must'):
        OverlayStyle(**{field: value})


def test_sizes_grow_with_the_image_unless_stated():
    style = OverlayStyle()
    assert style.line_px(640) == 2
    assert style.line_px(1920) == 3
    assert style.font_px(640) == 13
    assert style.font_px(1920) == 23
    assert OverlayStyle(line_width=5).line_px(640) == 5
    assert OverlayStyle(font_scale=2).font_px(640) == 26


def test_nothing_vanishes_in_a_tiny_image():
    assert OverlayStyle().line_px(1) >= 1
    assert OverlayStyle(font_scale=0.01).font_px(1) >= 8
