import threading
import time

from hypothesis import given
from hypothesis import strategies as st

from trt_perception.pipeline.newest_frame import NewestFrame


def test_an_empty_place_times_out():
    assert NewestFrame().take(timeout_s=0.01) is None


@given(st.lists(st.integers()))
def test_the_newest_wins_and_every_other_comes_back(items):
    slot = NewestFrame()
    replaced = [slot.put(item) for item in items]
    assert replaced == [None, *items][: len(items)]
    assert slot.take(timeout_s=0) == (items[-1] if items else None)
    assert slot.take(timeout_s=0) is None


def test_take_waits_for_put():
    slot = NewestFrame()
    threading.Timer(0.05, slot.put, ['frame']).start()
    assert slot.take(timeout_s=5) == 'frame'


def test_close_wakes_who_waits_and_refuses_more():
    slot = NewestFrame()
    threading.Timer(0.05, slot.close).start()
    began = time.monotonic()
    assert slot.take() is None
    assert time.monotonic() - began < 5
    assert slot.put('late') == 'late'


def test_close_returns_what_nobody_took():
    slot = NewestFrame()
    slot.put('left')
    assert slot.close() == 'left'
    assert slot.closed
