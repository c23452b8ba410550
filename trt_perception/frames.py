"""One image as a camera delivers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

COMPRESSED = 'compressed'
"""Encoding of a frame whose bytes are a JPEG or PNG file; its size is known after decoding."""


@dataclass(frozen=True)
class Frame:
    """The bytes of one image with what is needed to read them. Nothing is copied or checked here.

    Attributes:
        data: uint8 [bytes], the rows one after the other, `step` bytes each.
        height, width: pixels; 0 where `encoding` is `COMPRESSED`.
        step: bytes from one row to the next, at least width * bytes per pixel.
        encoding: a ROS image encoding such as 'bgr8', or `COMPRESSED`.
        big_endian: byte order of encodings with more than 8 bits a channel.
        stamp_ns: when the light fell in, nanoseconds of the camera's clock.
        frame_id: the camera's coordinate frame.
    """

    data: NDArray[np.uint8]
    height: int
    width: int
    step: int
    encoding: str
    big_endian: bool = False
    stamp_ns: int = 0
    frame_id: str = ''

    @classmethod
    def from_bgr(cls, image: NDArray[np.uint8], *, stamp_ns: int = 0, frame_id: str = '') -> Frame:
        """Wrap a uint8 [H, W, 3] BGR array; rows are copied only if they are not contiguous."""
        height, width = image.shape[:2]
        flat = np.ascontiguousarray(image).reshape(-1)
        return cls(flat, height, width, width * 3, 'bgr8', False, stamp_ns, frame_id)

    def showing(self, image: NDArray[np.uint8]) -> Frame:
        """The same moment of the same camera as another picture; see `from_bgr`."""
        return Frame.from_bgr(image, stamp_ns=self.stamp_ns, frame_id=self.frame_id)

    @classmethod
    def from_file_bytes(cls, data: bytes, *, stamp_ns: int = 0, frame_id: str = '') -> Frame:
        """Wrap the bytes of a JPEG or PNG file."""
        flat = np.frombuffer(data, np.uint8)
        return cls(flat, 0, 0, 0, COMPRESSED, False, stamp_ns, frame_id)

    @classmethod
    def from_message(cls, message: Any, data: NDArray[np.uint8], *, compressed: bool) -> Frame:
        """Wrap what an image message holds.

        Args:
            message: with the fields of sensor_msgs/Image or sensor_msgs/CompressedImage.
            data: uint8 [bytes], its data.
            compressed: which of the two it is.
        """
        header = message.header
        stamp_ns = stamp_ns_of(header)
        if compressed:
            return cls(data, 0, 0, 0, COMPRESSED, False, stamp_ns, header.frame_id)
        return cls(
            data,
            message.height,
            message.width,
            message.step,
            message.encoding,
            bool(message.is_bigendian),
            stamp_ns,
            header.frame_id,
        )


def stamp_ns_of(header: Any) -> int:
    """The stamp of a message in nanoseconds; `header` has the fields of std_msgs/Header."""
    return int(header.stamp.sec) * 10**9 + int(header.stamp.nanosec)
