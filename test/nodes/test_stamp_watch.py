"""Odd stamps are counted, spoken of for a while, and logged once."""

from __future__ import annotations

import math

import pytest

from trt_perception.nodes.health import WARN
from trt_perception.nodes.stamp_watch import StampWatch, age_s, is_latency

NOW_NS = 1_700_000_000 * 10**9
S = 10**9


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def watch(clock):
    return StampWatch(clock=lambda: clock[0])


def test_no_stamp_is_no_oddity(watch):
    assert watch.conditions() == []
    assert watch.unsaid() == []
    assert set(watch.counts.values()) == {0}


def test_odd_stamps_are_counted_and_spoken_of_for_a_while(watch, clock):
    for stamp_ns in (5, 6, 6, 0, 7):
        watch.note(stamp_ns)
    assert (watch.counts['zero'], watch.counts['backward']) == (1, 0)
    watch.note(3)
    watch.note(4)
    assert [watch.counts[kind] for kind in ('zero', 'backward', 'repeated')] == [1, 1, 1]
    assert [c.level for c in watch.conditions()] == [WARN] * 3
    clock[0] = 60.0
    assert watch.conditions() == []


def test_each_kind_is_logged_once(watch):
    watch.note(0)
    [text] = watch.unsaid()
    assert 'stamp zero' in text
    watch.note(0)
    assert watch.unsaid() == []
    watch.note(5)
    watch.note(4)
    assert len(watch.unsaid()) == 1


def test_an_age_is_that_of_the_nodes_clock(watch):
    assert watch.note(NOW_NS - S // 5, NOW_NS) == pytest.approx(0.2)
    assert watch.note(NOW_NS + S // 100, NOW_NS) == pytest.approx(-0.01), 'clocks differ a little'
    assert watch.conditions() == []


@pytest.mark.parametrize('stamp_ns', [0, NOW_NS])
def test_an_age_that_cannot_be_known_is_not_a_number(watch, stamp_ns):
    """No stamp, or simulated time before the first message on /clock."""
    assert math.isnan(watch.note(stamp_ns, 0 if stamp_ns else NOW_NS))
    assert len(watch.conditions()) == (1 if stamp_ns == 0 else 0), '/clock is told elsewhere'


def test_a_stamp_in_the_future_is_told_with_its_lead(watch):
    assert watch.note(NOW_NS + 90 * S, NOW_NS) == pytest.approx(-90)
    [condition] = watch.conditions()
    assert condition.level == WARN
    assert '90.0 s ahead of the clock' in condition.text
    assert 'max_age lets them pass' in condition.text
    assert watch.counts['future'] == 1


def test_simulated_time_may_lag_behind_the_camera(watch):
    """It comes some ten times a second, to a node that may be busy."""
    watch.note(NOW_NS + S // 10, NOW_NS, simulated=True)
    assert watch.conditions() == []
    watch.note(NOW_NS + S, NOW_NS, simulated=True)
    assert watch.counts['future'] == 1


@pytest.mark.parametrize(
    ('stamp_ns', 'words'),
    [(123 * S, '53.9 years old'), (NOW_NS - 7200 * S, '2.0 h old')],
    ids=['seconds since boot', 'a bag'],
)
def test_a_stamp_of_another_clock_is_told_with_the_remedy(watch, stamp_ns, words):
    assert watch.note(stamp_ns, NOW_NS) > 3600
    [condition] = watch.conditions()
    assert words in condition.text
    assert 'use_sim_time' in condition.text


def test_the_age_of_the_newest_image_is_kept_while_it_is_known(watch):
    assert math.isnan(watch.age_s)
    watch.note(NOW_NS - 5 * S, NOW_NS)
    assert watch.age_s == pytest.approx(5.0)
    watch.note(0, NOW_NS)
    assert math.isnan(watch.age_s)


@pytest.mark.parametrize(
    ('age_s', 'believed'),
    [
        (math.nan, False),
        (-90.0, False),
        (-0.04, True),
        (0.0, True),
        (3500.0, True),
        (3700.0, False),
        (1.7e9, False),
    ],
)
def test_an_age_is_a_latency_only_where_it_can_be_one(age_s, believed):
    assert is_latency(age_s) == believed


def test_how_far_stamps_went_back_is_told(watch):
    watch.note(NOW_NS)
    watch.note(NOW_NS - 90 * S)
    [text] = watch.unsaid()
    assert 'went backwards, once, by 90.0 s' in text


@pytest.mark.parametrize(('stamp_ns', 'now_ns'), [(0, 5), (5, 0), (0, 0)])
def test_without_stamp_or_time_there_is_no_age(stamp_ns, now_ns):
    assert math.isnan(age_s(stamp_ns, now_ns))
    assert not is_latency(age_s(stamp_ns, now_ns))


def test_an_age_is_in_seconds_and_negative_for_a_stamp_that_is_to_come():
    assert age_s(10**9, 3 * 10**9) == 2.0
    assert age_s(3 * 10**9, 10**9) == -2.0
