"""Reads an image out of the middleware's bytes, where they lie. Needs no ROS to be imported.

The bytes are CDR (see `serialised`), version 1, in either order. A sensor_msgs/Image has its pixels
at the end, so that a view of them is all that it takes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trt_perception.errors import FrameError
from trt_perception.frames import Frame

_ENCAPSULATION = 4
_ORDERS = {b'\x00\x00': '>', b'\x00\x01': '<'}
_NS = 10**9


@dataclass(frozen=True)
class SerialisedImage:
    """An image message.

    Attributes:
        frame: looks at the message's own bytes.
        sec, nanosec: the stamp as it was sent; `frame.stamp_ns` is their sum.
    """

    frame: Frame
    sec: int
    nanosec: int


def read_image(message: NDArray[np.uint8]) -> SerialisedImage:
    """The image in a serialised sensor_msgs/Image.

    Args:
        message: uint8 [bytes], with encapsulation. More bytes than the image has may follow.

    Raises:
        FrameError: the bytes are none, are damaged or end too early.
    """
    cdr = _Cdr(message)
    sec, nanosec = cdr.numbers('iI')
    frame_id = cdr.text()
    height, width = cdr.numbers('II')
    encoding = cdr.text()
    big_endian = cdr.taken(1) != b'\0'
    step, size = cdr.numbers('II')
    begin = cdr.skip(size)
    frame = Frame(
        message[begin : begin + size],
        height,
        width,
        step,
        encoding,
        big_endian,
        sec * _NS + nanosec,
        frame_id,
    )
    return SerialisedImage(frame, sec, nanosec)


class _Cdr:
    """Goes through a message from its beginning to its end."""

    def __init__(self, message: NDArray[np.uint8]) -> None:
        """Raises FrameError if it is not CDR of version 1."""
        self._message = memoryview(message)
        self._at = _ENCAPSULATION
        kind = bytes(self._message[:2])
        if len(self._message) < _ENCAPSULATION or kind not in _ORDERS:
            raise FrameError(
                'corrupt',
                f'its {len(message)} bytes do not begin as CDR does: {kind.hex() or "none"}',
            )
        self._order = _ORDERS[kind]

    def skip(self, size: int) -> int:
        """Leave so many bytes behind; returns where they begin."""
        begin, self._at = self._at, self._at + size
        if self._at > len(self._message):
            raise FrameError(
                'corrupt',
                f'it ends after {len(self._message)} bytes, but goes on to {self._at} by what '
                'it says of itself',
            )
        return begin

    def taken(self, size: int) -> bytes:
        """The next bytes."""
        begin = self.skip(size)
        return self._message[begin : begin + size].tobytes()

    def numbers(self, codes: str) -> tuple[int, ...]:
        """As many numbers of four bytes each as there are codes of `struct`."""
        self._at += -self._at % 4
        return struct.unpack_from(self._order + codes, self._message, self.skip(4 * len(codes)))

    def text(self) -> str:
        """A string, as rclpy shows it: up to a zero, and with signs for what is not UTF-8."""
        (size,) = self.numbers('I')
        return self.taken(size).partition(b'\0')[0].decode(errors='replace')
