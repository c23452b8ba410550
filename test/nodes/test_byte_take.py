"""The memory for a message, by rcutils' own rules; rcl is a stand-in where it is to be odd."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2: make test')

import rclpy
from sensor_msgs.msg import Image

from trt_perception.errors import FrameError, MissingDependencyError
from trt_perception.nodes import byte_take
from trt_perception.nodes.byte_take import NO_NUMBER, ByteTake, Info

CONTENT = bytes(range(200)) * 5
INFO = Info(11, 22, 33)


class StandInRcl:
    """Gives `CONTENT`, and asks for memory as rmw implementations do.

    Attributes:
        always: it resizes the message to its very size, as Cyclone DDS does; else only where
            there is too little room, as Fast DDS does.
        status: what it answers.
    """

    def __init__(self, resize, *, always: bool) -> None:
        self.always, self.status = always, 0
        self._resize = resize

    def rcl_take_serialized_message(self, subscription, message, info, allocation) -> int:
        if self.status:
            return self.status
        message = message._obj
        resize = self.always or message.buffer_capacity < len(CONTENT)
        if resize and self._resize(ctypes.byref(message), ctypes.c_size_t(len(CONTENT))):
            return 10
        ctypes.memmove(message.buffer, CONTENT, len(CONTENT))
        message.buffer_length = len(CONTENT)
        ctypes.memmove(info, byte_take._INFO.pack(*INFO), byte_take._INFO.size)
        return 0


@pytest.fixture
def handle(graph):
    """Of a subscription that nobody publishes for."""
    node = rclpy.create_node('handle', context=graph.context)
    yield node.create_subscription(Image, '/never/image', print, 1).handle
    node.destroy_node()


@pytest.fixture(params=[False, True], ids=['as Fast DDS', 'as Cyclone DDS'])
def rcl(request, monkeypatch):
    rcutils = byte_take._loaded('librcutils.so')
    rcl = StandInRcl(rcutils.rcutils_uint8_array_resize, always=request.param)
    libraries = {'librcl.so': rcl, 'librcutils.so': rcutils}
    monkeypatch.setattr(byte_take, '_loaded', libraries.__getitem__)
    return rcl


def fresh(nbytes: int) -> np.ndarray:
    return np.empty(nbytes, np.uint8)


def test_nothing_there_is_nothing_taken_and_no_memory_asked_for(handle):
    asked = []
    assert ByteTake(handle, asked.append).take() is None
    assert asked == []


def test_each_message_has_memory_of_its_own(handle, rcl):
    given = []

    def give(nbytes):
        given.append(fresh(nbytes))
        return given[-1]

    taking = ByteTake(handle, give)
    for _ in range(3):
        message, info = taking.take()
        assert message.tobytes() == CONTENT
        assert np.shares_memory(message, given[-1])
        assert info == INFO
    assert [len(array) for array in given] == [len(CONTENT)] * 3


def test_more_memory_than_is_needed_will_do(handle, rcl):
    message, _ = ByteTake(handle, lambda nbytes: fresh(nbytes + 5000)).take()
    assert message.tobytes() == CONTENT


def test_without_memory_the_message_is_left_out(handle, rcl, capfd):
    def give(nbytes):
        raise MemoryError(f'{nbytes} are too many')

    taking = ByteTake(handle, give)
    with pytest.raises(FrameError, match='there is no memory for it: 1000 are too many') as caught:
        taking.take()
    assert caught.value.cause == 'too_large'
    taking._room._memory = fresh
    assert taking.take()[0].tobytes() == CONTENT
    assert 'Traceback' not in capfd.readouterr().err


def test_memory_that_is_too_small_is_not_written_to(handle, rcl):
    taking = ByteTake(handle, lambda nbytes: np.empty(nbytes - 1, np.uint8))
    with pytest.raises(FrameError, match='there is no memory for it: the memory for'):
        taking.take()


def test_an_error_of_rcl_is_told(handle, rcl):
    taking = ByteTake(handle, fresh)
    rcl.status = 400
    with pytest.raises(MissingDependencyError, match='status 400'):
        taking.take()


@pytest.mark.parametrize(
    'handle', [SimpleNamespace(), SimpleNamespace(pointer='here')], ids=['none', 'other']
)
def test_an_rclpy_without_the_pointer_is_told(handle):
    with pytest.raises(MissingDependencyError, match='rcl cannot be called past rclpy'):
        ByteTake(handle, fresh)


def test_a_library_that_rclpy_does_not_use_is_not_loaded():
    with pytest.raises(OSError, match=r'libform\.so\.6 is not loaded'):
        byte_take._loaded('libform.so.6')


def test_the_largest_number_is_none():
    assert ctypes.c_uint64(-1).value == NO_NUMBER
