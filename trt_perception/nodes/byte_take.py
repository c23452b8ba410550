"""Takes a message as the middleware's bytes into memory of the caller's choice.

rclpy turns a taken image into an object, which copies it twice more, or into Python bytes, which
copies it once more. rcl, on which rclpy stands, writes the bytes wherever it is told to:
`rcl_take_serialized_message` and `rcutils_uint8_array_t` of rcl/subscription.h and
rcutils/types/uint8_array.h, the same from Humble to Kilted. The interpreter's lock is free
meanwhile.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trt_perception.errors import FrameError, MissingDependencyError

Memory: TypeAlias = Callable[[int], NDArray[np.uint8]]
"""Gives uint8 [n], contiguous, for an n; it is the asker's while a view of it lives."""

_OK = 0
_NOTHING_THERE = 401
"""RCL_RET_SUBSCRIPTION_TAKE_FAILED, of rcl/types.h."""

_INFO_BYTES = 512
"""Room for an rmw_message_info_t of any distribution; Jazzy's has 56 bytes."""

_INFO = struct.Struct('=qqQ')
"""How it begins; see `Info`."""

_allocate_t = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
_deallocate_t = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
_reallocate_t = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
_zero_allocate_t = ctypes.CFUNCTYPE(
    ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_void_p
)


class Info(NamedTuple):
    """What the middleware says of a message. See rmw/types.h.

    Attributes:
        source_timestamp, received_timestamp: nanoseconds, 0 where it does not tell.
        number: the publisher's, or `NO_NUMBER`. It has a meaning only where rclpy knows such a
            number as well: before Iron there was something else in its place.
    """

    source_timestamp: int
    received_timestamp: int
    number: int


NO_NUMBER = 2**64 - 1
"""RMW_MESSAGE_INFO_SEQUENCE_NUMBER_UNSUPPORTED, of rmw/types.h."""


class _Allocator(ctypes.Structure):
    """rcutils_allocator_t."""

    _fields_ = (
        ('allocate', _allocate_t),
        ('deallocate', _deallocate_t),
        ('reallocate', _reallocate_t),
        ('zero_allocate', _zero_allocate_t),
        ('state', ctypes.c_void_p),
    )


class _Bytes(ctypes.Structure):
    """rcutils_uint8_array_t, which is rcl_serialized_message_t."""

    _fields_ = (
        ('buffer', ctypes.c_void_p),
        ('buffer_length', ctypes.c_size_t),
        ('buffer_capacity', ctypes.c_size_t),
        ('allocator', _Allocator),
    )


class _Room:
    """Where the next message goes.

    Attributes:
        array: uint8 [bytes]; empty until a message is there and asks for its size.
        failure: why no memory was to be had; None when it was.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.clear()

    def clear(self) -> None:
        self.array = np.empty(0, np.uint8)
        self.failure: Exception | None = None

    def reallocate(self, _old: int | None, nbytes: int, _state: int | None) -> int | None:
        """As rcutils asks for it: once a message is there, and before any of it is written.

        Some middlewares ask for more than there is only, others before every message.
        """
        try:
            if len(self.array) < nbytes:
                self.array = _at_least(self._memory(nbytes), nbytes)
        except Exception as error:  # it may not leave through the C code that called
            self.failure = error
            return None
        return int(self.array.__array_interface__['data'][0])


class ByteTake:
    """Takes the messages of one subscription. Used by one thread at a time."""

    def __init__(self, handle: Any, memory: Memory) -> None:
        """Find rcl.

        Args:
            handle: of an rclpy subscription, of any type.
            memory: for the messages; asked for each, with its very size, when it is there.

        Raises:
            MissingDependencyError: rcl is not there as expected.
        """
        try:
            self._pointer = ctypes.c_void_p(handle.pointer)
            self._take = _loaded('librcl.so').rcl_take_serialized_message
            self._reset_error = _loaded('librcutils.so').rcutils_reset_error
        except (AttributeError, OSError, TypeError) as error:
            raise MissingDependencyError(f'rcl cannot be called past rclpy: {error}') from error
        self._handle = handle
        self._room = _Room(memory)
        self._info = ctypes.create_string_buffer(_INFO_BYTES)
        self._message = _Bytes(
            allocator=_Allocator(
                _allocate_t(lambda _size, _state: None),
                _deallocate_t(lambda _address, _state: None),
                _reallocate_t(self._room.reallocate),
                _zero_allocate_t(lambda _count, _size, _state: None),
            )
        )

    def take(self) -> tuple[NDArray[np.uint8], Info] | None:
        """The next message that waits; None where there is none.

        Raises:
            FrameError: there was a message and no memory for it.
            MissingDependencyError: rcl failed.
        """
        room, message = self._room, self._message
        room.clear()
        message.buffer, message.buffer_length, message.buffer_capacity = None, 0, 0
        with self._handle:
            status = self._take(self._pointer, ctypes.byref(message), self._info, None)
        if status == _NOTHING_THERE:
            return None
        if status != _OK:
            self._reset_error()
            if room.failure is not None:
                raise FrameError('too_large', f'there is no memory for it: {room.failure}')
            raise MissingDependencyError(f'rcl gave no message, but the status {status}')
        taken = room.array[: message.buffer_length]
        room.clear()
        return taken, Info(*_INFO.unpack_from(self._info))


def _at_least(array: NDArray[np.uint8], nbytes: int) -> NDArray[np.uint8]:
    """The array; C code will write so many bytes to it, whatever its size.

    Raises:
        ValueError: it is smaller, or not contiguous.
    """
    if array.nbytes < nbytes or not array.flags.c_contiguous:
        raise ValueError(f'the memory for {nbytes} bytes has {array.nbytes}')
    return array


def _loaded(name: str) -> ctypes.CDLL:
    """A library that this process has loaded already: a second one would have other contents."""
    try:
        return ctypes.CDLL(name, mode=os.RTLD_NOLOAD | os.RTLD_NOW)
    except OSError as error:  # with no reason in it
        raise OSError(f'{name} is not loaded under this name') from error
