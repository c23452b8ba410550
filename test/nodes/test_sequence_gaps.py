"""Images that were published and never taken."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trt_perception.nodes.sequence_gaps import Missed, SequenceGaps


def test_nothing_is_missed_before_the_first_image():
    assert SequenceGaps().missed(77) == Missed()


def test_an_image_that_waited_until_a_newer_one_came_was_replaced():
    gaps = SequenceGaps()
    gaps.missed(1)
    assert gaps.missed(5) == Missed(replaced=3)


def test_an_image_that_never_waited_was_lost():
    gaps = SequenceGaps()
    gaps.missed(1)
    gaps.emptied()
    assert gaps.missed(3) == Missed(lost=1)
    assert gaps.missed(4) == Missed()


def test_what_came_while_nobody_waited_may_have_been_replaced():
    gaps = SequenceGaps()
    gaps.missed(1)
    gaps.emptied()
    gaps.looked_away()
    assert gaps.missed(5) == Missed(replaced=3)


def test_one_that_was_taken_and_not_numbered_is_not_missed():
    gaps = SequenceGaps()
    gaps.left_out()
    gaps.missed(1)
    gaps.left_out()
    assert gaps.missed(3) == Missed()
    gaps.left_out()
    assert gaps.missed(8) == Missed(replaced=3)


def test_a_middleware_without_numbers_tells_nothing():
    gaps = SequenceGaps()
    assert [gaps.missed(number) for number in (None, None, 7, None, 9)] == [Missed()] * 5


def test_two_publishers_have_numbers_of_their_own():
    gaps = SequenceGaps()
    numbers = (100, 5, 101, 6, 102)
    assert [gaps.missed(number) for number in numbers] == [Missed()] * 5


def test_a_publisher_that_starts_anew_counts_again_once_it_is_known_to_be_alone():
    gaps = SequenceGaps()
    gaps.missed(100)
    assert gaps.missed(1) == Missed()
    assert gaps.missed(4) == Missed()
    gaps.one_publisher = True
    assert gaps.missed(6) == Missed(replaced=1)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30), st.lists(st.booleans(), min_size=30))
def test_what_is_taken_and_what_is_missed_make_up_what_was_published(steps, empty):
    gaps, number, missed = SequenceGaps(), 0, 0
    gaps.missed(0)
    for step, nothing_waited in zip(steps, empty, strict=False):
        number += step
        if nothing_waited:
            gaps.emptied()
        found = gaps.missed(number)
        missed += found.replaced + found.lost
    assert missed + len(steps) == number
