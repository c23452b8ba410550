"""Frames at the pace of a camera. What is asserted are counts and order, not durations."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from trt_perception.errors import SourceError
from trt_perception.frames import Frame
from trt_perception.sources.pacing import DEFAULT_RATE, Delivery, PacedSource, Progress
from trt_perception.sources.source import Source


class Stills(Source):
    """Frames with the stamps 0, 1, 2 ...; `failure` is raised in place of that frame."""

    def __init__(self, number: int, failure: tuple[int, Exception] | None = None) -> None:
        super().__init__('stills')
        self.closed = False
        self._number = number
        self._failure = failure

    def __iter__(self) -> Iterator[Frame]:
        for stamp in range(self._number):
            if self._failure and self._failure[0] == stamp:
                raise self._failure[1]
            yield Frame.from_bgr(np.zeros((2, 2, 3), np.uint8), stamp_ns=stamp)

    def close(self) -> None:
        self.closed = True


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, 'waited in vain'
        time.sleep(0.005)


def run(sources: list[Source], frames: int, **options) -> tuple[list[int], Progress]:
    """Stamps handed over from `sources`, opened one after the other, until `frames` came."""
    stamps: list[int] = []
    openings = iter(sources)
    options = {'rate': 500.0, 'retry_s': 0.0} | options
    paced = PacedSource(
        lambda: next(openings), lambda d: stamps.append(d.frame.stamp_ns), **options
    )
    paced.start()
    wait_for(lambda: len(stamps) >= frames and paced.progress.state != 'running')
    progress = paced.progress
    assert paced.stop()
    return stamps, progress


def test_a_source_without_frames_is_lost_and_tried_again():
    stamps, progress = run([Stills(0), Stills(0), Stills(2)], 2)
    assert stamps == [0, 1]
    assert progress.state == 'finished'


def test_every_frame_comes_once_and_in_order():
    source = Stills(50)
    stamps, progress = run([source], 50)
    assert stamps == list(range(50))
    assert (progress.state, progress.delivered, progress.error) == ('finished', 50, '')
    assert source.closed


def test_it_finishes_after_the_count():
    stamps, progress = run([Stills(50)], 7, count=7)
    assert stamps == list(range(7))
    assert progress.state == 'finished'


@pytest.mark.parametrize('failure', [SourceError('unplugged'), RuntimeError('a library')])
def test_a_source_that_fails_is_opened_again(failure: Exception):
    stamps, progress = run([Stills(5, (3, failure)), Stills(2)], 5)
    assert stamps == [0, 1, 2, 0, 1]
    assert (progress.state, progress.delivered) == ('finished', 5)


def test_the_count_goes_on_over_a_loss():
    stamps, _ = run([Stills(5, (3, SourceError('unplugged'))), Stills(9)], 5, count=5)
    assert stamps == [0, 1, 2, 0, 1]


def test_a_lost_source_is_told_with_its_reason():
    def refuse() -> Source:
        raise SourceError('gone.mp4: no such file')

    paced = PacedSource(refuse, lambda delivery: None, retry_s=60)
    paced.start()
    wait_for(lambda: paced.progress.state == 'lost')
    assert paced.progress.error == 'gone.mp4: no such file'
    assert paced.stop()
    assert paced.progress.state == 'stopped'


def test_a_receiver_that_raises_gets_the_next_frame():
    seen: list[int] = []

    def receive(delivery: Delivery) -> None:
        seen.append(delivery.frame.stamp_ns)
        raise ValueError('no')

    paced = PacedSource(lambda: Stills(3), receive, rate=500.0)
    paced.start()
    wait_for(lambda: paced.progress.state == 'finished')
    assert seen == [0, 1, 2]


def test_a_frame_is_held_until_its_time():
    times: list[float] = []
    paced = PacedSource(lambda: Stills(6), lambda d: times.append(time.monotonic()), rate=50.0)
    paced.start()
    wait_for(lambda: paced.progress.state == 'finished')
    # However slow the machine is, the last frame cannot come before its time.
    assert times[-1] - times[0] >= 5 / 50 - 0.02


def test_a_receiver_that_is_too_slow_is_reported():
    paced = PacedSource(lambda: Stills(5), lambda d: time.sleep(0.02), rate=500.0)
    paced.start()
    wait_for(lambda: paced.progress.state == 'finished')
    # Four frames came at least 20 ms after the one before, where 2 ms had been asked for.
    assert paced.progress.late >= 4 * 8


def test_the_rate_is_the_sources_own_or_the_default():
    for own, expected in ((250.0, 250.0), (None, DEFAULT_RATE)):
        source = Stills(1)
        source.rate = own
        paced = PacedSource(lambda source=source: source, lambda d: None)
        paced.start()
        wait_for(lambda paced=paced: paced.progress.state == 'finished')
        assert paced.progress.rate == expected


def test_a_live_source_sets_its_own_pace():
    source = Stills(3)
    source.live = True
    source.rate = 0.001
    stamps, progress = run([source], 3, rate=None)
    assert stamps == [0, 1, 2]
    assert progress.rate is None


def test_stop_does_not_wait_for_the_next_frame():
    delivered = threading.Event()
    paced = PacedSource(lambda: Stills(5), lambda d: delivered.set(), rate=0.001)
    paced.start()
    assert delivered.wait(20)
    assert paced.stop(timeout_s=20)
    assert paced.progress.delivered == 1
