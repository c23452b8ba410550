"""Records topics into a bag, as they come over the network, without reading the messages."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from trt_perception.model_store import PACKAGE
from trt_perception.sources.bag_writer import BagWriter

_DEPTH = 100
"""Messages that may wait while the disk is slow."""

_IMAGE_DEPTH = 15
"""The same for images and masks. The middleware keeps the memory of as many as ever waited."""

_IMAGES = (Image, CompressedImage)

_FOREIGN = ('vision_msgs', PACKAGE)
"""Packages whose messages bags do not know by themselves."""


def type_name(kind: type) -> str:
    """Name of a message type, such as 'sensor_msgs/msg/Image'."""
    package, folder = kind.__module__.split('.')[:2]
    return f'{package}/{folder}/{kind.__name__}'


def message_definitions(package: str) -> dict[str, str]:
    """The .msg files of an installed package, by type name."""
    folder = Path(get_package_share_directory(package)) / 'msg'
    return {
        f'{package}/msg/{file.stem}': file.read_text(encoding='utf-8')
        for file in sorted(folder.glob('*.msg'))
    }


def foreign_definitions() -> dict[str, str]:
    """The .msg files, by type name, of what this package publishes and bags do not know."""
    definitions: dict[str, str] = {}
    for package in _FOREIGN:
        definitions |= message_definitions(package)
    return definitions


class Recorder:
    """Subscribes topics and writes what arrives into a new bag.

    Attributes:
        counts: messages written, by topic.
    """

    def __init__(self, node: Node, path: Path) -> None:
        """Create the bag.

        Args:
            node: subscribes the topics.
            path: folder to make, see `BagWriter`.

        Raises:
            OutputError: it exists or cannot be made.
            MissingDependencyError: the library rosbags is not installed.
        """
        self.counts: dict[str, int] = {}
        self._node = node
        self._bag = BagWriter(path, os.environ.get('ROS_DISTRO') or 'jazzy')
        self._subscriptions: list[Subscription] = []
        self._bag.add_type_definitions(foreign_definitions())

    def record(
        self,
        topic: str,
        kind: type,
        *,
        latched: bool = False,
        also: Callable[[bytes], None] | None = None,
    ) -> None:
        """Record one topic from now on.

        Args:
            topic: its name.
            kind: its message type.
            latched: whether the publisher keeps the last message for late subscribers.
            also: told of each serialised message.
        """
        durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
        depth = _IMAGE_DEPTH if kind in _IMAGES else _DEPTH
        profile = QoSProfile(depth=depth, durability=durability)
        kind_name = type_name(kind)
        resolved = self._node.resolve_topic_name(topic)
        self._bag.add_topic(resolved, kind_name, latched=latched)
        self.counts[resolved] = 0

        def write(message: Any) -> None:
            self._bag.write(resolved, kind_name, message, time.time_ns())
            self.counts[resolved] += 1
            if also is not None:
                also(message)

        self._subscriptions.append(
            self._node.create_subscription(kind, topic, write, profile, raw=True)
        )

    def close(self) -> None:
        """Stop recording and finish the bag.

        Raises:
            OutputError: the disk is full.
        """
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()
        self._bag.close()
