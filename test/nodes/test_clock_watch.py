"""Whether simulated time goes on. With a node: test_multi_camera.py."""

from __future__ import annotations

import pytest

from trt_perception.nodes.clock_watch import ClockWatch
from trt_perception.nodes.health import WARN

S = 10**9


class Watched:
    """A watch with what it logs, looked at once a second."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.warned: list[str] = []
        self.informed: list[str] = []
        self.watch = ClockWatch(self.warned.append, self.informed.append, lambda: self.now_s)

    def look(self, *times_ns, published=True):
        """What is said after the last look."""
        found = []
        for now_ns in times_ns:
            self.now_s += 1.0
            found = self.watch.look(now_ns, published=lambda: published)
        assert all(condition.level == WARN for condition in found)
        return [condition.text for condition in found]


@pytest.fixture
def watched():
    return Watched()


def test_the_clock_of_the_system_is_none_of_its_business(watched):
    assert watched.look(*[None] * 10) == []
    assert not watched.watch.halts_images
    assert watched.warned == watched.informed == []


def test_a_clock_that_goes_on_is_well_however_slow_or_back(watched):
    assert watched.look(*range(S, 20 * S, S)) == []
    assert watched.look(5 * S, 5 * S, 5 * S + 1, 5 * S + 1, 5 * S + 2) == []
    assert watched.warned == watched.informed == []


def test_a_clock_that_does_not_come_is_told_once_in_the_log(watched):
    assert watched.look(0) == [], 'it has just been asked for'
    [text] = watched.look(*[0] * 9)
    assert text == ('use_sim_time is set and /clock has not come: the age of images is not known')
    assert watched.warned == [text]
    assert not watched.watch.halts_images, 'the camera may be a real one'


def test_that_nobody_publishes_it_is_told(watched):
    [text] = watched.look(*[0] * 9, published=False)
    assert 'nobody publishes it' in text


def test_a_paused_simulator_is_told_since_when_and_where_it_stands(watched):
    assert watched.look(12 * S, 13 * S) == []
    [text] = watched.look(*[13 * S] * 20)
    assert 'stands still' in text
    assert 'at 13.000 s for 20 s' in text
    assert 'no image is expected' in text
    assert watched.watch.halts_images
    [logged] = watched.warned
    assert '/clock' in logged


def test_one_that_has_ended_is_told_and_images_are_missed(watched):
    [text] = watched.look(*[13 * S] * 9, published=False)
    assert 'nobody publishes it any more' in text
    assert not watched.watch.halts_images


def test_it_goes_on_and_the_first_images_have_time_to_come(watched):
    watched.look(*[13 * S] * 9)
    assert watched.look(14 * S) == []
    assert watched.informed == ['/clock goes on']
    assert watched.watch.halts_images
    assert watched.look(15 * S, 16 * S, 17 * S, 18 * S) == []
    assert len(watched.informed) == 1
    assert not watched.watch.halts_images
    watched.look(*[18 * S] * 9)
    assert len(watched.warned) == 2, 'once each time'


def test_the_parameter_may_be_taken_back(watched):
    watched.look(*[13 * S] * 9)
    assert watched.look(*[None] * 5) == []
    assert not watched.watch.halts_images
    assert watched.informed == []
