"""Frames of a ROS 2 bag, MCAP or SQLite, read without ROS."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from trt_perception.frames import Frame
from trt_perception.sources.bag_images import ImageBag
from trt_perception.sources.source import Source

SUFFIXES = frozenset(['.mcap', '.db3'])
"""File name endings of a bag's storage files."""

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
        with ImageBag(path) as bag:
            self._topic = bag.choose(topic)
            self.count = bag.count([self._topic])
            duration_s = (bag.end_ns - bag.start_ns) / 1e9
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
        with ImageBag(self._path) as bag:
            for image in bag.images([self._topic]):
                if self._closed:
                    return
                messages += 1
                frame = bag.frame(image)
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
