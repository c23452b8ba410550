"""The image messages of a ROS 2 bag, MCAP or SQLite, of any topics and times, without ROS."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trt_perception.closing import Closing
from trt_perception.errors import MissingDependencyError, SourceError
from trt_perception.frames import Frame

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader

RAW = 'sensor_msgs/msg/Image'
JPEG_OR_PNG = 'sensor_msgs/msg/CompressedImage'

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BagImage:
    """One image message as it was recorded.

    Attributes:
        topic: full name.
        type_name: `RAW` or `JPEG_OR_PNG`.
        cdr: the serialised message.
        time_ns: when it was recorded, nanoseconds since 1970.
    """

    topic: str
    type_name: str
    cdr: bytes
    time_ns: int


class ImageBag(Closing):
    """An open bag.

    Attributes:
        path: the bag's folder, or one of its files.
        start_ns, end_ns: when its first and last message were recorded; `end_ns` is one more
            than the last.
        message_count: messages of all topics.
    """

    def __init__(self, path: Path) -> None:
        """Open it.

        Args:
            path: the bag's folder, or one of its .mcap or .db3 files.

        Raises:
            SourceError: no bag, or an unfinished one.
            MissingDependencyError: the library rosbags is not installed.
        """
        self.path = path
        self._reader = open_reader(path)
        self._closed = False
        self.message_count = int(self._reader.message_count)
        self.start_ns = int(self._reader.start_time) if self.message_count else 0
        self.end_ns = int(self._reader.end_time) if self.message_count else 0

    def topics(self) -> list[str]:
        """The image topics, sorted."""
        kinds = (RAW, JPEG_OR_PNG)
        return sorted({c.topic for c in self._reader.connections if c.msgtype in kinds})

    def choose(self, topic: str | None) -> str:
        """The topic of that name, or the only image topic there is.

        Raises:
            SourceError: there is none such, or more than one to choose from.
        """
        images = self.topics()
        if topic is not None:
            if topic in images:
                return topic
            raise SourceError(
                f'{self.path}: no image topic {topic!r} in this bag. '
                f'Its image topics: {", ".join(images) or "none"}'
            )
        if len(images) == 1:
            return images[0]
        if images:
            raise SourceError(
                f'{self.path}: the bag has {len(images)} image topics; choose with `topic`, on the '
                f'command line --topic: {", ".join(images)}'
            )
        others = sorted({f'{c.topic} ({c.msgtype})' for c in self._reader.connections})
        raise SourceError(
            f'{self.path}: no image topic (sensor_msgs Image or CompressedImage) in this bag. '
            f'Its topics: {", ".join(others) or "none"}'
        )

    def count(self, topics: Sequence[str]) -> int:
        """Messages of the topics, as the bag announces them."""
        return sum(c.msgcount for c in self._connections(topics))

    def images(
        self, topics: Sequence[str], start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[BagImage]:
        """The messages of the topics in the order of their recording.

        Ends with a warning in the log where the storage is damaged.

        Args:
            topics: image topics.
            start_ns, end_ns: only messages recorded from then and before then.
        """
        chosen = self._connections(topics)
        if not chosen:
            return
        messages = self._reader.messages(chosen, start_ns, end_ns)
        while True:
            try:
                connection, time_ns, raw = next(messages)
            except StopIteration:
                return
            except Exception as error:
                # What a damaged file raises depends on where it is damaged.
                log.warning('%s: the bag is damaged and ends here: %s', self.path, error)
                return
            yield BagImage(connection.topic, connection.msgtype, raw, time_ns)

    def frame(self, image: BagImage) -> Frame | None:
        """The image in a message of this bag; None, with a warning, if it cannot be read."""
        try:
            message: Any = self._reader.deserialize(image.cdr, image.type_name)
        except Exception as error:
            log.warning('%s: a message of %s cannot be read: %s', self.path, image.topic, error)
            return None
        data = np.asarray(message.data, np.uint8)
        return Frame.from_message(message, data, compressed=image.type_name == JPEG_OR_PNG)

    def close(self) -> None:
        """Close the bag. A second call does nothing."""
        if not self._closed:
            self._closed = True
            self._reader.close()

    def _connections(self, topics: Sequence[str]) -> list[Any]:
        return [c for c in self._reader.connections if c.topic in topics]


def open_reader(path: Path) -> AnyReader:
    """An open reader of the bag.

    Raises:
        SourceError, MissingDependencyError: see `ImageBag`.
    """
    try:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise MissingDependencyError(
            f'{path}: reading bags needs the library rosbags, which is not installed. '
            'Install it with: pip install rosbags'
        ) from error
    _look_like_a_bag(path)
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
    return reader


def _look_like_a_bag(path: Path) -> None:
    """Refuse what the library has only its own words for.

    Raises:
        SourceError: there is nothing, or a folder without metadata.yaml.
    """
    if not path.exists():
        raise SourceError(f'{path}: there is no such file or folder')
    if not path.is_dir() or (path / 'metadata.yaml').is_file():
        return
    files = sorted(file for file in path.iterdir() if file.suffix in ('.mcap', '.db3'))
    what = f'{path}: cannot be read as a ROS 2 bag: metadata.yaml is missing'
    if not files:
        raise SourceError(f'{what}, and so are .mcap and .db3 files')
    raise SourceError(f'{what}. Make it with `ros2 bag reindex {path}`, or name a file: {files[0]}')
