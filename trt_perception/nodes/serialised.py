"""Messages written as the middleware's bytes, past rclpy's conversion of Python objects.

rclpy turns a message into a C struct field by field, and that into bytes: for 80 objects it takes
longer than to find them. Every ROS 2 middleware sends CDR (OMG, Common Data Representation,
version 1: DDS-XTypes 1.3, 7.4.1), so that the bytes can as well be written at once, with fixed
layouts for the numbers. What is written here is compared with rclpy once in each process; where
they differ, in a later version of a message, messages are published as objects.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from trt_perception.nodes.messages import (
    DetectionMessages,
    image_message,
    pixel_bytes,
    poses_of,
    track_names,
)
from trt_perception.results import Detections

_LITTLE_ENDIAN = b'\x00\x01\x00\x00'
_ALL_BUT_W = 6 * 8
_COVARIANCE = 36 * 8


class _Layout:
    """A struct format with CDR's alignment, for what begins at an offset in the message.

    Attributes:
        end: offset behind what there is so far.
    """

    def __init__(self, offset: int) -> None:
        self.end = offset
        self._format = '<'

    def number(self, code: str, size: int) -> _Layout:
        padding = -self.end % size
        self._format += f'{padding}x{code}'
        self.end += padding + size
        return self

    def zeros(self, size: int) -> _Layout:
        self._format += f'{size}x'
        self.end += size
        return self

    def raw(self, size: int) -> _Layout:
        """So many bytes that are written already."""
        self._format += f'{size}s'
        self.end += size
        return self

    def text(self, length: int) -> _Layout:
        """A string of so many bytes, its final zero included."""
        return self.number('I', 4).raw(length)

    def header(self, length: int) -> _Layout:
        return self.number('i', 4).number('I', 4).text(length)

    def made(self) -> struct.Struct:
        return struct.Struct(self._format)


@lru_cache(maxsize=4096)
def _detection_layout(
    offset: int, frame_id: str, class_id: str, track: str
) -> tuple[struct.Struct, bytes, bytes]:
    """How a Detection2D with one result is written that begins at `offset`, which is below 8.

    Returns:
        The layout of stamp, texts, score, w, pose and track; the texts of frame and class, and
        that of the track, as they are in each such message.
    """
    frame, name, track_id = _text(frame_id), _text(class_id), _text(track)
    layout = _Layout(offset).number('i', 4).number('I', 4)
    texts = _Layout(layout.end).text(len(frame)).number('I', 4).text(len(name)).made()
    layout.raw(texts.size).number('d', 8).zeros(_ALL_BUT_W).number('d', 8).zeros(_COVARIANCE)
    for _ in range(5):
        layout.number('d', 8)
    last = _Layout(layout.end).text(len(track_id)).made()
    return (
        layout.raw(last.size).made(),
        texts.pack(len(frame), frame, 1, len(name), name),
        last.pack(len(track_id), track_id),
    )


class DetectionBytes:
    """Builds Detection2DArray messages, as bytes where that is known to be right.

    Used by one thread at a time.
    """

    def __init__(self) -> None:
        """Compare with rclpy, once in a process."""
        self._objects = None if detections_agree() else DetectionMessages()

    def build(
        self, detections: Detections, class_ids: Sequence[str], header: Header
    ) -> bytes | Detection2DArray:
        """The message of one image's objects, to be published at once.

        Args:
            detections: the objects.
            class_ids: what `hypothesis.class_id` says of each class of the model.
            header: of the source image; goes into the array and every object.
        """
        if self._objects is not None:
            return self._objects.build(detections, class_ids, header)
        return detection_bytes(detections, class_ids, header)


def detection_bytes(detections: Detections, class_ids: Sequence[str], header: Header) -> bytes:
    """A Detection2DArray with encapsulation; arguments as in `DetectionBytes.build`."""
    sec, nanosec = header.stamp.sec, header.stamp.nanosec
    frame_id = header.frame_id
    frame = _text(frame_id)
    head = _Layout(0).header(len(frame)).number('I', 4).made()
    parts = [_LITTLE_ENDIAN, head.pack(sec, nanosec, len(frame), frame, len(detections))]
    offset = head.size
    rows = zip(
        poses_of(detections),
        detections.scores.tolist(),
        detections.class_ids.tolist(),
        track_names(detections),
        strict=True,
    )
    for (x, y, width, height, theta), score, index, track in rows:
        layout, texts, last = _detection_layout(offset % 8, frame_id, class_ids[index], track)
        parts.append(layout.pack(sec, nanosec, texts, score, 1.0, x, y, theta, width, height, last))
        offset += layout.size
    return b''.join(parts)


def image_bytes(pixels: NDArray[Any], encoding: str, header: Header) -> bytes | Image:
    """An image message with one copy of the pixels; arguments as in `messages.image_message`."""
    if not images_agree():
        return image_message(pixels, encoding, header)
    return _image_bytes(pixels, encoding, header)


def _image_bytes(pixels: NDArray[Any], encoding: str, header: Header) -> bytes:
    data, step = pixel_bytes(pixels, encoding)
    frame_id, name = _text(header.frame_id), _text(encoding)
    layout = _Layout(0).header(len(frame_id)).number('I', 4).number('I', 4).text(len(name))
    head = layout.number('B', 1).number('I', 4).number('I', 4).made()
    height, width = pixels.shape[:2]
    fields = head.pack(
        *(header.stamp.sec, header.stamp.nanosec, len(frame_id), frame_id),
        *(height, width, len(name), name, 0, step, len(data)),
    )
    return b''.join((_LITTLE_ENDIAN, fields, data))


def _text(text: str) -> bytes:
    return text.encode() + b'\0'


@lru_cache(maxsize=1)
def detections_agree() -> bool:
    """Whether rclpy reads from our bytes what it would have published."""
    found = Detections(
        np.array([[1, 2, 30, 44], [5, 6, 7, 8], [0, 0, 9, 9]], np.float32),
        np.array([0.9, 0.5, 0.1], np.float32),
        np.array([0, 1, 0], np.int64),
        (64, 48),
        track_ids=np.array([12, -1, 3456], np.int64),
    )
    header = _example_header()
    names = ('a', 'traffic light')
    wanted = DetectionMessages().build(found, names, header)
    return _reads(detection_bytes(found, names, header), wanted)


@lru_cache(maxsize=1)
def images_agree() -> bool:
    """Whether rclpy reads from our bytes what it would have published."""
    pixels = np.arange(15, dtype=np.uint16).reshape(3, 5)
    header = _example_header()
    wanted = image_message(pixels, 'mono16', header)
    return _reads(_image_bytes(pixels, 'mono16', header), wanted)


def _example_header() -> Header:
    header = Header(frame_id='left/optical')
    header.stamp.sec, header.stamp.nanosec = 1234, 5678
    return header


def _reads(data: bytes, wanted: Any) -> bool:
    try:
        return bool(deserialize_message(data, type(wanted)) == wanted)
    except Exception:  # rclpy's own has no public base; whatever it is, the bytes are not right
        return False
