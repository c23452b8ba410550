"""Frames of a ROS 2 bag, MCAP or SQLite, read without ROS."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trt_perception.errors import MissingDependencyError, SourceError
from trt_perception.frames import COMPRESSED, Frame
from trt_perception.sources.source import Source

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader
    from rosbags.interfaces import Connection

SUFFIXES = frozenset(['.mcap', '.db3'])
"""File name endings of a bag's storage files."""

RAW = 'sensor_msgs/msg/Image'
JPEG_OR_PNG = 'sensor_msgs/msg/CompressedImage'

log = logging.getLogger(__name__)


class BagSource(Source):
    """The images of one topic, as recorded: bytes, encoding, step, header stamp and frame_id.

    A damaged bag is read as far as it goes; what is missing then is logged and counted in
    `skipped` as 'missing_at_end', a message that cannot be read as 'unreadable'.
    """

    def __init__(self, path: Path, topic: str | None = None) -> None:
        """Open the bag and choose the topic.

        Args:
            path: the bag's folder, or one of its .mcap or .db3 files.
            topic: an Image or CompressedImage topic; None takes the only one there is.

        Raises:
            SourceError: no bag, an unfinished one, no such topic, or more than one to choose from.
            MissingDependencyError: the library rosbags is not installed.
        """
        super().__init__(path.name or str(path))
        self._path = path
        self._closed = False
        with _opened(path) as reader:
            self._topic = _choose(path, reader, topic)
            connections = self._connections(reader)
            duration_s = reader.duration / 1e9
        self.count = sum(connection.msgcount for connection in connections)
        self.stamps = 'absolute'
        self.continuous = True
        if self.count > 1 and duration_s > 0:
            self.rate = (self.count - 1) / duration_s

    @property
    def topic(self) -> str:
        """The topic that is read."""
        return self._topic

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        messages = 0
        with _opened(self._path) as reader:
            for kind, raw in self._messages(reader):
                if self._closed:
                    return
                messages += 1
                frame = self._frame(reader, raw, kind)
                if frame is None:
                    self.skipped['unreadable'] += 1
                    continue
                self.label = f'{index:06d}'
                index += 1
                yield frame
        if self.count is not None and messages < self.count:
            self.skipped['missing_at_end'] += self.count - messages
            log.warning('%s: %d of %d messages are there', self._path, messages, self.count)

    def close(self) -> None:
        """End a running iteration; it closes the bag."""
        self._closed = True

    def _connections(self, reader: AnyReader) -> list[Connection]:
        return [c for c in reader.connections if c.topic == self._topic]

    def _messages(self, reader: AnyReader) -> Iterator[tuple[str, bytes]]:
        """Type and bytes of each message; ends where the storage is damaged."""
        messages = reader.messages(self._connections(reader))
        while True:
            try:
                connection, _, raw = next(messages)
            except StopIteration:
                return
            except Exception as error:
                # What a damaged file raises depends on where it is damaged.
                log.warning('%s: the bag is damaged and ends here: %s', self._path, error)
                return
            yield connection.msgtype, raw

    def _frame(self, reader: AnyReader, raw: bytes, kind: str) -> Frame | None:
        try:
            message: Any = reader.deserialize(raw, kind)
        except Exception as error:
            log.warning('%s: a message of %s cannot be read: %s', self._path, self._topic, error)
            return None
        header = message.header
        stamp_ns = header.stamp.sec * 1_000_000_000 + header.stamp.nanosec
        data = np.asarray(message.data, np.uint8)
        if kind == JPEG_OR_PNG:
            return Frame(data, 0, 0, 0, COMPRESSED, False, stamp_ns, header.frame_id)
        return Frame(
            data,
            message.height,
            message.width,
            message.step,
            message.encoding,
            bool(message.is_bigendian),
            stamp_ns,
            header.frame_id,
        )


def _opened(path: Path) -> _Closing:
    """An open reader of the bag, to be used in a with block.

    Raises:
        SourceError, MissingDependencyError: see `BagSource`.
    """
    try:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise MissingDependencyError(
            f'{path}: reading bags needs the library rosbags, which is not installed. '
            'Install it with: pip install rosbags'
        ) from error
    try:
        # SQLite bags before Iron hold no message definitions.
        reader = AnyReader([path], default_typestore=get_typestore(Stores.ROS2_HUMBLE))
        reader.open()
    except Exception as error:
        raise SourceError(
            f'{path}: cannot be read as a ROS 2 bag: {str(error).rstrip(".")}. '
            'If its recorder was killed, '
            'repair it with: ros2 bag reindex (SQLite) or mcap recover (MCAP)'
        ) from error
    return _Closing(reader)


class _Closing:
    """Closes an open reader at the end of a with block."""

    def __init__(self, reader: AnyReader) -> None:
        self._reader = reader

    def __enter__(self) -> AnyReader:
        return self._reader

    def __exit__(self, *_: object) -> None:
        self._reader.close()


def _choose(path: Path, reader: AnyReader, topic: str | None) -> str:
    images = sorted({c.topic for c in reader.connections if c.msgtype in (RAW, JPEG_OR_PNG)})
    if topic is not None:
        if topic in images:
            return topic
        raise SourceError(
            f'{path}: no image topic {topic!r} in this bag. '
            f'Its image topics: {", ".join(images) or "none"}'
        )
    if len(images) == 1:
        return images[0]
    if images:
        raise SourceError(
            f'{path}: the bag has {len(images)} image topics; choose one with topic: '
            f'{", ".join(images)}'
        )
    others = sorted({f'{c.topic} ({c.msgtype})' for c in reader.connections})
    raise SourceError(
        f'{path}: no image topic (sensor_msgs Image or CompressedImage) in this bag. '
        f'Its topics: {", ".join(others) or "none"}'
    )
