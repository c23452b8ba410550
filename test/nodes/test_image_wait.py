"""What is waited for past the executor, and what is said where rclpy does not offer it."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

from trt_perception.errors import MissingDependencyError
from trt_perception.nodes import image_wait
from trt_perception.nodes.image_wait import ImageWait


def test_it_sleeps_for_its_time_without_any_subscription(graph):
    begin = time.monotonic()
    ImageWait(graph.context, []).wait(0.05)
    assert time.monotonic() - begin >= 0.04


def test_another_thread_ends_a_wait_that_has_no_end(graph):
    wait = ImageWait(graph.context, [])
    threading.Timer(0.05, wait.wake).start()
    waiting = threading.Thread(target=wait.wait, args=[None], daemon=True)
    waiting.start()
    waiting.join(10.0)
    assert not waiting.is_alive()


@pytest.mark.parametrize('wait_set', [{}, {'WaitSet': lambda handle: None}], ids=['none', 'other'])
def test_an_rclpy_that_waits_otherwise_is_named(graph, monkeypatch, wait_set):
    inner = SimpleNamespace(GuardCondition=lambda handle: None, **wait_set)
    monkeypatch.setattr(image_wait, 'rclpy_implementation', inner)
    with pytest.raises(MissingDependencyError, match=r'this rclpy .* cannot wait for images'):
        ImageWait(graph.context, [])


class Part:
    """What is entered and left like a part of rclpy; broken, it cannot be entered."""

    def __init__(self, broken=False):
        self.broken, self.users = broken, 0

    def __enter__(self):
        if self.broken:
            raise LookupError('gone')
        self.users += 1

    def __exit__(self, *_):
        self.users -= 1


def test_parts_are_in_use_as_long_as_they_are_waited_for():
    parts = [Part(), Part(), Part()]
    with image_wait._InUse(parts):
        assert [part.users for part in parts] == [1, 1, 1]
    assert [part.users for part in parts] == [0, 0, 0]


def test_where_one_part_is_gone_the_others_are_left():
    parts = [Part(), Part(), Part(broken=True), Part()]
    with pytest.raises(LookupError), image_wait._InUse(parts):
        raise AssertionError('it was entered')
    assert [part.users for part in parts] == [0, 0, 0, 0]
