from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trt_perception.allowed_values import check_choice, check_range
from trt_perception.errors import ParameterError

ENDS = st.floats(-1e6, 1e6)


@given(ENDS, ENDS, st.booleans())
def test_the_ends_of_a_range_are_in_it_unless_it_begins_above_the_lower(one, other, above_low):
    low, high = sorted((one, other))
    for value in (low, high, (low + high) / 2):
        if above_low and value == low:
            with pytest.raises(ParameterError, match='is not above'):
                check_range('size', value, low, high, above_low=above_low)
        else:
            check_range('size', value, low, high, above_low=above_low)


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf, 1.5, -0.1])
def test_what_is_outside_or_no_number_is_refused(value):
    with pytest.raises(ParameterError, match=r'share: \S+ is not in 0 to 1'):
        check_range('share', value, 0, 1)


@pytest.mark.parametrize(
    ('ends', 'says'),
    [
        ({'low': 3}, 'window: 2 is not a number of at least 3'),
        ({'low': 3, 'high': 9}, 'window: 2 is not in 3 to 9'),
        ({'low': 2, 'above_low': True}, 'window: 2 is not above 2'),
        ({'low': 2, 'high': 9, 'above_low': True}, 'window: 2 is not above 2 and at most 9'),
    ],
)
def test_the_error_says_what_is_allowed(ends, says):
    with pytest.raises(ParameterError) as raised:
        check_range('window', 2, **ends)
    assert str(raised.value) == says


def test_a_choice_is_one_of_those_that_the_error_names():
    check_choice('method', 'orb', ('flow', 'orb'))
    with pytest.raises(ParameterError, match="method 'sift': choose one of flow, orb"):
        check_choice('method', 'sift', ('flow', 'orb'))
