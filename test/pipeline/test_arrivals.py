import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_perception.pipeline.arrivals import Arrivals


def came(*moments: float) -> Arrivals:
    arrivals = Arrivals()
    for moment in moments:
        arrivals.note(moment)
    return arrivals


def steady(period_s: float, count: int = 9) -> Arrivals:
    return came(*(number * period_s for number in range(count)))


def test_nothing_is_expected_at_first():
    for arrivals in (came(), came(1.0), came(1.0, 1.1, 1.2)):
        assert arrivals.period_s is None
        assert arrivals.expected_s(1.3) is None
        assert not arrivals.faster_than(steady(1.0))
        assert not steady(0.1).faster_than(arrivals)


def test_the_next_frame_is_expected_a_period_after_the_newest():
    arrivals = steady(0.1)
    assert arrivals.period_s == pytest.approx(0.1)
    earliest, latest = arrivals.expected_s(0.85)
    assert earliest < 0.9 < latest
    assert latest - earliest < 0.001


def test_a_frame_that_is_late_does_not_come_any_more():
    arrivals = steady(0.1)
    assert arrivals.expected_s(0.9002)[0] < 0.9, 'it may still come'
    assert arrivals.expected_s(0.95)[0] == pytest.approx(1.0, abs=0.001)
    assert arrivals.expected_s(1.35)[0] == pytest.approx(1.4, abs=0.001)


def test_a_few_lost_frames_do_not_change_the_period():
    arrivals = came(0.0, 0.1, 0.2, 0.4, 0.5, 0.6, 0.9, 1.0)
    assert arrivals.period_s == pytest.approx(0.1)
    assert arrivals.expected_s(1.05) is not None


def test_a_new_rate_is_known_after_half_of_the_intervals():
    arrivals = steady(0.1)
    for number in range(1, 6):
        arrivals.note(0.8 + number * 0.05)
    assert arrivals.period_s == pytest.approx(0.05)


def test_the_window_is_as_wide_as_the_camera_is_uneven():
    moments = [number * 0.1 + (0.002 if number % 2 else 0.0) for number in range(9)]
    earliest, latest = came(*moments).expected_s(0.85)
    assert 0.004 < latest - earliest < 0.05


def test_nothing_is_expected_of_a_camera_that_comes_at_any_time():
    assert came(0.0, 0.01, 0.11, 0.13, 0.3, 0.31, 0.5, 0.58).expected_s(0.6) is None


def test_nothing_is_expected_of_frames_of_one_moment():
    assert came(1.0, 1.0, 1.0, 1.0, 1.0).expected_s(1.0) is None


def test_only_a_clear_difference_makes_a_camera_faster():
    assert steady(0.05).faster_than(steady(0.1))
    assert not steady(0.1).faster_than(steady(0.05))
    assert not steady(0.09).faster_than(steady(0.1))
    assert not steady(0.1).faster_than(steady(0.1))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 10), max_size=20), st.floats(0, 20))
def test_what_is_expected_is_not_over(moments, now_s):
    """Also where the clock was set back between two frames."""
    expected = came(*moments).expected_s(now_s)
    if expected is not None:
        assert expected[0] <= expected[1]
        assert expected[1] >= now_s - 1e-6
