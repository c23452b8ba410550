"""Writes ROS 2 bags in MCAP, without ROS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trt_perception.closing import Closing
from trt_perception.errors import MissingDependencyError, OutputError


@dataclass(frozen=True)
class BagMessage:
    """A serialised message for a bag.

    Attributes:
        topic: full name.
        type_name: such as 'sensor_msgs/msg/Image'.
        cdr: with its encapsulation header.
    """

    topic: str
    type_name: str
    cdr: bytes


class BagWriter(Closing):
    """A new bag of serialised messages that `ros2 bag play` and Foxglove read.

    The message definitions are embedded. Latched topics are marked as transient_local in the
    recorded quality of service, so that they are latched again when the bag is played.
    """

    def __init__(self, path: Path, distro: str = 'jazzy', *, compress: bool = True) -> None:
        """Create the bag's folder and open it for writing.

        Args:
            path: the folder to make; the MCAP file in it gets the same name.
            distro: ROS distribution whose message definitions are embedded, and which the
                metadata names.
            compress: compress the file's chunks with zstd, as recorders can.

        Raises:
            OutputError: the folder exists or cannot be made, or the distribution is unknown.
            MissingDependencyError: the library rosbags is not installed.
        """
        try:
            from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
            from rosbags.typesys import Stores, get_typestore
        except ImportError as error:
            raise MissingDependencyError(
                f'{path}: writing bags needs the library rosbags, which is not installed. '
                'Install it with: pip install rosbags'
            ) from error
        stores = {s.value[5:]: s for s in Stores if s.value.startswith('ros2_')}
        if distro not in stores:
            raise OutputError(
                f'{path}: unknown ROS distribution {distro!r}. Known: {", ".join(sorted(stores))}'
            )
        self.path = path
        self._distro = distro
        self._types: Any = get_typestore(stores[distro])
        self._writer: Any = None
        self._topics: dict[str, Any] = {}
        if path.exists():
            raise OutputError(f'{path}: exists already. Remove it or choose another name')
        writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
        if compress:
            writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        try:
            writer.open()
        except OSError as error:
            raise OutputError(f'{path}: the bag cannot be made: {error}') from error
        self._writer = writer

    def add_type_definitions(self, definitions: Mapping[str, str]) -> None:
        """Make message types known that the distribution's own packages lack.

        Args:
            definitions: text of the .msg file by type name such as 'vision_msgs/msg/Point2D'.

        Raises:
            OutputError: a text is no message definition.
        """
        from rosbags.typesys import TypesysError, get_types_from_msg

        for name, text in definitions.items():
            try:
                found = get_types_from_msg(text, name)
                self._types.register({k: v for k, v in found.items() if k not in self._known()})
            except TypesysError as error:
                raise OutputError(f'{name}: not a message definition: {error}') from error

    def add_topic(self, topic: str, type_name: str, *, latched: bool = False) -> None:
        """Enter a topic before its first message. `write` does so for topics that are not latched.

        Args:
            topic: full name.
            type_name: such as 'sensor_msgs/msg/Image'.
            latched: whether late subscribers get the last message.

        Raises:
            OutputError: the type is unknown, or the topic was entered with another one.
        """
        if topic in self._topics:
            if self._topics[topic].msgtype != type_name:
                raise OutputError(
                    f'{self.path}: {topic} holds {self._topics[topic].msgtype}, not {type_name}'
                )
            return
        if type_name not in self._known():
            raise OutputError(
                f'{self.path}: the type {type_name} of {topic} is unknown. '
                'Pass its .msg text and those of the types in it to add_type_definitions'
            )
        from rosbags.typesys import TypesysError

        try:
            self._topics[topic] = self._writer.add_connection(
                topic, type_name, typestore=self._types, offered_qos_profiles=[_qos(latched)]
            )
        except TypesysError as error:
            raise OutputError(
                f'{self.path}: the definition of {type_name} is incomplete: {error} '
                'Pass its .msg text to add_type_definitions'
            ) from error

    def write(self, topic: str, type_name: str, cdr: bytes, time_ns: int) -> None:
        """Append one message.

        Args:
            topic: full name.
            type_name: such as 'sensor_msgs/msg/Image'.
            cdr: the serialised message with its encapsulation header.
            time_ns: when it was received, nanoseconds since 1970.

        Raises:
            OutputError: see `add_topic`; or the disk is full.
        """
        self.add_topic(topic, type_name)
        try:
            self._writer.write(self._topics[topic], time_ns, cdr)
        except OSError as error:
            raise OutputError(f'{self.path}: cannot be written: {error}') from error

    def close(self) -> None:
        """Finish the MCAP file and write metadata.yaml. A second call does nothing.

        Raises:
            OutputError: the disk is full.
        """
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        try:
            writer.close()
            self._name_distro()
        except OSError as error:
            raise OutputError(f'{self.path}: the bag cannot be finished: {error}') from error

    def _known(self) -> Mapping[str, Any]:
        known: Mapping[str, Any] = self._types.fielddefs
        return known

    def _name_distro(self) -> None:
        """rosbags names itself as the distribution; recorders name theirs."""
        file = self.path / 'metadata.yaml'
        metadata = yaml.safe_load(file.read_text(encoding='utf-8'))
        metadata['rosbag2_bagfile_information']['ros_distro'] = self._distro
        file.write_text(yaml.safe_dump(metadata, sort_keys=False), encoding='utf-8')


def _qos(latched: bool) -> Any:
    """Quality of service as a recorder notes it: reliable, deadlines and lifespans infinite."""
    from rosbags.interfaces import (
        Qos,
        QosDurability,
        QosHistory,
        QosLiveliness,
        QosReliability,
        QosTime,
    )

    never = QosTime(9223372036, 854775807)
    return Qos(
        QosHistory.KEEP_LAST,
        1,
        QosReliability.RELIABLE,
        QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        never,
        never,
        QosLiveliness.AUTOMATIC,
        never,
        False,
    )
