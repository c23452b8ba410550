"""Takes images out of a subscription: as the middleware's bytes, where these are read right.

The first image is taken by rclpy. The second one is taken as bytes and read by rclpy as well; where
the two differ, in this distribution or with this middleware, all are taken by rclpy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from trt_perception.errors import FrameError, MissingDependencyError
from trt_perception.frames import Frame
from trt_perception.nodes.byte_take import NO_NUMBER, ByteTake, Info, Memory
from trt_perception.nodes.serialised_images import SerialisedImage, read_image

_NUMBER = 'publication_sequence_number'
_SOURCE = 'source_timestamp'
_RECEIVED = 'received_timestamp'

_NS = 10**9
_DAY_NS = 24 * 3600 * _NS

_MOST_IMAGES = 2**40
"""No publisher has sent so many: a pointer or a time stands where its number is looked for."""


@dataclass(frozen=True)
class Taken:
    """A message that was taken.

    Attributes:
        received_ns: when it came, by the system's clock; 0 where the middleware does not tell.
        number: the publisher's; None where the middleware or the distribution has none.
        read: the image with its header; raises FrameError if it cannot be read.
    """

    received_ns: int
    number: int | None
    read: Callable[[], tuple[Frame, Header]]


class ImageTaking:
    """Takes the images of one subscription. Used by one thread at a time."""

    def __init__(
        self, handle: Any, kind: type, memory: Memory | None, say: Callable[[str], None]
    ) -> None:
        """Begin.

        Args:
            handle: of the subscription.
            kind: Image or CompressedImage.
            memory: for images as bytes; None, and compressed ones, are taken by rclpy.
            say: told once where images cannot be taken as bytes, and why.
        """
        self._handle, self._kind, self._say = handle, kind, say
        self._memory = memory if kind is Image else None
        self._bytes: ByteTake | None = None
        self._agreed = False
        self._example: Mapping[str, Any] = {}

    def take(self) -> Taken | None:
        """The next image that waits; None where there is none.

        Raises:
            FrameError: there was one, and no memory for it.
        """
        if self._bytes is None:
            return self._object()
        try:
            taken = self._bytes.take()
        except MissingDependencyError as error:
            self._refuse(str(error))
            return self._object()
        if taken is None:
            return None
        message, info = taken
        return self._serialised(message, info) if self._agreed else self._compared(message, info)

    def _object(self) -> Taken | None:
        with self._handle:
            taken = self._handle.take_message(self._kind, False)
        if taken is None:
            return None
        message, info = taken
        if self._memory is not None:
            self._example = info
            try:
                self._bytes, self._memory = ByteTake(self._handle, self._memory), None
            except MissingDependencyError as error:
                self._refuse(str(error))
        return Taken(info.get(_RECEIVED) or 0, info.get(_NUMBER), lambda: frame_and_header(message))

    def _serialised(self, message: NDArray[np.uint8], info: Info) -> Taken:
        numbered = self._example.get(_NUMBER) is not None and info.number != NO_NUMBER
        return Taken(
            info.received_timestamp,
            info.number if numbered else None,
            lambda: _frame_and_header(read_image(message)),
        )

    def _compared(self, message: NDArray[np.uint8], info: Info) -> Taken:
        """The first one taken as bytes, unless it is damaged."""
        try:
            wanted = deserialize_message(message.tobytes(), Image)
        except Exception:  # rclpy's own has no public base; whatever it is, it compares nothing
            return self._serialised(message, info)
        differs = difference(message, wanted) or implausible(info, self._example)
        if differs:
            self._refuse(differs)
            return Taken(0, None, lambda: frame_and_header(wanted))
        self._agreed = True
        return self._serialised(message, info)

    def _refuse(self, why: str) -> None:
        self._bytes = self._memory = None
        self._say(f'images are taken by rclpy, which copies them more often: {why}')


def difference(message: NDArray[np.uint8], wanted: Image) -> str:
    """What we read otherwise than rclpy, in words; '' for nothing.

    Args:
        message: uint8 [bytes], a serialised image.
        wanted: what rclpy reads from it.
    """
    try:
        frame, header = _frame_and_header(read_image(message))
    except FrameError as error:
        return f'rclpy reads an image that is damaged in our eyes: {error}'
    should, head = frame_and_header(wanted)
    names = [
        field.name
        for field in fields(Frame)
        if not np.array_equal(getattr(frame, field.name), getattr(should, field.name))
    ]
    if header != head:
        names.append('header')
    return f'rclpy reads another {", ".join(names)}' if names else ''


def implausible(info: Info, example: Mapping[str, Any]) -> str:
    """What cannot be true of a message's times and number, in words; '' for nothing.

    They are not where they were looked for, then.

    Args:
        info: of one message.
        example: what rclpy said of another one of the same subscription, not long before.
    """
    for name in (_SOURCE, _RECEIVED):
        have, like = getattr(info, name), example.get(name) or 0
        if bool(have) != bool(like) or abs(have - like) > _DAY_NS:
            return f'{name} was {like} by rclpy and then {have}'
    like = example.get(_NUMBER)
    if like is not None and not 0 < info.number < _MOST_IMAGES:
        return f'{_NUMBER} was {like} by rclpy and then {info.number}'
    return ''


def frame_and_header(message: Image | CompressedImage) -> tuple[Frame, Header]:
    """The frame looks at the message's own data."""
    data = np.frombuffer(message.data, np.uint8)
    compressed = isinstance(message, CompressedImage)
    return Frame.from_message(message, data, compressed=compressed), message.header


def _frame_and_header(image: SerialisedImage) -> tuple[Frame, Header]:
    stamp = Time(sec=image.sec, nanosec=image.nanosec)
    return image.frame, Header(stamp=stamp, frame_id=image.frame.frame_id)
