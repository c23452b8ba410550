import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_perception.shape_patterns import bound, terms


def test_no_axes_and_another_number_of_axes():
    assert bound((), (), {}) == {}
    assert bound(('B',), (), {}) is None


@pytest.mark.parametrize(
    ('pattern', 'shape', 'known', 'found'),
    [
        (('B', '4+C'), (1, 84), {}, {'C': 80}),
        (('B', '4+C'), (7, 84), {'C': 80}, {'C': 80}),
        (('B', '4+C'), (1, 84), {'C': 79}, None),
        (('4+C',), (4,), {}, None),
        (('6+3K',), (57,), {}, {'K': 17}),
        (('6+3K',), (58,), {}, None),
        (('6+3K',), (-1,), {}, {}),
        (('4+C+3K',), (56,), {}, {}),
        (('4+C+3K',), (56,), {'C': 1}, {'C': 1, 'K': 17}),
        (('4+C+3K',), (7,), {}, None),
        (('H', 'W'), (1, 5), {}, None),
        (('H', 'H'), (5, 6), {}, None),
        (('2A', 'A'), (10, 5), {}, {'A': 5}),
    ],
)
def test_what_symbols_stand_for(pattern, shape, known, found):
    assert bound(pattern, shape, known) == found


@pytest.mark.parametrize('text', ['', '+', '4+', 'C*3', '-1'])
def test_what_is_no_pattern(text):
    with pytest.raises(ValueError, match='no pattern'):
        terms(text)


@settings(max_examples=40)
@given(st.integers(1, 500), st.integers(1, 90), st.integers(1, 9), st.integers(0, 30))
def test_a_symbol_is_found_again(value, other, factor, number):
    text = f'{number}+X+{factor}Y'
    extent = number + other + factor * value
    assert bound((text,), (extent,), {'X': other}) == {'X': other, 'Y': value}
